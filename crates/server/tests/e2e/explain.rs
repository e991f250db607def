//! `explain` and the running broker never disagree.
//!
//! Users, roles, permissions, topics and filters are drawn at random from a small alphabet, so that rules
//! often meet what is asked; thousands of questions are put to both.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{BrokerProcess, Random, Version, login, wire::Publish};

use crate::support::{PASSWORD, setup};

const USERS: [&str; 6] = ["a", "b", "dev", "plant", "u-5", "u-6"];
const CLIENT_IDS: [&str; 3] = ["dev", "b", "+"];
const PUBLISHES_PER_CONNECTION: usize = 120;
const FILTERS_PER_CONNECTION: usize = 120;
const DELIVERIES: usize = 150;

/// A name of three characters at least, as users must have.
fn user_name(short: &str) -> String {
    format!("{short}-user")
}

fn level<'a>(random: &mut Random, words: &[&'a str]) -> &'a str {
    random.pick(words)
}

fn topic(random: &mut Random) -> String {
    let mut levels = Vec::new();
    if random.chance(1, 10) {
        levels.push(level(random, &["$SYS", "$x"]));
    }
    for _ in 0..=random.below(3) {
        levels.push(level(random, &["a", "b", "dev", "plant-user", "a-user", ""]));
    }
    let topic = levels.join("/");
    if topic.is_empty() { "a".to_owned() } else { topic }
}

fn filter(random: &mut Random) -> String {
    let mut levels: Vec<String> = topic(random).split('/').map(str::to_owned).collect();
    for level in &mut levels {
        if random.chance(1, 4) {
            *level = "+".to_owned();
        }
    }
    if random.chance(1, 3) {
        levels.push("#".to_owned());
    } else if random.chance(1, 12) {
        levels = vec!["#".to_owned()];
    }
    let share = if random.chance(1, 6) { "$share/g/" } else { "" };
    format!("{share}{}", levels.join("/"))
}

fn permission(random: &mut Random) -> Value {
    let mut resource = filter(random);
    if let Some(rest) = resource.strip_prefix("$share/g/") {
        resource = rest.to_owned();
    }
    if random.chance(1, 4) {
        let placeholder = random.pick(&["${username}", "${clientId}"]);
        let mut levels: Vec<&str> = resource.split('/').collect();
        let at = random.below(levels.len());
        if levels[at] != "#" {
            levels[at] = placeholder;
        }
        resource = levels.join("/");
    }
    let operation = random.pick(&["read", "write", "readWrite"]);
    let effect = if random.chance(1, 4) { "deny" } else { "allow" };
    let context = if random.chance(1, 12) { "http" } else { "mqtt" };
    json!({"resource": resource, "operation": operation, "effect": effect, "context": context})
}

fn permissions(random: &mut Random, count: usize) -> Vec<Value> {
    (0..count).map(|_| permission(random)).collect()
}

/// A broker with a random policy, and one user who may do everything.
fn random_broker(random: &mut Random) -> BrokerProcess {
    let broker = setup().start();
    broker.add_user("the-admin", PASSWORD, &["--role", "connectware-admin"]);
    for role in 0..4 {
        let count = 1 + random.below(4);
        let body =
            json!({"name": format!("role-{role}"), "permissions": permissions(random, count)});
        let reply = broker.request("POST", "/api/roles", Some(&body));
        assert_eq!(reply.status, 201, "{body} gave {}", reply.body);
    }
    for name in USERS {
        let roles: Vec<String> =
            (0..4).filter(|_| random.chance(1, 2)).map(|role| format!("role-{role}")).collect();
        let count = random.below(5);
        let mut body = json!({"roles": roles, "permissions": permissions(random, count)});
        if random.chance(1, 3) {
            body["mqttPublishPrefix"] = json!(random.pick(&["a/", "dev", "b/a/", "/"]));
        }
        broker.post_user(&user_name(name), PASSWORD, &body);
    }
    broker
}

/// Whether `explain` allows, with a check that its answer is whole.
fn explained(
    broker: &BrokerProcess,
    user: &str,
    operation: &str,
    resource: &str,
    id: &str,
) -> bool {
    let answer = broker.explain(user, operation, resource, id);
    assert!(answer["because"].is_array(), "{answer}");
    match answer["decision"].as_str() {
        Some("allow") => true,
        Some("deny") => false,
        other => panic!("a decision of {other:?}"),
    }
}

/// How often each side of each question came up, so that a policy that grants nothing proves nothing.
#[derive(Debug, Default)]
struct Seen {
    allowed: usize,
    denied: usize,
}

impl Seen {
    fn check(&mut self, question: &str, explained: bool, broker: bool) {
        assert_eq!(explained, broker, "explain and the broker disagree: {question}");
        if broker {
            self.allowed += 1;
        } else {
            self.denied += 1;
        }
    }
}

