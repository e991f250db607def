//! A disk that does not answer, may not be written, or is held by somebody else: who needs it is told, and nobody else notices.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use testkit::wire::{self, Publish};
use testkit::{BrokerProcess, MqttClient, Version, login};

use crate::support::{PASSWORD, setup};

fn by(version: Version, client_id: &str) -> testkit::Login<'_> {
    login(version, client_id).user("machine", PASSWORD)
}

fn failing(broker: &BrokerProcess) -> String {
    let body = broker.request("GET", "/metrics", None).body;
    let lines = body.as_str().unwrap_or_default().lines();
    let line = lines.filter_map(|line| line.strip_prefix("countersign_state_failing "));
    let mut line = line;
    line.next().unwrap_or_default().to_owned()
}

/// A file that the log reads with each group is a pipe that nobody writes to: whoever opens it waits.
struct Hang {
    version: PathBuf,
    real: PathBuf,
    pipe: PathBuf,
}

impl Hang {
    fn begin(broker: &BrokerProcess) -> Self {
        // The files are looked at with a group that comes a tenth of a second after the last look.
        thread::sleep(Duration::from_millis(300));
        let directory = broker.data_dir().parent().unwrap();
        let version = broker.data_dir().join("state/version");
        let [real, pipe, other] = ["real", "pipe", "other"].map(|name| directory.join(name));
        fs::hard_link(&version, &real).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::hard_link(&pipe, &other).unwrap();
        // In one step: without the file the log would be damaged.
        fs::rename(&other, &version).unwrap();
        Self { version, real, pipe }
    }

    fn end(self) {
        fs::rename(&self.real, &self.version).unwrap();
        let mut pipe = fs::File::options().write(true).open(&self.pipe).unwrap();
        pipe.write_all(&fs::read(&self.version).unwrap()).unwrap();
    }
}

fn with_clients() -> (BrokerProcess, MqttClient, MqttClient) {
    let broker = setup().env("COUNTERSIGN_SERVER_DISK_PATIENCE", "2s").start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut kept = by(Version::V5, "kept").resuming().connect(broker.mqtt());
    assert_eq!(kept.subscribe("a", 1), 1);
    let mut clean = by(Version::V5, "clean").connect(broker.mqtt());
    assert_eq!(clean.subscribe("free", 1), 1);
    assert_eq!(clean.publish(Publish::new("a", b"before").qos(1, 0)), 0);
    (broker, kept, clean)
}

#[test]
fn a_disk_that_does_not_answer_is_told_refuses_what_needs_it_and_goes_on_when_it_does() {
    let (mut broker, kept, mut clean) = with_clients();
    drop(kept);
    testkit::eventually("what the client's going has made is written", || {
        broker.log_lines(&["client disconnected", "kept"]).len() == 1
    });
    let hang = Hang::begin(&broker);
    let mut waiting = by(Version::V5, "waiting").connect(broker.mqtt());
    waiting.send(&wire::publish(Version::V5, &Publish::new("a", b"waits").qos(1, 9)));
    // Until it is told, and afterwards, what needs no disk goes on.
    testkit::eventually("it is noticed", || {
        assert_eq!(clean.publish(Publish::new("free", b"x").qos(1, 0)), 0);
        assert_eq!(clean.message().0, "free");
        failing(&broker) == "3"
    });
    assert_eq!(broker.log_lines(&["ERROR", "the disk does not answer", "0x83"]).len(), 1);
    let ready = broker.request("GET", "/readyz", None).body;
    assert_eq!(ready, "ready, impaired: see the log\n");
    assert_eq!(waiting.expect_disconnect(), 0x83, "it waits no longer");
    for _ in 0..2 {
        assert_eq!(by(Version::V5, "kept").resuming().code(broker.mqtt()), 0x83);
        assert_eq!(by(Version::V311, "new").resuming().code(broker.mqtt()), 3);
        assert_eq!(clean.publish(Publish::new("a", b"x").qos(1, 0)), 0x83);
        assert_eq!(clean.publish(Publish::new("r", b"x").qos(1, 0).retained()), 0x83);
        let mut other = by(Version::V311, "other").connect(broker.mqtt());
        assert_eq!(other.subscribe("a", 1), 1, "a clean session");
    }
    broker.add_user("another", PASSWORD, &["--allow", "readWrite:#"]);
    hang.end();
    testkit::eventually("it goes on", || failing(&broker) == "0");
    assert_eq!(broker.log_lines(&["the disk answers", "after_s"]).len(), 1);
    assert_eq!(clean.publish(Publish::new("a", b"after").qos(1, 0)), 0);
    broker.kill_and_restart();
    let mut kept = by(Version::V5, "kept").resuming().connect(broker.mqtt());
    assert!(kept.session_present());
    let mut got = Vec::new();
    while got.last().is_none_or(|last| last != "after") {
        got.push(String::from_utf8(kept.message().1).unwrap());
    }
    got.retain(|it| it != "waits");
    assert_eq!(got, ["before", "after"], "what was not confirmed may come, in its place");
}

