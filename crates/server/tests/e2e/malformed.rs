//! Bytes that no client should send: they cost the sender its connection, and nobody else anything.

use std::time::Duration;

use mqtt::ProtocolVersion;
use testkit::{BrokerProcess, MqttClient, Packet, Random, Version, Will, login, wire};

use crate::support::{PASSWORD, machine, setup};

#[path = "../../../mqtt/tests/common/table.rs"]
#[allow(
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "shared with the codec's tests"
)]
mod table;

/// The versions, as the table wants them from the module around it.
const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

const PATIENCE: Duration = Duration::from_secs(5);

/// A broker, and somebody who must not notice anything.
fn broker_with_bystander() -> (BrokerProcess, MqttClient) {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    broker.add_user("bystander", PASSWORD, &[]);
    let bystander = login(Version::V5, "by").user("bystander", PASSWORD).connect(broker.mqtt());
    (broker, bystander)
}

#[test]
fn flaw_41_garbage_fills_no_log_and_a_client_among_it_is_told_of_all_the_same() {
    let broker = setup().start();
    for _ in 0..1_100 {
        let mut garbage = MqttClient::open(broker.mqtt(), Version::V311);
        garbage.send(b"GET / HTTP/1.1\r\n");
        assert!(garbage.is_closed_within(PATIENCE));
    }
    let mut client = MqttClient::open(broker.mqtt(), Version::V311);
    client.send(b"\x10\x0d\0\x04MQTT\x09\x02\0\0\0\x01a");
    assert!(client.is_closed_within(PATIENCE));
    assert_eq!(broker.log_lines(&["refused", "protocol level is unknown"]).len(), 1);
    let told = broker.log_lines(&["connection refused", "the first packet is not CONNECT"]).len();
    // On a slow machine they may lie in two spans of time, each with 1,000 of its own.
    assert!((1_000..=1_100).contains(&told), "{told}");
    if told < 1_100 {
        let more = format!("more={}", 1_100 - told);
        assert_eq!(broker.log_lines(&["more connections refused", "127.0.0.1", &more]).len(), 1);
    }
}

#[test]
fn what_was_refused_and_not_told_is_counted_in_the_log_when_the_server_stops() {
    let mut broker = setup().start();
    for _ in 0..1_150 {
        let mut garbage = MqttClient::open(broker.mqtt(), Version::V311);
        garbage.send(b"GET / HTTP/1.1\r\n");
        assert!(garbage.is_closed_within(PATIENCE));
    }
    broker.terminate();
    let told = broker.log_lines(&["connection refused", "the first packet is not CONNECT"]).len();
    assert!((1_000..=1_150).contains(&told), "{told}");
    if told < 1_150 {
        let more = format!("more={}", 1_150 - told);
        assert_eq!(broker.log_lines(&["more connections refused", "127.0.0.1", &more]).len(), 1);
    }
}

// Shows 3.1.1: [MQTT-3.1.2-2], [MQTT-3.1.4-1]; 5.0: [MQTT-3.1.4-1], [MQTT-3.14.0-1].
#[test]
fn each_first_packet_of_the_codecs_table_is_decided_by_the_broker_as_it_says() {
    let (broker, mut bystander) = broker_with_bystander();
    let connects =
        table::rows().into_iter().filter(|row| row.bytes.first().is_some_and(|b| b >> 4 == 1));
    let mut counts = [0; 2];
    for row in connects {
        let mut client = MqttClient::open(broker.mqtt(), version(row.version));
        client.send(&row.bytes);
        let what = format!("{} ({:?})", row.name, row.version);
        match row.expected {
            table::Expected::Accepted => {
                // Nobody knows these users: what is well-formed gets as far as being refused for that.
                counts[0] += 1;
                let code = connack(&mut client);
                let closed = client.is_closed_within(PATIENCE);
                assert!(
                    closed && is_refusal_of_a_whole_connect(row.version, code),
                    "{what}: {code:?}"
                );
            }
            table::Expected::Refused(expected) => {
                counts[1] += 1;
                let code = connack(&mut client);
                assert!(client.is_closed_within(PATIENCE), "{what} keeps its connection");
                let is_right = match row.version {
                    // Names and levels that are nobody's get the answer of 3.1.1.
                    _ if expected == 0x84 => code == Some(1),
                    ProtocolVersion::V5 => code.is_none_or(|code| code == expected),
                    _ => code.is_none_or(|code| (1..=5).contains(&code)),
                };
                assert!(is_right, "{what}: CONNACK {code:02x?}, expected {expected:#x}");
            }
            table::Expected::Incomplete => {}
        }
        bystander.ping();
    }
    assert!(counts[0] > 20 && counts[1] > 40, "{counts:?}");
}

