//! Rules of the connection: what is answered, what ends it, and how it is told.

use crate::world::{Q0, Q1, Q2, V5, V311, World, limits, message};
use broker::{DisconnectCause, Limits, Report};
use mqtt::{Auth, Connect, OutgoingPublish, Packet, PacketId, ReasonCode};
use std::num::NonZeroU16;

/// Sends what breaks a rule and expects this DISCONNECT; 3.1.1 is closed without a word.
fn check_broken(send: impl Fn(&mut World, usize), expected: u8) {
    let limits = Limits {
        receive_max: NonZeroU16::new(3).unwrap(),
        topic_alias_max: 3,
        packet_size_max: 1000,
        ..limits()
    };
    let mut world = World::with(1, limits);
    world.user("ann", &["allow readWrite #"]);
    let ann = world.connect("ann", "c1", V5);
    world.clients[ann].acks = false;
    send(&mut world, ann);
    assert_eq!(world.disconnected(ann), Some(expected));
    let code = world.reports.iter().rev().find_map(|report| match report {
        Report::Disconnected { why: DisconnectCause::Protocol(code, _), .. } => Some(code.value()),
        _ => None,
    });
    assert_eq!(code, Some(expected));
}

// Shows 3.1.1: [MQTT-3.1.0-2]; 5.0: [MQTT-3.1.0-2].
#[test]
fn a_second_connect_is_a_protocol_error() {
    check_broken(
        |world, ann| world.send(ann, &Packet::Connect(Box::new(Connect::new(V5, "c1")))),
        0x82,
    );
}

#[test]
fn packets_that_only_servers_send_are_a_protocol_error() {
    check_broken(|world, ann| world.send(ann, &Packet::PingResp), 0x82);
    check_broken(|world, ann| world.send(ann, &Packet::ConnAck(Box::default())), 0x82);
}

// Shows 5.0: [MQTT-4.12.0-7], [MQTT-4.12.1-1], [MQTT-4.12.1-2].
#[test]
fn an_auth_out_of_place_is_a_protocol_error() {
    let auth = Auth {
        reason: ReasonCode::ReAuthenticate,
        authentication_method: Some("x".into()),
        ..Auth::default()
    };
    check_broken(|world, ann| world.send(ann, &Packet::Auth(auth.clone())), 0x82);
}

// Shows 3.1.1: [MQTT-4.8.0-1]; 5.0: [MQTT-4.13.1-1].
#[test]
fn malformed_bytes_end_the_connection() {
    check_broken(|world, ann| world.send_bytes(ann, &[0x00, 0x00]), 0x81);
}

// Shows 5.0: [MQTT-3.2.2-15].
#[test]
fn a_packet_above_the_limit_ends_the_connection_at_its_fixed_header() {
    check_broken(|world, ann| world.send_bytes(ann, &[0x30, 0xFF, 0xFF, 0x01]), 0x95);
}

// Shows 5.0: [MQTT-3.3.4-7].
#[test]
fn more_open_exchanges_than_granted_end_the_connection() {
    check_broken(
        |world, ann| {
            for _ in 0..4 {
                world.publish(ann, "a", Q2, "x");
            }
        },
        0x93,
    );
}

// Shows 5.0: [MQTT-3.2.2-17], [MQTT-3.3.2-9].
#[test]
fn a_topic_alias_above_the_maximum_ends_the_connection() {
    for alias in [4, u16::MAX] {
        check_broken(
            |world, ann| {
                let publish = OutgoingPublish { topic_alias: Some(alias), ..message("a", "x") };
                world.publish_with(ann, publish);
            },
            0x94,
        );
    }
}

// Shows 5.0: [MQTT-3.3.2-7].
#[test]
fn a_topic_alias_that_was_never_set_ends_the_connection() {
    check_broken(
        |world, ann| {
            let publish = OutgoingPublish { topic_alias: Some(1), ..message("", "x") };
            world.publish_with(ann, publish);
        },
        0x82,
    );
}

