//! The file of Mosquitto's dynamic security plugin: clients, groups, roles and rules in JSON, with the line each stands in.

use std::collections::HashSet;

use serde_json::value::RawValue;
use store::PasswordHash;
use topic::{TopicError, TopicFilter};

use super::findings::{Malformed, Source};
use super::object::Object;
use super::passwd::check_hash;

/// What is in the file.
#[derive(Debug, Default)]
pub(super) struct Dynsec {
    pub(super) defaults: Defaults,
    pub(super) clients: Vec<Client>,
    pub(super) groups: Vec<Group>,
    pub(super) roles: Vec<Role>,
    pub(super) anonymous_group: Option<String>,
    /// What nobody here knows: the line, and the name of the field.
    pub(super) unknown: Vec<(usize, String)>,
}

/// What is decided where no rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) send: bool,
    pub(super) receive: bool,
    pub(super) subscribe: bool,
}

/// A user.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) hash: Option<PasswordHash>,
    pub(super) client_id: Option<String>,
    pub(super) is_disabled: bool,
    pub(super) roles: Vec<Member>,
}

/// A group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) roles: Vec<Member>,
    pub(super) clients: Vec<Member>,
}

/// Something named, with its priority: higher ones come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) priority: i64,
}

/// A role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) allows_wildcards: bool,
    pub(super) rules: Vec<Rule>,
}

/// A rule of a role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) kind: Kind,
    pub(super) topic: TopicFilter,
    pub(super) priority: i64,
    pub(super) is_allow: bool,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Send,
    Receive,
    SubscribeLiteral,
    SubscribePattern,
    Unsubscribe,
}

/// Reads it.
pub(super) fn read(source: &Source) -> Result<Dynsec, Malformed> {
    let whole: &RawValue = serde_json::from_str(&source.text).map_err(|error| {
        Malformed::new(error.line().max(1), format!("this is not JSON: {error}"))
    })?;
    let mut unknown = Vec::new();
    let mut file = Object::read(source, whole)?;
    let mut dynsec = Dynsec { anonymous_group: file.text("anonymousGroup")?, ..Dynsec::default() };
    if let Some(object) = file.object("defaultACLAccess")? {
        dynsec.defaults = defaults(object)?;
    }
    for object in file.objects("clients")? {
        dynsec.clients.push(client(object, &mut unknown)?);
    }
    for object in file.objects("groups")? {
        dynsec.groups.push(group(object, &mut unknown)?);
    }
    for object in file.objects("roles")? {
        dynsec.roles.push(role(object, &mut unknown)?);
    }
    unknown.extend(file.rest());
    unique(dynsec.clients.iter().map(|it| (it.line, it.name.as_str())), "client")?;
    unique(dynsec.groups.iter().map(|it| (it.line, it.name.as_str())), "group")?;
    unique(dynsec.roles.iter().map(|it| (it.line, it.name.as_str())), "role")?;
    Ok(Dynsec { unknown, ..dynsec })
}

fn unique<'n>(all: impl Iterator<Item = (usize, &'n str)>, kind: &str) -> Result<(), Malformed> {
    let mut names = HashSet::new();
    for (line, name) in all {
        if !names.insert(name) {
            return Err(Malformed::new(
                line,
                format!("{kind} `{name}` is there twice: take one out"),
            ));
        }
    }
    Ok(())
}

fn client(mut object: Object<'_>, unknown: &mut Vec<(usize, String)>) -> Result<Client, Malformed> {
    let name = object.name("username")?;
    let roles = members(&mut object, "roles", "rolename")?;
    let encoded = object.text("encoded_password")?;
    let (password, salt) = (object.text("password")?, object.text("salt")?);
    let iterations = object.number("iterations")?;
    let hash = match (encoded, password, salt) {
        (Some(encoded), _, _) => Some(encoded),
        (None, Some(password), Some(salt)) => {
            Some(format!("$7${}${salt}${password}", iterations.unwrap_or_default()))
        }
        (None, None, _) => None,
        (None, Some(_), None) => {
            return Err(object.bad(format!("the password of client `{name}` has no `salt`")));
        }
    };
    if let Some(hash) = &hash {
        check_hash(hash, &name).map_err(|reason| object.bad(reason))?;
    }
    let client = Client {
        line: object.line,
        name,
        hash: hash.map(PasswordHash::new),
        client_id: object.text("clientid")?.filter(|id| !id.is_empty()),
        is_disabled: object.truth("disabled")?.unwrap_or_default(),
        roles,
    };
    note_rest(object, unknown)?;
    Ok(client)
}

