//! Retained messages, wills, topics, replaced and ended subscriptions.

use super::BOTH;
use crate::world::{Q0, Q1, Q2, V5, V311, World, lasting, message, with_will};
use mqtt::{
    Connect, DecodeLimits, Disconnect, OutgoingPublish, Packet, ReasonCode, SubscribeOptions,
};

// Shows 3.1.1: [MQTT-3.1.2-7], [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8], [MQTT-3.3.1-12];
// 5.0: [MQTT-3.3.1-5], [MQTT-3.3.1-8], [MQTT-3.3.1-9].
#[test]
fn the_last_retained_message_of_a_topic_stays_with_its_qos_until_another_replaces_it() {
    for version in BOTH {
        let mut world = World::open(2);
        let bob = world.connect("bob", "b", version);
        for (number, qos) in [Q0, Q1, Q2, Q0].into_iter().enumerate() {
            let payload = number.to_string();
            let retained = OutgoingPublish { qos, retain: true, ..message("a", &payload) };
            world.publish_with(bob, retained);
            world.publish(bob, "a", Q2, "not retained");
            let ann = world.connect("ann", "c1", version);
            world.subscribe(ann, "+", Q2);
            assert_eq!(world.messages(ann), [format!("a q{} r: {payload}", qos.bits())]);
            world.lose(ann);
        }
        world.disconnect(bob);
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a", Q2);
        assert_eq!(world.messages(ann), ["a q0 r: 3"], "its writer's session is over");
    }
}

// Shows 3.1.1: [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-12], [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.14.4-3];
// 5.0: [MQTT-3.1.2-7], [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.14.4-3].
#[test]
fn a_will_is_sent_once_as_it_says_and_never_without_its_flag_or_after_a_disconnect() {
    for (version, retain) in BOTH.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let mut world = World::open(1);
        let reader = world.connect("bob", "reader", version);
        world.subscribe(reader, "#", Q2);
        let mut connect = with_will(lasting(version, "c1"), "w", 0);
        connect.will.as_mut().unwrap().retain = retain;
        let ann = world.connect_with("ann", connect.clone());
        assert!(world.messages(reader).is_empty(), "not before the end");
        world.lose(ann);
        assert_eq!(world.messages(reader), ["w q1: gone"]);
        let kept = if retain { 1 } else { 0 };
        assert_eq!(world.hub.retained_usage().0, kept);
        let ann = world.resume("ann", "c1", version);
        world.lose(ann);
        assert!(world.messages(reader).is_empty(), "the resumed connection had none");
        let ann = world.connect_with("ann", connect);
        world.disconnect(ann);
        world.wait_s(60);
        assert!(world.messages(reader).is_empty(), "a disconnect discards it");
    }
}

// Shows 5.0: [MQTT-3.1.2-8], [MQTT-3.14.4-3].
#[test]
fn every_disconnect_but_the_normal_one_sends_the_will() {
    for (code, sent) in [
        (ReasonCode::Success, 0),
        (ReasonCode::DisconnectWithWill, 1),
        (ReasonCode::UnspecifiedError, 1),
    ] {
        let mut world = World::open(1);
        let reader = world.connect("bob", "reader", V5);
        world.subscribe(reader, "#", Q2);
        let ann = world.connect_with("ann", with_will(Connect::new(V5, "c1"), "w", 0));
        world.send(ann, &Packet::Disconnect(Disconnect::new(code)));
        assert_eq!(world.messages(reader).len(), sent, "{code:?}");
    }
}

