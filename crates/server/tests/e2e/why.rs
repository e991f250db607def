//! "Why was I refused?" and "what would this change do?", asked of a running broker about real clients.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::{
    BrokerProcess, MqttClient, Outcome, Packet, Property, Random, Version, login,
    wire::{self, Publish, Will},
};

use crate::support::{PASSWORD, setup, without_locks};

const REASON_STRING: u8 = 31;

fn broker() -> BrokerProcess {
    let broker = without_locks(setup()).start();
    broker.add_user("press", PASSWORD, &["--allow", "readWrite:ok/#"]);
    broker
}

fn press<'a>(version: Version, client_id: &'a str) -> testkit::Login<'a> {
    login(version, client_id).user("press", PASSWORD)
}

/// The decision that a refused login was told.
fn told_at_login(login: &testkit::Login<'_>, broker: &BrokerProcess) -> Option<String> {
    let Outcome::Refused(_, raw) = login.outcome(broker.mqtt()) else { panic!("not refused") };
    let text = String::from_utf8_lossy(&raw).into_owned();
    let (_, name) = text.split_once("refused, decision ")?;
    Some(name.to_owned())
}

/// Publishes at QoS 1 and returns the decision that the client is told.
fn told_at_publish(client: &mut MqttClient, topic: &str) -> Option<String> {
    let publish = Publish { qos: 1, packet_id: 77, ..Publish::new(topic, b"x") };
    client.send(&wire::publish(Version::V5, &publish));
    let properties = client.expect("a PUBACK", |packet| match packet {
        Packet::Ack { kind: 4, properties, .. } => Some(properties.clone()),
        _ => None,
    });
    let text = properties.iter().find_map(|property| match property {
        Property::Bytes(REASON_STRING, text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    });
    text?.strip_prefix("refused, decision ").map(str::to_owned)
}

fn refusals(broker: &BrokerProcess, target: &str) -> Vec<Value> {
    let reply = broker.request("GET", &format!("{target}?rowsPerPage=100"), None);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["items"].as_array().expect("items").clone()
}

fn user_path(broker: &BrokerProcess, name: &str) -> String {
    let user = broker.cli_json(&["user", "show", name]);
    format!("/api/users/{}", user["id"].as_str().expect("an id"))
}

#[test]
fn every_decision_that_a_client_was_told_is_found_and_explained_also_after_a_restart() {
    let mut broker = broker();
    let wrong = login(Version::V5, "c1").user("press", "not-the-password");
    let nobody = login(Version::V5, "c1").user("nobody", "not-the-password");
    let will = press(Version::V5, "c1").will(Will::new("no/will", b"gone"));
    let mut told: Vec<(String, &str, &str)> = Vec::new();
    for (login, action, reason) in [
        (&wrong, "login", "user `press`: wrong password"),
        (&nobody, "login", "user `nobody`: unknown user"),
        (&will, "will", "no permission allows it"),
    ] {
        told.push((told_at_login(login, &broker).expect("a decision"), action, reason));
    }
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("1-login-1", "1-login-2"), "no more");
    let mut client = press(Version::V5, "c1").connect(broker.mqtt());
    let name = told_at_publish(&mut client, "no/1").expect("a decision");
    assert_eq!(told_at_publish(&mut client, "no/1").as_ref(), Some(&name), "the same decision");
    told.push((name, "publish", "no permission allows it"));
    assert_eq!(client.subscribe("no/#", 1), 0x87);
    let of_client = refusals(&broker, "/api/clients/press/c1/refusals");
    let actions: Vec<_> = of_client.iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["subscribe", "publish", "will", "login"]);
    let subscribe = of_client[0]["id"].as_str().expect("a name").to_owned();
    told.push((subscribe, "subscribe", "no permission allows it"));
    let address = of_client[1]["address"].as_str().expect("an address");
    assert_eq!(address, client.local_address().to_string());

    for round in 0..2 {
        for (name, action, reason) in &told {
            let run = broker.cli(&["explain", "--decision", name, "--json"]);
            assert_eq!(run.code, Some(1), "{name}: {}", run.stderr);
            let explained = run.json();
            assert_eq!(
                (&explained["action"], &explained["reason"]),
                (&json!(action), &json!(reason))
            );
            assert_eq!(explained["clientId"], "c1", "round {round}");
        }
        if round == 0 {
            assert!(broker.terminate().success());
            broker.begin();
        }
    }
    let again = told_at_login(&wrong, &broker).expect("a decision");
    assert_eq!(again, "2-login-1", "another run has names of its own");
    let run = broker.cli(&["explain", "--decision", "7-0-1"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("no record of decision `7-0-1`"), "{}", run.stderr);

    drop(broker.cli(&["user", "set", "press", "--allow", "write:no/1"]).ok());
    let run = broker.cli(&["explain", "--decision", &told[3].0]).ok();
    assert!(run.stdout.contains("publish refused `no/1`: no permission allows it"));
    assert!(run.stdout.contains("now: allow\nbecause user `press` has allow write:no/1"));
}

