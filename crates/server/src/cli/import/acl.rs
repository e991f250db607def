//! Mosquitto's rule file, read as mosquitto.conf(5) describes it and Mosquitto 2.0 does: what each line says, and whom it
//! is about.

use topic::{TopicError, TopicFilter};

use super::findings::{Malformed, Source};

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) about: About,
    pub(super) access: Access,
    pub(super) topic: TopicFilter,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Clients without a user name: rules before the first `user`.
    Nameless,
    /// One user.
    User(String),
    /// Everybody, with `%u` and `%c` for user name and client id.
    Everybody,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// Reads it.
pub(super) fn read(source: &Source) -> Result<Vec<Rule>, Malformed> {
    let mut rules = Vec::new();
    let mut topics_are_about = About::Nameless;
    for (line, text) in source.lines() {
        // Only at the very beginning of a line: anywhere else a `#` belongs to a topic.
        if text.starts_with('#') {
            continue;
        }
        let text = text.trim_start_matches(' ');
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim_ascii();
        match word {
            "" => {}
            "user" if rest.is_empty() => {
                return Err(Malformed::new(line, "`user` names no user"));
            }
            "user" => topics_are_about = About::User(rest.to_owned()),
            "topic" => rules.extend(rule(line, topics_are_about.clone(), rest)?),
            "pattern" => rules.extend(rule(line, About::Everybody, rest)?),
            other => {
                let reason = format!(
                    "`{other}` is none of `topic`, `user`, `pattern`, followed by a space: comments begin with `#` in the first column"
                );
                return Err(Malformed::new(line, reason));
            }
        }
    }
    Ok(rules)
}

/// None if it is about no topic at all.
fn rule(line: usize, about: About, rest: &str) -> Result<Option<Rule>, Malformed> {
    let bad = |reason: String| Malformed::new(line, reason);
    let (word, topic) = match rest.split_once(' ') {
        Some((word, topic)) => (Some(word), topic.trim_ascii()),
        None => (None, rest),
    };
    let access = match word {
        None if access(topic).is_some() => {
            return Err(bad(format!(
                "after `{topic}` there is no topic (if that is the topic, write `readwrite {topic}`)"
            )));
        }
        None if topic.is_empty() => return Err(bad("there is no topic".to_owned())),
        None => Access::ReadWrite,
        Some(word) => access(word).ok_or_else(|| {
            bad(format!(
                "`{word}` is none of `read`, `write`, `readwrite`, `deny`: before a topic with a space in it one of them must stand"
            ))
        })?,
    };
    match TopicFilter::parse(topic) {
        Ok(topic) => Ok(Some(Rule { line, about, access, topic })),
        // Mosquitto takes it, and no topic is one.
        Err(TopicError::ShareNotAllowed) => Ok(None),
        Err(error) => {
            Err(bad(format!("topic `{topic}` {error} (a comment stands in a line of its own)")))
        }
    }
}

fn access(word: &str) -> Option<Access> {
    match word {
        "read" => Some(Access::Read),
        "write" => Some(Access::Write),
        "readwrite" => Some(Access::ReadWrite),
        "deny" => Some(Access::Deny),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str, Access, &str)]) {
        let rules = read(&Source::of("acl", text)).unwrap();
        let shown: Vec<_> = rules
            .iter()
            .map(|rule| {
                let about = match &rule.about {
                    About::Nameless => "-",
                    About::User(name) => name,
                    About::Everybody => "*",
                };
                (rule.line, about, rule.access, rule.topic.as_str())
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn each_line_is_read_as_mosquitto_reads_it() {
        use Access::{Deny, Read, ReadWrite, Write};
        let text = "\
# for those without a name
topic read news/#

user alice
topic plant/a
topic read plant/b # x/y
  topic   write   a topic with spaces\t
user bob the builder
topic deny plant/b/#
pattern read users/%u/%c/#
topic readwrite +/#
user alice\r
topic readwrite late/#\r
topic read $share/g/a
";
        check(
            &text.replace(" # x/y", ""),
            &[
                (2, "-", Read, "news/#"),
                (5, "alice", ReadWrite, "plant/a"),
                (6, "alice", Read, "plant/b"),
                (7, "alice", Write, "a topic with spaces"),
                (9, "bob the builder", Deny, "plant/b/#"),
                (10, "*", Read, "users/%u/%c/#"),
                (11, "bob the builder", ReadWrite, "+/#"),
                (13, "alice", ReadWrite, "late/#"),
            ],
        );
        check("", &[]);
    }

    #[test]
    fn a_line_that_cannot_be_read_spoils_the_file_and_is_named() {
        let check = |bad: &str, says: &str| {
            let text = format!("user alice\ntopic a\n{bad}\ntopic b\n");
            let refused = read(&Source::of("acl", &text)).unwrap_err();
            assert_eq!(refused.line, 3, "{bad}");
            assert!(refused.reason.contains(says), "{}", refused.reason);
        };
        check("user", "names no user");
        check("topic", "no topic");
        check("topic read", "readwrite read");
        check("topic subscribe a/b", "`subscribe` is none of");
        check("topic a b", "`a` is none of");
        check("topic read a/#/b", "a/#/b");
        check("topic read plant/b # all of it", "line of its own");
        check("  # indented", "first column");
        check("topic\tread a", "followed by a space");
        check("allow alice", "none of `topic`");
        check("topic read a\0b", "topic");
    }
}
