//! From a topic of Mosquitto to one of ours. What cannot be said is made narrower: an allow is left out, a deny takes in more.

use serde_json::{Value, json};
use topic::{Level, Pattern, TopicFilter};

/// Whether a rule opens or closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    ReadWrite,
}

/// What `%u` and `%c` in a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Percents {
    /// Text.
    Plain,
    /// User name and client id.
    Placeholders,
    /// Text for some versions, user name and client id for others.
    Unclear,
}

/// A rule in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) effect: Effect,
    pub(super) operation: Operation,
    pub(super) resource: String,
}

/// What has become of a rule.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Translated {
    /// None if it is left out.
    pub(super) permission: Option<Permission>,
    /// What is not as it was.
    pub(super) losses: Vec<String>,
    /// Whether the resource is a template, in which `%u` is yet to be the name of each user.
    pub(super) is_for_each_user: bool,
}

impl Permission {
    pub(super) fn to_json(&self) -> Value {
        let effect = match self.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        };
        let operation = match self.operation {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::ReadWrite => "readWrite",
        };
        json!({"resource": self.resource, "operation": operation, "effect": effect})
    }
}

/// Translates a rule.
pub(super) fn translate(
    effect: Effect,
    operation: Operation,
    topic: &TopicFilter,
    percents: Percents,
) -> Translated {
    let mut losses = Vec::new();
    let operation = match operation {
        Operation::Write | Operation::ReadWrite if topic.is_dollar() && effect == Effect::Allow => {
            losses.push("nobody publishes to a topic that begins with `$` here".to_owned());
            (operation == Operation::ReadWrite).then_some(Operation::Read)
        }
        other => Some(other),
    };
    let Some(operation) = operation else {
        return Translated { losses, ..Translated::default() };
    };
    let mut levels = Vec::new();
    let mut is_for_each_user = false;
    for level in topic.levels() {
        match level_of(level, effect, percents) {
            Spelt::As(text) => levels.push(text),
            Spelt::ForEachUser(text) => {
                is_for_each_user = true;
                levels.push(text);
            }
            Spelt::Never(why) if effect == Effect::Allow => {
                losses.push(format!("left out: {why}"));
                return Translated { losses, ..Translated::default() };
            }
            Spelt::Never(why) => {
                losses.push(format!("denies `+` in the place of `{}`: {why}", level.text()));
                levels.push("+".to_owned());
            }
        }
    }
    let permission = Permission { effect, operation, resource: levels.join("/") };
    Translated { permission: Some(permission), losses, is_for_each_user }
}

/// How a level is spelt here.
enum Spelt {
    As(String),
    ForEachUser(String),
    Never(String),
}

fn level_of(level: Level<'_>, effect: Effect, percents: Percents) -> Spelt {
    let text = level.text();
    if text.contains("${") {
        return Spelt::Never(format!("`{text}` would be a placeholder here"));
    }
    let (has_user, has_client) = (text.contains("%u"), text.contains("%c"));
    if !(has_user || has_client) || percents == Percents::Plain {
        return Spelt::As(text.to_owned());
    }
    if percents == Percents::Unclear {
        return Spelt::Never(format!(
            "Mosquitto 2.0 takes `{text}` as it stands, later versions put user name or client id in"
        ));
    }
    match text {
        "%u" => Spelt::As("${username}".to_owned()),
        // A client could choose an id that the placeholder does not take, and be out of the deny.
        "%c" if effect == Effect::Deny => {
            Spelt::Never("a deny that a client could avoid by its id is none".to_owned())
        }
        "%c" => Spelt::As("${clientId}".to_owned()),
        _ if has_client => {
            Spelt::Never(format!("`%c` as a part of the level `{text}` cannot be said here"))
        }
        _ => Spelt::ForEachUser(text.to_owned()),
    }
}

/// Whether two rules can be about the same topic, with whatever placeholders stand for.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    match (widest(one), widest(other)) {
        (Some(one), Some(other)) => one.overlaps(&other),
        // Whatever cannot be read may be about anything.
        (_, _) => true,
    }
}

