//! What each packet is answered with, and by which identifier.

use super::{BOTH, bytes, output, raw, says};
use crate::world::{Q0, Q1, Q2, V5, V311, World, message};
use mqtt::{Ack, Disconnect, OutgoingPublish, Packet, PacketId, ProtocolVersion, ReasonCode};

/// Says and hears, in a row, in both versions.
fn check(conversation: &[(&str, &str)], version: ProtocolVersion) {
    let mut world = World::open(1);
    let reader = world.connect("bob", "reader", V5);
    world.subscribe(reader, "a", Q2);
    let ann = raw(&mut world, "ann", "c1", version);
    for (said, heard) in conversation {
        says(&mut world, ann, said, heard);
    }
    assert!(world.is_open(ann));
}

// Shows 3.1.1: [MQTT-2.3.1-6], [MQTT-3.3.4-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]; 5.0: [MQTT-2.2.1-5], [MQTT-3.3.4-1],
// [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.7.2-1], [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11].
#[test]
fn each_message_is_answered_by_its_qos_and_its_identifier() {
    check(
        &[
            ("30 04 0001'a' 78", ""),
            ("32 06 0001'a' 1234 78", "40 02 1234"),
            ("34 06 0001'a' 4321 78", "50 02 4321"),
            ("62 02 4321", "70 02 4321"),
        ],
        V311,
    );
    check(
        &[
            ("30 05 0001'a' 00 78", ""),
            ("32 07 0001'a' 1234 00 78", "40 02 1234"),
            ("34 07 0001'a' 4321 00 78", "50 02 4321"),
            ("62 02 4321", "70 02 4321"),
            // Nobody reads that, and a release of nothing.
            ("32 07 0001'b' 1234 00 78", "40 03 1234 10"),
            ("34 07 0001'b' 4321 00 78", "50 03 4321 10"),
            ("62 02 4321", "70 02 4321"),
            ("62 02 4321", "70 03 4321 92"),
        ],
        V5,
    );
}

// Shows 3.1.1: [MQTT-2.3.1-7], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.9.3-1], [MQTT-3.10.4-4],
// [MQTT-3.10.4-5], [MQTT-3.10.4-6], [MQTT-3.12.4-1]; 5.0: [MQTT-2.2.1-6], [MQTT-2.2.2-1], [MQTT-3.8.4-1],
// [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2],
// [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2], [MQTT-3.12.4-1].
#[test]
fn subscriptions_are_answered_once_filter_by_filter_under_the_same_identifier() {
    check(
        &[
            ("82 0E 0007 0001'x' 02 0001'y' 00 0001'z' 01", "90 05 0007 02 00 01"),
            ("A2 0B 0008 0001'z' 0001'n' 0001'x'", "B0 02 0008"),
            ("A2 05 0009 0001'n'", "B0 02 0009"),
            ("C0 00", "D0 00"),
        ],
        V311,
    );
    check(
        &[
            ("82 0F 0007 00 0001'x' 02 0001'y' 00 0001'z' 01", "90 06 0007 00 02 00 01"),
            ("A2 0C 0008 00 0001'z' 0001'n' 0001'x'", "B0 06 0008 00 00 11 00"),
            ("A2 06 0009 00 0001'n'", "B0 04 0009 00 11"),
            ("C0 00", "D0 00"),
        ],
        V5,
    );
}

// Shows 3.1.1: [MQTT-2.3.1-5], [MQTT-3.3.1-2], [MQTT-3.3.1-3], [MQTT-4.3.1-1], [MQTT-4.3.2-1], [MQTT-4.3.3-1];
// 5.0: [MQTT-2.2.1-2], [MQTT-3.3.1-2], [MQTT-3.3.1-3], [MQTT-4.3.1-1], [MQTT-4.3.2-1], [MQTT-4.3.2-2],
// [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-4.3.3-4], [MQTT-3.6.2-1].
#[test]
fn a_message_goes_out_with_flags_and_identifier_of_its_own() {
    for version in BOTH {
        let mut world = World::open(1);
        let ann = raw(&mut world, "ann", "c1", version);
        says(&mut world, ann, subscribe_all(version), suback(version));
        let bob = world.connect("bob", "b", V5);
        for (qos, dup) in [(Q0, false), (Q1, true), (Q2, true), (Q1, false)] {
            let packet_id = PacketId::new(4000);
            world.publish_with(bob, OutgoingPublish { qos, dup, packet_id, ..message("a", "x") });
        }
        let expected = match version {
            V5 => {
                "30 05 0001'a' 00'x' 32 07 0001'a' 0001 00'x' 34 07 0001'a' 0002 00'x' 32 07 0001'a' 0003 00'x'"
            }
            _ => {
                "30 04 0001'a''x' 32 06 0001'a' 0001'x' 34 06 0001'a' 0002'x' 32 06 0001'a' 0003'x'"
            }
        };
        assert_eq!(output(&mut world, ann), bytes(expected));
        says(&mut world, ann, "50 02 0002", "62 02 0002");
        says(&mut world, ann, "50 02 0002", "62 02 0002");
        says(&mut world, ann, "40 02 0001 70 02 0002 40 02 0003", "");
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    }
}

