//! What a change would do, for a person to read.

use serde_json::Value;

use super::answer::{Answer, printable};
use super::policy::show;
use super::show::{items, text};

/// The answer to a dry run.
pub(super) fn answer(outcome: Value) -> Answer {
    let shown = describe(&outcome);
    Answer::done(outcome, shown)
}

/// The changes, then what each client would lose, then how much that is, and what is not known.
pub(super) fn describe(outcome: &Value) -> String {
    let mut lines = vec![show::steps(items(outcome, "changes"))];
    if items(outcome, "changes").is_empty() {
        return lines.concat();
    }
    let Some(effects) = outcome.get("effects") else { return lines.concat() };
    let mut note = |line: String| lines.push(printable(&line));
    for client in items(effects, "clients") {
        client_lines(client).into_iter().for_each(&mut note);
    }
    note(totals(effects));
    for reason in items(effects, "incomplete").iter().filter_map(Value::as_str) {
        note(format!("not known for certain: {reason}"));
    }
    lines.join("\n")
}

fn client_lines(client: &Value) -> Vec<String> {
    let is = |field: &str| client.get(field).and_then(Value::as_bool).unwrap_or_default();
    let presence = if is("connected") { "connected" } else { "not connected" };
    let (user, client_id) = (text(client, "user"), text(client, "clientId"));
    let mut lines = vec![format!("client {client_id} of {user}, {presence}")];
    let ends = text(client, "connectionEnds");
    if !ends.is_empty() {
        lines.push(format!("  connection ends: {ends}"));
    }
    if is("sessionEnds") {
        lines.push("  session ends".to_owned());
    }
    for it in items(client, "subscriptionsEnd") {
        lines.push(format!("  subscription ends: {} ({})", text(it, "filter"), text(it, "reason")));
    }
    for filter in items(client, "subscriptionsNarrowed").iter().filter_map(Value::as_str) {
        lines.push(format!("  subscription narrowed: {filter}"));
    }
    if let Some(will) = client.get("willDropped").filter(|will| !will.is_null()) {
        lines.push(format!("  will dropped: {} ({})", text(will, "topic"), text(will, "reason")));
    }
    match client.get("messagesDropped").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(count) => lines.push(format!("  messages dropped: {count}")),
    }
    for it in items(client, "publishesRefused") {
        lines.push(format!(
            "  publish refused: {} ({}), last seen {}",
            text(it, "topic"),
            text(it, "reason"),
            text(it, "lastSeen")
        ));
    }
    lines
}

fn totals(effects: &Value) -> String {
    let Some(totals) = effects.get("totals") else { return String::new() };
    let count = |field: &str| totals.get(field).and_then(Value::as_u64).unwrap_or_default();
    if count("clients") == 0 {
        return "no client would lose anything".to_owned();
    }
    format!(
        "in all: {} clients, {} connections end, {} sessions end, {} subscriptions end, \
         {} narrowed, {} wills dropped, {} messages dropped, {} publishes refused",
        count("clients"),
        count("connections"),
        count("sessions"),
        count("subscriptions"),
        count("narrowed"),
        count("wills"),
        count("messages"),
        count("publishes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_client_shows_what_it_would_lose_and_what_is_not_known_is_said() {
        let outcome = json!({
            "dryRun": true,
            "changes": [{"action": "user.update", "target": {"user": "press"},
                         "before": {"enabled": true}, "after": {"enabled": false}}],
            "effects": {
                "clients": [{
                    "user": "press", "clientId": "c\u{1b}1", "connected": true,
                    "connectionEnds": "user is disabled", "sessionEnds": true,
                    "subscriptionsEnd": [{"filter": "a/#", "reason": "no"}],
                    "subscriptionsNarrowed": ["b/#"],
                    "willDropped": {"topic": "w", "reason": "no"}, "messagesDropped": 2,
                    "publishesRefused": [{"topic": "t", "reason": "no", "lastSeen": "then"}],
                    "publishesComplete": true,
                }],
                "totals": {"clients": 1, "connections": 1, "sessions": 1, "subscriptions": 1,
                           "narrowed": 1, "wills": 1, "messages": 2, "publishes": 1},
                "incomplete": ["the broker is young"],
            },
        });
        let expected = "user.update press\n  - enabled: true\n  + enabled: false\n\
            client c\\u{1b}1 of press, connected\n  connection ends: user is disabled\n  \
            session ends\n  subscription ends: a/# (no)\n  subscription narrowed: b/#\n  \
            will dropped: w (no)\n  messages dropped: 2\n  publish refused: t (no), last seen then\n\
            in all: 1 clients, 1 connections end, 1 sessions end, 1 subscriptions end, \
            1 narrowed, 1 wills dropped, 2 messages dropped, 1 publishes refused\n\
            not known for certain: the broker is young";
        assert_eq!(describe(&outcome), expected);
    }

    #[test]
    fn a_change_of_nothing_says_so() {
        let outcome = json!({"dryRun": true, "changes": [], "effects": {"clients": []}});
        assert_eq!(describe(&outcome), "no changes");
        let effects = json!({"clients": [], "totals": {"clients": 0}, "incomplete": []});
        let changes = json!([{"action": "role.update", "target": {"role": "r"}}]);
        let outcome = json!({"dryRun": true, "changes": changes, "effects": effects});
        assert_eq!(describe(&outcome), "role.update r\nno client would lose anything");
    }
}
