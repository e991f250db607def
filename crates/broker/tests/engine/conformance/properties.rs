//! Properties of 5.0: what is handed on, what is told, and to whom.

use super::{output, says};
use crate::world::{Q0, Q1, Q2, V5, World, lasting, limits, message};
use broker::{Limits, PayloadFormat, ResponseInformation};
use mqtt::{Connect, Disconnect, OutgoingPublish, Packet, ProtocolVersion, SubscribeOptions};

// Shows 5.0: [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20].
#[test]
fn what_belongs_to_the_message_is_handed_on_unaltered_live_queued_and_retained() {
    let forwardable = b"\x26\x00\x01b\x00\x01y\x01\x01\x26\x00\x01a\x00\x01x\x03\x00\x03t/p\
        \x08\x00\x03a/r\x09\x00\x02\x00\xff\x26\x00\x01b\x00\x01y";
    let find =
        |output: &[u8]| output.windows(forwardable.len()).filter(|it| it == forwardable).count();
    for (qos, lifetime) in [Q0, Q1, Q2].into_iter().flat_map(|it| [(it, None), (it, Some(100))]) {
        let mut world = World::open(2);
        let ann = world.resume("ann", "c1", V5);
        world.subscribe(ann, "a", Q2);
        let bob = world.connect("bob", "b", V5);
        let publish = OutgoingPublish {
            qos,
            forwardable,
            retain: true,
            message_expiry_interval_s: lifetime,
            topic_alias: lifetime.map(|_| 1),
            ..message("a", "x")
        };
        world.clients[ann].reads = false;
        world.publish_with(bob, publish);
        assert_eq!(find(&output(&mut world, ann)), 1, "live, {qos:?}");
        world.lose(ann);
        world.publish_with(bob, publish);
        world.newcomers_read = false;
        let ann = world.resume("ann", "c1", V5);
        let count = if qos > Q0 { 2 } else { 0 };
        assert_eq!(find(&output(&mut world, ann)), count, "in flight and queued, {qos:?}");
        let late = world.connect("cat", "late", V5);
        output(&mut world, late);
        world.send_bytes(late, &super::bytes("82 07 0001 00 0001'a' 02"));
        assert_eq!(find(&output(&mut world, late)), 1, "retained, {qos:?}");
    }
}

// Shows 5.0: [MQTT-3.3.2-5], [MQTT-3.3.2-6], [MQTT-4.3.3-7], [MQTT-4.3.3-13].
#[test]
fn a_message_expires_only_before_it_is_sent_and_carries_the_time_that_is_left() {
    let mut world = World::open(1);
    let ann = world.resume("ann", "c1", V5);
    world.subscribe(ann, "a", Q2);
    world.set_acks(ann, false);
    let bob = world.connect("bob", "b", V5);
    let publish = |world: &mut World, payload, seconds| {
        let expiring = OutgoingPublish {
            qos: Q2,
            message_expiry_interval_s: Some(seconds),
            ..message("a", payload)
        };
        assert_eq!(world.publish_with(bob, expiring), Some(0), "the exchange goes on in any case");
    };
    publish(&mut world, "sent", 10);
    assert_eq!(world.messages(ann), ["a q2 10s: sent"]);
    world.lose(ann);
    publish(&mut world, "short", 10);
    publish(&mut world, "long", 100);
    world.wait_s(40);
    let ann = world.resume("ann", "c1", V5);
    let messages = world.messages(ann);
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("a q2 d") && messages[0].ends_with(": sent"), "{messages:?}");
    assert_eq!(messages[1], "a q2 60s: long");
    assert_eq!(world.view("c1").unwrap().in_flight, 0);
}