fn subscribe_all(version: ProtocolVersion) -> &'static str {
    if version == V5 { "82 07 0001 00 0001'#' 02" } else { "82 06 0001 0001'#' 02" }
}

fn suback(version: ProtocolVersion) -> &'static str {
    if version == V5 { "90 04 0001 00 02" } else { "90 03 0001 02" }
}

// Shows 3.1.1: [MQTT-4.3.2-2], [MQTT-4.3.3-2]; 5.0: [MQTT-4.3.2-5], [MQTT-4.3.3-10], [MQTT-4.3.3-12].
#[test]
fn an_identifier_is_of_a_new_message_as_soon_as_its_exchange_is_over_whatever_dup_says() {
    for version in BOTH {
        let mut world = World::open(1);
        let reader = world.connect("bob", "reader", V5);
        world.subscribe(reader, "a", Q2);
        let ann = world.connect("ann", "c1", version);
        let packet_id = PacketId::new(7);
        let publish = |world: &mut World, qos, dup, payload| {
            let publish = OutgoingPublish { qos, dup, packet_id, ..message("a", payload) };
            world.publish_with(ann, publish);
            world.messages(reader)
        };
        assert_eq!(publish(&mut world, Q1, false, "1"), ["a q1: 1"]);
        assert_eq!(publish(&mut world, Q1, true, "2"), ["a q1: 2"]);
        assert_eq!(publish(&mut world, Q2, false, "3"), ["a q2: 3"]);
        assert_eq!(publish(&mut world, Q2, true, "4"), ["a q2: 4"]);
        world.set_acks(ann, false);
        let publish = |world: &mut World, dup, payload| {
            let publish = OutgoingPublish { qos: Q2, dup, packet_id, ..message("a", payload) };
            assert_eq!(world.publish_with(ann, publish), Some(0), "PUBREC each time");
            world.messages(reader)
        };
        assert_eq!(publish(&mut world, false, "5"), ["a q2: 5"]);
        assert!(publish(&mut world, true, "5").is_empty(), "not released yet");
        assert!(publish(&mut world, false, "5").is_empty(), "whatever DUP says");
        world.send(ann, &Packet::PubRel(Ack::new(packet_id.unwrap(), ReasonCode::Success)));
        assert_eq!(publish(&mut world, true, "6"), ["a q2: 6"]);
    }
}

// Shows 5.0: [MQTT-4.3.3-9], [MQTT-3.5.2-1].
#[test]
fn after_a_refusal_an_identifier_is_of_a_new_message() {
    let mut world = World::open(1);
    world.user("ann", &["allow write ok"]);
    let reader = world.connect("bob", "reader", V5);
    world.subscribe(reader, "#", Q2);
    let ann = world.connect("ann", "c1", V5);
    let packet_id = PacketId::new(7);
    for (topic, answer) in [("no", 0x87), ("no", 0x87), ("ok", 0)] {
        let publish = OutgoingPublish { qos: Q2, packet_id, ..message(topic, "x") };
        assert_eq!(world.publish_with(ann, publish), Some(answer));
    }
    assert_eq!(world.messages(reader), ["ok q2: x"]);
}

