//! Sessions with the clients that people use: paho-mqtt for Python and MQTT.js for Node.
//!
//! The scripts lie in `clients/`; each takes the port and a version, exchanges messages with all three
//! qualities of service in both directions, is refused where it must be, and prints `done` at the end.

use std::{process::Command, time::Duration};

use testkit::{find_program, run_real};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup};

const LIMIT: Duration = Duration::from_secs(60);

/// Whether `program` has the library; missing is a failure only where CI is set.
fn has_library(program: &str, probe: &[&str]) -> bool {
    let is_there = find_program(program)
        .is_some_and(|path| run_real(Command::new(path).args(probe), LIMIT).code == Some(0));
    if !is_there {
        eprintln!("SKIPPED: {program} {probe:?} does not work");
        assert!(std::env::var_os("CI").is_none(), "{program} {probe:?} must work where CI is set");
    }
    is_there
}

fn check_script(program: &str, script: &str) {
    let broker = setup().start();
    broker.add_user(
        "machine",
        PASSWORD,
        &["--allow", "readWrite:plant/#", "--deny", "read:plant/safe"],
    );
    let script = format!("{}/tests/e2e/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    for version in ["4", "5"] {
        let port = broker.mqtt().port().to_string();
        let mut command = Command::new(find_program(program).expect("just found"));
        command.args([&script, &port, version, "machine", PASSWORD, OTHER_PASSWORD]);
        let ran = run_real(&mut command, LIMIT);
        assert_eq!(ran.code, Some(0), "version {version}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.trim_end().lines().last(), Some("done"), "version {version}");
    }
}

#[test]
fn paho_for_python_holds_sessions_in_both_versions() {
    if has_library("python3", &["-c", "import paho.mqtt.client"]) {
        check_script("python3", "paho_session.py");
    }
}

#[test]
fn mqtt_js_holds_sessions_in_both_versions() {
    if has_library("node", &["-e", "require('mqtt')"]) {
        check_script("node", "mqttjs_session.js");
    }
}