// Shows 5.0: [MQTT-3.1.3-10].
#[test]
fn a_will_carries_all_its_properties_in_order() {
    let mut world = World::open(1);
    let reader = super::raw(&mut world, "bob", "reader", V5);
    super::says(&mut world, reader, "82 07 0001 00 0001'#' 00", "90 04 0001 00 00");
    let forwardable =
        b"\x26\x00\x01b\x00\x01y\x01\x01\x26\x00\x01a\x00\x01x\x03\x00\x01c\x08\x00\x01r\x09\x00\x01d";
    let mut connect = with_will(Connect::new(V5, "c1"), "w", 0);
    connect.will.as_mut().unwrap().properties.forwardable = forwardable.to_vec();
    let mut packet = Vec::new();
    mqtt::encode(&Packet::Connect(Box::new(connect)), V5, &mut packet);
    assert!(packet.windows(forwardable.len()).any(|it| it == forwardable), "as the client says it");
    let (connect, _) = mqtt::decode_connect(&packet, &DecodeLimits::default()).unwrap().unwrap();
    let ann = world.connect_with("ann", *connect);
    world.lose(ann);
    let output = super::output(&mut world, reader);
    assert!(output.windows(forwardable.len()).any(|it| it == forwardable), "{output:02x?}");
}

// Shows 3.1.1: [MQTT-3.8.4-3]; 5.0: [MQTT-3.8.4-3], [MQTT-3.8.4-4].
#[test]
fn the_same_filter_replaces_the_subscription_and_loses_nothing() {
    for version in BOTH {
        let mut world = World::open(2);
        let bob = world.connect("bob", "b", version);
        world.retain(bob, "a/b", "kept");
        let ann = world.connect("ann", "c1", version);
        for (granted, qos) in [(Q2, 1), (Q0, 0), (Q1, 1)] {
            world.subscribe(ann, "a/+", granted);
            assert_eq!(world.messages(ann), [format!("a/b q{qos} r: kept")], "sent anew");
            world.publish(bob, "a/b", Q1, "live");
            assert_eq!(
                world.messages(ann),
                [format!("a/b q{qos}: live")],
                "once, with the new QoS"
            );
        }
        world.subscribe(ann, "a/#", Q0);
        world.messages(ann);
        assert_eq!(
            world.view("c1").unwrap().subscriptions.len(),
            2,
            "another filter is another subscription"
        );
    }
}

// Shows 3.1.1: [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-3]; 5.0: [MQTT-3.10.4-1], [MQTT-3.10.4-2],
// [MQTT-3.10.4-3].
#[test]
fn an_unsubscribe_ends_exactly_its_filter_and_lets_deliveries_that_have_begun_go_on() {
    for version in BOTH {
        let mut world = World::open(1);
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a/+", Q2);
        let bob = world.connect("bob", "b", V5);
        for other in ["a/b", "a/#", "#", "A/+", "a/+/", "/a/+"] {
            world.unsubscribe(ann, &[other]);
            world.publish(bob, "a/b", Q1, other);
            assert_eq!(world.messages(ann), [format!("a/b q1: {other}")]);
        }
        world.set_acks(ann, false);
        world.publish(bob, "a/b", Q1, "1");
        world.publish(bob, "a/b", Q2, "2");
        assert_eq!(world.messages(ann), ["a/b q1: 1", "a/b q2: 2"]);
        world.unsubscribe(ann, &["a/+"]);
        world.publish(bob, "a/b", Q2, "late");
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(
            world.messages(ann),
            ["a/b q1 d: 1", "a/b q2 d: 2"],
            "what was begun, and no more"
        );
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    }
}

// Shows 3.1.1: [MQTT-1.5.3-3], [MQTT-3.3.2-3], [MQTT-4.7.3-4], [MQTT-3.8.3-2]; 5.0: [MQTT-1.5.4-3],
// [MQTT-3.3.2-3], [MQTT-4.7.3-4].
#[test]
fn topics_are_compared_as_they_are_and_filters_bring_only_what_they_match() {
    let composed = "caf\u{e9}";
    let decomposed = "cafe\u{301}";
    let names = ["a", "A", "/a", "a/", "a b", "a/b", " a", composed, decomposed, "\u{feff}a"];
    for version in BOTH {
        let mut world = World::open(1);
        let bob = world.connect("bob", "b", V5);
        for name in names {
            let ann = world.connect("ann", "c1", version);
            world.subscribe(ann, name, Q0);
            for topic in names {
                world.publish(bob, topic, Q0, "x");
            }
            assert_eq!(world.messages(ann), [format!("{name} q0: x")]);
        }
        let ann = world.connect("ann", "c1", version);
        for (filter, expected) in [("#", names.len()), ("+", 7), ("+/+", 3), ("/+", 1), ("a/#", 3)]
        {
            world.subscribe(ann, filter, Q0);
            for topic in names {
                world.publish(bob, topic, Q0, "x");
            }
            assert_eq!(world.messages(ann).len(), expected, "{filter}");
            world.unsubscribe(ann, &[filter]);
        }
    }
}

