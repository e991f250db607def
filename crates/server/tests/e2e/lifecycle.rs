//! Start, stop, restart, and every reason not to start.

use std::{fs, net::TcpListener, path::Path};

use serde_json::Value;
use testkit::{BrokerSetup, CliRun, Version, login};

use crate::support::{OTHER_PASSWORD, PASSWORD, machine, setup};

fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("not an array: {list}"));
    let mut names: Vec<String> =
        items.iter().map(|item| item[key].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn users_roles_and_permissions_survive_a_restart_and_a_power_cut() {
    let mut broker = setup().start();
    let _done = broker.cli(&["role", "add", "readers", "--allow", "read:plant/#"]).ok();
    broker.add_user(
        "machine",
        PASSWORD,
        &["--role", "readers", "--deny", "read:plant/safe", "--publish-prefix", "m/"],
    );
    let before = (
        broker.cli_json(&["user", "list"]),
        broker.cli_json(&["role", "list"]),
        broker.cli_json(&["user", "show", "machine"]),
    );
    assert!(names(&before.0, "username").contains(&"machine".to_owned()));
    broker.restart();
    let mut client = machine(&broker, Version::V5);
    assert_eq!(client.subscribe_all(&[("plant/a", 0), ("plant/safe", 0)]), [0, 0x87]);
    // What the command line has confirmed is on disk: no stop in order is needed.
    broker.add_user("latest", OTHER_PASSWORD, &["--role", "readers"]);
    let _done = broker.cli(&["user", "disable", "machine"]).ok();
    broker.kill_and_restart();
    assert_eq!(login(Version::V5, "c").user("latest", OTHER_PASSWORD).code(broker.mqtt()), 0);
    assert_eq!(login(Version::V5, "c").user("machine", PASSWORD).code(broker.mqtt()), 0x86);
    let _done = broker.cli(&["user", "enable", "machine"]).ok();
    broker.kill_and_restart();
    assert_eq!(broker.cli_json(&["role", "list"]), before.1);
    let shown = broker.cli_json(&["user", "show", "machine"]);
    for field in ["id", "roles", "permissions", "mqttPublishPrefix", "grantTypes", "enabled"] {
        assert_eq!(shown[field], before.2[field], "{field}");
    }
}

#[test]
fn a_half_written_change_is_either_there_or_not_after_a_power_cut() {
    let mut broker = setup().start();
    for round in 0..3 {
        let confirmed: Vec<String> = (0..5).map(|n| format!("user-{round}-{n}")).collect();
        for name in &confirmed {
            broker.add_user(name, PASSWORD, &["--allow", "read:a"]);
        }
        broker.kill_and_restart();
        let listed = names(&broker.cli_json(&["user", "list"]), "username");
        for name in &confirmed {
            assert!(listed.contains(name), "{name} was confirmed and is gone: {listed:?}");
        }
    }
}

#[test]
fn sigterm_tells_mqtt_5_clients_that_the_server_shuts_down() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let mut new = login(Version::V5, "new").user("machine", PASSWORD).connect(broker.mqtt());
    let mut old = login(Version::V311, "old").user("machine", PASSWORD).connect(broker.mqtt());
    assert!(broker.terminate().success(), "a stop in order is a success");
    assert_eq!(new.expect_disconnect(), 0x8B);
    assert!(old.is_closed_within(std::time::Duration::from_secs(5)));
}

#[test]
fn sighup_stops_nothing_and_ends_no_connection() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let mut client = login(Version::V5, "c").user("machine", PASSWORD).connect(broker.mqtt());
    broker.hang_up();
    assert_eq!(broker.log_lines(&["SIGHUP"]).len(), 1);
    client.ping();
    assert!(broker.terminate().success(), "it still stops in order");
}

#[test]
fn the_ready_line_names_the_bound_addresses_and_leaves_out_what_is_off() {
    let broker = setup().start();
    assert_eq!(broker.ready_line(), format!("ready mqtt={}", broker.mqtt()));
    assert_ne!(broker.mqtt().port(), 0);
}

