//! The load generator counts what it is to count, and its verdict is its exit code.

use std::fs;

use serde_json::Value;
use testkit::{BrokerProcess, CliRun};

use crate::support::{PASSWORD, broker_with_machine};

fn bench(broker: &BrokerProcess, line: &str) -> CliRun {
    let password_file = broker.data_dir().join("password-of-machine");
    fs::write(&password_file, PASSWORD).expect("the password file is written");
    let port = broker.mqtt().port().to_string();
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
fn a_broker_that_refuses_is_not_good() {
    let broker = broker_with_machine(&["--allow", "read:bench/#"]);
    let run = bench(&broker, "pubsub --qos 1 --mqtt 5 --messages 10");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let run = bench(&broker, "pubsub --topic-prefix elsewhere/");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("refuses to subscribe to `elsewhere/0`"), "{}", run.stderr);
}