// Shows 3.1.1: [MQTT-4.8.0-1]; 5.0: [MQTT-4.13.1-1].
#[test]
fn an_acknowledgement_of_the_wrong_kind_ends_the_connection() {
    check_broken(
        |world, ann| {
            world.subscribe(ann, "a", Q1);
            world.publish(ann, "a", Q1, "x");
            let ack = mqtt::Ack::new(PacketId::MIN, ReasonCode::Success);
            world.send(ann, &Packet::PubComp(ack));
        },
        0x82,
    );
}

// Shows 5.0: [MQTT-3.7.2-1].
#[test]
fn a_release_of_nothing_is_answered_with_not_found() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    world.send(ann, &Packet::PubRel(mqtt::Ack::new(PacketId::MIN, ReasonCode::Success)));
    let packets = world.packets(ann);
    let Some(Packet::PubComp(ack)) = packets.last() else { panic!("{packets:?}") };
    assert_eq!(ack.reason.value(), 0x92);
}

// Shows 3.1.1: [MQTT-3.12.4-1]; 5.0: [MQTT-3.12.4-1].
#[test]
fn a_ping_is_answered() {
    for version in [V311, V5] {
        let mut world = World::open(1);
        let ann = world.connect("ann", "c1", version);
        world.send(ann, &Packet::PingReq);
        assert_eq!(world.packets(ann).last(), Some(&Packet::PingResp));
    }
}

// Shows 5.0: [MQTT-2.2.1-3].
#[test]
fn a_qos_1_message_with_the_identifier_of_an_unreleased_one_is_refused_and_the_other_goes_on() {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        let ann = world.connect("ann", "c1", V5);
        let bob = world.connect("bob", "c2", V5);
        world.subscribe(ann, "#", Q2);
        world.set_acks(bob, false);
        // An alias that a refused message sets is set.
        for bytes in [
            b"\x34\x07\0\x01a\0\x09\0x".as_slice(),
            b"\x32\x0a\0\x01b\0\x09\x03\x23\0\x01y",
            b"\x3a\x0a\0\x01b\0\x09\x03\x23\0\x01y",
            b"\x30\x07\0\0\x03\x23\0\x01z",
        ] {
            world.send_bytes(bob, bytes);
        }
        assert_eq!(world.messages(ann), ["a q2: x", "b q0: z"]);
        let packets = world.packets(bob);
        let refused = packets.iter().filter(|packet| {
            matches!(packet, Packet::PubAck(ack) if ack.packet_id.get() == 9
                && ack.reason == ReasonCode::PacketIdentifierInUse)
        });
        assert_eq!(refused.count(), 2, "{packets:?}");
        world.send_bytes(bob, b"\x62\x02\0\x09");
        let packets = world.packets(bob);
        let Some(Packet::PubComp(done)) = packets.last() else { panic!("{packets:?}") };
        assert_eq!(done.reason, ReasonCode::Success, "its exchange was there all the time");
        world.send_bytes(bob, b"\x32\x07\0\x01a\0\x09\0w");
        assert_eq!(world.messages(ann), ["a q1: w"], "it is free again");
    }
}

// Shows 3.1.1: [MQTT-4.8.0-1].
#[test]
fn before_5_0_such_a_message_ends_the_connection() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V311);
    let bob = world.connect("bob", "c2", V311);
    world.subscribe(ann, "#", Q2);
    world.set_acks(bob, false);
    world.send_bytes(bob, b"\x34\x06\0\x01a\0\x09x");
    world.send_bytes(bob, b"\x32\x06\0\x01b\0\x09y");
    assert!(!world.is_open(bob));
    assert_eq!(world.messages(ann), ["a q2: x"]);
}