/// Starts with `setup` on `data_dir`, which must fail with one clear line that holds `needles`.
fn check_refused(setup: &BrokerSetup, data_dir: &Path, needles: &[&str]) {
    let CliRun { code, stdout, stderr } = setup.serve_to_the_end(data_dir);
    assert!(matches!(code, Some(1 | 2)), "exit code {code:?}: {stderr}");
    assert_eq!(stdout, "", "nothing but the ready line goes to stdout");
    let last = stderr.lines().last().unwrap_or_default();
    for needle in needles {
        assert!(last.contains(needle), "no `{needle}` in the last line of: {stderr}");
    }
    let clear = stderr.lines().filter(|line| needles.iter().all(|needle| line.contains(needle)));
    assert_eq!(clear.count(), 1, "one line says it: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_second_server_on_the_same_data_directory_is_refused() {
    let broker = setup().start();
    let data_dir = broker.data_dir().to_owned();
    check_refused(&setup(), &data_dir, &[data_dir.to_str().unwrap()]);
    // The first one is none the worse for it.
    assert_eq!(names(&broker.cli_json(&["user", "list"]), "username"), ["admin"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let parent = tempfile::tempdir().unwrap();
    let setup = setup().env("COUNTERSIGN_LISTENERS_MQTT", address.as_str());
    check_refused(&setup, &parent.path().join("data"), &[&address]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "in the way").unwrap();
    check_refused(&setup(), &file, &[file.to_str().unwrap()]);
    let below = file.join("below");
    check_refused(&setup(), &below, &[below.to_str().unwrap()]);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let parent = tempfile::tempdir().unwrap();
    let config = parent.path().join("countersign.toml");
    fs::write(&config, "[listeners]\nmqtt = \"127.0.0.1:0\"\nmqttz = \"off\"\n").unwrap();
    let with_file = setup().argument("--config").argument(config.to_str().unwrap());
    let data_dir = parent.path().join("data");
    check_refused(&with_file, &data_dir, &["mqttz", "listeners.mqtt", ":3"]);
    let with_variable = setup().env("COUNTERSIGN_LISTENERS_MQTZ", "off");
    check_refused(
        &with_variable,
        &data_dir,
        &["COUNTERSIGN_LISTENERS_MQTZ", "COUNTERSIGN_LISTENERS_MQTT"],
    );
    assert!(!data_dir.exists(), "a start that was refused leaves nothing behind");
}

#[test]
fn values_that_do_not_fit_stop_the_start() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    let policy = "CYBUS_AUTH_PASSWORD_POLICY_RULES";
    let cases = [
        (policy, "{\"min\": 8"),
        (policy, "{\"minn\": 8}"),
        (policy, "{\"min\": -1}"),
        (policy, "{\"min\": 1.5}"),
        (policy, "[]"),
        (policy, ""),
        ("CYBUS_BROKER_USE_MUTUAL_TLS", ""),
        ("CYBUS_BROKER_USE_MUTUAL_TLS", "maybe"),
        ("CYBUS_INITIAL_ADMIN_USER_PASSWORD", "not base64!"),
        ("COUNTERSIGN_LISTENERS_MQTT", "1883"),
        ("COUNTERSIGN_LIMITS_PACKET_SIZE_MAX", "many"),
        ("COUNTERSIGN_AUTHENTICATION", "none"),
    ];
    for (variable, value) in cases {
        check_refused(&setup().env(variable, value), &data_dir, &[variable]);
    }
    assert!(!data_dir.exists(), "a start that was refused leaves nothing behind");
}

#[test]
fn the_first_password_is_random_or_given_and_never_well_known() {
    let parent = tempfile::tempdir().unwrap();
    let given = setup()
        .env("CYBUS_INITIAL_ADMIN_USER_PASSWORD", "dmlvbGV0LXRyYWN0b3ItOTQtaHVtcw==")
        .start();
    let admin = |password: &str| login(Version::V5, "c").user("admin", password).code(given.mqtt());
    assert_eq!(admin(PASSWORD), 0);
    for guess in ["admin", "password", "public", "hivemq", "connectware", "countersign", ""] {
        assert_eq!(admin(guess), 0x86, "{guess}");
    }
    let mut random = setup().start();
    let printed = |broker: &testkit::BrokerProcess| -> Vec<String> {
        let log = broker.stderr();
        log.lines().filter(|line| line.contains("the password ")).map(str::to_owned).collect()
    };
    let lines = printed(&random);
    assert_eq!(lines.len(), 1, "printed once: {lines:?}");
    let (_, after) = lines[0].split_once("the password ").expect("the line says it");
    let word = after.split(' ').next().expect("a word").to_owned();
    assert_eq!(login(Version::V5, "c").user("admin", &word).code(random.mqtt()), 0, "{lines:?}");
    random.restart();
    assert_eq!(printed(&random).len(), 1, "not again at the next start");
    drop(parent);
}

#[test]
fn the_last_administrator_stays() {
    let broker = setup().start();
    for attempt in [["user", "disable", "admin"], ["user", "remove", "admin"]] {
        let refused = broker.cli(&attempt);
        assert_eq!(refused.code, Some(1), "{attempt:?}: {}", refused.stdout);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
    broker.add_user("second", PASSWORD, &["--role", "connectware-admin"]);
    let _done = broker.cli(&["user", "remove", "admin"]).ok();
    assert_eq!(names(&broker.cli_json(&["user", "list"]), "username"), ["second"]);
}

#[test]
fn wrong_usage_exits_with_2_and_a_refusal_with_1() {
    let broker = setup().start();
    assert_eq!(broker.cli(&["user", "frobnicate"]).code, Some(2));
    assert_eq!(broker.cli(&["user", "show"]).code, Some(2));
    assert_eq!(broker.cli(&["user", "show", "nobody"]).code, Some(1));
    assert_eq!(broker.cli(&["role", "add", "x y z"]).code, Some(1));
    assert_eq!(broker.cli(&["role", "add", "readers", "--allow", "read:a/#/b"]).code, Some(1));
    let weak =
        broker.cli_with_input(&["user", "add", "machine", "--password-stdin"], Some("password\n"));
    assert_eq!(weak.code, Some(1), "a common password is refused");
    assert!(!weak.stderr.contains("`password`"), "and not repeated: {}", weak.stderr);
}

#[test]
fn the_log_says_at_start_what_each_listener_demands() {
    let broker = setup().env("COUNTERSIGN_ANONYMOUS_USER", "guest").start();
    let address = broker.mqtt().to_string();
    let lines = broker.log_lines(&[&address, "listening"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("password") && lines[0].contains("guest"), "{lines:?}");
}