/// The code of the CONNACK, if one comes before the close.
fn connack(client: &mut MqttClient) -> Option<u8> {
    match client.next_within(PATIENCE) {
        Some(Packet::ConnAck { code, .. }) => Some(code),
        Some(other) => panic!("{other:?} before a CONNACK"),
        None => None,
    }
}

fn is_refusal_of_a_whole_connect(version: ProtocolVersion, code: Option<u8>) -> bool {
    match (version, code) {
        // Bad credentials, no authentication methods, a client id that cannot be taken.
        (ProtocolVersion::V5, Some(code)) => matches!(code, 0x86 | 0x8C | 0x85),
        (_, Some(code)) => matches!(code, 2 | 4),
        // 3.1.1 has no code for some of what 5.0 explains.
        (version, None) => version != ProtocolVersion::V5,
    }
}

// Shows 3.1.1: [MQTT-2.2.2-2], [MQTT-4.8.0-1]; 5.0: [MQTT-4.13.1-1].
#[test]
fn each_other_packet_of_the_codecs_table_is_decided_by_the_broker_as_it_says() {
    let (broker, mut bystander) = broker_with_bystander();
    let rows = table::rows().into_iter().filter(|row| {
        row.version != ProtocolVersion::V31 && row.bytes.first().is_some_and(|b| b >> 4 != 1)
    });
    let mut counts = [0; 2];
    for row in rows {
        let mut client = machine(&broker, version(row.version));
        client.send(&row.bytes);
        let what = format!("{} ({:?})", row.name, row.version);
        match row.expected {
            table::Expected::Accepted => {
                // It may still be a packet that clients do not send, or at this time; it is not malformed.
                counts[0] += 1;
                client.send(&wire::ping());
                assert_ne!(ending(&mut client), Ending::Told(0x81), "{what}");
            }
            table::Expected::Refused(code) => {
                counts[1] += 1;
                let expected = match row.version {
                    ProtocolVersion::V5 => Ending::Told(code),
                    _ => Ending::Closed,
                };
                assert_eq!(ending(&mut client), expected, "{what}");
            }
            table::Expected::Incomplete => {}
        }
        bystander.ping();
    }
    assert!(counts[0] > 40 && counts[1] > 80, "{counts:?}");
}

/// What became of a connection.
#[derive(Debug, PartialEq)]
enum Ending {
    Alive,
    Closed,
    Told(u8),
}

/// Reads until a PINGRESP, a DISCONNECT or the close.
fn ending(client: &mut MqttClient) -> Ending {
    loop {
        match client.next_within(PATIENCE) {
            Some(Packet::PingResp) => return Ending::Alive,
            Some(Packet::Disconnect { code }) => {
                assert!(client.is_closed_within(PATIENCE), "open after DISCONNECT {code:#x}");
                return Ending::Told(code);
            }
            Some(_) => {}
            None => {
                assert!(client.is_closed_within(PATIENCE), "neither an answer nor a close");
                return Ending::Closed;
            }
        }
    }
}

fn version(version: ProtocolVersion) -> Version {
    match version {
        ProtocolVersion::V5 => Version::V5,
        _ => Version::V311,
    }
}