/// A message that may not be published is that in the first place.
#[test]
fn a_message_that_is_denied_and_has_a_used_identifier_is_told_that_it_is_denied() {
    let mut world = World::new(1);
    world.user("bob", &["allow write a"]);
    let bob = world.connect("bob", "c2", V5);
    world.set_acks(bob, false);
    world.send_bytes(bob, b"\x34\x07\0\x01a\0\x09\0x");
    world.send_bytes(bob, b"\x32\x07\0\x01b\0\x09\0y");
    let packets = world.packets(bob);
    let Some(Packet::PubAck(ack)) = packets.last() else { panic!("{packets:?}") };
    assert_eq!(ack.reason, ReasonCode::NotAuthorized);
    assert!(world.is_open(bob));
}

/// A ping makes room of what messages have left behind; what is under way is none of that.
#[test]
fn a_ping_in_the_middle_of_exchanges_loses_none_of_them() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V311);
    let bob = world.connect("bob", "c2", V311);
    world.subscribe(ann, "a", Q2);
    world.set_acks(ann, false);
    world.set_acks(bob, false);
    world.publish(bob, "a", Q1, "1");
    // QoS 2, identifier 9, and nothing released yet.
    world.send_bytes(bob, b"\x34\x06\0\x01a\0\x092");
    for client in [ann, bob] {
        world.send(client, &Packet::PingReq);
    }
    assert_eq!(world.messages(ann), ["a q1: 1", "a q2: 2"]);
    assert_eq!(world.view("c1").unwrap().in_flight, 2);
    world.send_bytes(bob, b"\x3c\x06\0\x01a\0\x092");
    assert_eq!(world.messages(ann), [""; 0], "it was published before");
    world.send_bytes(bob, b"\x62\x02\0\x09");
    world.send_bytes(bob, b"\x34\x06\0\x01a\0\x093");
    world.publish(bob, "a", Q0, "4");
    assert_eq!(world.messages(ann), ["a q2: 3", "a q0: 4"]);
}

// Shows 3.1.1: [MQTT-3.1.2-24]; 5.0: [MQTT-3.1.2-22], [MQTT-3.2.2-22].
#[test]
fn silence_for_one_and_a_half_times_the_keep_alive_ends_the_connection() {
    for version in [V311, V5] {
        let mut world = World::open(1);
        let mut connect = Connect::new(version, "c1");
        connect.keep_alive_s = 10;
        let ann = world.connect_with("ann", connect);
        world.wait_s(14);
        world.send(ann, &Packet::PingReq);
        world.wait_s(14);
        assert!(world.is_open(ann));
        world.wait_s(1);
        assert_eq!(world.disconnected(ann), (version == V5).then_some(0x8D));
    }
}

// Shows 3.1.1: [MQTT-3.1.2-24]; 5.0: [MQTT-3.1.2-22].
#[test]
fn a_packet_that_comes_byte_by_byte_and_never_ends_is_no_sign_of_life() {
    for version in [V311, V5] {
        let mut world = World::open(1);
        let mut connect = Connect::new(version, "c1");
        connect.keep_alive_s = 10;
        let ann = world.connect_with("ann", connect);
        world.send_bytes(ann, b"\x30\xff\x7f\0\x01a");
        for _ in 0..14 {
            world.wait_s(1);
            world.send_bytes(ann, b"\0");
        }
        assert!(world.is_open(ann));
        world.wait_s(1);
        assert!(!world.is_open(ann));
    }
}

// Shows 5.0: [MQTT-3.1.2-21], [MQTT-3.2.2-21].
#[test]
fn rule_39_a_huge_or_absent_keep_alive_holds_no_place_beyond_the_limit() {
    for keep_alive_s in [0, u16::MAX] {
        let mut world = World::with(1, Limits { keep_alive_s_max: 60, ..limits() });
        world.user("ann", &[]);
        let mut connect = Connect::new(V5, "c1");
        connect.keep_alive_s = keep_alive_s;
        let ann = world.connect_with("ann", connect);
        assert_eq!(world.connack(ann).properties.server_keep_alive_s, Some(60));
        world.wait_s(90);
        assert!(!world.is_open(ann));
    }
}