// Shows 5.0: [MQTT-3.1.2-28].
#[test]
fn response_information_is_told_to_who_asks_if_there_is_any() {
    let information = ResponseInformation::parse("answers/${username}/${clientId}").unwrap();
    for (configured, asked, expected) in [
        (true, Some(true), Some("answers/ann/c1")),
        (true, Some(false), None),
        (true, None, None),
        (false, Some(true), None),
    ] {
        let response_information = configured.then(|| information.clone());
        let mut world = World::with(1, Limits { response_information, ..limits() });
        world.user("ann", &[]);
        let mut connect = Connect::new(V5, "c1");
        connect.properties.request_response_information = asked;
        let ann = world.connect_with("ann", connect);
        assert_eq!(world.connack(ann).properties.response_information.as_deref(), expected);
    }
}

// Shows 5.0: [MQTT-3.2.2-9], [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.2.2-8], [MQTT-4.12.0-6].
#[test]
fn connack_says_what_is_granted_and_nothing_that_nobody_asked_for() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    let connack = world.connack(ann);
    assert_eq!(connack.reason.value(), 0);
    let properties = connack.properties;
    // Every QoS, retained messages, wildcards, identifiers and shares are there, which is said by silence.
    assert_eq!(properties.maximum_qos, None);
    assert_eq!(properties.retain_available, None);
    assert_eq!(properties.wildcard_subscription_available, None);
    assert_eq!(properties.subscription_identifiers_available, None);
    assert_eq!(properties.shared_subscription_available, None);
    assert_eq!(properties.reason_string, None);
    assert!(properties.user_properties.is_empty());
    assert_eq!(properties.authentication_method, None);
    assert_eq!(properties.response_information, None);
}

// Shows 5.0: [MQTT-3.1.2-24], [MQTT-3.2.0-1].
#[test]
fn a_client_that_takes_no_connack_is_refused_before_anything_happens_to_its_session() {
    let mut world = World::open(1);
    let ann = world.resume("ann", "c1", V5);
    world.subscribe(ann, "a", Q1);
    let mut connect = lasting(V5, "c1");
    connect.properties.maximum_packet_size = Some(12);
    assert_eq!(world.try_connect("ann", connect.clone()), Err(0x95));
    assert!(world.is_open(ann), "the former connection stays");
    let mut size_max = 13;
    let back = loop {
        connect.properties.maximum_packet_size = Some(size_max);
        match world.try_connect("ann", connect.clone()) {
            Ok(back) => break back,
            Err(code) => assert_eq!(code, 0x95),
        }
        size_max += 1;
    };
    assert!(size_max < 30 && world.session_present(back));
}

// Shows 5.0: [MQTT-3.1.2-24], [MQTT-3.1.2-29], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3],
// [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2], [MQTT-3.7.2-3], [MQTT-3.9.2-1], [MQTT-3.9.2-2],
// [MQTT-3.11.2-1], [MQTT-3.11.2-2].
#[test]
fn reasons_are_told_to_who_wants_them_and_has_room_for_them() {
    for (wanted, size_max, told) in
        [(None, None, true), (Some(false), None, false), (Some(true), Some(40), false)]
    {
        let mut world = World::open(1);
        world.user("ann", &[]);
        let mut connect = Connect::new(V5, "c1");
        connect.properties.request_problem_information = wanted;
        connect.properties.maximum_packet_size = size_max;
        let ann = world.connect_with("ann", connect);
        world.clients[ann].acks = false;
        assert_eq!(world.subscribe(ann, "a", Q1), 0x87);
        let mut packets = world.packets(ann);
        world.publish(ann, "a", Q1, "x");
        packets.extend(world.packets(ann));
        world.publish(ann, "a", Q2, "x");
        world.unsubscribe_silently(ann, "a");
        packets.extend(world.packets(ann));
        let mut reasons = 0;
        for packet in packets {
            let properties = match packet {
                Packet::SubAck(ack) => ack.properties,
                Packet::UnsubAck(ack) => ack.properties,
                Packet::PubAck(ack) | Packet::PubRec(ack) => ack.properties,
                _ => continue,
            };
            assert!(properties.user_properties.is_empty());
            reasons += usize::from(properties.reason_string.is_some());
        }
        assert_eq!(reasons, if told { 3 } else { 0 }, "{wanted:?} {size_max:?}");
    }
}

