//! What a killed broker still has when it starts again.

use testkit::{
    BrokerProcess, Version, login,
    wire::{Publish, Will},
};

use crate::support::{PASSWORD, setup};

fn broker(durability: &str) -> BrokerProcess {
    let broker = setup().env("COUNTERSIGN_DURABILITY", durability).start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    broker
}

fn by(version: Version, client_id: &str) -> testkit::Login<'_> {
    login(version, client_id).user("machine", PASSWORD)
}

// Shows 3.1.1: [MQTT-4.1.0-1]; 5.0: [MQTT-3.1.2-23].
#[test]
fn what_was_confirmed_is_there_after_a_kill() {
    for durability in ["fsync", "buffered"] {
        let mut broker = broker(durability);
        for version in Version::BOTH {
            let mut reader = by(version, "reader").resuming().connect(broker.mqtt());
            assert_eq!(reader.subscribe("a/#", 2), 2);
            drop(reader);
            let mut writer = by(version, "writer").connect(broker.mqtt());
            for number in 0..20_u8 {
                writer.publish(Publish::new("a/b", &[number]).qos(1 + number % 2, 0));
            }
            assert!(writer.publish(Publish::new("r", b"kept").qos(1, 0).retained()) < 0x80);
            broker.kill_and_restart();
            let mut reader = by(version, "reader").resuming().connect(broker.mqtt());
            assert!(reader.session_present(), "{durability} {version:?}");
            for number in 0..20_u8 {
                assert_eq!(reader.message(), ("a/b".to_owned(), vec![number]));
            }
            assert_eq!(reader.subscribe("r", 1), 1);
            assert_eq!(reader.message(), ("r".to_owned(), b"kept".to_vec()));
            reader.disconnect();
            broker.restart();
            let reader = by(version, "reader").resuming().connect(broker.mqtt());
            assert!(reader.session_present(), "after a stop in order");
            reader.disconnect();
            by(version, "reader").connect(broker.mqtt()).disconnect();
        }
    }
}

#[test]
fn a_queue_that_is_mostly_on_disk_comes_back_in_order_once_and_under_the_rights_of_then() {
    let mut broker = setup().env("COUNTERSIGN_LIMITS_QUEUE_MEMORY_MESSAGES_MAX", "8").start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    for version in Version::BOTH {
        let mut reader = by(version, "reader").resuming().connect(broker.mqtt());
        assert_eq!(reader.subscribe("a/#", 2), 2);
        drop(reader);
        let mut writer = by(version, "writer").connect(broker.mqtt());
        for number in 0..200_u8 {
            let topic = if number % 10 == 0 { "a/secret" } else { "a/b" };
            writer.publish(Publish::new(topic, &[number]).qos(1 + number % 2, 0));
        }
        broker.kill_and_restart();
        drop(broker.cli(&["user", "set", "machine", "--deny", "read:a/secret"]).ok());
        let mut reader = by(version, "reader").resuming().connect(broker.mqtt());
        for number in (0..200_u8).filter(|it| it % 10 != 0) {
            assert_eq!(reader.message(), ("a/b".to_owned(), vec![number]), "{version:?}");
        }
        assert_eq!(reader.messages_before_ping(), []);
        reader.disconnect();
        drop(broker.cli(&["user", "set", "machine", "--revoke", "read:a/secret"]).ok());
        by(version, "reader").connect(broker.mqtt()).disconnect();
    }
}

