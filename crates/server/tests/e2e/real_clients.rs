//! Sessions with the clients that people use: paho-mqtt, aiomqtt, gmqtt and mqttools for Python, MQTT.js for
//! Node, and the clients of Mosquitto.
//!
//! The scripts lie in `clients/`; each takes the port and a version, exchanges messages with all three
//! qualities of service in both directions, is refused where it must be, and prints `done` at the end.

use std::{process::Command, time::Duration};

use testkit::{find_program, run_real};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup};

const LIMIT: Duration = Duration::from_secs(60);

/// Whether `program` has the library; missing is a failure only where CI is set.
pub(crate) fn has_library(program: &str, probe: &[&str]) -> bool {
    let is_there = find_program(program)
        .is_some_and(|path| run_real(Command::new(path).args(probe), LIMIT).code == Some(0));
    if !is_there {
        eprintln!("SKIPPED: {program} {probe:?} does not work");
        assert!(std::env::var_os("CI").is_none(), "{program} {probe:?} must work where CI is set");
    }
    is_there
}

fn check_script(program: &str, script: &str, versions: &[&str]) {
    let broker = setup().start();
    broker.add_user(
        "machine",
        PASSWORD,
        &["--allow", "readWrite:plant/#", "--deny", "read:plant/safe"],
    );
    let script = format!("{}/tests/e2e/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    for version in versions {
        let port = broker.mqtt().port().to_string();
        let mut command = Command::new(find_program(program).expect("just found"));
        command.args([script.as_str(), &port, version, "machine", PASSWORD, OTHER_PASSWORD]);
        let ran = run_real(&mut command, LIMIT);
        assert_eq!(ran.code, Some(0), "version {version}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.trim_end().lines().last(), Some("done"), "version {version}");
    }
}

// Shows 3.1.1: [MQTT-7.0.0-2], [MQTT-7.1.1-1]; 5.0: [MQTT-4.2-1], [MQTT-7.0.0-2].
#[test]
fn paho_for_python_holds_sessions_in_both_versions() {
    if has_library("python3", &["-c", "import paho.mqtt.client"]) {
        check_script("python3", "paho_session.py", &["4", "5"]);
    }
}

#[test]
fn aiomqtt_holds_sessions_in_both_versions() {
    if has_library("python3", &["-c", "import aiomqtt"]) {
        check_script("python3", "aiomqtt_session.py", &["4", "5"]);
    }
}

#[test]
fn gmqtt_holds_sessions_in_both_versions() {
    if has_library("python3", &["-c", "import gmqtt"]) {
        check_script("python3", "gmqtt_session.py", &["4", "5"]);
    }
}

/// It knows no other version, and no QoS but 0; but topic aliases both ways.
#[test]
fn mqttools_holds_sessions_with_topic_aliases_in_both_directions() {
    if has_library("python3", &["-c", "import mqttools"]) {
        check_script("python3", "mqttools_session.py", &["5"]);
    }
}

#[test]
fn mosquitto_publishes_and_subscribes_with_each_qos_in_both_versions() {
    if has_library("sh", &["-c", "command -v mosquitto_sub && command -v mosquitto_pub"]) {
        check_script("sh", "mosquitto_session.sh", &["4", "5"]);
    }
}

#[test]
fn mqtt_js_holds_sessions_in_both_versions() {
    if has_library("node", &["-e", "require('mqtt')"]) {
        check_script("node", "mqttjs_session.js", &["4", "5"]);
    }
}
