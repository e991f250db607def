//! Limits as an operator and a client meet them: `$SYS`, metrics, publish budgets and the memory ceiling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{BrokerProcess, MqttClient, Version, eventually, login, wire::Publish};

use crate::support::{PASSWORD, admin, broker_with_machine, machine, setup};

/// Everything on `/metrics`: name and labels, and the value.
pub(crate) fn metrics(broker: &BrokerProcess) -> BTreeMap<String, f64> {
    let reply = broker.request("GET", "/metrics", None);
    assert_eq!(reply.status, 200);
    let Value::String(text) = reply.body else { panic!("{:?}", reply.body) };
    let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "HELP and TYPE stand together");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .filter(|_| kinds[&family] == "histogram")
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            assert_eq!(base, family, "samples of one family stand together");
            assert_eq!(series.matches('"').count() % 2, 0, "{series}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
    }
    let page = include_str!("../../../../docs/metrics.md");
    for name in kinds.keys() {
        assert!(page.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
    samples
}

#[test]
fn metrics_tell_of_everything_that_happened_and_of_every_limit() {
    let broker = setup().env("COUNTERSIGN_LISTENERS_WS", "127.0.0.1:0").start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:a/#"]);
    let mut reader = admin(&broker);
    assert_eq!(reader.subscribe_all(&[("a/#", 2), ("$share/g/b", 0)]), [2, 0]);
    let mut writer = machine(&broker, Version::V5);
    for qos in 0..3 {
        assert_eq!(writer.publish(Publish::new("a/b", b"12345").qos(qos, 0)), 0);
        reader.message();
    }
    assert_eq!(writer.publish(Publish::new("b", b"x").qos(1, 0)), 0x87);
    assert_eq!(writer.subscribe("c", 0), 0x87);
    assert!(writer.publish(Publish::new("a/kept", b"x").qos(1, 0).retained()) < 0x80);
    reader.message();
    assert_eq!(
        login(Version::V5, "c").user("machine", "wrong-password-1").code(broker.mqtt()),
        0x86
    );
    let lasting = login(Version::V5, "lasting").user("machine", PASSWORD).resuming();
    lasting.connect(broker.mqtt()).disconnect();
    eventually("the session is offline", || {
        metrics(&broker).get(r#"countersign_sessions{state="offline"}"#) == Some(&1.0)
    });
    let found = metrics(&broker);
    for (series, value) in [
        (r#"countersign_messages_received_total{qos="0"}"#, 1.0),
        (r#"countersign_messages_received_total{qos="1"}"#, 3.0),
        (r#"countersign_messages_received_total{qos="2"}"#, 1.0),
        (r#"countersign_messages_sent_total{qos="2"}"#, 1.0),
        ("countersign_payload_received_bytes_total", 17.0),
        (r#"countersign_publishes_refused_total{reason="denied"}"#, 1.0),
        ("countersign_subscriptions_refused_total", 1.0),
        (r#"countersign_logins_total{listener="mqtt",result="accepted"}"#, 3.0),
        (r#"countersign_logins_total{listener="mqtt",result="bad_credentials"}"#, 1.0),
        (r#"countersign_sockets_total{listener="mqtt",result="accepted"}"#, 4.0),
        (r#"countersign_disconnects_total{reason="by_client"}"#, 1.0),
        (r#"countersign_connections{listener="mqtt"}"#, 2.0),
        (r#"countersign_sessions{state="online"}"#, 2.0),
        (r#"countersign_subscriptions{kind="plain"}"#, 1.0),
        (r#"countersign_subscriptions{kind="shared"}"#, 1.0),
        ("countersign_retained_messages", 1.0),
        (r#"countersign_limit{limit="sessions_max"}"#, 200_000.0),
        (r#"countersign_limit_used{limit="sessions_max"}"#, 3.0),
        (r#"countersign_limit_used{limit="sessions_per_user_max"}"#, 2.0),
        ("countersign_memory_level", 0.0),
    ] {
        assert_eq!(found.get(series), Some(&value), "{series}");
    }
    for series in [
        "countersign_state_commit_seconds_count",
        "process_resident_memory_bytes",
        "process_open_fds",
        "countersign_hashes_total",
        r#"countersign_limit{limit="memory_bytes_max"}"#,
        r#"countersign_shard_round_seconds_count{shard="0"}"#,
    ] {
        assert!(found.get(series).is_some_and(|value| *value > 0.0), "{series}");
    }
    let names: BTreeSet<_> = found.keys().filter(|it| it.contains("machine")).collect();
    assert!(names.is_empty(), "no name of a user is in a label: {names:?}");
}

#[test]
fn every_bound_that_metrics_name_is_a_key_of_the_configuration() {
    let broker = setup().start();
    let page = include_str!("../../../../docs/configuration.md");
    let found = metrics(&broker);
    let limits = found.keys().filter_map(|it| it.strip_prefix("countersign_limit{limit=\""));
    let mut count = 0;
    for limit in limits {
        let key = limit.trim_end_matches("\"}").rsplit('.').next().unwrap();
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
        count += 1;
    }
    assert!(count >= 24, "{count}");
}

#[test]
fn what_strangers_and_administrators_fill_is_told_before_it_is_full() {
    let broker = setup()
        .env("COUNTERSIGN_REGISTRY_PENDING_MAX", "5")
        .env("COUNTERSIGN_USERS_PERMISSIONS_PER_OWNER_MAX", "5")
        .start();
    let used =
        |limit: &str| metrics(&broker)[&format!("countersign_limit_used{{limit=\"{limit}\"}}")];
    let _unlocked = broker.cli(&["registry", "unlock"]).ok();
    for number in 0..4 {
        let name = format!("newcomer-{number}");
        let outcome = testkit::login(Version::V5, "c").user(&name, PASSWORD).outcome(broker.mqtt());
        drop(outcome);
    }
    let told = broker.log_lines(&["WARN", "a limit is nearly reached", "registry.pending_max"]);
    assert!(told[0].contains("used=4") && told[0].contains("max=5"), "{told:?}");
    assert_eq!((used("registry.pending_max"), used("registry.pending_per_source_max")), (4.0, 4.0));
    assert_eq!(used("refusals.unknown_logins_max"), 4.0);
    let rules = ["--allow", "read:a", "--allow", "read:b", "--allow", "read:c"];
    broker.add_user("few", PASSWORD, &rules);
    broker.add_user("many", PASSWORD, &[&rules[..], &["--allow", "read:d"]].concat());
    let near = ["WARN", "a limit is nearly reached", "users.permissions_per_owner_max", "used=4"];
    assert_eq!(broker.log_lines(&near).len(), 1);
}

#[test]
fn a_bound_that_is_nearly_reached_is_told_with_whose_it_is_and_so_is_its_end() {
    let broker = setup()
        .env("COUNTERSIGN_SYS_INTERVAL", "100ms")
        .env("COUNTERSIGN_LIMITS_SUBSCRIPTIONS_PER_SESSION_MAX", "5")
        .env("COUNTERSIGN_LIMITS_CONNECTIONS_MAX", "100")
        .start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut client = machine(&broker, Version::V5);
    for filter in ["a", "b", "c"] {
        client.subscribe(filter, 0);
    }
    let near =
        |limit: &str| metrics(&broker)[&format!("countersign_limit_near{{limit=\"{limit}\"}}")];
    let limit = "subscriptions_per_session_max";
    assert_eq!(near(limit), 0.0);
    client.subscribe("d", 0);
    let told = ["a limit is nearly reached", limit, "machine", "the-machine", "used=4", "max=5"];
    assert_eq!(broker.log_lines(&told).len(), 1);
    assert_eq!((near(limit), near("connections_max")), (1.0, 0.0));
    drop(client);
    assert!(!broker.log_lines(&["a limit has room again", limit, "used=0"]).is_empty());
    assert_eq!(near(limit), 0.0);
    assert!(!broker.stderr().contains("limit=\"connections_max\""));
}

#[test]
fn what_the_broker_says_of_itself_is_there_on_subscribing_and_goes_on() {
    let broker = setup().env("COUNTERSIGN_SYS_INTERVAL", "50ms").start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut outsider = machine(&broker, Version::V5);
    assert_eq!(outsider.subscribe("$SYS/#", 0), 0x87);
    assert_eq!(outsider.subscribe("#", 0), 0);
    assert_eq!(outsider.publish(Publish::new("$SYS/broker/uptime", b"0").qos(1, 0)), 0x87);
    for version in Version::BOTH {
        let login = login(version, "reader").user("admin-of-test", PASSWORD);
        let mut reader = login.connect(broker.mqtt());
        assert_eq!(reader.subscribe("$SYS/#", 1), 1);
        let mut values = BTreeMap::new();
        // All of them come at once, in no order; then the client counts itself soon.
        let connected = "$SYS/broker/clients/connected";
        while values.len() < 54 || values.get(connected).is_none_or(|it| it != "2") {
            let (topic, payload) = reader.message();
            values.insert(topic, String::from_utf8(payload).unwrap());
        }
        assert!(values["$SYS/broker/version"].starts_with("countersign version "));
        assert!(!values.values().any(|it| it.contains("machine")));
        reader.disconnect();
        eventually("it is gone", || {
            let online = metrics(&broker)[r#"countersign_connections{listener="mqtt"}"#];
            (online - 1.0).abs() < 0.1
        });
    }
    assert!(outsider.messages_before_ping().is_empty(), "`#` does not cover it");
}

#[test]
fn nothing_is_said_with_an_interval_of_zero() {
    let broker = setup().env("COUNTERSIGN_SYS_INTERVAL", "0s").start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    let mut reader = admin(&broker);
    assert_eq!(reader.subscribe("$SYS/#", 0), 0);
    assert!(reader.messages_before_ping().is_empty());
}

/// How many of `count` messages sent at once come within a moment, and how long all of them take.
fn pace(broker: &BrokerProcess, publishers: usize, count: usize) -> (usize, Duration) {
    let mut reader = admin(broker);
    assert_eq!(reader.subscribe("a", 0), 0);
    let begun = Instant::now();
    let mut links: Vec<MqttClient> = (0..publishers)
        .map(|number| {
            let id = format!("p{number}");
            login(Version::BOTH[number % 2], &id).user("machine", PASSWORD).connect(broker.mqtt())
        })
        .collect();
    for (number, link) in links.iter_mut().enumerate() {
        let version = Version::BOTH[number % 2];
        for _ in 0..count / publishers {
            link.send(&testkit::wire::publish(version, &Publish::new("a", b"x")));
        }
    }
    let mut at_once = 0;
    for _ in 0..count / publishers * publishers {
        reader.message();
        at_once += usize::from(begun.elapsed() < Duration::from_millis(400));
    }
    (at_once, begun.elapsed())
}

#[test]
fn a_publish_budget_holds_over_all_connections_and_follows_the_command_line_at_once() {
    let broker =
        broker_with_machine(&["--allow", "readWrite:a", "--publish-budget", "messages=20:10"]);
    // Ten at once, the other thirty in a second and a half.
    let (_, took) = pace(&broker, 4, 40);
    assert!(took > Duration::from_millis(1_300), "{took:?}");
    drop(broker.cli(&["role", "add", "quiet", "--publish-budget", "messages=10:1"]).ok());
    drop(broker.cli(&["user", "set", "machine", "--role", "quiet"]).ok());
    let (_, took) = pace(&broker, 1, 12);
    assert!(took > Duration::from_millis(900), "the role's is narrower: {took:?}");
    drop(broker.cli(&["role", "set", "quiet", "--no-publish-budget"]).ok());
    drop(broker.cli(&["user", "set", "machine", "--no-publish-budget"]).ok());
    let (_, took) = pace(&broker, 2, 400);
    assert!(took < Duration::from_secs(5), "{took:?}");
    let waits = metrics(&broker)["countersign_publish_budget_waits_total"];
    assert!(waits >= 2.0, "{waits}");
    assert!(!broker.log_lines(&["publisher is over its budget", "machine"]).is_empty());
}

#[test]
fn a_publish_budget_is_shown_kept_exported_audited_and_refused_if_it_makes_no_sense() {
    let mut broker = broker_with_machine(&["--publish-budget", "messages=5,bytes=1000:2000"]);
    let expected = json!({
        "messagesPerSecond": 5, "messagesBurst": 5, "bytesPerSecond": 1000, "bytesBurst": 2000
    });
    let shown = broker.cli_json(&["user", "show", "machine"]);
    assert_eq!(shown["publishBudget"], expected);
    let text = broker.cli(&["user", "show", "machine"]).ok().stdout;
    assert!(text.contains("messages=5:5,bytes=1000:2000"), "{text}");
    let id = shown["id"].as_str().unwrap();
    let path = format!("/api/users/{id}");
    for bad in [
        json!({}),
        json!({"messagesPerSecond": 0}),
        json!({"messagesBurst": 3}),
        json!({"messagesPerSecond": -1}),
        json!({"messagesPerSecond": 4_294_967_296_u64}),
        json!({"messages": 1}),
        json!("messages=1"),
    ] {
        let reply = broker.request("PATCH", &path, Some(&json!({"publishBudget": bad})));
        assert_eq!(reply.status, 400, "{bad}: {:?}", reply.body);
    }
    for bad in ["messages=0", "messages", "5", "bytes=1,bytes=2"] {
        let ran = broker.cli(&["user", "set", "machine", "--publish-budget", bad]);
        assert_eq!(ran.code, Some(2), "{bad}");
    }
    drop(broker.cli(&["role", "add", "loud", "--publish-budget", "bytes=9"]).ok());
    broker.kill_and_restart();
    assert_eq!(broker.cli_json(&["user", "show", "machine"])["publishBudget"], expected);
    let exported = broker.cli(&["export"]).ok().stdout;
    let file = broker.data_dir().join("policy.yaml");
    std::fs::write(&file, &exported).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(broker.cli(&["apply", "-f", file, "--prune"]).ok().stdout, "no changes\n");
    drop(broker.cli(&["user", "set", "machine", "--no-publish-budget"]).ok());
    drop(broker.cli(&["role", "set", "loud", "--publish-budget", "bytes=10"]).ok());
    assert_eq!(broker.cli_json(&["user", "show", "machine"])["publishBudget"], Value::Null);
    let audit = broker.cli(&["--json", "audit"]).ok().stdout;
    for change in ["messages=5:5,bytes=1000:2000", "bytes=9:9", "bytes=10:10"] {
        assert!(audit.contains(change), "{change} is not in the audit log");
    }
    let applied = broker.cli(&["apply", "-f", file]).ok().stdout;
    assert!(applied.contains("user.update machine"), "{applied}");
    assert_eq!(broker.cli_json(&["user", "show", "machine"])["publishBudget"], expected);
}

const CEILING_MIB: u64 = 192;

#[test]
fn at_the_memory_ceiling_what_needs_more_is_refused_and_the_rest_goes_on_until_it_is_better() {
    let broker = setup()
        .env("COUNTERSIGN_LIMITS_MEMORY_BYTES_MAX", (CEILING_MIB << 20).to_string())
        .env("COUNTERSIGN_LIMITS_QUEUE_BYTES_MAX", "1000000000")
        .env("COUNTERSIGN_DURABILITY", "none")
        .start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut bystander = admin(&broker);
    let mut other = machine(&broker, Version::V5);
    assert_eq!(other.subscribe("quiet", 0), 0);
    let gone = login(Version::V5, "gone").user("machine", PASSWORD).resuming();
    let mut gone = gone.connect(broker.mqtt());
    assert_eq!(gone.subscribe("flood", 1), 1);
    gone.disconnect();
    let flooder = login(Version::V5, "flooder").user("machine", PASSWORD);
    let mut flooder = flooder.connect(broker.mqtt());
    let payload = vec![7; 256 << 10];
    let mut taken = 0;
    while flooder.publish(Publish::new("flood", &payload).qos(1, 0)) != 0x97 {
        taken += 1;
        assert!(taken < 4_000, "nothing is refused");
        assert!(broker.resident_kib() < CEILING_MIB << 10, "after {taken}");
    }
    assert!(taken > 20, "{taken}");
    assert_eq!(login(Version::V5, "late").user("machine", PASSWORD).code(broker.mqtt()), 0x97);
    assert_eq!(login(Version::V311, "late").user("machine", PASSWORD).code(broker.mqtt()), 3);
    assert_eq!(bystander.subscribe("something/new", 0), 0x97);
    // What is kept nowhere goes on.
    assert_eq!(bystander.publish(Publish::new("quiet", b"still")), 0);
    assert_eq!(other.message(), ("quiet".to_owned(), b"still".to_vec()));
    let found = metrics(&broker);
    assert_eq!(found["countersign_memory_level"], 2.0);
    assert!(found[r#"countersign_publishes_refused_total{reason="memory_bytes_max"}"#] >= 1.0);
    assert!(!broker.log_lines(&["memory is full"]).is_empty());
    assert!(broker.resident_kib() < CEILING_MIB << 10);
    // What was kept for somebody who is not coming back is given up.
    drop(broker.cli(&["client", "kick", "machine", "gone"]).ok());
    eventually("memory is ample again", || metrics(&broker)["countersign_memory_level"] == 0.0);
    assert_eq!(login(Version::V5, "late").user("machine", PASSWORD).code(broker.mqtt()), 0);
    assert_eq!(bystander.subscribe("something/new", 0), 0);
}

#[test]
fn readers_that_have_stopped_do_not_take_memory_without_bound_and_do_not_slow_others() {
    let broker = setup().env("COUNTERSIGN_LIMITS_SLOW_CONSUMER_PATIENCE_MS", "300").start();
    broker.add_user("admin-of-test", PASSWORD, &["--role", "connectware-admin"]);
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut stopped = machine(&broker, Version::V5);
    assert_eq!(stopped.subscribe("flood", 1), 1);
    let before = broker.resident_kib();
    let payload = vec![7; 1_000];
    std::thread::scope(|scope| {
        let broker = &broker;
        let payload = &payload;
        for number in 0..5_u8 {
            scope.spawn(move || {
                let id = format!("flooder-{number}");
                let login = login(Version::V5, &id).user("machine", PASSWORD);
                let mut link = login.connect(broker.mqtt());
                let publish = || Publish::new("flood", payload).qos(number % 2, 1);
                for _ in 0..3_000 {
                    if number % 2 == 0 {
                        link.send(&testkit::wire::publish(Version::V5, &publish()));
                    } else {
                        assert_eq!(link.publish(publish()), 0);
                    }
                }
                link.ping();
            });
        }
        let mut bystander = admin(broker);
        for _ in 0..20 {
            bystander.ping();
        }
    });
    let found = metrics(&broker);
    assert!(found["countersign_receivers_given_up_total"] >= 1.0);
    let dropped =
        |rule: &str| found[&format!("countersign_messages_dropped_total{{rule=\"{rule}\"}}")];
    assert!(dropped("outbox_bytes_max") > 0.0);
    let grown_kib = broker.resident_kib().saturating_sub(before);
    assert!(grown_kib < 64 << 10, "{grown_kib} KiB");
    drop(stopped);
}
