//! Disks that are full, broken, or have lost something: what the broker says, refuses and keeps.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::wire::Publish;
use testkit::{BrokerProcess, Outcome, Version, login};

use crate::support::{PASSWORD, setup};

fn by(version: Version, client_id: &str) -> testkit::Login<'_> {
    login(version, client_id).user("machine", PASSWORD)
}

/// The value of this metric.
fn metric(broker: &BrokerProcess, name: &str) -> Option<f64> {
    let body = broker.request("GET", "/metrics", None).body;
    let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
    body.as_str()?.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

fn ready(broker: &BrokerProcess) -> String {
    broker.request("GET", "/readyz", None).body.as_str().unwrap_or_default().to_owned()
}

/// Whether this machine lets anybody have a file system of his own.
fn has_own_mounts() -> bool {
    let mount = "mount -t tmpfs -o size=1m tmpfs /tmp";
    let tried = Command::new("unshare").args(["-Urm", "sh", "-c", mount]).output();
    let is_possible = tried.as_ref().is_ok_and(|it| it.status.success());
    if !is_possible {
        eprintln!(
            "LEFT OUT: no user namespaces with mounts here, so no small disk to fill: {tried:?}"
        );
    }
    is_possible
}

#[test]
fn a_state_log_on_a_full_disk_refuses_with_0x97_and_goes_on_when_there_is_room() {
    if !has_own_mounts() {
        return;
    }
    // The first argument after the script is the program, then `--data-dir` and the directory.
    let script = "mkdir -p \"$2/state\" && mount -t tmpfs -o size=2m tmpfs \"$2/state\" && exec \"$0\" \"$@\"";
    let broker = setup().run_by(&["unshare", "-Urm", "sh", "-c", script]).start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut kept = by(Version::V5, "kept").resuming().connect(broker.mqtt());
    assert_eq!(kept.subscribe("a", 1), 1);
    let mut clean = by(Version::V5, "clean").connect(broker.mqtt());
    assert_eq!(clean.subscribe("free", 1), 1);
    assert_eq!(metric(&broker, "countersign_state_failing"), Some(0.0));
    assert_eq!(ready(&broker), "ready\n");
    let state = broker.data_dir().join("state");
    let inside = format!("/proc/{}/root{}", broker.process_id(), state.display());
    let ballast = Path::new(&inside).join("ballast");
    // The last page of the journal has room for some more, and a log that is opened again may give some back.
    let mut rounds = 0..200;
    testkit::eventually("the disk stays full", || {
        fill(&ballast);
        let client_id = format!("first-{:?}", rounds.next());
        drop(by(Version::V5, &client_id).resuming().outcome(broker.mqtt()));
        fill(&ballast);
        metric(&broker, "countersign_state_failing") == Some(1.0)
    });
    assert!(!broker.log_lines(&["ERROR", "the disk is full", "0x97"]).is_empty());
    assert_eq!(by(Version::V5, "second").resuming().code(broker.mqtt()), 0x97);
    assert_eq!(by(Version::V311, "third").resuming().code(broker.mqtt()), 3);
    assert_eq!(kept.subscribe("b", 1), 0x97);
    assert_eq!(clean.publish(Publish::new("a", b"x").qos(1, 0)), 0x97);
    assert_eq!(clean.publish(Publish::new("a", b"x").qos(2, 0)), 0x97);
    assert_eq!(clean.publish(Publish::new("free", b"x").qos(1, 0)), 0);
    assert_eq!(clean.message().0, "free");
    assert_eq!(metric(&broker, "countersign_state_failing"), Some(1.0));
    let refused = |packet| {
        metric(&broker, &format!("countersign_state_refusals_total{{packet=\"{packet}\"}}"))
    };
    assert!(refused("connect") >= Some(2.0));
    assert!(refused("publish") >= Some(2.0));
    assert!(refused("subscribe") >= Some(1.0));
    assert_eq!(ready(&broker), "ready, impaired: see the log\n");
    fs::remove_file(&ballast).unwrap();
    testkit::eventually("it goes on", || metric(&broker, "countersign_state_failing") == Some(0.0));
    assert!(!broker.log_lines(&["is written again", "after_s"]).is_empty());
    assert_eq!(clean.publish(Publish::new("a", b"y").qos(1, 0)), 0);
    assert_eq!(kept.message(), ("a".to_owned(), b"y".to_vec()));
    assert_eq!(by(Version::V5, "second").resuming().code(broker.mqtt()), 0);
    assert_eq!(metric(&broker, "countersign_state_failing"), Some(0.0));
}

/// Writes until there is no room.
fn fill(file: &Path) {
    let mut file = fs::File::options().create(true).append(true).open(file).unwrap();
    for block in [65_536, 512, 1] {
        while file.write_all(&vec![7; block]).is_ok() {}
    }
}

#[test]
fn a_state_log_that_is_gone_when_the_disk_is_back_is_refused_with_0x83_until_a_restart() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut clean = by(Version::V5, "clean").connect(broker.mqtt());
    broker.limit_file_size(Some(0));
    let first = by(Version::V5, "first").resuming().outcome(broker.mqtt());
    assert!(matches!(first, Outcome::Closed), "{first:?}");
    assert_eq!(broker.log_lines(&["ERROR", "0x97"]).len(), 1, "a file may not grow");
    let state = broker.data_dir().join("state");
    fs::remove_dir_all(&state).unwrap();
    broker.limit_file_size(None);
    let lines = broker.log_lines(&["ERROR", "0x83"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(by(Version::V5, "second").resuming().code(broker.mqtt()), 0x83);
    assert_eq!(by(Version::V311, "third").resuming().code(broker.mqtt()), 3);
    assert_eq!(clean.publish(Publish::new("r", b"x").qos(1, 0).retained()), 0x83);
    assert_eq!(metric(&broker, "countersign_state_failing"), Some(2.0));
    assert!(!state.exists(), "nothing is made in its place that would hide what is lost");
    broker.kill_and_restart();
    assert_eq!(by(Version::V5, "second").resuming().code(broker.mqtt()), 0);
}

#[test]
fn a_state_directory_that_is_removed_in_use_loses_nothing() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert_eq!(reader.subscribe("a", 1), 1);
    drop(reader);
    let mut writer = by(Version::V5, "writer").connect(broker.mqtt());
    assert_eq!(writer.publish(Publish::new("a", b"before").qos(1, 0)), 0);
    fs::remove_dir_all(broker.data_dir().join("state")).unwrap();
    assert_eq!(writer.publish(Publish::new("a", b"after").qos(1, 0)), 0);
    assert_eq!(broker.log_lines(&["ERROR", "written anew"]).len(), 1);
    broker.kill_and_restart();
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert!(reader.session_present());
    assert_eq!(reader.message().1, b"before");
    assert_eq!(reader.message().1, b"after");
}

#[test]
fn a_change_of_rights_that_cannot_be_written_is_an_error_and_changes_nothing() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let user = broker.request("GET", "/api/users?username[eq]=machine", None).body;
    let target = format!("/api/users/{}", user["items"][0]["id"].as_str().unwrap());
    let denies = json!({"permissions": [
        {"resource": "#", "operation": "readWrite", "context": "mqtt"},
        {"resource": "secret", "operation": "read", "context": "mqtt", "effect": "deny"},
    ]});
    let decision = |broker: &BrokerProcess| {
        broker.explain("machine", "read", "secret", "c")["decision"].clone()
    };
    let mut reader = by(Version::V5, "reader").connect(broker.mqtt());
    assert_eq!(reader.subscribe("secret", 1), 1);
    broker.limit_file_size(Some(0));
    for (method, path, body) in [
        ("PATCH", target.as_str(), Some(&denies)),
        ("DELETE", target.as_str(), None),
        ("POST", "/api/roles", Some(&json!({"name": "new-role", "permissions": []}))),
        ("PATCH", target.as_str(), Some(&denies)),
        ("POST", "/api/roles", Some(&json!({"name": "new-role", "permissions": []}))),
    ] {
        let reply = broker.request(method, path, body);
        assert!((500..600).contains(&reply.status), "{method}: {}", reply.body);
        assert!(reply.body["type"].as_str().is_some_and(|it| it.starts_with("urn:")));
    }
    assert_eq!(decision(&broker), "allow", "an error is no change");
    reader.ping();
    broker.limit_file_size(None);
    let reply = broker.request("PATCH", &target, Some(&denies));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(decision(&broker), "deny");
    let roles = broker.request("GET", "/api/roles?name[eq]=new-role", None).body;
    assert_eq!(roles["total"], 0, "nothing of it was left to be made later");
    // What is confirmed after an outage is not a part of something that never ends.
    broker.kill_and_restart();
    assert_eq!(decision(&broker), "deny");
}

