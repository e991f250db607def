//! From the file of the dynamic security plugin to a policy document.
//!
//! There the first rule that matches decides, by priority; here a deny beats every allow. So whatever is allowed here is
//! allowed there: each rule that matches is an allow, the first one too. There a message is delivered if the subscription
//! was allowed and the delivery is as well; here both are one right to read, which is given where both were.

use std::collections::{HashMap, HashSet};

use access::{RoleName, UserName};
use serde_json::{Value, json};
use topic::TopicFilter;

use super::dynsec::{Client, Dynsec, Group, Kind, Member, Role, Rule};
use super::findings::{Findings, Source};
use super::resource::{Effect, Operation, Percents, Permission, translate};

/// The policy document.
pub(super) fn document(
    source: &Source,
    file: &Dynsec,
    skipped: &[String],
    findings: &mut Findings,
) -> Value {
    let mut import = Import {
        source,
        file,
        findings,
        names: HashMap::new(),
        roles: file.roles.iter().map(|role| (role.name.as_str(), role)).collect(),
        groups: HashMap::new(),
    };
    for group in &file.groups {
        for member in &group.clients {
            import.groups.entry(&member.name).or_default().push((group, member));
        }
    }
    import.name_roles();
    let mut roles: Vec<Value> = Vec::new();
    for role in &file.roles {
        let permissions = import.permissions(role);
        let name = import.names.get(role.name.as_str());
        roles.push(json!({ "name": name, "permissions": spelt(&permissions) }));
    }
    let of_all = import.of_all();
    if !of_all.is_empty() {
        roles.push(json!({ "name": DEFAULTS, "permissions": spelt(&of_all) }));
    }
    let is_skipped = |client: &&Client| !skipped.contains(&client.name);
    let clients = file.clients.iter().filter(is_skipped);
    let users: Vec<Value> =
        clients.filter_map(|client| import.user(client, !of_all.is_empty())).collect();
    import.say_of_order();
    import.say_of_the_rest();
    json!({ "users": users, "roles": roles })
}

struct Import<'i> {
    source: &'i Source,
    file: &'i Dynsec,
    findings: &'i mut Findings,
    /// What each role is called here.
    names: HashMap<&'i str, String>,
    /// Roles by name.
    roles: HashMap<&'i str, &'i Role>,
    /// The groups of each client, with its place in them.
    groups: HashMap<&'i str, Vec<(&'i Group, &'i Member)>>,
}

impl<'i> Import<'i> {
    fn lose(&mut self, line: usize, what: impl Into<String>) {
        self.findings.at(self.source, line, what);
    }

