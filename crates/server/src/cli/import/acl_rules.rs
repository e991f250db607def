//! From Mosquitto's password and rule files to a policy document.
//!
//! There a user's own rules come before the patterns, and a deny only before the allows of its own list. Here a deny beats
//! every allow, so whatever is allowed here is allowed there.

use std::collections::{HashMap, HashSet};

use access::UserName;
use serde_json::{Value, json};
use store::PasswordHash;

use super::acl::{About, Access, Rule};
use super::findings::{Findings, Source};
use super::passwd::Credential;
use super::resource::{Effect, Operation, Percents, Permission, Translated, overlap, translate};

/// What the files say, and what is asked besides.
pub(super) struct Files<'f> {
    pub(super) passwd: Option<(&'f Source, Vec<Credential>)>,
    pub(super) acl: Option<(&'f Source, Vec<Rule>)>,
    pub(super) skipped: &'f [String],
    pub(super) certificate_users: bool,
}

/// The policy document.
pub(super) fn document(files: &Files<'_>, findings: &mut Findings) -> Value {
    let mut users = users(files, findings);
    let mut patterns = Vec::new();
    let places: HashMap<&str, usize> =
        (0..).zip(&users).map(|(at, user)| (user.name, at)).collect();
    if let Some((source, rules)) = &files.acl {
        for rule in rules {
            sort_in(rule, (&mut users, &places), &mut patterns, &mut |line, what| {
                findings.at(source, line, what);
            });
        }
        say_of_left_out_users(source, rules, files, &places, findings);
        say_of_beaten_rules(source, &users, &patterns, findings);
        say_of_mosquitto(rules, findings);
    } else {
        findings.in_general(
            "no rule file is given: without one Mosquitto lets everybody do everything, and here nobody may do anything \
             until rights are given",
        );
    }
    to_json(&users, &patterns)
}

/// A user to be made.
struct Made<'f> {
    name: &'f str,
    hash: Option<&'f PasswordHash>,
    /// With the line that each comes from.
    permissions: Vec<(usize, Permission)>,
}

fn users<'f>(files: &'f Files<'_>, findings: &mut Findings) -> Vec<Made<'f>> {
    let mut users: Vec<Made<'f>> = Vec::new();
    let is_skipped = |name: &str| files.skipped.iter().any(|skipped| skipped == name);
    if let Some((source, credentials)) = &files.passwd {
        for Credential { line, name, hash } in credentials {
            if is_skipped(name) {
                continue;
            }
            match UserName::parse(name) {
                Ok(_) => {
                    users.push(Made { name, hash: Some(hash), permissions: Vec::new() });
                }
                Err(error) => findings.at(
                    source,
                    *line,
                    format!("user `{name}` is left out: its name {error}"),
                ),
            }
        }
    }
    let mut known: HashSet<&str> = users.iter().map(|user| user.name).collect();
    let rules = files.acl.iter().flat_map(|(_, rules)| rules);
    for rule in rules.filter(|_| files.certificate_users) {
        if let About::User(name) = &rule.about
            && UserName::parse(name).is_ok()
            && !is_skipped(name)
            && known.insert(name)
        {
            users.push(Made { name, hash: None, permissions: Vec::new() });
        }
    }
    users
}