#[test]
fn a_will_with_a_delay_and_the_time_of_a_session_go_on_over_a_restart() {
    const EXPIRY_TWO_SECONDS: &[u8] = &[0x11, 0, 0, 0, 2];
    let mut broker = broker("fsync");
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert_eq!(reader.subscribe("will", 1), 1);
    let will = Will { qos: 1, delay_s: Some(1), ..Will::new("will", b"gone") };
    let dies = by(Version::V5, "dies").resuming().will(will).connect(broker.mqtt());
    let short = by(Version::V5, "short").resuming().properties(EXPIRY_TWO_SECONDS);
    short.connect(broker.mqtt()).disconnect();
    dies.drop_link();
    broker.kill_and_restart();
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert_eq!(reader.message(), ("will".to_owned(), b"gone".to_vec()));
    testkit::eventually("the short session has expired", || {
        broker.log_lines(&["session ended", "Expired"]).len() == 1
    });
    assert!(!by(Version::V5, "short").resuming().connect(broker.mqtt()).session_present());
}

#[test]
fn with_durability_none_nothing_is_kept_and_no_file_written() {
    let mut broker = broker("none");
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert_eq!(reader.subscribe("a", 1), 1);
    let mut writer = by(Version::V5, "writer").connect(broker.mqtt());
    assert_eq!(writer.publish(Publish::new("r", b"x").qos(1, 0).retained()), 0x10);
    broker.kill_and_restart();
    assert!(!by(Version::V5, "reader").resuming().connect(broker.mqtt()).session_present());
    let mut reader = by(Version::V5, "other").connect(broker.mqtt());
    assert_eq!(reader.subscribe("r", 1), 1);
    assert_eq!(reader.messages_before_ping(), []);
    assert!(!broker.data_dir().join("state").exists());
}

#[test]
fn a_removed_user_leaves_no_session_behind() {
    let mut broker = broker("fsync");
    by(Version::V5, "c").resuming().connect(broker.mqtt()).disconnect();
    assert_eq!(broker.cli(&["user", "remove", "machine"]).code, Some(0));
    broker.kill_and_restart();
    broker.add_user("machine", PASSWORD, &[]);
    assert!(!by(Version::V5, "c").resuming().connect(broker.mqtt()).session_present());
}

#[test]
fn a_damaged_log_is_reported_and_what_is_whole_is_kept() {
    let mut broker = broker("fsync");
    let mut reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert_eq!(reader.subscribe("a", 1), 1);
    drop(reader);
    broker.kill();
    let state = broker.data_dir().join("state");
    let files = std::fs::read_dir(&state).unwrap().map(|file| file.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|it| it == "jnl"));
    let journal = journals.max().expect("a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used);
    bytes.extend([0xA5; 100]);
    std::fs::write(&journal, bytes).unwrap();
    broker.begin();
    assert_eq!(broker.log_lines(&["did not end in a whole group", "bytes_cut=100"]).len(), 1);
    let reader = by(Version::V5, "reader").resuming().connect(broker.mqtt());
    assert!(reader.session_present());
}

#[test]
fn a_disk_that_takes_nothing_is_told_and_forgiven() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut clean = by(Version::V5, "clean").connect(broker.mqtt());
    broker.limit_file_size(Some(0));
    // The first notices it and is cut off; from then on the answer is a code.
    let first = by(Version::V5, "first").resuming().outcome(broker.mqtt());
    assert!(matches!(first, testkit::Outcome::Closed), "{first:?}");
    assert_eq!(broker.log_lines(&["ERROR", "cannot be written"]).len(), 1);
    assert_eq!(by(Version::V5, "second").resuming().code(broker.mqtt()), 0x97);
    assert_eq!(by(Version::V311, "third").resuming().code(broker.mqtt()), 3);
    assert_eq!(clean.subscribe("free", 1), 1);
    assert_eq!(clean.publish(Publish::new("free", b"x").qos(1, 0)), 0);
    assert_eq!(clean.message().0, "free");
    assert_eq!(clean.publish(Publish::new("r", b"x").qos(1, 0).retained()), 0x97);
    broker.limit_file_size(None);
    assert_eq!(broker.log_lines(&["is written again"]).len(), 1);
    testkit::eventually("a session can be kept again", || {
        by(Version::V5, "second").resuming().code(broker.mqtt()) == 0
    });
}
