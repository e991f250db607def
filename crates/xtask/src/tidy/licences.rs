//! Everything that is compiled in has a permissive licence, and there is one crypto provider.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, ensure};

/// Licences that ask for no more than to be named.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Other providers of what aws-lc-rs provides.
const FORBIDDEN: &[&str] = &["native-tls", "openssl", "openssl-sys", "ring"];

/// Every package that a build of the workspace compiles, as `name version|licence` lines.
pub(crate) fn compiled() -> anyhow::Result<String> {
    let output = Command::new("cargo")
        .args(["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--no-dedupe", "--format", "{p}|{l}"])
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// What must not be compiled in.
pub(crate) fn check(compiled: &str) -> Vec<String> {
    let packages: BTreeSet<&str> = compiled.lines().filter(|line| !line.is_empty()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let (name, licence) = package.split_once('|').unwrap_or((package, ""));
        if !is_permissive(licence) {
            findings.push(format!("`{name}`: licence `{licence}` is not on the list"));
        }
        let bare = name.split(' ').next().unwrap_or_default();
        if FORBIDDEN.contains(&bare) {
            findings.push(format!("`{name}`: aws-lc-rs is the one crypto provider"));
        }
    }
    findings
}

/// Whether a licence expression leaves a choice of permissive licences only.
fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    // An exception to a licence only ever gives more.
    let spaced = spaced.replace(" WITH LLVM-exception", "");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut is_good = all_of(rest);
    while let [next, after @ ..] = *rest
        && *next == "OR"
    {
        *rest = after;
        // Read on even after a good one: the whole expression must be understood.
        is_good |= all_of(rest);
    }
    is_good
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut is_good = one(rest);
    while let [next, after @ ..] = *rest
        && *next == "AND"
    {
        *rest = after;
        is_good &= one(rest);
    }
    is_good
}

fn one(rest: &mut &[&str]) -> bool {
    let [word, after @ ..] = *rest else { return false };
    *rest = after;
    if *word != "(" {
        return PERMISSIVE.contains(word);
    }
    let is_good = any_of(rest);
    let [")", after @ ..] = *rest else { return false };
    *rest = after;
    is_good
}

#[cfg(test)]
mod tests {
    use super::{check, is_permissive};

    #[test]
    fn a_choice_with_a_permissive_licence_is_permissive() {
        for good in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR X) AND ISC", "ISC AND (X OR MIT)"]
        {
            assert!(is_permissive(good), "{good}");
        }
    }

    #[test]
    fn a_licence_that_must_be_taken_and_is_not_permissive_is_found() {
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR X) AND X", "(MIT", "MIT)", "MIT X"] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }

    #[test]
    fn a_second_crypto_provider_is_found() {
        assert_eq!(check("ring v0.17.0|ISC\naws-lc-rs v1.0.0|ISC\n").len(), 1);
        assert_eq!(check("a v1|GPL-3.0\nb v1|MIT\nb v1|MIT\n").len(), 1);
    }
}