/// Gives a rule to whom it is about.
fn sort_in(
    rule: &Rule,
    (users, places): (&mut [Made<'_>], &HashMap<&str, usize>),
    patterns: &mut Vec<(usize, Permission)>,
    lose: &mut dyn FnMut(usize, String),
) {
    match &rule.about {
        About::Nameless => lose(
            rule.line,
            "left out: it is for clients without a user name, since it stands before the first `user`; to let those in, \
             name a user for them in `anonymous_user`, and give that the right"
                .to_owned(),
        ),
        About::User(name) => {
            let place = places.get(name.as_str());
            let Some(user) = place.and_then(|place| users.get_mut(*place)) else { return };
            let Translated { permission, losses, .. } = translated(rule, Percents::Plain);
            losses.into_iter().for_each(|what| lose(rule.line, what));
            user.permissions.extend(permission.map(|permission| (rule.line, permission)));
        }
        About::Everybody => {
            let Translated { permission, losses, is_for_each_user } =
                translated(rule, Percents::Placeholders);
            losses.into_iter().for_each(|what| lose(rule.line, what));
            let Some(permission) = permission else { return };
            if !is_for_each_user {
                patterns.push((rule.line, permission));
                return;
            }
            for user in users {
                let resource = permission.resource.replace("%u", user.name);
                user.permissions.push((rule.line, Permission { resource, ..permission.clone() }));
            }
        }
    }
}

fn translated(rule: &Rule, percents: Percents) -> Translated {
    let (effect, operation) = match rule.access {
        Access::Read => (Effect::Allow, Operation::Read),
        Access::Write => (Effect::Allow, Operation::Write),
        Access::ReadWrite => (Effect::Allow, Operation::ReadWrite),
        Access::Deny => (Effect::Deny, Operation::ReadWrite),
    };
    translate(effect, operation, &rule.topic, percents)
}

fn say_of_left_out_users(
    source: &Source,
    rules: &[Rule],
    files: &Files<'_>,
    places: &HashMap<&str, usize>,
    findings: &mut Findings,
) {
    let mut said = HashSet::new();
    for rule in rules {
        let About::User(name) = &rule.about else { continue };
        let is_known = places.contains_key(name.as_str());
        let is_skipped = files.skipped.contains(name);
        if is_known || is_skipped || !said.insert(name) {
            continue;
        }
        let why = match UserName::parse(name) {
            Err(error) => format!("its name {error}"),
            Ok(_) => {
                "it has no password (`--certificate-users` makes it, to log in by certificate)"
                    .to_owned()
            }
        };
        findings.at(source, rule.line, format!("the rules of user `{name}` are left out: {why}"));
    }
}

/// Where a user's own rule allows what a pattern denies, Mosquitto allows.
fn say_of_beaten_rules(
    source: &Source,
    users: &[Made<'_>],
    patterns: &[(usize, Permission)],
    findings: &mut Findings,
) {
    let mut beaten: HashMap<usize, Vec<(usize, &str)>> = HashMap::new();
    let denies = patterns.iter().filter(|(_, rule)| rule.effect == Effect::Deny);
    for (line, deny) in denies {
        for user in users {
            for (own, allow) in &user.permissions {
                if allow.effect == Effect::Allow && overlap(&allow.resource, &deny.resource) {
                    beaten.entry(*line).or_default().push((*own, user.name));
                }
            }
        }
    }
    for (line, beaten) in beaten {
        let Some((first, name)) = beaten.first() else { continue };
        let more = match beaten.len() - 1 {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let what = format!(
            "this deny beats the rule of user `{name}` in line {first}{more}: in Mosquitto a user's own rule comes first"
        );
        findings.at(source, line, what);
    }
}

/// What is another way of deciding altogether.
fn say_of_mosquitto(rules: &[Rule], findings: &mut Findings) {
    let has = |access: &[Access]| rules.iter().any(|rule| access.contains(&rule.access));
    if has(&[Access::Read, Access::ReadWrite]) {
        findings.in_general(super::run::SUBSCRIPTIONS);
    }
    let by_client =
        |rule: &&Rule| rule.about == About::Everybody && rule.topic.as_str().contains("%c");
    if rules.iter().any(|rule| by_client(&rule)) {
        findings.in_general(
            "a client id that holds `/`, or begins with `$` where the topic does, matches no `%c` here; one that holds `+` or \
             `#` matches none either, but keeps the patterns without `%c`, which Mosquitto takes from it",
        );
    }
}

fn to_json(users: &[Made<'_>], patterns: &[(usize, Permission)]) -> Value {
    let rules = |permissions: &[(usize, Permission)]| -> Value {
        permissions.iter().map(|(_, permission)| permission.to_json()).collect()
    };
    let role_names: &[&str] = if patterns.is_empty() { &[] } else { &[PATTERNS] };
    let user = |user: &Made<'_>| {
        let mut shown = json!({
            "username": user.name, "roles": role_names, "permissions": rules(&user.permissions),
        });
        if let (Some(hash), Some(shown)) = (user.hash, shown.as_object_mut()) {
            shown.insert("passwordHash".to_owned(), Value::from(hash.expose().as_str()));
            shown.insert("grantTypes".to_owned(), json!([{ "method": "password" }]));
        }
        shown
    };
    let roles: Vec<_> = role_names
        .iter()
        .map(|name| json!({ "name": name, "permissions": rules(patterns) }))
        .collect();
    json!({ "users": users.iter().map(user).collect::<Vec<_>>(), "roles": roles })
}

/// The role that holds the patterns, which are about everybody.
const PATTERNS: &str = "mosquitto-patterns";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::{acl, passwd};

    const HASH: &str = "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==";

    fn made(names: &[&str], rules: Option<&str>, certificate_users: bool) -> (Value, Findings) {
        let lines: String = names.iter().map(|name| format!("{name}:{HASH}\n")).collect();
        let (passwd, acl) =
            (Source::of("passwd", &lines), Source::of("acl", rules.unwrap_or_default()));
        let files = Files {
            passwd: Some((&passwd, passwd::read(&passwd).unwrap())),
            acl: rules.map(|_| (&acl, acl::read(&acl).unwrap())),
            skipped: &["admin".to_owned()],
            certificate_users,
        };
        let mut findings = Findings::default();
        (document(&files, &mut findings), findings)
    }

    /// `USER|ROLE: EFFECT OPERATION RESOURCE`
    fn spelt(document: &Value) -> Vec<String> {
        let mut spelt = Vec::new();
        for (list, name) in [("roles", "name"), ("users", "username")] {
            for owner in document[list].as_array().unwrap() {
                for rule in owner["permissions"].as_array().unwrap() {
                    let word = |field: &str| rule[field].as_str().unwrap().to_owned();
                    spelt.push(format!(
                        "{}: {} {} {}",
                        owner[name].as_str().unwrap(),
                        word("effect"),
                        word("operation"),
                        word("resource")
                    ));
                }
            }
        }
        spelt
    }

    #[test]
    fn rules_go_to_their_users_and_patterns_to_a_role_of_all() {
        let rules = "\
user alice
topic read plant/#
topic deny plant/safe
pattern write users/%u/%c
pattern read log/%u-app/#
user bob
topic a/b
";
        let (document, findings) = made(&["alice", "bob"], Some(rules), false);
        assert_eq!(
            spelt(&document),
            [
                "mosquitto-patterns: allow write users/${username}/${clientId}",
                "alice: allow read plant/#",
                "alice: deny readWrite plant/safe",
                "alice: allow read log/alice-app/#",
                "bob: allow read log/bob-app/#",
                "bob: allow readWrite a/b",
            ]
        );
        for user in document["users"].as_array().unwrap() {
            assert_eq!(user["roles"], json!(["mosquitto-patterns"]));
            assert_eq!(user["passwordHash"], HASH);
        }
        assert!((1..=7).all(|line| findings.about(line).is_empty()), "{findings:?}");
        assert_eq!(findings.lines().len(), 2, "of subscriptions and of client ids");
    }

    #[test]
    fn what_cannot_be_carried_over_is_listed_with_its_line() {
        let rules = "\
topic read news
user ab
topic read ab
user carl
topic read carl
user alice
topic read plant/#
pattern deny plant/%c/x
pattern read dev-%c
topic write $SYS/x
user admin
topic #
";
        let (document, findings) = made(&["alice", "x", "admin"], Some(rules), false);
        assert_eq!(
            spelt(&document),
            ["mosquitto-patterns: deny readWrite plant/+/x", "alice: allow read plant/#"]
        );
        let check = |line: usize, says: &[&str]| {
            let about = findings.about(line).join("; ");
            assert!(says.iter().all(|says| about.contains(says)), "{line}: {about}");
        };
        check(1, &["without a user name", "anonymous_user"]);
        check(2, &["user `x` is left out", "fewer than"]);
        check(3, &["user `ab` are left out", "fewer than"]);
        check(5, &["user `carl` are left out", "--certificate-users"]);
        check(8, &["avoid by its id", "beats the rule of user `alice` in line 7"]);
        check(9, &["`%c` as a part"]);
        check(10, &["begins with `$`"]);
        assert!(findings.about(12).is_empty(), "it was asked to be left out");
    }

    #[test]
    fn users_without_a_password_are_made_for_certificates_where_that_is_asked_for() {
        let rules = "user carl\ntopic read carl\nuser a+b\ntopic read c\n";
        let (document, findings) = made(&["alice"], Some(rules), true);
        assert_eq!(spelt(&document), ["carl: allow read carl"]);
        assert!(document["users"][1].get("passwordHash").is_none());
        assert!(findings.about(2).is_empty());
        assert!(findings.about(4).join("").contains("left out"));
    }

    #[test]
    fn flaw_24_without_a_rule_file_nobody_may_do_anything() {
        let (document, findings) = made(&["alice"], None, false);
        assert_eq!(spelt(&document), [""; 0]);
        assert!(findings.lines().join("").contains("until rights are given"));
        let (document, _) = made(&["alice"], Some(""), false);
        assert_eq!(spelt(&document), [""; 0], "nor with an empty one");
    }
}