// Shows 3.1.1: [MQTT-4.3.2-1], [MQTT-4.3.3-1], [MQTT-4.4.0-1]; 5.0: [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-6], [MQTT-4.3.2-3],
// [MQTT-4.4.0-1].
#[test]
fn what_is_unacknowledged_goes_out_again_after_a_reconnect_and_at_no_other_time() {
    for version in BOTH {
        let mut world = World::open(1);
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "#", Q2);
        world.set_acks(ann, false);
        let bob = world.connect("bob", "b", V5);
        for (topic, qos) in [("a", Q1), ("b", Q2), ("c", Q2)] {
            world.publish(bob, topic, qos, "x");
        }
        assert_eq!(world.messages(ann), ["a q1: x", "b q2: x", "c q2: x"]);
        let b = PacketId::new(2).unwrap();
        world.send(ann, &Packet::PubRec(Ack::new(b, ReasonCode::Success)));
        world.packets(ann);
        world.wait_s(24 * 3600);
        assert!(world.packets(ann).is_empty());
        world.send(ann, &Packet::PingReq);
        world.subscribe(ann, "d", Q1);
        world.unsubscribe(ann, &["d"]);
        world.publish(ann, "$x", Q1, "y");
        assert_eq!(world.packets(ann).len(), 1, "its own PUBACK");
        assert!(world.messages(ann).is_empty(), "in between");
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["a q1 d: x", "c q2 d: x"]);
        let released =
            |packet: &Packet<'_>| matches!(packet, Packet::PubRel(ack) if ack.packet_id == b);
        assert!(world.packets(ann).iter().any(released), "PUBREL in place of the message");
    }
}

// Shows 5.0: [MQTT-4.4.0-2], [MQTT-4.8.2-6].
#[test]
fn what_a_client_refuses_goes_neither_to_it_again_nor_to_another_of_its_group() {
    for qos in [Q1, Q2] {
        let mut world = World::open(2);
        let members = ["1", "2"].map(|id| world.resume("ann", id, V5));
        for member in members {
            world.subscribe(member, "$share/g/a", qos);
            world.set_acks(member, false);
        }
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", qos, "x");
        let chosen =
            members.into_iter().find(|it| !world.clients[*it].messages.is_empty()).unwrap();
        let ack = Ack::new(PacketId::MIN, ReasonCode::ImplementationSpecificError);
        let packet = if qos == Q1 { Packet::PubAck(ack) } else { Packet::PubRec(ack) };
        world.send(chosen, &packet);
        world.lose(chosen);
        let ids = ["1", "2"].map(|id| world.resume("ann", id, V5));
        let got: usize = ids.into_iter().map(|it| world.messages(it).len()).sum();
        assert_eq!(got, 0, "{qos:?}");
        let left: usize = ["1", "2"].iter().map(|it| world.view(it).unwrap().in_flight).sum();
        assert_eq!(left, 0);
    }
}

// Shows 5.0: [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3].
#[test]
fn a_full_window_stops_messages_and_nothing_else() {
    let mut world = World::open(1);
    let mut connect = mqtt::Connect::new(V5, "c1");
    connect.properties.receive_maximum = Some(1);
    let ann = world.connect_with("ann", connect);
    world.clients[ann].reads = false;
    output(&mut world, ann);
    says(&mut world, ann, "82 07 0001 00 0001'#' 02", "90 04 0001 00 02");
    let bob = world.connect("bob", "b", V5);
    for payload in ["1", "2"] {
        world.publish(bob, "a", Q1, payload);
    }
    assert_eq!(output(&mut world, ann), bytes("32 07 0001'a' 0001 00'1'"));
    says(&mut world, ann, "C0 00", "D0 00");
    says(&mut world, ann, "82 07 0002 00 0001'b' 00", "90 04 0002 00 00");
    says(&mut world, ann, "A2 06 0003 00 0001'b'", "B0 04 0003 00 00");
    says(&mut world, ann, "32 07 0001'n' 0009 00'x'", "40 02 0009");
    world.publish(bob, "a", Q0, "not counted");
    assert_eq!(output(&mut world, ann), bytes("30 0F 0001'a' 00'not counted'"));
    says(&mut world, ann, "40 02 0001", "32 07 0001'a' 0002 00'2'");
}

