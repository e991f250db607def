//! The load generator counts what it is to count, and its verdict is its exit code.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use testkit::{BrokerProcess, CliRun};

use crate::support::{PASSWORD, broker_with_machine, setup};

fn bench(broker: &BrokerProcess, line: &str) -> CliRun {
    bench_at(broker, broker.mqtt(), line)
}

fn bench_at(broker: &BrokerProcess, address: SocketAddr, line: &str) -> CliRun {
    let password_file = broker.data_dir().join("password-of-machine");
    fs::write(&password_file, PASSWORD).expect("the password file is written");
    let port = address.port().to_string();
    let password_file = password_file.display().to_string();
    let mut arguments = vec!["bench"];
    arguments.extend(line.split_whitespace());
    arguments.extend(["--json", "--quiet", "--port", &port, "--user", "machine"]);
    arguments.extend(["--password-file", &password_file]);
    broker.cli(&arguments)
}

fn number(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {result}"))
}

/// Every message sent comes to so many receivers, once and in order.
fn check_messages(broker: &BrokerProcess, line: &str, sent: u64, receivers: u64) {
    let result = bench(broker, line).ok().json();
    assert_eq!(number(&result, "sent"), sent, "{line}");
    assert_eq!(number(&result, "delivered"), sent * receivers, "{line}");
    let wrong = ["lost", "outOfOrder", "refused", "connectionsLost"];
    assert!(wrong.iter().all(|name| number(&result, name) == 0), "{line}: {result}");
}

#[test]
fn every_message_is_counted_in_every_quality_of_service_and_version() {
    let broker = broker_with_machine(&["--allow", "readWrite:bench/#"]);
    for version in ["3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            let line = format!(
                "pubsub --publishers 3 --subscribers 6 --qos {qos} --mqtt {version} --messages 600"
            );
            check_messages(&broker, &line, 600, 2);
        }
    }
    check_messages(&broker, "fanout --subscribers 20 --in-transit 5 --messages 100", 100, 20);
    check_messages(&broker, "pubsub --rate 1000 --messages 200", 200, 1);
}

#[test]
fn what_is_kept_for_clients_that_are_away_counts_when_it_is_acknowledged_and_no_session_is_left() {
    let broker = broker_with_machine(&["--allow", "readWrite:bench/#"]);
    for version in ["3.1.1", "5"] {
        for qos in ["1", "2"] {
            let line = format!(
                "pubsub --offline --publishers 4 --subscribers 8 --qos {qos} --mqtt {version} --messages 400"
            );
            check_messages(&broker, &line, 400, 1);
        }
    }
    let clients = broker.cli(&["client", "list", "--json"]).ok().json();
    assert_eq!(clients.as_array().map(Vec::len), Some(0), "{clients}");
    let run = bench(&broker, "pubsub --offline --qos 0");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

#[test]
fn logins_are_counted_whether_they_leave_or_stay() {
    let broker = broker_with_machine(&[]);
    for line in [
        "connect --logins 60 --concurrency 7",
        "connect --logins 20 --hold 0",
        "storm --clients 30",
    ] {
        let result = bench(&broker, line).ok().json();
        assert!(number(&result, "logins") >= 20, "{line}: {result}");
        assert_eq!(number(&result, "refused") + number(&result, "failed"), 0, "{line}");
    }
}

#[test]
fn all_of_it_works_over_tls_and_tickets_are_used_when_asked_for() {
    let broker = setup().env("COUNTERSIGN_LISTENERS_MQTTS", "127.0.0.1:0").start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:bench/#"]);
    let tls = |line: &str| {
        let ca_file = broker.data_dir().join("certs").join("ca.crt");
        let line = format!("{line} --tls --ca-file {}", ca_file.display());
        bench_at(&broker, broker.listener("mqtts").expect("it listens"), &line).ok().json()
    };
    for (line, resumed_min, resumed_max) in [
        ("connect --logins 20 --concurrency 2", 0, 0),
        ("connect --logins 20 --concurrency 2 --resume", 15, 20),
        ("connect --logins 20 --concurrency 2 --resume --tls-version 1.2", 15, 20),
        ("connect --logins 5 --hold 0 --key-exchange hybrid", 0, 0),
    ] {
        let result = tls(line);
        assert_eq!(number(&result, "refused") + number(&result, "failed"), 0, "{line}: {result}");
        let resumed = number(&result, "resumed");
        assert!((resumed_min..=resumed_max).contains(&resumed), "{line}: {result}");
    }
    for line in ["pubsub --qos 0 --messages 3000", "pubsub --qos 2 --messages 300 --payload 9000"] {
        let result = tls(line);
        assert_eq!(number(&result, "delivered"), number(&result, "sent"), "{line}: {result}");
        assert!(number(&result, "sent") >= 300 && number(&result, "outOfOrder") == 0);
    }
}

#[test]
fn a_broker_that_refuses_is_not_good() {
    let broker = broker_with_machine(&["--allow", "read:bench/#"]);
    let run = bench(&broker, "pubsub --qos 1 --mqtt 5 --messages 10");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let run = bench(&broker, "pubsub --topic-prefix elsewhere/");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("refuses to subscribe to `elsewhere/0`"), "{}", run.stderr);
}
