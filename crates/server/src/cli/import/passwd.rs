//! Mosquitto's password file: `name:hash` in each line.

use std::collections::HashMap;

use store::PasswordHash;

use super::findings::{Malformed, Source};

/// A line of it.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) hash: PasswordHash,
}

/// Reads it. One bad line spoils all: a user that is left out by mistake cannot log in, one whose password is taken for
/// another's can.
pub(super) fn read(source: &Source) -> Result<Vec<Credential>, Malformed> {
    let mut credentials: Vec<Credential> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for (line, text) in source.lines() {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let credential = credential(line, text)?;
        if let Some(first) = lines.insert(credential.name.clone(), line) {
            let reason = format!(
                "user `{}` stands in line {first} already: take one of the two out",
                credential.name
            );
            return Err(Malformed::new(line, reason));
        }
        credentials.push(credential);
    }
    Ok(credentials)
}

fn credential(line: usize, text: &str) -> Result<Credential, Malformed> {
    let bad = |reason: String| Malformed::new(line, reason);
    let Some((name, hash)) = text.split_once(':') else {
        return Err(bad("there is no `:` between a user name and a hash".to_owned()));
    };
    let (name, hash) = (name.trim_ascii(), hash.trim_ascii());
    if name.is_empty() {
        return Err(bad("there is no user name before the `:`".to_owned()));
    }
    if hash.is_empty() {
        return Err(bad(format!(
            "user `{name}` has no password: give it one, or take the line out"
        )));
    }
    if !hash.starts_with('$') {
        return Err(bad(format!(
            "the password of user `{name}` is not hashed: run `mosquitto_passwd -U` on a copy of the file first"
        )));
    }
    check_hash(hash, name).map_err(bad)?;
    let hash = PasswordHash::new(hash.to_owned());
    Ok(Credential { line, name: name.to_owned(), hash })
}

/// Says what is wrong with a hash, and what to do.
pub(super) fn check_hash(hash: &str, name: &str) -> Result<(), String> {
    admin::check_password_hash(hash).map_err(|reason| {
        format!(
            "the password of user `{name}`: {reason}; set it anew with `mosquitto_passwd`, or take the user out"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PBKDF2: &str = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";
    const SHA512: &str = "$6$BQ2b3qj1TS+MzuTl$y7AqizEqMpwl1sIC5FuDcf9ICSXGbwNYEYLd/mRkz3y+ddtm1EnVwGRT5gAzblLt9o1XUeMZG8aksk1jYE7kKw==";

    #[test]
    fn comments_and_empty_lines_are_none_and_names_may_have_spaces() {
        let text = format!("# made by hand\n\nalice:{PBKDF2}\r\n a b : {SHA512} \n");
        let read = read(&Source::of("passwd", &text)).unwrap();
        let shown: Vec<_> = read
            .iter()
            .map(|it| (it.line, it.name.as_str(), it.hash.expose().to_string()))
            .collect();
        assert_eq!(shown, [(3, "alice", PBKDF2.to_owned()), (4, "a b", SHA512.to_owned())]);
    }

    #[test]
    fn flaw_25_a_malformed_line_spoils_the_file_and_is_named() {
        let check = |bad: &str, says: &str| {
            let text = format!("alice:{PBKDF2}\n{bad}\n");
            let refused = read(&Source::of("passwd", &text)).unwrap_err();
            assert_eq!(refused.line, 2, "{bad}");
            assert!(refused.reason.contains(says), "{}", refused.reason);
            assert!(!refused.reason.contains("secret"), "{}", refused.reason);
        };
        check("bob", "no `:`");
        check(":$6$", "no user name");
        check("bob:", "has no password");
        check("bob:secret", "mosquitto_passwd -U");
        check("bob:$7$101$secret", "known form");
        check("bob:$6$c2VjcmV0", "not Mosquitto's");
        check(&format!("bob:{}", PBKDF2.replace("$101$", "$9999999$")), "9999999 iterations");
        check(&format!("alice:{SHA512}"), "in line 1 already");
    }
}