#[test]
fn the_administrator_sees_refusals_by_user_client_and_name_and_3_1_1_clients_too() {
    let broker = broker();
    let mut client = press(Version::V311, "c1").connect(broker.mqtt());
    for _ in 0..50 {
        assert_eq!(client.publish(Publish { qos: 1, ..Publish::new("no/1", b"x") }), 0);
    }
    let code = login(Version::V311, "c2").user("stranger", "not-the-password").code(broker.mqtt());
    assert_eq!(code, 4);
    client.disconnect();
    // What was only counted is told when the connection has ended.
    testkit::eventually("all are counted", || {
        let shown = refusals(&broker, &format!("{}/refusals", user_path(&broker, "press")));
        shown.len() == 1 && shown[0]["count"] == 50
    });
    let shown = broker.cli(&["client", "refusals", "press", "c1"]).ok().stdout;
    assert!(shown.contains("no/1") && shown.contains("50"), "{shown}");
    let shown = broker.cli_json(&["refusals", "--user", "stranger"]);
    assert_eq!(shown[0]["reason"], "user `stranger`: unknown user");
    assert_eq!(
        broker.cli_json(&["refusals", "--action", "publish"]).as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(broker.cli_json(&["user", "refusals", "press"])[0]["count"], 50);
}

#[test]
fn a_flood_of_refused_publishes_pushes_out_nobody_elses_refusals() {
    let broker = broker();
    broker.add_user("quiet", PASSWORD, &[]);
    let mut quiet = login(Version::V5, "q").user("quiet", PASSWORD).connect(broker.mqtt());
    let name = told_at_publish(&mut quiet, "no/1").expect("a decision");
    let mut press_1 = press(Version::V5, "c1").connect(broker.mqtt());
    let mut press_2 = press(Version::V5, "c2").connect(broker.mqtt());
    let kept = told_at_publish(&mut press_2, "no/2").expect("a decision");
    let mut flood = Vec::new();
    for number in 0..20_000 {
        let topic = format!("no/flood/{number}");
        flood.extend(wire::publish(Version::V5, &Publish::new(&topic, b"x")));
    }
    press_1.send(&flood);
    press_1.ping();
    let of_client = refusals(&broker, "/api/clients/press/c1/refusals");
    assert!((1..=32).contains(&of_client.len()), "{}", of_client.len());
    for name in [name, kept] {
        drop(broker.cli(&["explain", "--decision", &name, "--json"]).json());
    }
    let lines = broker.log_lines(&["refused"]);
    assert!(lines.len() < 1_000, "a flood does not fill the log: {}", lines.len());
}

/// What `client list` shows of each client: its filters, and whether it is connected.
fn clients(broker: &BrokerProcess) -> Vec<(String, bool, BTreeSet<String>)> {
    let all = broker.cli_json(&["client", "list"]);
    let of = |client: &Value| {
        let filters = client["subscriptions"].as_array().expect("subscriptions").iter();
        let filters = filters.map(|it| it["filter"].as_str().expect("a filter").to_owned());
        let id = client["clientId"].as_str().expect("an id").to_owned();
        (id, client["connected"].as_bool().expect("a flag"), filters.collect())
    };
    all.as_array().expect("a list").iter().map(of).collect()
}

/// The texts of one field of a list of objects, or of a list of texts.
fn texts(list: &Value, field: &str) -> BTreeSet<String> {
    let items = list.as_array().expect("a list").iter();
    let text = |it: &Value| it.get(field).unwrap_or(it).as_str().expect("a text").to_owned();
    items.map(text).collect()
}

const TOPICS: [&str; 6] = ["a/1", "a/2", "b/1", "b/2", "c/x", "d"];
const FILTERS: [&str; 7] = ["a/#", "b/+", "#", "c/x", "$share/g/a/1", "d", "+/1"];
const RULES: [&str; 7] = [
    "readWrite:#",
    "read:a/#",
    "write:a/#",
    "readWrite:b/#",
    "readWrite:+/1",
    "write:d",
    "read:c/x",
];

fn rules(random: &mut Random) -> Vec<Value> {
    let count = 1 + random.below(4);
    let rule = |random: &mut Random| {
        let (operation, resource) = random.pick(&RULES).split_once(':').expect("two parts");
        let effect = if random.chance(1, 5) { "deny" } else { "allow" };
        json!({"operation": operation, "resource": resource, "effect": effect})
    };
    (0..count).map(|_| rule(random)).collect()
}

struct Machine {
    client: MqttClient,
    id: String,
    version: Version,
    published: BTreeSet<String>,
}

impl Machine {
    /// Publishes, and says whether the broker takes it. A 3.1.1 client is not told, so that another client of the
    /// same user asks for it.
    fn may_publish(&mut self, broker: &BrokerProcess, topic: &str) -> bool {
        let publish = Publish { qos: 1, ..Publish::new(topic, b"x") };
        let code = self.client.publish(publish.clone());
        match self.version {
            Version::V5 => code < 0x80,
            Version::V311 => {
                let mut probe = press(Version::V5, "probe").connect(broker.mqtt());
                let code = probe.publish(publish);
                probe.disconnect();
                testkit::eventually("the probe is gone", || {
                    clients(broker).iter().all(|it| it.0 != "probe")
                });
                code < 0x80
            }
        }
    }
}

fn begin(random: &mut Random, broker: &BrokerProcess, number: usize) -> Machine {
    let id = format!("c{number}");
    let version = if random.chance(1, 2) { Version::V5 } else { Version::V311 };
    let mut client = press(version, &id).resuming().connect(broker.mqtt());
    for _ in 0..random.below(5) {
        client.subscribe(random.pick(&FILTERS), 1);
    }
    let mut machine = Machine { client, id, version, published: BTreeSet::new() };
    for _ in 0..random.below(5) {
        let topic = random.pick(&TOPICS);
        if machine.may_publish(broker, topic) {
            machine.published.insert(topic.to_owned());
        }
    }
    machine
}

/// Makes a change for real and compares what it did with what the dry run has said.
fn check_change(broker: &BrokerProcess, path: &str, change: &Value, machines: &mut [Machine]) {
    let before = clients(broker);
    let dry = broker.request("PATCH", &format!("{path}?dryRun=true"), Some(change));
    assert_eq!(dry.status, 200, "{}", dry.body);
    assert_eq!(clients(broker), before, "a dry run changes nothing");
    let effects = dry.body["effects"].clone();
    let real = broker.request("PATCH", path, Some(change));
    assert_eq!(real.status, 200, "{}", real.body);
    let foreseen = |id: &str| {
        let listed = effects["clients"].as_array().expect("clients").iter();
        listed.clone().find(|it| it["clientId"] == id).cloned()
    };
    let lost = |id: &str| {
        foreseen(id).map(|it| texts(&it["subscriptionsEnd"], "filter")).unwrap_or_default()
    };
    let expected: Vec<_> = before
        .iter()
        .map(|(id, is_connected, filters)| {
            let left = filters.difference(&lost(id)).cloned().collect::<BTreeSet<_>>();
            (id.clone(), *is_connected, left)
        })
        .collect();
    testkit::eventually("what was foreseen has happened", || clients(broker) == expected);
    for machine in machines {
        let refused = foreseen(&machine.id).map(|it| texts(&it["publishesRefused"], "topic"));
        let refused = refused.unwrap_or_default();
        let published = machine.published.clone();
        for topic in published {
            let is_allowed = machine.may_publish(broker, &topic);
            assert_eq!(is_allowed, !refused.contains(&topic), "{} {topic}: {effects}", machine.id);
        }
        machine.published.retain(|topic| !refused.contains(topic));
    }
}

#[test]
fn a_dry_run_over_rest_says_what_the_change_then_does_to_real_clients() {
    let mut random = Random::new(94);
    let mut lost = 0;
    for _ in 0..3 {
        let broker = setup().start();
        let all = json!({"operation": "readWrite", "resource": "#"});
        broker.post_user("press", PASSWORD, &json!({"permissions": [all]}));
        let path = user_path(&broker, "press");
        let mut machines: Vec<_> =
            (0..4).map(|number| begin(&mut random, &broker, number)).collect();
        begin(&mut random, &broker, 9).client.drop_link();
        testkit::eventually("one is offline", || clients(&broker).iter().any(|it| !it.1));
        for _ in 0..3 {
            let change = json!({"permissions": rules(&mut random)});
            let count =
                |broker: &BrokerProcess| clients(broker).iter().map(|it| it.2.len()).sum::<usize>();
            let before = count(&broker);
            check_change(&broker, &path, &change, &mut machines);
            lost += before - count(&broker);
        }
    }
    assert!(lost > 10, "something was at stake: {lost}");
}

#[test]
fn a_dry_run_on_the_command_line_says_who_would_lose_what_and_does_nothing() {
    let broker = broker();
    drop(broker.cli(&["role", "add", "line", "--allow", "readWrite:line/#"]).ok());
    drop(broker.cli(&["user", "set", "press", "--role", "line"]).ok());
    let mut offline = press(Version::V311, "offline").resuming().connect(broker.mqtt());
    assert_eq!(offline.subscribe("line/#", 1), 1);
    offline.publish(Publish { qos: 1, ..Publish::new("line/7", b"x") });
    offline.drop_link();
    let mut online =
        press(Version::V5, "online").will(Will::new("line/will", b"gone")).connect(broker.mqtt());
    assert_eq!(online.subscribe_all(&[("line/+", 0), ("ok/#", 0)]), [0, 0]);
    testkit::eventually("one is offline", || clients(&broker).iter().any(|it| !it.1));
    let before = (clients(&broker), broker.cli_json(&["audit"]));

    let shown = broker.cli(&["role", "set", "line", "--revoke", "readWrite:line/#", "--dry-run"]);
    let shown = shown.ok().stdout;
    for line in [
        "role.update line",
        "  - permissions: allow mqtt:readWrite:line/#",
        "client offline of press, not connected",
        "  subscription ends: line/# (no permission allows it)",
        "  publish refused: line/7 (no permission allows it), last seen ",
        "client online of press, connected",
        "  subscription ends: line/+ (no permission allows it)",
        "  will dropped: line/will (no permission allows it)",
        "in all: 2 clients, 0 connections end, 0 sessions end, 2 subscriptions end",
        "not known for certain: publishers are known since the broker's start at ",
    ] {
        assert!(shown.contains(line), "`{line}` is not in:\n{shown}");
    }
    let json = broker.cli_json(&["user", "disable", "press", "--dry-run"]);
    let totals = &json["effects"]["totals"];
    assert_eq!((&totals["connections"], &totals["sessions"]), (&json!(1), &json!(1)), "{totals}");
    for arguments in [
        ["user", "set", "press", "--no-role", "line", "--dry-run"].as_slice(),
        &["user", "remove", "press", "--dry-run"],
        &["user", "enable", "press", "--dry-run"],
        &["role", "remove", "line", "--force", "--dry-run"],
    ] {
        drop(broker.cli(arguments).ok());
    }
    let run = broker.cli(&["role", "remove", "line", "--dry-run"]);
    assert_eq!(run.code, Some(1), "a role in use is not removed: {}", run.stdout);
    let file = broker.data_dir().join("policy.yaml");
    std::fs::write(&file, "users: []\nroles: [{name: line, permissions: []}]\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let shown = broker.cli(&["apply", "-f", file, "--dry-run"]).ok().stdout;
    assert!(shown.contains("client offline of press") && shown.contains("2 subscriptions end"));
    assert_eq!((clients(&broker), broker.cli_json(&["audit"])), before, "nothing was done");
    online.ping();

    drop(broker.cli(&["user", "disable", "press"]).ok());
    testkit::eventually("it has happened", || clients(&broker).iter().all(|it| !it.1));
    assert_eq!(clients(&broker).len(), 1, "the session that outlives its connection");
}