// Shows 3.1.1: [MQTT-4.5.0-1], [MQTT-4.6.0-5], [MQTT-4.6.0-6]; 5.0: [MQTT-4.5.0-1], [MQTT-4.6.0-5], [MQTT-4.6.0-6].
#[test]
fn messages_of_one_client_reach_each_subscriber_in_order_online_or_not() {
    for version in BOTH {
        let mut world = World::open(2);
        let online = world.connect("ann", "online", version);
        world.subscribe(online, "t/#", Q2);
        let offline = world.resume("ann", "offline", version);
        world.subscribe(offline, "t/#", Q2);
        world.lose(offline);
        let bob = world.connect("bob", "b", version);
        for number in 0..50 {
            let qos = if number % 3 == 0 { Q2 } else { Q1 };
            world.publish(bob, &format!("t/{}", number % 2), qos, &number.to_string());
        }
        let offline = world.resume("ann", "offline", version);
        for client in [online, offline] {
            let order: Vec<usize> = world
                .messages(client)
                .iter()
                .map(|it| it.rsplit(' ').next().unwrap().parse().unwrap())
                .collect();
            assert_eq!(order, (0..50).collect::<Vec<_>>());
        }
    }
}

// Shows 5.0: [MQTT-4.8.2-3], [MQTT-4.8.2-4], [MQTT-4.8.2-5].
#[test]
fn a_shared_message_is_of_the_member_it_was_sent_to_with_that_members_qos() {
    for is_back in [true, false] {
        let mut world = World::open(2);
        let first = world.resume("ann", "1", V5);
        world.subscribe(first, "$share/g/a", Q2);
        world.set_acks(first, false);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q2, "x");
        assert_eq!(world.messages(first), ["a q2: x"]);
        let second = world.resume("cat", "2", V5);
        world.subscribe(second, "$share/g/a", Q1);
        world.lose(first);
        assert!(world.messages(second).is_empty(), "not while it may come back");
        if is_back {
            let first = world.resume("ann", "1", V5);
            assert_eq!(world.messages(first), ["a q2 d: x"]);
            world.unsubscribe(first, &["$share/g/a"]);
        } else {
            world.wait_s(3601);
            assert!(world.view("1").is_none(), "the session is over");
        }
        assert!(world.messages(second).is_empty(), "nor when it does not");
        world.publish(bob, "a", Q2, "y");
        assert_eq!(world.messages(second), ["a q1: y"]);
    }
}

// Shows 5.0: [MQTT-3.8.3-3].
#[test]
fn no_local_is_about_the_session_and_not_the_user() {
    let no_local = SubscribeOptions { no_local: true, ..SubscribeOptions::qos(Q1) };
    let mut world = World::open(2);
    let one = world.connect("ann", "one", V5);
    world.subscribe_with(one, &[("a", no_local)], None);
    let two = world.connect("ann", "two", V5);
    world.publish(one, "a", Q1, "own");
    world.publish(two, "a", Q1, "of another client");
    assert_eq!(world.messages(one), ["a q1: of another client"]);
}

// Shows 5.0: [MQTT-3.2.0-2].
#[test]
fn connack_comes_first_and_once_whatever_waits() {
    for version in [V311, V5] {
        let mut world = World::open(1);
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "#", Q1);
        world.lose(ann);
        let bob = world.connect("bob", "b", V5);
        for _ in 0..3 {
            world.publish(bob, "a", Q1, "x");
        }
        let ann = world.resume("ann", "c1", version);
        assert!(world.connack(ann).session_present);
        world.wait_s(1000);
        let connacks =
            world.packets(ann).iter().filter(|it| matches!(it, Packet::ConnAck(_))).count();
        assert_eq!((connacks, world.messages(ann).len()), (1, 3));
    }
}
