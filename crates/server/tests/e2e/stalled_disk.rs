//! A disk that does not answer: who needs it is told, and nobody else notices.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

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
    line.last().unwrap_or_default().to_owned()
}

/// A file that the log reads with each group is a pipe that nobody writes to: whoever opens it waits.
struct Hang {
    version: PathBuf,
    real: PathBuf,
    pipe: PathBuf,
}

impl Hang {
    fn begin(broker: &BrokerProcess) -> Self {
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
    let broker = setup().env("COUNTERSIGN_SERVER_DISK_PATIENCE", "400ms").start();
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
