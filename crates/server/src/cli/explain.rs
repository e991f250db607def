//! `explain`: the decision of the broker, and the rules that made it.

use clap::{Args, ValueEnum};
use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, Verdict, printable};
use super::failure::Failure;
use super::http::percent_encode;
use super::session::{Session, USERS};
use super::show::{items, text};

/// What `explain` takes.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// Name of the user
    user: String,
    /// What the user wants to do: subscribe (read) or publish (write)
    operation: Operation,
    /// The topic filter to read, or the topic to write as the client would send it
    resource: String,
    /// The client id that `${clientId}` stands for
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// What can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// Subscribe
    Read,
    /// Publish
    Write,
}

impl Explain {
    pub(super) async fn run(mut self, session: &mut Session) -> Result<Answer, Failure> {
        // The API takes what looks like an id for one.
        if Uuid::try_parse(&self.user).is_ok() {
            self.user = session.find_id(&USERS, &self.user).await?;
        }
        let explanation = session.read(&self.path()).await?;
        let verdict = match explanation.get("decision").and_then(Value::as_str) {
            Some("allow") => Verdict::Good,
            Some("deny") => Verdict::Denied,
            _ => {
                return Err(Failure::Transport("the server's answer holds no decision".to_owned()));
            }
        };
        let text = describe(&explanation);
        Ok(Answer { json: explanation, text, verdict })
    }

    fn path(&self) -> String {
        let operation = match self.operation {
            Operation::Read => "read",
            Operation::Write => "write",
        };
        let (user, resource) = (percent_encode(&self.user), percent_encode(&self.resource));
        let mut path =
            format!("/api/explain?user={user}&operation={operation}&resource={resource}");
        if let Some(client_id) = &self.client_id {
            path.push_str("&clientId=");
            path.push_str(&percent_encode(client_id));
        }
        path
    }
}

/// The decision, and a line for each rule that took part in it.
fn describe(explanation: &Value) -> String {
    let mut lines = vec![match text(explanation, "decision") {
        decision if decision == "deny" => format!("deny: {}", text(explanation, "reason")),
        decision => decision,
    }];
    let (asked, judged) = (text(explanation, "resource"), text(explanation, "effectiveResource"));
    if !judged.is_empty() && judged != asked {
        lines.push(format!("judged as `{judged}`"));
    }
    for rule in items(explanation, "because") {
        let owner = format!("{} `{}`", text(rule, "ownerType"), text(rule, "owner"));
        let (effect, operation) = (text(rule, "effect"), text(rule, "operation"));
        lines.push(format!("because {owner} has {effect} {operation}:{}", text(rule, "resource")));
    }
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_rules_that_decided_are_named_with_their_owners() {
        let text = describe(&json!({
            "decision": "deny", "user": "bob", "operation": "write", "resource": "a",
            "effectiveResource": "p/a", "reason": "a deny rule matches",
            "because": [{"ownerType": "role", "owner": "plant", "effect": "deny",
                         "operation": "write", "resource": "p/#"}],
        }));
        assert_eq!(
            text,
            "deny: a deny rule matches\njudged as `p/a`\nbecause role `plant` has deny write:p/#"
        );
    }

    #[test]
    fn a_topic_of_any_letters_is_asked_for_as_it_is() {
        let explain = Explain {
            user: "bob".to_owned(),
            operation: Operation::Write,
            resource: "a b/+&é#".to_owned(),
            client_id: Some("c&d".to_owned()),
        };
        assert_eq!(
            explain.path(),
            "/api/explain?user=bob&operation=write&resource=a%20b%2F%2B%26%C3%A9%23&clientId=c%26d"
        );
    }
}