#[test]
fn a_disk_that_does_not_answer_does_not_keep_the_server_from_stopping() {
    let (mut broker, kept, mut clean) = with_clients();
    let hang = Hang::begin(&broker);
    clean.send(&wire::publish(Version::V5, &Publish::new("a", b"waits").qos(1, 9)));
    testkit::eventually("it is noticed", || failing(&broker) == "3");
    drop(kept);
    assert!(broker.terminate().success());
    let told = ["ERROR", "the disk does not answer", "not written to the end"];
    assert_eq!(broker.log_lines(&told).len(), 1);
    fs::rename(&hang.real, &hang.version).unwrap();
    broker.begin();
    let mut kept = by(Version::V5, "kept").resuming().connect(broker.mqtt());
    assert!(kept.session_present());
    assert_eq!(kept.message().1, b"before");
}

#[test]
fn a_broker_that_may_open_no_more_files_takes_its_log_for_what_it_is() {
    let (mut broker, kept, mut clean) = with_clients();
    drop(kept);
    testkit::eventually("what the client's going has made is written", || {
        broker.log_lines(&["client disconnected", "kept"]).len() == 1
    });
    let mut other = by(Version::V5, "other").connect(broker.mqtt());
    broker.limit_open_files(true);
    for number in 0..20 {
        let payload = format!("{number}");
        assert_eq!(clean.publish(Publish::new("a", payload.as_bytes()).qos(1, 0)), 0);
    }
    other.ping();
    broker.limit_open_files(false);
    for words in ["removed or replaced", "written anew", "cannot be written"] {
        assert!(!broker.stderr().contains(words), "{words}");
    }
    broker.kill_and_restart();
    let mut kept = by(Version::V5, "kept").resuming().connect(broker.mqtt());
    assert_eq!(kept.message().1, b"before");
    for number in 0..20 {
        assert_eq!(kept.message().1, format!("{number}").as_bytes());
    }
}

#[test]
fn a_data_directory_that_may_not_be_written_stops_the_start_with_one_line() {
    let mut broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    assert!(broker.terminate().success());
    for (part, says) in [("", "cannot lock it"), ("/state", "state of sessions")] {
        let script = format!(
            "mount --bind \"$2{part}\" \"$2{part}\" && mount -o remount,ro,bind \"$2{part}\" && exec \"$0\" \"$@\""
        );
        let words = ["unshare", "-Urm", "sh", "-c", script.as_str()];
        let run = setup().run_by(&words).serve_to_the_end(broker.data_dir());
        if run.stderr.contains("unshare") || run.stderr.contains("mount:") {
            eprintln!("LEFT OUT: no user namespaces with mounts here: {}", run.stderr);
            return;
        }
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("Read-only file system"), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
    broker.begin();
    assert_eq!(by(Version::V5, "c").code(broker.mqtt()), 0);
}

#[test]
fn a_users_database_that_another_process_holds_refuses_changes_and_nothing_else() {
    if !testkit::require_program("python3") {
        return;
    }
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); \
                c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(); c.execute('ROLLBACK')";
    let mut holder = Command::new("python3")
        .args(["-c", hold])
        .arg(broker.data_dir().join("countersign.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 5];
    holder.stdout.take().unwrap().read_exact(&mut held).unwrap();
    let role = |name: &str| serde_json::json!({"name": name, "permissions": []});
    let reply = thread::scope(|scope| {
        let asked = scope.spawn(|| broker.request("POST", "/api/roles", Some(&role("first"))));
        // The password is proven for the first time: its use is written later.
        let mut client = by(Version::V5, "client").connect(broker.mqtt());
        assert_eq!(client.subscribe("a", 1), 1);
        assert_eq!(client.publish(Publish::new("a", b"x").qos(1, 0)), 0);
        let wrong = login(Version::V5, "guess").user("machine", "a-wrong-password");
        assert_eq!(wrong.code(broker.mqtt()), 0x86);
        assert!(!asked.is_finished(), "all that while it waits");
        asked.join().unwrap()
    });
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert_eq!(reply.body["type"], "urn:countersign:problem:unavailable");
    assert_eq!(broker.log_lines(&["ERROR", "refused logins cannot be recorded for now"]).len(), 1);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(broker.request("POST", "/api/roles", Some(&role("first"))).status, 201);
    testkit::eventually("the refused login is on record", || {
        let records = broker.cli_json(&["audit", "--chain", "refusals"]);
        records.as_array().unwrap().iter().any(|it| it["details"]["clientId"] == "guess")
    });
}