    /// A role may be called what it likes there; here as a user may.
    fn name_roles(&mut self) {
        let file: &'i Dynsec = self.file;
        let mut taken: HashSet<String> = BUILT_IN.iter().map(|name| (*name).to_owned()).collect();
        for role in &file.roles {
            let mut name = role.name.clone();
            if RoleName::parse(&name).is_err() {
                let plain = |letter: char| {
                    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '@')
                };
                let letters = name.chars().map(|it| if plain(it) { it } else { '_' });
                name = format!("role_{}", letters.take(200).collect::<String>());
            }
            let mut number = 1;
            while !taken.insert(name.clone()) {
                number += 1;
                name = format!("mosquitto_{}_{number}", name.trim_start_matches("mosquitto_"));
            }
            if name != role.name {
                self.lose(role.line, format!("role `{}` is called `{name}` here", role.name));
            }
            self.names.insert(&role.name, name);
        }
    }

    /// What a role gives by itself.
    fn permissions(&mut self, role: &'i Role) -> Vec<Permission> {
        let mut permissions = Vec::new();
        for rule in &role.rules {
            let (effect, operation) = match (rule.kind, rule.is_allow) {
                (Kind::Send, true) => (Effect::Allow, Operation::Write),
                (Kind::Send, false) => (Effect::Deny, Operation::Write),
                (Kind::SubscribeLiteral | Kind::SubscribePattern | Kind::Receive, false) => {
                    self.say_of_deny(rule);
                    (Effect::Deny, Operation::Read)
                }
                (Kind::SubscribeLiteral | Kind::SubscribePattern, true) => {
                    for topic in self.readable(role, rule) {
                        self.push(rule, (Effect::Allow, Operation::Read), &topic, &mut permissions);
                    }
                    continue;
                }
                // It counts with the subscriptions.
                (Kind::Receive, true) | (Kind::Unsubscribe, true) => continue,
                (Kind::Unsubscribe, false) => {
                    self.lose(rule.line, "left out: everybody may unsubscribe here");
                    continue;
                }
            };
            self.push(rule, (effect, operation), &rule.topic, &mut permissions);
        }
        permissions
    }

    fn push(
        &mut self,
        rule: &Rule,
        (effect, operation): (Effect, Operation),
        topic: &TopicFilter,
        permissions: &mut Vec<Permission>,
    ) {
        let made = translate(effect, operation, topic, Percents::Unclear);
        for what in made.losses {
            self.lose(rule.line, what);
        }
        permissions.extend(made.permission.filter(|made| !permissions.contains(made)));
    }

    /// What an allowed subscription lets its user read: all of it, or what may be received besides.
    fn readable(&mut self, role: &Role, rule: &Rule) -> Vec<TopicFilter> {
        if !role.allows_wildcards && rule.topic.has_wildcard() {
            let what = "left out: its role forbids subscriptions with wildcards (`allowwildcardsubs`), which cannot be said here";
            self.lose(rule.line, what);
            return Vec::new();
        }
        if self.file.defaults.receive {
            return vec![rule.topic.clone()];
        }
        let readable = intersections(rule, received(role));
        if readable.is_empty() && rule.kind == Kind::SubscribePattern {
            let what = "gives nothing by itself: its role lets its users receive nothing of it";
            self.lose(rule.line, what);
        }
        readable
    }

    fn say_of_deny(&mut self, rule: &Rule) {
        match rule.kind {
            Kind::SubscribePattern => self.lose(
                rule.line,
                "this deny also takes the messages out of wider subscriptions, where Mosquitto only refuses the SUBSCRIBE",
            ),
            Kind::SubscribeLiteral if rule.topic.has_wildcard() => self.lose(
                rule.line,
                format!(
                    "this deny is about all of `{}` here, where Mosquitto refuses only a SUBSCRIBE to exactly that: take the \
                     rule out of the file if it keeps too much back",
                    rule.topic
                ),
            ),
            Kind::SubscribeLiteral => self.lose(
                rule.line,
                "this deny also takes the message out of wider subscriptions, where Mosquitto only refuses the SUBSCRIBE",
            ),
            Kind::Send | Kind::Receive | Kind::Unsubscribe => {}
        }
    }

    /// What everybody may, since no rule says otherwise.
    fn of_all(&self) -> Vec<Permission> {
        let all =
            |operation| Permission { effect: Effect::Allow, operation, resource: "#".to_owned() };
        let defaults = self.file.defaults;
        let send = defaults.send.then(|| all(Operation::Write));
        let read = (defaults.subscribe && defaults.receive).then(|| all(Operation::Read));
        send.into_iter().chain(read).collect()
    }

    fn user(&mut self, client: &'i Client, has_defaults: bool) -> Option<Value> {
        if let Err(error) = UserName::parse(&client.name) {
            let what = format!("client `{}` is left out: its name {error}", client.name);
            self.lose(client.line, what);
            return None;
        }
        let mut enabled = !client.is_disabled;
        if let Some(id) = &client.client_id {
            enabled = false;
            self.lose(
                client.line,
                format!(
                    "client `{0}` may connect with the client id `{id}` only, which cannot be said here: it is disabled; \
                     `user enable {0}` lets it in with any",
                    client.name
                ),
            );
        }
        if client.hash.is_none() {
            let what = format!(
                "client `{0}` has no password: `user passwd {0} --password-stdin` gives it one",
                client.name
            );
            self.lose(client.line, what);
        }
        let roles = self.roles_in_order(client);
        let mut names: Vec<_> =
            roles.iter().filter_map(|role| self.names.get(role.name.as_str()).cloned()).collect();
        names.extend(has_defaults.then(|| DEFAULTS.to_owned()));
        let mut user = json!({
            "username": client.name,
            "grantTypes": [{ "method": "password" }],
            "roles": names,
            "permissions": spelt(&self.across_roles(&roles)),
            "enabled": enabled,
        });
        if let (Some(hash), Some(fields)) = (&client.hash, user.as_object_mut()) {
            fields.insert("passwordHash".to_owned(), Value::from(hash.expose().as_str()));
        }
        Some(user)
    }

    /// A client's roles in the order in which they are asked: its own, then those of its groups.
    fn roles_in_order(&self, client: &Client) -> Vec<&'i Role> {
        let mut groups = self.groups.get(client.name.as_str()).cloned().unwrap_or_default();
        groups.sort_by(|(one, place), (other, others)| {
            let by_priority = others.priority.cmp(&place.priority);
            by_priority.then_with(|| one.name.cmp(&other.name))
        });
        let lists = std::iter::once(client.roles.as_slice())
            .chain(groups.into_iter().map(|(group, _)| group.roles.as_slice()));
        let mut found: Vec<&Role> = Vec::new();
        for list in lists {
            let mut list: Vec<&Member> = list.iter().collect();
            list.sort_by(|one, other| in_order(one, other));
            for member in list {
                let role = self.roles.get(member.name.as_str()).copied();
                found.extend(role.filter(|role| !found.iter().any(|it| it.name == role.name)));
            }
        }
        found
    }

    /// What one role lets a user subscribe to and another lets it receive.
    fn across_roles(&mut self, roles: &[&'i Role]) -> Vec<Permission> {
        let mut permissions = Vec::new();
        let defaults = self.file.defaults;
        if defaults.receive {
            return permissions;
        }
        for role in roles {
            let subscribed = role.rules.iter().filter(|rule| rule.is_allow && is_subscribe(rule));
            for rule in subscribed.filter(|it| role.allows_wildcards || !it.topic.has_wildcard()) {
                for other in roles.iter().filter(|other| other.name != role.name) {
                    for topic in intersections(rule, received(other)) {
                        let allow = (Effect::Allow, Operation::Read);
                        self.push(rule, allow, &topic, &mut permissions);
                    }
                }
            }
            if defaults.subscribe {
                for rule in role.rules.iter().filter(|it| it.is_allow && it.kind == Kind::Receive) {
                    let allow = (Effect::Allow, Operation::Read);
                    self.push(rule, allow, &rule.topic, &mut permissions);
                }
            }
        }
        permissions
    }

    /// Allows that come before a deny there, and are beaten by it here.
    fn say_of_order(&mut self) {
        let mut judged: HashSet<Vec<&str>> = HashSet::new();
        for client in &self.file.clients {
            let roles = self.roles_in_order(client);
            if !judged.insert(roles.iter().map(|role| role.name.as_str()).collect()) {
                continue;
            }
            let rules: Vec<(&Role, &Rule)> = roles
                .iter()
                .flat_map(|role| in_order_of_role(role).into_iter().map(move |rule| (*role, rule)))
                .collect();
            for (at, (_, deny)) in rules.iter().enumerate().filter(|(_, (_, it))| !it.is_allow) {
                let before = rules.iter().take(at).find(|(_, allow)| {
                    allow.is_allow
                        && class(allow) == class(deny)
                        && allow.topic.overlaps(&deny.topic)
                });
                if let Some((role, allow)) = before {
                    let what = format!(
                        "this deny beats the allow of role `{}` in line {}, which comes first in Mosquitto",
                        role.name, allow.line
                    );
                    self.lose(deny.line, what);
                }
            }
        }
    }

    fn say_of_the_rest(&mut self) {
        let file: &'i Dynsec = self.file;
        for (line, name) in &file.unknown {
            self.lose(*line, format!("`{name}` is not known here, and left out"));
        }
        if let Some(group) = &file.anonymous_group {
            let line = file.groups.iter().find(|it| it.name == *group).map_or(1, |it| it.line);
            let what = format!(
                "clients without a user name have the rights of group `{group}` in Mosquitto; here they are refused: name a \
                 user for them in `anonymous_user`, and give that the right"
            );
            self.lose(line, what);
        }
        let clients: HashSet<&str> = file.clients.iter().map(|it| it.name.as_str()).collect();
        for group in &file.groups {
            let is_gone = |member: &&Member| !clients.contains(member.name.as_str());
            for member in group.clients.iter().filter(is_gone) {
                let what = format!(
                    "group `{}` names client `{}`, which is not there",
                    group.name, member.name
                );
                self.lose(group.line, what);
            }
        }
        let lists = file.clients.iter().map(|it| (it.line, &it.roles));
        let lists = lists.chain(file.groups.iter().map(|it| (it.line, &it.roles)));
        for (line, members) in lists {
            for member in members {
                if self.roles.contains_key(member.name.as_str()) {
                    continue;
                }
                self.lose(line, format!("role `{}` is not there", member.name));
            }
        }
        if !file.groups.is_empty() {
            let what = "there are no groups here: their roles are given to each of their members";
            self.findings.in_general(what);
        }
        if file.defaults.subscribe != file.defaults.receive && file.defaults.subscribe {
            let what = "by default everybody may subscribe to everything and receive nothing in Mosquitto; here only what may \
                        be received may be subscribed to";
            self.findings.in_general(what);
        }
        self.findings.in_general(super::run::SUBSCRIPTIONS);
    }
}

