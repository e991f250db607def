//! Rules about the text of the sources: length, purity, one place for each thing that must have one.

use super::{
    layers::PURE,
    tree::{Tree, is_test_file, product_code},
};

/// A file longer than this holds more than one concept.
const LINES_MAX: usize = 600;

/// Modules of `std` that reach out of a pure crate. Of `net`, addresses are values like any other.
const IMPURE_MODULES: &[&str] = &["env", "fs", "io", "os", "process", "thread"];

/// Words that mean time, randomness or concurrency.
const IMPURE_WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "Utc::now",
    "tokio",
    "rand::",
    "getrandom",
    "new_v4",
    "now_v7",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "async fn",
    ".await",
    "println!",
    "eprintln!",
];

/// Splitting at `/` is the matcher's, and there is one matcher.
const SPLITS: &[&str] = &[
    "split('/')",
    "split(\"/\")",
    "split_once('/')",
    "split_once(\"/\")",
    "rsplit('/')",
    "rsplit_once('/')",
    "split_terminator('/')",
    "split_inclusive('/')",
    "split(b'/')",
];

/// The one place in which a proof of identity is made.
const PROOF: &str = "Authenticated::prove";
const PROOF_FILE: &str = "crates/admin/src/login.rs";

/// Marks of work that was left; written in two parts so that this file does not hold them.
const LEFT_OVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Everything wrong with the text of the tree.
pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| *path != "Cargo.lock") {
        findings.extend(check_left_overs(path, text));
    }
    for (path, text) in tree.rust() {
        findings.extend(check_length(path, text));
        if !is_test_file(path, text) {
            let code = product_code(text);
            findings.extend(check_proof(path, &code));
            findings.extend(check_splits(path, &code));
            findings.extend(check_purity(path, &code));
        }
    }
    findings
}

fn check_length(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{path}: {lines} lines, at most {LINES_MAX}"))
}

fn check_left_overs(path: &str, text: &str) -> Vec<String> {
    let is_word = |line: &str, mark: &str| {
        let parts = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        parts.into_iter().any(|word| word == mark)
    };
    let found = |line: &&str| LEFT_OVERS.iter().any(|mark| is_word(line, mark));
    text.lines().filter(found).map(|line| format!("{path}: left over: {}", line.trim())).collect()
}

fn check_proof(path: &str, code: &str) -> Option<String> {
    let is_elsewhere = path != PROOF_FILE && path.starts_with("crates/") && !is_own_tool(path);
    (is_elsewhere && code.contains(PROOF))
        .then(|| format!("{path}: only {PROOF_FILE} may prove who somebody is"))
}

fn check_splits(path: &str, code: &str) -> Vec<String> {
    if path.starts_with("crates/topic/") || is_own_tool(path) {
        return Vec::new();
    }
    let found = SPLITS.iter().filter(|split| code.contains(**split));
    found.map(|split| format!("{path}: `{split}`: only `topic` splits at `/`")).collect()
}

fn check_purity(path: &str, code: &str) -> Vec<String> {
    let is_pure = PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    if !is_pure {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for module in std_modules(code).iter().filter(|m| IMPURE_MODULES.contains(&m.as_str())) {
        findings.push(format!("{path}: pure crates do not use `std::{module}`"));
    }
    for word in IMPURE_WORDS.iter().filter(|word| code.contains(**word)) {
        findings.push(format!("{path}: pure crates do not use `{word}`"));
    }
    findings
}

/// The modules of `std` that the code names, alone or in a group such as `std::{net::IpAddr, fs}`.
fn std_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for after in code.split("std::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => modules.extend(group_heads(group)),
            None => modules.push(first_word(after)),
        }
    }
    modules
}

fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut head) = (Vec::new(), 0_usize, String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut head)),
            _ if depth == 0 => head.push(c),
            _ => {}
        }
    }
    heads.push(head);
    heads.iter().map(|head| first_word(head.trim())).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// This crate names what it looks for.
fn is_own_tool(path: &str) -> bool {
    path.starts_with("crates/xtask/")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{LEFT_OVERS, LINES_MAX, Tree, check};

    fn check_file(path: &str, text: &str, expected: usize) {
        let files = BTreeMap::from([(path.to_owned(), text.to_owned())]);
        let findings = check(&Tree { files });
        assert_eq!(findings.len(), expected, "{path}: {findings:?}");
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        check_file("crates/broker/src/a.rs", &"\n".repeat(LINES_MAX), 0);
        check_file("crates/broker/src/a.rs", &"\n".repeat(LINES_MAX + 1), 1);
    }

    #[test]
    fn a_proof_made_elsewhere_is_found_but_not_in_tests() {
        let code = "fn f() { Authenticated::prove(user) }";
        check_file("crates/admin/src/login.rs", code, 0);
        check_file("crates/server/src/serve.rs", code, 1);
        check_file("crates/broker/src/tests.rs", code, 0);
        check_file("crates/broker/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {code} }}"), 0);
    }

    #[test]
    fn splitting_at_slashes_outside_of_the_matcher_is_found() {
        check_file("crates/topic/src/levels.rs", "t.split('/')", 0);
        check_file("crates/broker/src/route.rs", "t.split('/')", 1);
        check_file("crates/access/src/rule.rs", "t.split_once(\"/\")", 1);
        check_file("crates/access/src/rule.rs", "// t.split('/')", 0);
    }

    #[test]
    fn a_pure_crate_that_reaches_out_is_found() {
        check_file("crates/mqtt/src/a.rs", "use std::net::TcpStream;", 1);
        check_file("crates/mqtt/src/a.rs", "use std::{collections::{A, B}, fs, sync::Arc};", 1);
        check_file("crates/mqtt/src/a.rs", "use std::{net::SocketAddr, time::Duration};", 0);
        check_file("crates/access/src/a.rs", "let now = std::time::Instant::now();", 1);
        check_file("crates/access/src/a.rs", "let id = Uuid::new_v4();", 1);
        check_file("crates/broker/src/a.rs", "async fn f() { g().await }", 2);
        check_file("crates/broker/src/a.rs", "use std::{collections::HashMap, sync::Arc};", 0);
        check_file("crates/server/src/a.rs", "use std::net::TcpStream;", 0);
    }

    #[test]
    fn work_left_over_is_found_in_any_file_as_a_whole_word() {
        for mark in LEFT_OVERS {
            check_file("README.md", &format!("{mark}: say more"), 1);
            check_file("crates/api/src/a.rs", &format!("// {mark}"), 1);
            check_file("README.md", &format!("MAS{mark}N"), 0);
        }
    }
}
