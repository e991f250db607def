//! Statements of the standards that only the whole program shows: what a CONNECT is answered with.
//!
//! `Shows` lines are read by `cargo xtask tidy`: docs/conformance.md lists each statement with the tests that show it.

use testkit::{MqttClient, Outcome, Packet, Property, Version, Will, login, wire};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup, without_locks};

/// Logs in without a client id and gives the one that was assigned.
fn nameless(broker: &testkit::BrokerProcess) -> (MqttClient, Vec<u8>) {
    let mut client = MqttClient::open(broker.mqtt(), Version::V5);
    client.send(&login(Version::V5, "").user("machine", PASSWORD).bytes());
    let properties = client.expect("a CONNACK", |packet| match packet {
        Packet::ConnAck { code: 0, properties, .. } => Some(properties.clone()),
        _ => None,
    });
    let assigned = properties.into_iter().find_map(|property| match property {
        Property::Bytes(18, name) => Some(name),
        _ => None,
    });
    (client, assigned.expect("an assigned client identifier"))
}

// Shows 3.1.1: [MQTT-3.1.3-6], [MQTT-3.1.3-8]; 5.0: [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16].
#[test]
fn a_client_without_id_is_given_one_that_nobody_else_has() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut named: Vec<_> = (0..5).map(|_| nameless(&broker)).collect();
    for (number, (client, _)) in named.iter_mut().enumerate() {
        assert_eq!(client.subscribe(&format!("t/{number}"), 0), 0);
    }
    let mut names: Vec<_> = named.iter().map(|(_, name)| name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5, "each has its own, and all are connected");
    let name = String::from_utf8(names.remove(0)).expect("UTF-8");
    let back = login(Version::V5, &name).user("machine", PASSWORD);
    assert_eq!(back.code(broker.mqtt()), 0, "it is a name like any other");
    // 3.1.1 gives names too, but not to sessions that are to be found again.
    let old = login(Version::V311, "").user("machine", PASSWORD);
    assert_eq!(old.code(broker.mqtt()), 0);
    assert_eq!(old.resuming().code(broker.mqtt()), 2);
}

// Shows 3.1.1: [MQTT-3.2.2-4], [MQTT-3.2.2-5]; 5.0: [MQTT-3.1.4-2], [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.14.0-1].
#[test]
fn a_refused_connect_has_one_answer_without_a_session_and_is_closed() {
    let broker = without_locks(setup()).start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:t/#"]);
    for version in Version::BOTH {
        // There is a session by that name, which the refused ones are not told of.
        drop(login(version, "kept").user("machine", PASSWORD).resuming().connect(broker.mqtt()));
        for refused in [
            login(version, "kept").user("machine", OTHER_PASSWORD),
            login(version, "kept").user("stranger", PASSWORD),
            login(version, "kept"),
            login(version, "kept").user("machine", PASSWORD).will(Will::new("not/mine", b"")),
        ] {
            // `outcome` itself fails unless the connection is closed.
            let Outcome::Refused(code, bytes) = refused.resuming().outcome(broker.mqtt()) else {
                panic!("{version:?}: it is not refused");
            };
            // One packet: flags without a session, the code, and in 5.0 what may be said of it.
            let whole = usize::from(bytes[1]) + 2;
            assert_eq!((&bytes[2..4], bytes.len()), (&[0, code][..], whole), "{version:?}");
            assert!(code != 0);
        }
    }
}

// Shows 5.0: [MQTT-4.12.0-1], [MQTT-4.12.0-4].
#[test]
fn an_unknown_authentication_method_is_refused_whatever_the_password() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let method = [&[0x15, 0, 13][..], b"SCRAM-SHA-256"].concat();
    let with_data = [&method[..], &[0x16, 0, 2, 1, 2]].concat();
    for properties in [&method, &with_data] {
        for credentials in [
            (Some("machine"), Some(PASSWORD)),
            (Some("machine"), Some(OTHER_PASSWORD)),
            (None, None),
        ] {
            let login = login(Version::V5, "c")
                .credentials(credentials.0, credentials.1)
                .properties(properties);
            assert_eq!(login.code(broker.mqtt()), 0x8C, "{credentials:?}");
        }
    }
    // It was not a failed password: nobody is counted or locked.
    assert_eq!(login(Version::V5, "c").user("machine", PASSWORD).code(broker.mqtt()), 0);
}

// Shows 3.1.1: [MQTT-3.14.4-3]; 5.0: [MQTT-3.14.4-3].
#[test]
fn a_client_that_says_goodbye_and_is_back_at_once_leaves_no_will_behind() {
    const ROUNDS: usize = 300;
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut reader = login(Version::V5, "reader").user("machine", PASSWORD).connect(broker.mqtt());
    assert_eq!(reader.subscribe("w", 0), 0);
    for version in Version::BOTH {
        let restless = login(version, "restless").user("machine", PASSWORD).resuming();
        let restless = restless.will(Will::new("w", b"gone"));
        for _ in 0..ROUNDS / 2 {
            let mut client = restless.connect(broker.mqtt());
            client.send(&wire::disconnect());
            client.drop_link();
        }
    }
    assert_eq!(reader.messages_before_ping(), [], "wills in {ROUNDS} rounds");
}

// Shows 3.1.1: [MQTT-3.1.2-8]; 5.0: [MQTT-3.1.2-7], [MQTT-3.1.2-8].
#[test]
fn a_will_as_large_as_a_will_can_be_is_taken_and_delivered() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let payload: Vec<u8> = (0..u32::from(u16::MAX)).map(|it| it.to_le_bytes()[0]).collect();
    let topic = format!("w/{}", "x".repeat(60_000));
    for version in Version::BOTH {
        let mut reader = login(version, "reader").user("machine", PASSWORD).connect(broker.mqtt());
        assert_eq!(reader.subscribe("w/#", 1), 1);
        let will = Will { qos: 1, ..Will::new(&topic, &payload) };
        login(version, "large")
            .user("machine", PASSWORD)
            .will(will)
            .connect(broker.mqtt())
            .drop_link();
        assert!(reader.message() == (topic.clone(), payload.clone()), "{version:?}");
    }
}
