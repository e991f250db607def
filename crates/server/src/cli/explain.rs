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
    #[arg(required_unless_present = "decision")]
    user: Option<String>,
    /// What the user wants to do: subscribe (read) or publish (write)
    #[arg(required_unless_present = "decision")]
    operation: Option<Operation>,
    /// The topic filter to read, or the topic to write as the client would send it
    #[arg(required_unless_present = "decision")]
    resource: Option<String>,
    /// Explain a refusal by the name that the client was told, such as `3-0-17`, and say what the same gives now
    #[arg(long, value_name = "ID", conflicts_with_all = ["user", "operation", "resource", "client_id"])]
    decision: Option<String>,
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
        if let Some(decision) = &self.decision {
            let path = format!("/api/explain?decision={}", percent_encode(decision));
            let told = session.read(&path).await?;
            // What it was, everybody knows who asks; the exit code says what it would be.
            let is_allowed = told.pointer("/now/decision").and_then(Value::as_str) == Some("allow");
            let verdict = if is_allowed { Verdict::Good } else { Verdict::Denied };
            return Ok(Answer { text: describe_decision(&told), json: told, verdict });
        }
        // The API takes what looks like an id for one.
        if let Some(user) = self.user.take_if(|user| Uuid::try_parse(user).is_ok()) {
            self.user = Some(session.find_id(&USERS, &user).await?);
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
            None | Some(Operation::Read) => "read",
            Some(Operation::Write) => "write",
        };
        let encoded = |text: &Option<String>| percent_encode(text.as_deref().unwrap_or_default());
        let (user, resource) = (encoded(&self.user), encoded(&self.resource));
        let mut path =
            format!("/api/explain?user={user}&operation={operation}&resource={resource}");
        if let Some(client_id) = &self.client_id {
            path.push_str("&clientId=");
            path.push_str(&percent_encode(client_id));
        }
        path
    }
}

/// What was refused to whom, why, and what it would be now.
fn describe_decision(told: &Value) -> String {
    let (user, client_id) = (text(told, "user"), text(told, "clientId"));
    let who = if user.is_empty() {
        "somebody without a name".to_owned()
    } else {
        format!("user `{user}`")
    };
    let client =
        if client_id.is_empty() { String::new() } else { format!(", client `{client_id}`") };
    let resource = text(told, "resource");
    let what = if resource.is_empty() { String::new() } else { format!(" `{resource}`") };
    let mut lines = vec![
        format!("{} refused{what}: {}", text(told, "action"), text(told, "reason")),
        format!("{who}{client}, from {} by {}", text(told, "address"), text(told, "listener")),
    ];
    let (first, last) = (text(told, "firstAt"), text(told, "lastAt"));
    lines.push(match text(told, "count").as_str() {
        "1" => format!("once, at {last}"),
        count => format!("{count} times, from {first} to {last}"),
    });
    lines.extend(items(told, "because").iter().map(rule_line));
    let mut lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    match told.get("now").filter(|now| !now.is_null()) {
        Some(now) => lines.push(format!("now: {}", describe(now))),
        None => lines.push(printable(&format!("now: {}", text(told, "nowReason")))),
    }
    lines.join("\n")
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
    lines.extend(items(explanation, "because").iter().map(rule_line));
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    lines.join("\n")
}

fn rule_line(rule: &Value) -> String {
    let owner = format!("{} `{}`", text(rule, "ownerType"), text(rule, "owner"));
    let (effect, operation) = (text(rule, "effect"), text(rule, "operation"));
    format!("because {owner} has {effect} {operation}:{}", text(rule, "resource"))
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
            user: Some("bob".to_owned()),
            operation: Some(Operation::Write),
            resource: Some("a b/+&é#".to_owned()),
            decision: None,
            client_id: Some("c&d".to_owned()),
        };
        assert_eq!(
            explain.path(),
            "/api/explain?user=bob&operation=write&resource=a%20b%2F%2B%26%C3%A9%23&clientId=c%26d"
        );
    }

    #[test]
    fn a_decision_is_told_with_who_when_and_what_it_would_be_now() {
        let mut told = json!({
            "id": "3-0-17", "decision": "deny", "user": "press", "clientId": "c1",
            "address": "192.0.2.1:4711", "listener": "mqtt", "action": "publish",
            "resource": "a/b", "reason": "denied by role `plant`", "count": 2,
            "firstAt": "then", "lastAt": "later",
            "because": [{"ownerType": "role", "owner": "plant", "effect": "deny",
                         "operation": "write", "resource": "a/#"}],
            "now": {"decision": "allow", "resource": "a/b", "effectiveResource": "a/b",
                    "because": []},
            "nowReason": "allowed",
        });
        let expected = "publish refused `a/b`: denied by role `plant`\n\
            user `press`, client `c1`, from 192.0.2.1:4711 by mqtt\n2 times, from then to later\n\
            because role `plant` has deny write:a/#\nnow: allow";
        assert_eq!(describe_decision(&told), expected);
        told["now"] = Value::Null;
        told["nowReason"] = Value::from("the user is disabled now");
        assert!(describe_decision(&told).ends_with("\nnow: the user is disabled now"));
    }
}