fn group(mut object: Object<'_>, unknown: &mut Vec<(usize, String)>) -> Result<Group, Malformed> {
    let group = Group {
        line: object.line,
        name: object.name("groupname")?,
        roles: members(&mut object, "roles", "rolename")?,
        clients: members(&mut object, "clients", "username")?,
    };
    note_rest(object, unknown)?;
    Ok(group)
}

fn role(mut object: Object<'_>, unknown: &mut Vec<(usize, String)>) -> Result<Role, Malformed> {
    let mut role = Role {
        line: object.line,
        name: object.name("rolename")?,
        allows_wildcards: object.truth("allowwildcardsubs")?.unwrap_or(true),
        rules: Vec::new(),
    };
    for acl in object.objects("acls")? {
        role.rules.extend(rule(acl, unknown)?);
    }
    note_rest(object, unknown)?;
    Ok(role)
}

/// None if it is about no topic at all.
fn rule(
    mut object: Object<'_>,
    unknown: &mut Vec<(usize, String)>,
) -> Result<Option<Rule>, Malformed> {
    let kind = object.name("acltype")?;
    let kind = match kind.to_ascii_lowercase().as_str() {
        "publishclientsend" => Kind::Send,
        "publishclientreceive" => Kind::Receive,
        "subscribeliteral" => Kind::SubscribeLiteral,
        "subscribepattern" => Kind::SubscribePattern,
        "unsubscribeliteral" | "unsubscribepattern" => Kind::Unsubscribe,
        _ => return Err(object.bad(format!("`acltype` is `{kind}`, which is not known"))),
    };
    let topic = object.name("topic")?;
    let line = object.line;
    let (priority, is_allow) = (object.number("priority")?, object.truth("allow")?);
    note_rest(object, unknown)?;
    match TopicFilter::parse(&topic) {
        Ok(topic) => Ok(Some(Rule {
            line,
            kind,
            topic,
            priority: priority.unwrap_or_default(),
            is_allow: is_allow.unwrap_or_default(),
        })),
        // The plugin takes it, and no topic is one.
        Err(TopicError::ShareNotAllowed) => Ok(None),
        Err(error) => Err(Malformed::new(line, format!("`topic` `{topic}` {error}"))),
    }
}

/// The members of a list, with their priorities.
fn members(object: &mut Object<'_>, list: &str, name: &str) -> Result<Vec<Member>, Malformed> {
    let mut members = Vec::new();
    for mut member in object.objects(list)? {
        let name = member.name(name)?;
        // Whoever has none comes behind those of priority 0.
        let priority = member.number("priority")?.unwrap_or(-1);
        members.push(Member { name, priority });
    }
    Ok(members)
}

fn defaults(mut object: Object<'_>) -> Result<Defaults, Malformed> {
    Ok(Defaults {
        send: object.truth("publishClientSend")?.unwrap_or_default(),
        receive: object.truth("publishClientReceive")?.unwrap_or_default(),
        subscribe: object.truth("subscribe")?.unwrap_or_default(),
    })
}