#[test]
fn a_users_database_on_a_full_disk_says_507_and_goes_on_when_there_is_room() {
    if !has_own_mounts() {
        return;
    }
    let script = "mkdir -p \"$2\" && cd / && mount -t tmpfs -o size=3m,mode=700 tmpfs \"$2\" && exec \"$0\" \"$@\"";
    let broker = setup()
        .env("COUNTERSIGN_DURABILITY", "none")
        .env("COUNTERSIGN_LISTENERS_HTTPS", "off")
        .run_by(&["unshare", "-Urm", "sh", "-c", script])
        .start();
    let inside = format!("/proc/{}/root{}", broker.process_id(), broker.data_dir().display());
    let ask = |method: &str, target: &str, body: Option<&serde_json::Value>| {
        testkit::try_request(&Path::new(&inside).join("admin.sock"), method, target, body).unwrap()
    };
    let role = |name: &str| json!({"name": name, "permissions": []});
    assert_eq!(ask("POST", "/api/roles", Some(&role("first"))).status, 201);
    let ballast = Path::new(&inside).join("ballast");
    fill(&ballast);
    // Room that the write-ahead log has is used up first.
    let mut full = None;
    for number in 0..200 {
        let reply = ask("POST", "/api/roles", Some(&role(&format!("role-{number}"))));
        if reply.status != 201 {
            full = Some((number, reply));
            break;
        }
    }
    let (number, reply) = full.expect("the disk is full");
    assert_eq!(reply.status, 507, "{}", reply.body);
    assert_eq!(reply.body["type"], "urn:countersign:problem:disk-full");
    fs::remove_file(&ballast).unwrap();
    let count =
        |name: &str| ask("GET", &format!("/api/roles?name[eq]={name}"), None).body["total"].clone();
    let last = format!("role-{number}");
    assert_eq!(count(&last), 0);
    assert_eq!(ask("POST", "/api/roles", Some(&role(&last))).status, 201);
    assert_eq!(count(&last), 1);
}

/// What a start says after this was done to the data directory of a killed broker; it must not start.
fn refused_start(strike: impl Fn(&Path), says: &[&str]) {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#", "--deny", "read:secret"]);
    broker.kill();
    strike(broker.data_dir());
    let run = setup().serve_to_the_end(broker.data_dir());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.stdout, "", "no ready line");
    for word in says {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("has the password"), "no new administrator: {}", run.stderr);
}

#[test]
fn flaw_26_a_users_database_that_is_lost_or_damaged_stops_the_start() {
    let database = |directory: &Path| directory.join("countersign.db");
    refused_start(
        |directory| {
            for name in ["countersign.db", "countersign.db-wal", "countersign.db-shm"] {
                fs::remove_file(directory.join(name)).unwrap();
            }
        },
        &["countersign.db", "missing or empty", "backup"],
    );
    refused_start(|directory| fs::write(database(directory), "").unwrap(), &["missing or empty"]);
}