fn check_connection(
    broker: &BrokerProcess,
    user: &str,
    id: &str,
    random: &mut Random,
    seen: &mut [Seen; 2],
) {
    let name = user_name(user);
    let mut client = login(Version::V5, id).user(&name, PASSWORD).connect(broker.mqtt());
    for _ in 0..PUBLISHES_PER_CONNECTION {
        let topic = topic(random);
        let code = client.publish(Publish::new(&topic, b"x").qos(1, 1));
        assert!(matches!(code, 0 | 0x10 | 0x87), "{name} publishing to `{topic}` got {code:#x}");
        let explained = explained(broker, &name, "write", &topic, id);
        seen[0].check(&format!("{name} as {id} writes `{topic}`"), explained, code != 0x87);
    }
    for _ in 0..FILTERS_PER_CONNECTION {
        let filter = filter(random);
        let code = client.subscribe(&filter, 0);
        assert!(matches!(code, 0 | 0x87), "{name} subscribing to `{filter}` got {code:#x}");
        let explained = explained(broker, &name, "read", &filter, id);
        seen[1].check(&format!("{name} as {id} reads `{filter}`"), explained, code == 0);
    }
    client.disconnect();
}

#[test]
fn explain_and_the_broker_agree_on_thousands_of_random_cases() {
    let mut seen = [Seen::default(), Seen::default()];
    for seed in 1..=3 {
        let mut random = Random::new(seed);
        let broker = random_broker(&mut random);
        for user in USERS {
            for id in CLIENT_IDS {
                check_connection(&broker, user, id, &mut random, &mut seen);
            }
        }
    }
    for seen in &seen {
        assert!(seen.allowed > 500 && seen.denied > 500, "hardly anything was asked: {seen:?}");
        assert!(seen.allowed + seen.denied > 4_000, "{seen:?}");
    }
}

/// The topics that reach `user` through all filters it was granted, out of those the admin publishes.
fn delivered(broker: &BrokerProcess, user: &str, topics: &BTreeSet<String>) -> BTreeSet<String> {
    let name = user_name(user);
    let mut client = login(Version::V5, "dev").user(&name, PASSWORD).connect(broker.mqtt());
    let filters =
        ["#", "a/#", "b/#", "dev/#", "+/a", "+/b/#", "+/+", "/#", "a-user/#", "plant-user/#"];
    let filters = filters.map(|filter| (filter, 0));
    client.subscribe_all(&filters);
    let mut from = login(Version::V5, "from").user("the-admin", PASSWORD).connect(broker.mqtt());
    for topic in topics {
        from.publish(Publish::new(topic, b"x").qos(1, 1));
    }
    let messages = client.messages_before_ping();
    messages.into_iter().map(|(topic, _)| topic).collect()
}

#[test]
fn a_delivered_message_is_one_that_explain_allows_to_read() {
    let mut seen = Seen::default();
    for seed in 11..=13 {
        let mut random = Random::new(seed);
        let broker = random_broker(&mut random);
        let topics: BTreeSet<String> = (0..DELIVERIES)
            .map(|_| topic(&mut random))
            .filter(|topic| !topic.starts_with('$'))
            .collect();
        for user in USERS {
            let got = delivered(&broker, user, &topics);
            for topic in &topics {
                let may_read = explained(&broker, &user_name(user), "read", topic, "dev");
                // Not every readable topic is covered by a granted filter; none may come beyond them.
                if got.contains(topic) {
                    seen.check(&format!("{user} got `{topic}`"), may_read, true);
                } else if !may_read {
                    seen.denied += 1;
                }
            }
        }
    }
    assert!(seen.allowed > 50 && seen.denied > 200, "hardly anything was delivered: {seen:?}");
}

#[test]
fn explain_on_the_command_line_says_who_decided_and_exits_accordingly() {
    let broker = setup().start();
    let _done = broker.cli(&["role", "add", "readers", "--allow", "read:plant/#"]).ok();
    broker.add_user("machine", PASSWORD, &["--role", "readers", "--deny", "read:plant/safe/#"]);
    let allowed = broker.cli(&["explain", "machine", "read", "plant/a", "--json"]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    let answer = allowed.json();
    assert_eq!(answer["decision"], "allow");
    assert_eq!(answer["user"], "machine");
    assert_eq!(answer["operation"], "read");
    assert_eq!(answer["resource"], "plant/a");
    assert!(answer["because"].to_string().contains("readers"), "{answer}");
    let denied = broker.cli(&["explain", "machine", "read", "plant/safe/x", "--json"]);
    assert_eq!(denied.code, Some(1));
    assert_eq!(denied.json()["decision"], "deny");
    assert!(denied.json()["because"].to_string().contains("plant/safe/#"), "{}", denied.stdout);
    let nobody = broker.cli(&["explain", "nobody", "read", "plant/a"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("nobody"), "{}", nobody.stderr);
}

#[test]
fn explain_judges_a_write_as_the_client_would_send_it() {
    let broker = setup().start();
    let more = ["--allow", "write:site/#", "--publish-prefix", "site/"];
    broker.add_user("machine", PASSWORD, &more);
    assert!(explained(&broker, "machine", "write", "temp", "c"));
    let _done = broker.cli(&["user", "set", "machine", "--no-publish-prefix"]).ok();
    assert!(!explained(&broker, "machine", "write", "temp", "c"));
    assert!(explained(&broker, "machine", "write", "site/temp", "c"));
}