// Shows 3.1.1: [MQTT-4.8.0-1]; 5.0: [MQTT-3.14.2-1], [MQTT-3.14.2-2], [MQTT-3.14.2-3], [MQTT-3.14.2-4],
// [MQTT-3.14.4-1], [MQTT-3.14.4-2], [MQTT-4.13.1-1], [MQTT-4.13.2-1], [MQTT-3.1.0-2], [MQTT-4.12.1-2].
#[test]
fn a_broken_rule_is_told_by_its_code_alone_and_nothing_follows() {
    use ReasonCode::{MalformedPacket, ProtocolError};
    let connect_again = "10 0F 0004'MQTT' 05 02 0000 00 0002'c1'";
    for (said, code) in [
        ("00 00", MalformedPacket),
        (connect_again, ProtocolError),
        ("F0 00", ProtocolError),
        ("F0 06 19 04 15 0001'm'", ProtocolError),
        ("36 07 0001'a' 0001 00'x'", MalformedPacket),
        ("82 06 0001 00 0001'#'", MalformedPacket),
        ("E0 01 1F", MalformedPacket),
    ] {
        for version in [V5, V311] {
            let mut world = World::open(1);
            let ann = world.connect("ann", "c1", version);
            world.set_acks(ann, false);
            world.packets(ann);
            // What comes behind it is not looked at.
            world.send_bytes(ann, &bytes(&format!("{said} C0 00")));
            let told = Packet::Disconnect(Disconnect::new(code));
            let expected = if version == V5 { vec![told] } else { Vec::new() };
            if version == V5 || code == ReasonCode::MalformedPacket {
                assert_eq!(world.packets(ann), expected, "{said}");
                assert!(!world.is_open(ann), "{said}");
            }
        }
    }
}

/// A topic of so many levels, with its length in front.
fn deep(levels: usize) -> Vec<u8> {
    let text = "/".repeat(levels - 1);
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of less than 16 KiB.
fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = [(body.len() % 128) | 0x80, body.len() / 128].map(|it| u8::try_from(it).unwrap());
    [&[first][..], &length, &body].concat()
}

// Shows 3.1.1: [MQTT-3.3.5-2], [MQTT-3.9.3-2]; 5.0: [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2].
#[test]
fn what_is_sound_and_has_too_many_levels_is_refused_by_itself_and_ends_nothing() {
    for version in BOTH {
        let is_v5 = version == V5;
        let properties: &[u8] = if is_v5 { b"\0" } else { b"" };
        let mut world = World::open(1);
        let reader = world.connect("bob", "reader", V5);
        world.subscribe(reader, "#", Q2);
        let mut connect = mqtt::Connect::new(version, "c1");
        connect.properties.request_problem_information = is_v5.then_some(false);
        let ann = world.connect_with("ann", connect);
        world.clients[ann].reads = false;
        output(&mut world, ann);
        let mut ask = |first, body: &[&[u8]], heard: &str| {
            world.send_bytes(ann, &packet(first, body));
            let output = output(&mut world, ann);
            assert_eq!(output, bytes(heard), "{version} {first:02x}: {output:02x?}");
        };
        let (most, more) = (&deep(256)[..], &deep(257)[..]);
        let shared = &[b"\x01\x09$share/g/", &more[2..]].concat()[..];
        let share_of_share: &[u8] = b"\0\x13$share/g/$share/h/a";
        let subscribe: [&[u8]; 9] =
            [b"\0\x01", properties, more, b"\x01", most, b"\x01", shared, b"\0", share_of_share];
        let subscribed = if is_v5 { "90 07 0001 00 8F 01 8F 8F" } else { "90 06 0001 80 01 80 80" };
        ask(0x82, &[&subscribe.concat(), b"\x02"], subscribed);
        let unsubscribed = if is_v5 { "B0 05 0002 00 11 00" } else { "B0 02 0002" };
        ask(0xA2, &[b"\0\x02", properties, more, most], unsubscribed);
        ask(0x31, &[more, properties, b"x"], "");
        ask(
            0x33,
            &[more, b"\0\x03", properties, b"x"],
            if is_v5 { "40 03 0003 90" } else { "40 02 0003" },
        );
        ask(
            0x35,
            &[more, b"\0\x04", properties, b"x"],
            if is_v5 { "50 03 0004 90" } else { "50 02 0004" },
        );
        ask(0x33, &[most, b"\0\x05", properties, b"x"], "40 02 0005");
        assert!(world.is_open(ann));
        assert_eq!(world.messages(reader).len(), 1);
        assert_eq!(world.hub.retained_usage().0, 1);
    }
}