/// Remembers what nobody has asked for.
fn note_rest(mut object: Object<'_>, unknown: &mut Vec<(usize, String)>) -> Result<(), Malformed> {
    for text in ["textname", "textdescription"] {
        object.text(text)?;
    }
    unknown.extend(object.rest());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
  "defaultACLAccess": { "publishClientReceive": true, "unsubscribe": true },
  "clients": [
    { "username": "alice", "textname": "A", "password": "RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
      "salt": "c29tZXNhbHQ=", "iterations": 101, "roles": [{ "rolename": "reader" }] },
    {
      "username": "bob", "disabled": true, "clientid": "b1",
      "encoded_password": "$7$1000$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
      "shoe": 44
    }
  ],
  "groups": [{ "groupname": "staff", "clients": [{ "username": "bob", "priority": 3 }] }],
  "roles": [
    { "rolename": "reader",
      "acls": [
        { "acltype": "subscribePattern", "topic": "plant/#", "priority": 5, "allow": true },

        { "acltype": "publishClientSend", "topic": "plant/safe", "allow": false }
      ] }
  ],
  "anonymousGroup": "guests"
}
"#;

    #[test]
    fn everything_is_read_with_its_line() {
        let read = read(&Source::of("dynsec.json", FILE)).unwrap();
        assert_eq!(read.defaults, Defaults { receive: true, ..Defaults::default() });
        let [alice, bob] = &read.clients[..] else { panic!("{:?}", read.clients) };
        assert_eq!((alice.line, bob.line), (4, 6));
        let hash = "$7$101$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
        assert!(alice.hash.as_ref().is_some_and(|it| it.expose().as_str() == hash));
        assert_eq!(alice.roles, [Member { name: "reader".to_owned(), priority: -1 }]);
        assert!(bob.is_disabled && bob.hash.is_some());
        assert_eq!(bob.client_id.as_deref(), Some("b1"));
        assert_eq!(read.groups[0].clients, [Member { name: "bob".to_owned(), priority: 3 }]);
        let rules: Vec<_> = read.roles[0]
            .rules
            .iter()
            .map(|it| (it.line, it.kind, it.topic.as_str(), it.priority, it.is_allow))
            .collect();
        assert_eq!(
            rules,
            [
                (16, Kind::SubscribePattern, "plant/#", 5, true),
                (18, Kind::Send, "plant/safe", 0, false)
            ]
        );
        assert_eq!(read.anonymous_group.as_deref(), Some("guests"));
        assert_eq!(read.unknown, [(6, "shoe".to_owned())]);
    }

    #[test]
    fn names_of_fields_are_the_same_in_any_case() {
        let file = FILE.replace("\"disabled\"", "\"Disabled\"").replace("\"allow\"", "\"ALLOW\"");
        let read = read(&Source::of("dynsec.json", file)).unwrap();
        assert!(read.clients[1].is_disabled);
        let allows: Vec<_> = read.roles[0].rules.iter().map(|rule| rule.is_allow).collect();
        assert_eq!(allows, [true, false]);
    }

    #[test]
    fn a_file_that_cannot_be_read_names_the_line() {
        let check = |from: &str, to: &str, line: usize, says: &str| {
            assert!(FILE.contains(from), "{from}");
            let refused = read(&Source::of("dynsec.json", FILE.replacen(from, to, 1))).unwrap_err();
            assert_eq!(refused.line, line, "{}", refused.reason);
            assert!(refused.reason.contains(says), "{}", refused.reason);
        };
        check("\"anonymousGroup\"", "anonymousGroup", 21, "not JSON");
        check("\"clients\": [\n", "\"clients\": 7, \"x\": [\n", 3, "must be a list");
        check(
            "\"username\": \"bob\", \"dis",
            "\"name\": \"bob\", \"dis",
            6,
            "`username` is missing",
        );
        check("\"bob\", \"dis", "\"alice\", \"dis", 6, "twice");
        check("\"salt\": \"c29tZXNhbHQ=\", ", "", 4, "no `salt`");
        check("\"iterations\": 101", "\"iterations\": \"x\"", 4, "whole number");
        check("\"iterations\": 101", "\"iterations\": 99999999", 4, "99999999 iterations");
        check("\"disabled\": true", "\"disabled\": 1", 6, "`true` or `false`");
        check("subscribePattern", "subscribe", 16, "not known");
        check("\"allow\": false", "\"allow\": false, \"allow\": true", 18, "twice");
        check("\"disabled\": true", "\"disabled\": true, \"Disabled\": false", 6, "twice");
        check("\"plant/safe\"", "\"plant/#/safe\"", 18, "plant/#/safe");
        check("{ \"groupname\": \"staff\"", "7, { \"groupname\": \"staff\"", 12, "an object");
    }
}