// Shows 3.1.1: [MQTT-3.1.2-24].
#[test]
fn a_client_that_cannot_be_told_of_the_limit_may_be_as_silent_as_it_asked_for() {
    for (keep_alive_s, is_cut) in [(0, false), (u16::MAX, false), (60, true)] {
        let mut world = World::with(1, Limits { keep_alive_s_max: 60, ..limits() });
        world.user("ann", &[]);
        let mut connect = Connect::new(V311, "c1");
        connect.keep_alive_s = keep_alive_s;
        let ann = world.connect_with("ann", connect);
        world.wait_s(98_302);
        assert_eq!(!world.is_open(ann), is_cut, "keep-alive {keep_alive_s}");
        world.wait_s(1);
        assert_eq!(world.is_open(ann), keep_alive_s == 0);
    }
}

// Shows 5.0: [MQTT-3.2.2-8], [MQTT-3.2.2-9].
#[test]
fn the_connack_tells_what_the_server_grants() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    let properties = world.connack(ann).properties;
    let limits = world.hub.limits();
    assert_eq!(properties.receive_maximum, Some(limits.receive_max.get()));
    assert_eq!(properties.maximum_packet_size, Some(limits.packet_size_max));
    assert_eq!(properties.topic_alias_maximum, Some(limits.topic_alias_max));
    assert_eq!(properties.maximum_qos, None);
    assert_eq!(properties.session_expiry_interval_s, None);
    assert_eq!(properties.server_keep_alive_s, None);
}

// Shows 5.0: [MQTT-4.12.0-1], [MQTT-4.12.0-4].
#[test]
fn enhanced_authentication_is_refused_by_its_own_code() {
    let mut world = World::open(1);
    let mut connect = Connect::new(V5, "c1");
    connect.properties.authentication_method = Some("SCRAM".into());
    assert_eq!(world.try_connect("ann", connect), Err(0x8C));
}

// Shows 3.1.1: [MQTT-3.9.3-2]; 5.0: [MQTT-3.9.3-2].
#[test]
fn subscriptions_of_a_session_are_bounded() {
    for (version, code) in [(V5, 0x97), (V311, 0x80)] {
        let mut world = World::with(1, Limits { subscriptions_per_session_max: 2, ..limits() });
        world.user("ann", &["allow read #"]);
        let ann = world.connect("ann", "c1", version);
        assert_eq!(world.subscribe(ann, "a", Q1), 1);
        assert_eq!(world.subscribe(ann, "b", Q1), 1);
        assert_eq!(world.subscribe(ann, "c", Q1), code);
        assert_eq!(world.subscribe(ann, "a", Q0), 0, "an old one can still be changed");
    }
}

// Shows 3.1.1: [MQTT-7.1.1-1]; 5.0: [MQTT-4.2-1].
#[test]
fn packets_come_out_right_however_the_bytes_are_cut() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "a", Q0);
    let mut bytes = Vec::new();
    for payload in ["1", "2", "3"] {
        mqtt::encode_publish(&message("a", payload), V5, &mut bytes);
    }
    for byte in bytes {
        world.send_bytes(ann, &[byte]);
    }
    assert_eq!(world.messages(ann), ["a q0: 1", "a q0: 2", "a q0: 3"]);
}

#[test]
fn an_unknown_connection_is_no_harm() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    let id = world.clients[ann].id;
    world.lose(ann);
    let (engine, now) = (&mut world.engines[0], world.now);
    assert_eq!(engine.receive(id, b"anything", now), 8);
    assert!(engine.output(id).is_empty());
    engine.advance_output(id, 5, now);
    engine.detach(id, broker::ConnectionLost::ByPeer, now);
    assert!(engine.poll_effect().is_none());
}