// Shows 5.0: [MQTT-3.3.2-7], [MQTT-3.3.2-12], [MQTT-3.3.2-9].
#[test]
fn every_alias_up_to_the_maximum_is_taken_and_none_outlives_its_connection() {
    let mut world = World::open(1);
    let reader = world.connect("bob", "reader", V5);
    world.subscribe(reader, "#", Q0);
    let ann = world.resume("ann", "c1", V5);
    let maximum = world.connack(ann).properties.topic_alias_maximum.unwrap();
    for alias in 1..=maximum {
        let topic = format!("t{alias}");
        let publish = OutgoingPublish { topic_alias: Some(alias), ..message(&topic, "set") };
        world.publish_with(ann, publish);
    }
    for alias in 1..=maximum {
        let publish = OutgoingPublish { topic_alias: Some(alias), ..message("", "used") };
        world.publish_with(ann, publish);
        assert!(world.messages(reader).contains(&format!("t{alias} q0: used")));
    }
    world.lose(ann);
    let ann = world.resume("ann", "c1", V5);
    assert!(world.session_present(ann));
    world.publish_with(ann, OutgoingPublish { topic_alias: Some(1), ..message("", "stale") });
    assert_eq!(world.disconnected(ann), Some(0x82));
    assert!(world.messages(reader).is_empty());
}

// Shows 5.0: [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-11].
#[test]
fn aliases_go_out_only_within_the_clients_maximum_and_begin_anew_with_each_connection() {
    for (maximum, first, second) in [
        (None, "30 05 0001'a' 00'x'", "30 05 0001'a' 00'x'"),
        (Some(0), "30 05 0001'a' 00'x'", "30 05 0001'a' 00'x'"),
        (Some(1), "30 08 0001'a' 03 23 0001'x'", "30 07 0000 03 23 0001'x'"),
    ] {
        let mut world = World::open(1);
        let bob = world.connect("bob", "b", V5);
        for _ in 0..2 {
            let mut connect = lasting(V5, "c1");
            connect.properties.topic_alias_maximum = maximum;
            let ann = world.connect_with("ann", connect);
            world.clients[ann].reads = false;
            output(&mut world, ann);
            says(&mut world, ann, "82 07 0001 00 0001'#' 00", "90 04 0001 00 00");
            for expected in [first, second] {
                world.publish(bob, "a", Q0, "x");
                assert_eq!(output(&mut world, ann), super::bytes(expected), "{maximum:?}");
            }
            world.publish(bob, "b", Q0, "x");
            let other = output(&mut world, ann);
            assert!(!other.windows(3).any(|it| it == [0x23, 0, 2]), "no alias above the maximum");
            world.lose(ann);
        }
    }
}

// Shows 5.0: [MQTT-3.3.4-3], [MQTT-3.3.4-4].
#[test]
fn a_subscription_identifier_comes_with_live_queued_and_retained_messages() {
    let mut world = World::open(2);
    let bob = world.connect("bob", "b", V5);
    world.retain(bob, "a", "retained");
    let ann = world.resume("ann", "c1", V5);
    world.subscribe_with(ann, &[("a", SubscribeOptions::qos(Q1))], Some(268_435_455));
    assert_eq!(world.messages(ann), ["a q1 r [268435455]: retained"]);
    world.publish(bob, "a", Q1, "live");
    assert_eq!(world.messages(ann), ["a q1 [268435455]: live"]);
    world.lose(ann);
    world.publish(bob, "a", Q1, "queued");
    let ann = world.resume("ann", "c1", V5);
    assert_eq!(world.messages(ann), ["a q1 [268435455]: queued"]);
    world.subscribe_with(ann, &[("a", SubscribeOptions::qos(Q1))], None);
    world.messages(ann);
    world.publish(bob, "a", Q1, "without");
    assert_eq!(world.messages(ann), ["a q1: without"], "a new subscription without one");
}

