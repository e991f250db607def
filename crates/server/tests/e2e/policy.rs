//! Policy files from outside.

use std::fs;

use testkit::{Version, login};

use crate::support::{PASSWORD, setup};

const POLICY: &str = "
roles:
  - name: reader
    permissions:
      - { resource: 'plant/#', operation: read }
users:
  - username: gauge
    passwordFile: gauge.password
    roles: [reader]
    mqttPublishPrefix: gauges/
  - username: press
    permissions:
      - { resource: 'press/${clientId}', operation: write }
";

#[test]
fn a_policy_file_is_shown_applied_and_then_no_change_any_more() {
    let broker = setup().start();
    let file = broker.data_dir().join("policy.yaml");
    let file = file.to_str().unwrap();
    fs::write(file, POLICY).unwrap();
    fs::write(broker.data_dir().join("gauge.password"), format!("{PASSWORD}\n")).unwrap();
    let gauge = || login(Version::V5, "c").user("gauge", PASSWORD).code(broker.mqtt());
    let shown = broker.cli(&["apply", "-f", file, "--dry-run"]).ok().stdout;
    for line in
        ["role.create reader", "user.create gauge", "user.password gauge", "  + roles: reader"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!shown.contains(PASSWORD));
    assert_eq!(gauge(), 0x86, "a dry run makes nothing");
    let done = broker.cli(&["apply", "-f", file]).ok().stdout;
    assert!(done.contains("user.create press") && done.ends_with("changes made\n"), "{done}");
    assert_eq!(gauge(), 0);
    assert_eq!(broker.cli(&["apply", "-f", file]).ok().stdout, "no changes\n");
    let exported = broker.cli(&["export"]).ok().stdout;
    assert!(!exported.contains("argon2"), "{exported}");
    fs::write(file, &exported).unwrap();
    let again = broker.cli(&["apply", "-f", file, "--prune"]).ok();
    assert_eq!(again.stdout, "no changes\n");
    assert_eq!(broker.cli(&["export"]).ok().stdout, exported);
}

#[test]
fn a_file_that_is_wrong_somewhere_changes_nothing() {
    let broker = setup().start();
    let file = broker.data_dir().join("policy.yaml");
    let before = broker.cli(&["export"]).ok().stdout;
    let check = |text: &str, code: i32, says: &str| {
        fs::write(&file, text).unwrap();
        let ran = broker.cli(&["apply", "-f", file.to_str().unwrap()]);
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        assert_eq!(broker.cli(&["export"]).ok().stdout, before);
    };
    check(&POLICY.replace("passwordFile: gauge.password", "password: x"), 2, "passwordFile");
    check(POLICY, 2, "gauge.password");
    let no_file = POLICY.replace("    passwordFile: gauge.password\n", "");
    check(
        &no_file.replace("press/${clientId}", "press/#/x"),
        1,
        "users[1].permissions[0].resource",
    );
    check(&no_file.replace("[reader]", "[writer]"), 1, "users[0].roles[0]");
    check(&no_file.replace("username: press", "username: press\n    admin: true"), 1, "admin");
    check("users: [", 2, "policy.yaml");
}

#[test]
fn the_last_administrator_who_can_log_in_is_kept_whoever_else_has_its_rights() {
    let mut broker = setup().start();
    let add = ["user", "add", "by-certificate", "--certificate", "--role", "connectware-admin"];
    drop(broker.cli(&add).ok());
    let attempts: [&[&str]; 4] = [
        &["user", "remove", "admin"],
        &["user", "disable", "admin"],
        &["user", "set", "admin", "--no-role", "connectware-admin"],
        &["user", "set", "admin", "--grant-type", "certificate"],
    ];
    let check = |broker: &testkit::BrokerProcess| {
        for attempt in attempts {
            let run = broker.cli(attempt);
            assert_eq!(run.code, Some(1), "{attempt:?}");
            assert!(run.stderr.contains("last enabled administrator"), "{}", run.stderr);
        }
    };
    check(&broker);
    let id = broker.cli_json(&["user", "show", "admin"])["id"].as_str().unwrap().to_owned();
    let reply = broker.request("DELETE", &format!("/api/users/{id}"), None);
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert_eq!(reply.body["type"], "urn:countersign:problem:last-administrator");
    broker.restart();
    check(&broker);
    broker.add_user("by-password", PASSWORD, &["--role", "connectware-admin"]);
    drop(broker.cli(&["user", "remove", "admin"]).ok());
    let run = broker.cli(&["user", "disable", "by-password"]);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
}
