//! The file of Mosquitto's dynamic security plugin: clients, groups, roles and rules in JSON, with the line each stands in.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use store::PasswordHash;
use topic::{TopicError, TopicFilter};

use super::findings::{Malformed, Source};
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
    if let Some(defaults) = file.fields.remove("defaultACLAccess") {
        dynsec.defaults = file.defaults(&defaults)?;
    }
    for (name, raws) in file.lists(&["clients", "groups", "roles"])? {
        for raw in raws {
            let object = Object::read(source, raw)?;
            match name {
                "clients" => dynsec.clients.push(client(object, &mut unknown)?),
                "groups" => dynsec.groups.push(group(object, &mut unknown)?),
                _ => dynsec.roles.extend(role(object, &mut unknown)?),
            }
        }
    }
    file.rest(&mut unknown);
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
    let roles = object.members("roles", "rolename")?;
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
    object.rest(unknown);
    Ok(client)
}

fn group(mut object: Object<'_>, unknown: &mut Vec<(usize, String)>) -> Result<Group, Malformed> {
    let group = Group {
        line: object.line,
        name: object.name("groupname")?,
        roles: object.members("roles", "rolename")?,
        clients: object.members("clients", "username")?,
    };
    object.rest(unknown);
    Ok(group)
}

fn role(
    mut object: Object<'_>,
    unknown: &mut Vec<(usize, String)>,
) -> Result<Option<Role>, Malformed> {
    let mut role = Role {
        line: object.line,
        name: object.name("rolename")?,
        allows_wildcards: object.truth("allowwildcardsubs")?.unwrap_or(true),
        rules: Vec::new(),
    };
    for (_, raws) in object.lists(&["acls"])? {
        for raw in raws {
            role.rules.extend(rule(Object::read(object.source, raw)?, unknown)?);
        }
    }
    object.rest(unknown);
    Ok(Some(role))
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
    object.rest(unknown);
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

/// A JSON object at a line of the file. What is asked for is taken out, so that the rest is what nobody knows.
struct Object<'t> {
    source: &'t Source,
    raw: &'t RawValue,
    line: usize,
    fields: Map<String, Value>,
}

impl<'t> Object<'t> {
    fn read(source: &'t Source, raw: &'t RawValue) -> Result<Object<'t>, Malformed> {
        let line = source.line_of(raw.get());
        match serde_json::from_str(raw.get()) {
            Ok(fields) => Ok(Object { source, raw, line, fields }),
            Err(_) => Err(Malformed::new(line, "here an object `{…}` must stand")),
        }
    }

    fn bad(&self, reason: impl Into<String>) -> Malformed {
        Malformed::new(self.line, reason)
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, Malformed> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(format!("`{field}` must be a text"))),
        }
    }

    /// A text that must be there.
    fn name(&mut self, field: &str) -> Result<String, Malformed> {
        let text = self.text(field)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.bad(format!("`{field}` is missing or empty")))
    }

    fn number(&mut self, field: &str) -> Result<Option<i64>, Malformed> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(format!("`{field}` must be a whole number"))),
            },
        }
    }

    fn truth(&mut self, field: &str) -> Result<Option<bool>, Malformed> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(is)) => Ok(Some(is)),
            Some(_) => Err(self.bad(format!("`{field}` must be `true` or `false`"))),
        }
    }

    fn defaults(&self, value: &Value) -> Result<Defaults, Malformed> {
        let truth = |field: &str| match value.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(is)) => Ok(*is),
            Some(_) => Err(self.bad(format!("`defaultACLAccess`: `{field}` is not true or false"))),
        };
        Ok(Defaults {
            send: truth("publishClientSend")?,
            receive: truth("publishClientReceive")?,
            subscribe: truth("subscribe")?,
        })
    }

    /// A list of names with priorities.
    fn members(&mut self, field: &str, name: &str) -> Result<Vec<Member>, Malformed> {
        let mut members = Vec::new();
        for (_, raws) in self.lists(&[field])? {
            for raw in raws {
                let mut member = Object::read(self.source, raw)?;
                let name = member.name(name)?;
                // Whoever has none comes behind those of priority 0.
                let priority = member.number("priority")?.unwrap_or(-1);
                members.push(Member { name, priority });
            }
        }
        Ok(members)
    }

    /// The elements of lists, each with its place in the file.
    fn lists<'n>(
        &mut self,
        names: &[&'n str],
    ) -> Result<Vec<(&'n str, Vec<&'t RawValue>)>, Malformed> {
        let mut lists = Vec::new();
        let raws: std::collections::BTreeMap<String, &RawValue> =
            serde_json::from_str(self.raw.get()).map_err(|error| self.bad(error.to_string()))?;
        for name in names {
            self.fields.remove(*name);
            let Some(raw) = raws.get(*name) else { continue };
            let list: Vec<&RawValue> = Deserialize::deserialize(*raw).map_err(|_| {
                Malformed::new(self.source.line_of(raw.get()), format!("`{name}` must be a list"))
            })?;
            lists.push((*name, list));
        }
        Ok(lists)
    }

    fn rest(mut self, unknown: &mut Vec<(usize, String)>) {
        for text in ["textname", "textdescription"] {
            self.fields.remove(text);
        }
        unknown.extend(self.fields.into_iter().map(|(name, _)| (self.line, name)));
    }
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
        assert_eq!(alice.hash.as_ref().map(PasswordHash::expose), Some(hash));
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
        check("\"plant/safe\"", "\"plant/#/safe\"", 18, "plant/#/safe");
        check("{ \"groupname\": \"staff\"", "7, { \"groupname\": \"staff\"", 12, "an object");
    }
}