fn check_format(
    rule: PayloadFormat,
    indicator: &'static [u8],
    payload: &str,
    expected: [Option<u8>; 2],
) {
    let mut world = World::with(1, Limits { payload_format: rule, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let reader = world.connect("ann", "reader", V5);
    world.subscribe(reader, "#", Q2);
    let ann = world.connect("ann", "c1", V5);
    for (qos, answer) in [(Q1, expected[0]), (Q2, expected[1])] {
        let bytes: &[u8] = if payload == "bad" { b"\xff\xfe" } else { payload.as_bytes() };
        let publish =
            OutgoingPublish { qos, forwardable: indicator, payload: bytes, ..message("a", "") };
        assert_eq!(world.publish_with(ann, publish), answer, "{rule:?} {indicator:?} {payload}");
        let taken = usize::from(answer == Some(0));
        assert_eq!(world.messages(reader).len(), taken);
        assert!(world.is_open(ann));
    }
}

#[test]
fn a_payload_that_is_not_what_it_says_is_refused_where_somebody_looks() {
    let (utf8, binary): (&[u8], &[u8]) = (b"\x01\x01", b"\x01\x00");
    check_format(PayloadFormat::Check, utf8, "bad", [Some(0x99); 2]);
    check_format(PayloadFormat::Check, utf8, "caf\u{e9}", [Some(0); 2]);
    check_format(PayloadFormat::Check, binary, "bad", [Some(0); 2]);
    check_format(PayloadFormat::Check, b"", "bad", [Some(0); 2]);
    check_format(PayloadFormat::Pass, utf8, "bad", [Some(0); 2]);
}

#[test]
fn a_payload_that_is_not_what_it_says_and_has_no_answer_ends_the_connection() {
    let mut world = World::with(1, Limits { payload_format: PayloadFormat::Check, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let reader = world.connect("ann", "reader", V5);
    world.subscribe(reader, "#", Q2);
    let ann = world.connect("ann", "c1", V5);
    let publish = OutgoingPublish {
        forwardable: b"\x01\x01",
        payload: b"\xff",
        retain: true,
        ..message("a", "")
    };
    world.publish_with(ann, publish);
    assert_eq!(world.disconnected(ann), Some(0x99));
    assert!(world.messages(reader).is_empty());
    assert_eq!(world.hub.retained_usage().0, 0);
    let mut connect = crate::world::with_will(Connect::new(V5, "c2"), "w", 0);
    let will = connect.will.as_mut().unwrap();
    will.payload = vec![0xff];
    will.properties.forwardable = b"\x01\x01".to_vec();
    assert_eq!(world.try_connect("ann", connect), Err(0x99), "the will too");
}

// Shows 5.0: [MQTT-3.1.2-23], [MQTT-4.1.0-2].
#[test]
fn a_disconnect_may_change_how_long_the_session_stays() {
    for (connected_with, disconnect_with, is_kept) in
        [(3600, Some(5), false), (3600, Some(0), false), (3600, None, true), (5, Some(3600), true)]
    {
        let mut world = World::open(1);
        let mut connect = lasting(V5, "c1");
        connect.properties.session_expiry_interval_s = Some(connected_with);
        let ann = world.connect_with("ann", connect);
        world.subscribe(ann, "a", Q1);
        let mut disconnect = Disconnect::new(mqtt::ReasonCode::Success);
        disconnect.properties.session_expiry_interval_s = disconnect_with;
        world.send(ann, &Packet::Disconnect(disconnect));
        world.wait_s(6);
        let back = world.resume("ann", "c1", ProtocolVersion::V5);
        assert_eq!(world.session_present(back), is_kept, "{connected_with} {disconnect_with:?}");
    }
}