/// The order of roles: by priority, then by name.
fn in_order(one: &Member, other: &Member) -> std::cmp::Ordering {
    other.priority.cmp(&one.priority).then_with(|| one.name.cmp(&other.name))
}

/// The order in which a role's rules are asked: literal ones before patterns, then by priority, then as they stand.
fn in_order_of_role(role: &Role) -> Vec<&Rule> {
    let mut rules: Vec<&Rule> = role.rules.iter().collect();
    rules.sort_by_key(|rule| {
        (rule.kind != Kind::SubscribeLiteral, std::cmp::Reverse(rule.priority))
    });
    rules
}

/// Rules of different classes do not meet.
fn class(rule: &Rule) -> u8 {
    match rule.kind {
        Kind::Send => 0,
        // One right here.
        Kind::Receive | Kind::SubscribeLiteral | Kind::SubscribePattern => 1,
        Kind::Unsubscribe => 2,
    }
}

fn is_subscribe(rule: &Rule) -> bool {
    matches!(rule.kind, Kind::SubscribeLiteral | Kind::SubscribePattern)
}

/// What a role lets its users receive.
fn received(role: &Role) -> impl Iterator<Item = &TopicFilter> {
    let rules = role.rules.iter().filter(|rule| rule.is_allow && rule.kind == Kind::Receive);
    rules.map(|rule| &rule.topic)
}