#[test]
fn what_speaks_another_protocol_is_closed_without_an_answer() {
    let (broker, mut bystander) = broker_with_bystander();
    let cases: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03],
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    ];
    for bytes in cases {
        let mut client = MqttClient::open(broker.mqtt(), Version::V5);
        client.send(bytes);
        assert_eq!(client.next_within(PATIENCE), None, "{bytes:02x?}");
        assert!(client.is_closed_within(PATIENCE), "{bytes:02x?} keeps its connection");
        bystander.ping();
    }
}

#[test]
fn a_packet_at_the_wrong_time_ends_its_connection_with_the_reason() {
    let (broker, mut bystander) = broker_with_bystander();
    let cases: [(&str, &[u8], u8); 7] = [
        ("CONNACK from a client", &[0x20, 0x03, 0x00, 0x00, 0x00], 0x82),
        ("PINGRESP from a client", &[0xD0, 0x00], 0x82),
        ("topic alias 0", b"\x30\x07\0\x01a\x03\x23\0\0", 0x94),
        ("an alias above the maximum", b"\x30\x07\0\x01a\x03\x23\xFF\xFF", 0x94),
        ("an alias that was never set", b"\x30\x06\0\0\x03\x23\0\x05", 0x82),
        ("a subscription id from a client", b"\x30\x06\0\x01a\x02\x0B\x01", 0x82),
        ("AUTH that nobody asked for", b"\xF0\x06\x18\x04\x15\0\x01m", 0x82),
    ];
    for (what, bytes, code) in cases {
        let mut client = machine(&broker, Version::V5);
        client.send(bytes);
        assert_eq!(ending(&mut client), Ending::Told(code), "{what}");
        bystander.ping();
    }
}

#[test]
fn random_garbage_before_and_after_login_disturbs_nobody() {
    const ROUNDS: usize = 300;
    let (broker, mut bystander) = broker_with_bystander();
    let mut random = Random::new(5);
    for round in 0..ROUNDS {
        let version = Version::BOTH[round % 2];
        let length = 1 + random.below(200);
        let garbage = random.bytes(length);
        if round % 3 == 0 {
            let mut client = MqttClient::open(broker.mqtt(), version);
            client.send(&garbage);
        } else {
            let mut client = machine(&broker, version);
            client.send(&garbage);
            client.send(&wire::ping());
            while client.next_within(Duration::from_millis(20)).is_some() {}
        }
        if round % 20 == 0 {
            bystander.ping();
        }
    }
    bystander.ping();
    assert_eq!(login(Version::V5, "c").user("machine", PASSWORD).code(broker.mqtt()), 0);
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}

#[test]
fn packets_with_one_byte_changed_disturb_nobody() {
    let (broker, mut bystander) = broker_with_bystander();
    let mut random = Random::new(6);
    for version in Version::BOTH {
        let will = Will::new("w/t", b"gone");
        let connect = login(version, "mutant").user("machine", PASSWORD).will(will).bytes();
        let rest = [
            wire::subscribe(version, 1, &[("a/+", 1), ("$share/g/b", 0)]),
            wire::publish(version, &wire::Publish::new("a/b", b"payload").qos(2, 2).retained()),
            wire::acknowledge(0x62, 2),
            wire::unsubscribe(version, 3, &["a/+"]),
            wire::ping(),
            wire::disconnect(),
        ]
        .concat();
        for _ in 0..150 {
            let mut bytes = [connect.clone(), rest.clone()].concat();
            let from = if random.chance(1, 3) { 0 } else { connect.len() };
            let at = from + random.below(bytes.len() - from);
            bytes[at] ^= 1 << random.below(8);
            let mut client = MqttClient::open(broker.mqtt(), version);
            client.send(&bytes);
            while client.next_within(Duration::from_millis(10)).is_some() {}
        }
        bystander.ping();
    }
    assert!(!broker.stderr().contains("panicked"), "{}", broker.stderr());
}
