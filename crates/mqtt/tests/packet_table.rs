//! The table of packets decides: what is accepted, and what is refused with which code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

mod common;

use common::table::{Expected, rows};
use common::{read, write};
use mqtt::{DecodeError, DecodeLimits, Decoded, Packet, decode_connect};

fn outcome<T>(result: &Result<Option<T>, DecodeError>) -> Expected {
    match result {
        Ok(Some(_)) => Expected::Accepted,
        Ok(None) => Expected::Incomplete,
        Err(error) => Expected::Refused(error.reason.value()),
    }
}

#[test]
fn each_packet_of_the_table_is_decided_as_it_says() {
    let mut failures = Vec::new();
    for row in rows() {
        let result = match read(&row.bytes, row.version) {
            Ok(Decoded::Packet { packet, length }) => Ok(Some((packet, length))),
            Ok(Decoded::Incomplete) => Ok(None),
            Err(error) => Err(error),
        };
        if outcome(&result) != row.expected {
            failures.push(format!(
                "{} ({}): {result:?}, expected {:?}",
                row.name, row.version, row.expected
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_is_as_large_as_it_should_be() {
    let rows = rows();
    let refused = rows.iter().filter(|row| matches!(row.expected, Expected::Refused(_))).count();
    let accepted = rows.iter().filter(|row| row.expected == Expected::Accepted).count();
    assert!(rows.len() >= 300, "{}", rows.len());
    assert!(refused >= 180 && accepted >= 90, "{refused} refused, {accepted} accepted");
}

#[test]
fn a_connect_is_decided_alike_when_its_version_is_not_yet_known() {
    let mut count = 0;
    for row in rows().iter().filter(|row| row.bytes.first().is_some_and(|it| it >> 4 == 1)) {
        let result = decode_connect(&row.bytes, &DecodeLimits::default());
        assert_eq!(outcome(&result), row.expected, "{} ({})", row.name, row.version);
        if let Ok(Some((connect, _))) = &result {
            assert_eq!(connect.version, row.version, "{}", row.name);
        }
        count += 1;
    }
    assert!(count > 70, "{count}");
}

#[test]
fn each_accepted_packet_is_the_same_after_being_written_and_read() {
    for row in rows().iter().filter(|row| row.expected == Expected::Accepted) {
        let Ok(Decoded::Packet { packet, .. }) = read(&row.bytes, row.version) else {
            panic!("{} ({}) is not accepted", row.name, row.version);
        };
        let written = write(&packet, row.version);
        let again = common::read_one(&written, row.version);
        assert_eq!(again, packet, "{} ({})", row.name, row.version);
    }
}

#[test]
fn an_accepted_packet_cut_anywhere_is_incomplete_or_refused_and_never_accepted() {
    for row in rows().iter().filter(|row| row.expected == Expected::Accepted) {
        let Ok(Decoded::Packet { length, .. }) = read(&row.bytes, row.version) else {
            panic!("{} ({}) is not accepted", row.name, row.version);
        };
        for end in 0..length {
            let cut = read(&row.bytes[..end], row.version);
            assert_eq!(cut, Ok(Decoded::Incomplete), "{} ({}) cut at {end}", row.name, row.version);
        }
    }
}

#[test]
fn a_body_cut_short_with_a_length_to_match_is_never_a_panic() {
    for row in rows() {
        // Only headers of two bytes: the length is then one byte to be set right.
        let Some((&[first, length], body)) = row.bytes.split_first_chunk::<2>() else { continue };
        if usize::from(length) != body.len() {
            continue;
        }
        for end in 0..body.len() {
            let mut cut = vec![first, u8::try_from(end).unwrap()];
            cut.extend(&body[..end]);
            for version in common::VERSIONS {
                if let Ok(Decoded::Packet { packet, length }) = read(&cut, version) {
                    assert_eq!(length, cut.len());
                    let written = write(&packet, version);
                    // A CONNECT has its own version.
                    assert_eq!(common::read_one(&written, version), packet);
                }
            }
        }
    }
}

#[test]
fn packets_in_one_input_are_read_one_after_the_other() {
    for version in common::VERSIONS {
        let accepted: Vec<_> = rows()
            .into_iter()
            .filter(|row| row.version == version && row.expected == Expected::Accepted)
            .filter(|row| !row.name.contains("followed by"))
            .collect();
        let input: Vec<u8> = accepted.iter().flat_map(|row| row.bytes.clone()).collect();
        let mut rest = &input[..];
        for row in &accepted {
            let Ok(Decoded::Packet { length, .. }) = read(rest, version) else {
                panic!("{} ({version}) is not accepted in its place", row.name);
            };
            assert_eq!(length, row.bytes.len(), "{} ({version})", row.name);
            rest = &rest[length..];
        }
        assert!(rest.is_empty() && accepted.len() >= 15, "{}", accepted.len());
    }
}

#[test]
fn a_packet_above_the_limit_is_refused_before_its_body_is_there() {
    let limits = DecodeLimits { packet_size_max: 12 };
    let check = |input: &[u8], expected| {
        let result = mqtt::decode(input, mqtt::ProtocolVersion::V5, &limits);
        assert_eq!(result.map_err(|error| error.reason.value()), expected, "{input:02X?}");
    };
    check(b"\x30\x0A", Ok(Decoded::Incomplete));
    check(b"\x30\x0B", Err(0x95));
    check(b"\x30\xFF\xFF\xFF\x7F", Err(0x95));
    check(b"\x82\x80\x01", Err(0x95));
    let connect = decode_connect(b"\x10\x0B", &limits);
    assert_eq!(connect.map_err(|error| error.reason.value()), Err(0x95));
    assert_eq!(decode_connect(b"\x10\x0A", &limits), Ok(None));
}

// Shows 3.1.1: [MQTT-3.1.0-1]; 5.0: [MQTT-3.1.0-1].
#[test]
fn a_peer_that_does_not_speak_mqtt_is_refused_at_its_first_byte() {
    for first in [b"\x16\x03\x01".as_slice(), b"GET / HTTP", b"\x30", b"\xC0\x00", b"\x00", b"\xF0"]
    {
        // A TLS handshake begins like a CONNECT with wrong flags.
        let reason = if first[0] == 0x16 { 0x81 } else { 0x82 };
        let result = decode_connect(&first[..1], &DecodeLimits::default());
        let error = result.expect_err("not a CONNECT");
        assert_eq!((error.reason.value(), error.connack_version), (reason, None), "{first:02X?}");
    }
}

// Shows 3.1.1: [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.1.4-1], [MQTT-3.2.2-6]; 5.0: [MQTT-3.1.2-1],
// [MQTT-3.1.2-2], [MQTT-3.1.4-1].
#[test]
fn a_refused_connect_is_answered_only_where_the_version_allows() {
    use mqtt::ProtocolVersion::{V5, V311};
    let check = |text: &str, expected| {
        let bytes = common::table::bytes(text);
        let error = decode_connect(&bytes, &DecodeLimits::default()).expect_err(text);
        assert_eq!(error.connack_version, expected, "{text}");
    };
    check("10~ 0004'MQTT' 05 03 003C 00 0001'a'", Some(V5));
    check("10~ 0004'MQTT' 05 02 003C 03 210000 0001'a'", Some(V5));
    check("10~ 0004'MQTT' 04 03 003C 0001'a'", None);
    check("10~ 0006'MQIsdp' 03 03 003C 0001'a'", None);
    check("10~ 0004'MQTT' 03 02 003C 0001'a'", Some(V311));
    check("10~ 0004'MQTT' 07 02 003C 00 0001'a'", Some(V311));
    check("10~ 0004'HTTP' 04 02 003C 0001'a'", Some(V311));
    check("10~ 0004'MQ'", None);
}

// Shows 5.0: [MQTT-3.3.4-6], [MQTT-4.12.0-7].
#[test]
fn what_only_a_server_sends_is_refused_from_a_client() {
    let check = |text: &str, is_allowed: bool| {
        let bytes = common::table::bytes(text);
        let packet = common::read_one(&bytes, mqtt::ProtocolVersion::V5);
        let result = packet.check_from_client();
        assert_eq!(result.is_ok(), is_allowed, "{text}");
        if let Err(error) = result {
            assert_eq!(error.reason.value(), 0x82, "{text}");
        }
    };
    check("30~ 0001'a' 00", true);
    check("30~ 0001'a' 02 0B01", false);
    check("10~ 0004'MQTT' 05 02 003C 00 0001'a'", false);
    check("20 03 00 00 00", false);
    check("90~ 0001 00 00", false);
    check("B0~ 0001 00 00", false);
    check("C0 00", true);
    check("D0 00", false);
    check("40 02 0001", true);
    check("E0 00", true);
    check("E0 01 04", true);
    check("E0 01 98", true);
    check("E0 01 87", false);
    check("E0 01 8B", false);
    check("E0~ 00 04 1C0001's'", false);
    check("F0~ 18 04 150001'm'", true);
    check("F0~ 19 04 150001'm'", true);
    check("F0~ 00 04 150001'm'", false);
    check("F0 00", false);
}

// Shows 3.1.1: [MQTT-3.1.3-7], [MQTT-3.1.3-8].
#[test]
fn a_client_id_that_the_version_demands_is_noticed() {
    let check = |text: &str, expected: bool| {
        let bytes = common::table::bytes(text);
        let Ok(Some((connect, _))) = decode_connect(&bytes, &DecodeLimits::default()) else {
            panic!("{text} is not accepted");
        };
        assert_eq!(connect.is_client_id_missing(), expected, "{text}");
    };
    check("10~ 0004'MQTT' 04 02 003C 0000", false);
    check("10~ 0004'MQTT' 04 00 003C 0000", true);
    check("10~ 0004'MQTT' 04 00 003C 0001'a'", false);
    check("10~ 0004'MQTT' 05 00 003C 00 0000", false);
    check("10~ 0006'MQIsdp' 03 02 003C 0000", true);
}

#[test]
fn absent_and_empty_credentials_are_told_apart() {
    let check = |text: &str, username: Option<&str>, password: Option<&[u8]>| {
        let bytes = common::table::bytes(text);
        let Packet::Connect(connect) = common::read_one(&bytes, mqtt::ProtocolVersion::V311) else {
            panic!("{text} is no CONNECT");
        };
        assert_eq!(connect.username.as_deref(), username, "{text}");
        assert_eq!(connect.password.as_deref(), password, "{text}");
        assert!(!format!("{connect:?}").contains("112"), "the password is printed");
    };
    check("10~ 0004'MQTT' 04 02 003C 0001'a'", None, None);
    check("10~ 0004'MQTT' 04 82 003C 0001'a' 0000", Some(""), None);
    check("10~ 0004'MQTT' 04 C2 003C 0001'a' 0000 0000", Some(""), Some(b""));
    check("10~ 0004'MQTT' 04 C2 003C 0001'a' 0001'u' 0001'p'", Some("u"), Some(b"p"));
    check("10~ 0004'MQTT' 05 42 003C 00 0001'a' 0001'p'", None, Some(b"p"));
    // 3.1: the length of the packet takes precedence over the flags.
    check("10~ 0006'MQIsdp' 03 C2 003C 0001'a'", None, None);
}