/// The filter with `+` for placeholders.
fn widest(resource: &str) -> Option<TopicFilter> {
    let pattern = Pattern::parse(resource).ok()?;
    let level = |level: Level<'_>| match level {
        Level::Username | Level::ClientId => "+".to_owned(),
        Level::Literal(_) | Level::Plus | Level::Hash => level.text().to_owned(),
    };
    let levels: Vec<String> = pattern.levels().map(level).collect();
    TopicFilter::parse(&levels.join("/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Effect::{Allow, Deny};
    use Operation::{Read, ReadWrite, Write};

    fn check(
        (effect, operation, topic): (Effect, Operation, &str),
        percents: Percents,
        expected: Option<(Operation, &str)>,
        says: &str,
    ) {
        let made = translate(effect, operation, &TopicFilter::parse(topic).unwrap(), percents);
        let shown = made.permission.as_ref().map(|it| (it.operation, it.resource.as_str()));
        assert_eq!(shown, expected, "{topic}");
        match says {
            "" => assert_eq!(made.losses, [""; 0], "{topic}"),
            says => assert!(made.losses.iter().any(|it| it.contains(says)), "{:?}", made.losses),
        }
    }

    #[test]
    fn what_can_be_said_is_said_exactly() {
        use Percents::{Placeholders, Plain};
        check((Allow, Read, "a/+/#"), Plain, Some((Read, "a/+/#")), "");
        check((Deny, ReadWrite, "/a//b c"), Plain, Some((ReadWrite, "/a//b c")), "");
        check((Allow, Write, "a/%u/%c"), Plain, Some((Write, "a/%u/%c")), "");
        check(
            (Allow, Write, "a/%u/%c/#"),
            Placeholders,
            Some((Write, "a/${username}/${clientId}/#")),
            "",
        );
        check((Deny, Write, "a/%u"), Placeholders, Some((Write, "a/${username}")), "");
        check((Allow, Read, "$SYS/#"), Plain, Some((Read, "$SYS/#")), "");
    }

    #[test]
    fn what_cannot_be_said_gets_narrower_and_says_so() {
        use Percents::{Placeholders, Plain, Unclear};
        check((Allow, Read, "a/x-%c"), Placeholders, None, "`%c` as a part");
        check((Deny, Read, "a/x-%c/b"), Placeholders, Some((Read, "a/+/b")), "`+` in the place");
        check((Deny, ReadWrite, "a/%c"), Placeholders, Some((ReadWrite, "a/+")), "avoid by its id");
        check((Allow, Read, "a/${username}"), Plain, None, "placeholder");
        check((Allow, Read, "a/${x"), Plain, None, "placeholder");
        check((Deny, Read, "a/${username}"), Plain, Some((Read, "a/+")), "placeholder");
        check((Allow, Read, "a/%u"), Unclear, None, "later versions");
        check((Deny, Read, "a/%u"), Unclear, Some((Read, "a/+")), "later versions");
        check((Allow, Write, "$CONTROL/x"), Plain, None, "begins with `$`");
        check((Allow, ReadWrite, "$SYS/#"), Plain, Some((Read, "$SYS/#")), "begins with `$`");
    }

    #[test]
    fn a_part_of_a_level_is_spelt_out_for_each_user() {
        let topic = TopicFilter::parse("a/x-%u/#").unwrap();
        let made = translate(Allow, Read, &topic, Percents::Placeholders);
        assert!(made.is_for_each_user);
        assert_eq!(made.permission.unwrap().resource, "a/x-%u/#");
    }

    #[test]
    fn rules_overlap_whatever_placeholders_stand_for() {
        assert!(overlap("a/${username}/#", "a/b"));
        assert!(overlap("a/+", "a/${clientId}"));
        assert!(!overlap("a/${username}", "b/${username}"));
        assert!(!overlap("a/b", "a/c/#"));
    }
}