fn intersections<'t>(
    rule: &Rule,
    others: impl Iterator<Item = &'t TopicFilter>,
) -> Vec<TopicFilter> {
    others.filter_map(|other| rule.topic.intersection(other)).collect()
}

fn spelt(permissions: &[Permission]) -> Value {
    permissions.iter().map(Permission::to_json).collect()
}

/// The role for what `defaultACLAccess` allows.
const DEFAULTS: &str = "mosquitto-defaults";
/// Roles that are there already, and stay as they are.
const BUILT_IN: [&str; 3] = ["connectware-admin", "minimum-access", DEFAULTS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::dynsec;

    const HASH: &str =
        r#""encoded_password": "$7$101$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG""#;

    /// What becomes of a file, and what is said of it.
    fn made(defaults: &str, clients: &str, groups: &str, roles: &str) -> (Value, Findings) {
        let text = format!(
            "{{\"defaultACLAccess\": {{{defaults}}},\n\"clients\": [{clients}],\n\"groups\": [{groups}],\n\
             \"roles\": [\n{roles}]}}"
        );
        let source = Source::of("dynsec.json", text);
        let read = dynsec::read(&source).unwrap();
        let mut findings = Findings::default();
        (document(&source, &read, &[], &mut findings), findings)
    }

    fn rules(owner: &Value) -> Vec<String> {
        let rules = owner["permissions"].as_array().unwrap().iter();
        let word = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
        rules
            .map(|it| {
                format!("{} {} {}", word(it, "effect"), word(it, "operation"), word(it, "resource"))
            })
            .collect()
    }

    /// A role `one` with these rules, a line each from line 6 on.
    fn role(rules: &[&str]) -> String {
        let rules: Vec<_> = rules.iter().map(|rule| format!("{{{rule}}}")).collect();
        format!("{{\"rolename\": \"one\", \"acls\": [\n{}]}}", rules.join(",\n"))
    }

    fn acl(kind: &str, topic: &str, priority: i64, allow: bool) -> String {
        format!(
            r#""acltype": "{kind}", "topic": "{topic}", "priority": {priority}, "allow": {allow}"#
        )
    }

    const RECEIVE: &str = r#""publishClientReceive": true"#;

    #[test]
    fn roles_and_the_roles_of_groups_go_to_the_clients() {
        let one = role(&[
            &acl("publishClientSend", "plant/#", 0, true),
            &acl("publishClientSend", "plant/safe", 5, false),
            &acl("subscribePattern", "plant/+", 0, true),
            &acl("unsubscribePattern", "#", 0, true),
        ]);
        let roles = format!("{one}, {{\"rolename\": \"r w\"}}");
        let clients = format!(
            r#"{{"username": "alice", {HASH}, "roles": [{{"rolename": "one"}}]}}, {{"username": "bob", {HASH}, "disabled": true}}"#
        );
        let groups = r#"{"groupname": "g", "clients": [{"username": "bob"}], "roles": [{"rolename": "r w", "priority": -5}, {"rolename": "one"}]}"#;
        let (document, findings) = made(RECEIVE, &clients, groups, &roles);
        assert_eq!(
            rules(&document["roles"][0]),
            ["allow write plant/#", "deny write plant/safe", "allow read plant/+"]
        );
        assert_eq!(document["users"][0]["roles"], json!(["one"]));
        assert_eq!(document["users"][1]["roles"], json!(["one", "role_r_w"]));
        assert_eq!(document["users"][1]["enabled"], json!(false));
        assert!((6..=8).all(|line| findings.about(line).is_empty()), "{findings:?}");
        assert_eq!(findings.about(9), ["role `r w` is called `role_r_w` here"]);
    }

    #[test]
    fn what_a_client_may_read_is_what_it_may_subscribe_to_and_receive() {
        let receive = acl("publishClientReceive", "plant/+/a", 0, true);
        let subscribe = acl("subscribePattern", "plant/b/#", 0, true);
        let clients = format!(
            r#"{{"username": "alice", {HASH}, "roles": [{{"rolename": "one"}}, {{"rolename": "two"}}]}}"#
        );
        let two = format!("{{\"rolename\": \"two\", \"acls\": [{{{receive}}}]}}");
        let (document, _) = made("", &clients, "", &role(&[&receive, &subscribe]));
        assert_eq!(rules(&document["roles"][0]), ["allow read plant/b/a"]);
        let across = format!("{}, {two}", role(&[&subscribe]));
        let (document, findings) = made("", &clients, "", &across);
        assert_eq!(rules(&document["roles"][0]), [""; 0]);
        assert_eq!(rules(&document["users"][0]), ["allow read plant/b/a"]);
        assert!(findings.about(6).join("").contains("gives nothing by itself"));
        let all = r#""publishClientSend": true, "publishClientReceive": true, "subscribe": true"#;
        let (document, _) = made(all, &clients, "", "");
        assert_eq!(rules(&document["roles"][0]), ["allow write #", "allow read #"]);
        assert_eq!(document["users"][0]["roles"], json!(["mosquitto-defaults"]));
    }

    #[test]
    fn what_cannot_be_carried_over_is_narrower_and_listed_with_its_line() {
        let check = |kind: &str, topic: &str, allow: bool, expected: &[&str], says: &str| {
            let rule = acl(kind, topic, 0, allow);
            let (document, findings) = made(RECEIVE, "", "", &role(&[&rule]));
            assert_eq!(rules(&document["roles"][0]), expected, "{rule}");
            let said = findings.about(6).join("; ");
            assert!(said.contains(says), "{rule}: {said}");
        };
        check("subscribeLiteral", "#", false, &["deny read #"], "exactly that");
        check("subscribeLiteral", "a/b", false, &["deny read a/b"], "wider subscriptions");
        check("subscribePattern", "a/#", false, &["deny read a/#"], "wider subscriptions");
        check("unsubscribePattern", "a/#", false, &[], "everybody may unsubscribe");
        check("publishClientSend", "$CONTROL/x", true, &[], "begins with `$`");
        check("publishClientSend", "a/%u", true, &[], "later versions");
        check("publishClientSend", "a/%c", false, &["deny write a/+"], "later versions");
        let (document, findings) = made(
            RECEIVE,
            &format!(
                r#"{{"username": "alice", {HASH}, "clientid": "c9"}}, {{"username": "a+b", {HASH}}}, {{"username": "carl", "roles": [{{"rolename": "gone"}}]}}"#
            ),
            r#"{"groupname": "guests", "clients": [{"username": "dora"}]}], "anonymousGroup": "guests", "x": ["#,
            "",
        );
        assert_eq!(document["users"].as_array().unwrap().len(), 2);
        assert_eq!(document["users"][0]["enabled"], json!(false));
        let said = findings.lines().join("; ");
        for says in [
            "client id `c9`",
            "`a+b` is left out",
            "`carl` has no password",
            "role `gone`",
            "`dora`, which is not there",
            "`anonymous_user`",
            "`x` is not known",
        ] {
            assert!(said.contains(says), "{says}: {said}");
        }
        let literal = format!(
            "{{\"rolename\": \"one\", \"allowwildcardsubs\": false, \"acls\": [{{{}}},{{{}}}]}}",
            acl("subscribePattern", "a/#", 0, true),
            acl("subscribePattern", "a/b", 0, true),
        );
        let (document, findings) = made(RECEIVE, "", "", &literal);
        assert_eq!(rules(&document["roles"][0]), ["allow read a/b"]);
        assert!(findings.about(5).join("").contains("allowwildcardsubs"));
    }

    #[test]
    fn an_allow_that_comes_before_a_deny_is_beaten_here_and_that_is_said() {
        let clients =
            format!(r#"{{"username": "alice", {HASH}, "roles": [{{"rolename": "one"}}]}}"#);
        let check = |first: i64, second: i64, kind: &str, is_said: bool| {
            let rules = [
                acl("publishClientSend", "plant/+", first, true),
                acl(kind, "plant/safe/#", second, false),
            ];
            let (_, findings) = made(RECEIVE, &clients, "", &role(&[&rules[0], &rules[1]]));
            let said =
                findings.about(7).join("; ").contains("role `one` in line 6, which comes first");
            assert_eq!(said, is_said, "{first} {second} {kind}");
        };
        check(1, 0, "publishClientSend", true);
        check(0, 0, "publishClientSend", true);
        check(0, 1, "publishClientSend", false);
        check(1, 0, "publishClientReceive", false);
    }

    #[test]
    fn a_role_keeps_off_the_names_of_others() {
        let roles =
            r#"{"rolename": "connectware-admin"}, {"rolename": "a b"}, {"rolename": "role_a_b"}"#;
        let (document, findings) = made("", "", "", roles);
        let names: Vec<_> =
            document["roles"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["mosquitto_connectware-admin_2", "role_a_b", "mosquitto_role_a_b_2"]);
        assert_eq!(findings.about(5).len(), 3);
    }
}
