//! What a subscriber gets: copies, QoS, flags, identifiers, expiry, shares, retained messages.

use crate::world::{Q0, Q1, Q2, V5, V311, World, lasting, limits, message};
use broker::Limits;
use mqtt::{Connect, OutgoingPublish, ProtocolVersion, RetainHandling, SubscribeOptions};

const BOTH: [ProtocolVersion; 2] = [V311, V5];

fn in_both(check: impl Fn(&mut World, ProtocolVersion)) {
    for shards in [1, 2] {
        for version in BOTH {
            check(&mut World::open(shards), version);
        }
    }
}

// Shows 3.1.1: [MQTT-3.8.4-6]; 5.0: [MQTT-3.8.4-8].
#[test]
fn each_pair_of_qos_delivers_at_the_smaller() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        let bob = world.connect("bob", "b", version);
        for granted in [Q0, Q1, Q2] {
            assert_eq!(world.subscribe(ann, "a", granted), granted.bits());
            for qos in [Q0, Q1, Q2] {
                world.publish(bob, "a", qos, "x");
                let expected = format!("a q{}: x", qos.min(granted).bits());
                assert_eq!(world.messages(ann), [expected]);
            }
        }
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    });
}

// Shows 3.1.1: [MQTT-3.3.5-1]; 5.0: [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4].
#[test]
fn overlapping_subscriptions_bring_one_copy_at_the_highest_qos_with_all_identifiers() {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        let ann = world.connect("ann", "c1", V5);
        for (filter, qos, id) in [("a/#", Q0, 1), ("a/+", Q2, 2), ("a/b", Q1, 3), ("c", Q1, 4)] {
            world.subscribe_with(ann, &[(filter, SubscribeOptions::qos(qos))], Some(id));
        }
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a/b", Q2, "x");
        let messages = world.messages(ann);
        assert_eq!(messages.len(), 1);
        assert!(messages[0].starts_with("a/b q2 ["), "{messages:?}");
        for id in ["1", "2", "3"] {
            assert!(messages[0].contains(id), "{messages:?}");
        }
    }
}

// Shows 5.0: [MQTT-3.8.3-3].
#[test]
fn no_local_keeps_own_messages_away_unless_another_subscription_wants_them() {
    let no_local = SubscribeOptions { no_local: true, ..SubscribeOptions::qos(Q1) };
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    let bob = world.connect("bob", "b", V5);
    world.subscribe_with(ann, &[("a", no_local)], Some(1));
    world.publish(ann, "a", Q1, "own");
    world.publish(bob, "a", Q1, "other");
    assert_eq!(world.messages(ann), ["a q1 [1]: other"]);
    world.subscribe_with(ann, &[("#", SubscribeOptions::qos(Q0))], Some(2));
    world.publish(ann, "a", Q1, "own");
    assert_eq!(world.messages(ann), ["a q0 [2]: own"]);
}

// Shows 3.1.1: [MQTT-3.3.1-9]; 5.0: [MQTT-3.3.1-12], [MQTT-3.3.1-13].
#[test]
fn the_retain_flag_is_as_published_only_if_the_subscription_says_so() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", V5);
        let as_published =
            SubscribeOptions { retain_as_published: true, ..SubscribeOptions::qos(Q1) };
        world.subscribe_with(ann, &[("a", as_published)], None);
        let cat = world.connect("cat", "c2", version);
        world.subscribe(cat, "a", Q1);
        let bob = world.connect("bob", "b", version);
        world.retain(bob, "a", "x");
        assert_eq!(world.messages(ann), ["a q1 r: x"]);
        assert_eq!(world.messages(cat), ["a q1: x"]);
        for retain in [true, false] {
            world.publish_with(bob, OutgoingPublish { retain, ..message("a", "y") });
            let flag = if retain { " r" } else { "" };
            assert_eq!(world.messages(ann), [format!("a q0{flag}: y")]);
            assert_eq!(world.messages(cat), ["a q0: y"]);
        }
    });
}

// Shows 3.1.1: [MQTT-3.3.1-6]; 5.0: [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11].
#[test]
fn retain_handling_says_when_retained_messages_come() {
    use RetainHandling::{Always, IfNew, Never};
    for (retain_handling, first, second) in [(Always, 1, 1), (IfNew, 1, 0), (Never, 0, 0)] {
        let mut world = World::open(2);
        let bob = world.connect("bob", "b", V5);
        world.retain(bob, "a", "x");
        let ann = world.connect("ann", "c1", V5);
        let options = SubscribeOptions { retain_handling, ..SubscribeOptions::qos(Q1) };
        world.subscribe_with(ann, &[("a", options)], None);
        assert_eq!(world.messages(ann).len(), first, "{retain_handling:?}");
        world.subscribe_with(ann, &[("a", options)], None);
        assert_eq!(world.messages(ann).len(), second, "{retain_handling:?}");
    }
}

// Shows 3.1.1: [MQTT-3.3.1-10], [MQTT-3.3.1-11]; 5.0: [MQTT-3.3.1-6], [MQTT-3.3.1-7].
#[test]
fn an_empty_retained_message_removes_and_is_delivered_itself() {
    in_both(|world, version| {
        let bob = world.connect("bob", "b", version);
        world.retain(bob, "a", "x");
        world.retain(bob, "a", "y");
        assert_eq!(world.hub.retained_usage().0, 1);
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "#", Q1);
        assert_eq!(world.messages(ann), ["a q1 r: y"]);
        world.retain(bob, "a", "");
        assert_eq!(world.messages(ann), ["a q1: "]);
        assert_eq!(world.hub.retained_usage(), (0, 0));
    });
}

#[test]
fn the_retained_store_is_bounded_and_what_does_not_fit_is_still_delivered() {
    let mut world = World::with(1, Limits { retained_messages_max: 1, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "#", Q1);
    world.retain(ann, "a", "x");
    world.retain(ann, "b", "x");
    assert_eq!(world.messages(ann).len(), 2);
    assert_eq!(world.hub.retained_usage().0, 1);
    assert!(world.reports.iter().any(|it| matches!(it, broker::Report::RetainedFull { .. })));
}

#[test]
fn many_retained_messages_come_completely_as_the_outbox_takes_them() {
    let limits = Limits { outbox_bytes_max: 20_000, outbox_pressure_bytes: 4_000, ..limits() };
    for qos in [Q0, Q1] {
        let mut world = World::with(2, limits.clone());
        world.user("ann", &["allow readWrite #"]);
        let bob = world.connect("ann", "b", V5);
        for number in 0..2_000 {
            world.retain(bob, &format!("a/{number}"), "0123456789");
        }
        let ann = world.connect("ann", "c1", V311);
        world.clients[ann].reads = false;
        world.clients[ann].reads = true;
        world.subscribe(ann, "#", qos);
        while world.messages(ann).len() < 2_000 {
            let before = world.clients[ann].messages.len();
            world.read(ann);
            world.run();
            assert_ne!(world.clients[ann].messages.len(), before, "no progress");
        }
    }
}

#[test]
fn a_retained_message_that_waits_is_not_sent_after_a_newer_one() {
    let limits = Limits { outbox_pressure_bytes: 100, ..limits() };
    let mut world = World::with(1, limits);
    world.user("ann", &["allow readWrite #"]);
    let bob = world.connect("ann", "b", V5);
    for topic in ["a", "b", "c", "d"] {
        world.retain(bob, topic, "old, and long enough to fill the outbox: 0123456789");
    }
    let ann = world.connect("ann", "c1", V311);
    world.clients[ann].reads = false;
    let filter = topic::SubscriptionFilter::parse("#").unwrap();
    let subscribe = mqtt::Subscribe {
        packet_id: mqtt::PacketId::MIN,
        subscription_identifier: None,
        filters: vec![(filter.into(), SubscribeOptions::qos(Q0))],
        user_properties: Vec::new(),
    };
    world.send(ann, &mqtt::Packet::Subscribe(subscribe));
    for topic in ["a", "b", "c", "d"] {
        world.publish_with(bob, OutgoingPublish { retain: true, ..message(topic, "new") });
    }
    world.unstick(ann);
    let messages = world.messages(ann);
    for topic in ["a", "b", "c", "d"] {
        let last = messages.iter().rfind(|it| it.starts_with(topic)).unwrap();
        assert!(last.ends_with(": new"), "{messages:?}");
    }
}

#[test]
fn a_share_group_gives_each_message_to_one_member_in_turn_and_prefers_who_is_online() {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        let members: Vec<_> =
            ["1", "2", "3", "4"].map(|id| world.resume("ann", id, V5)).into_iter().collect();
        for member in &members {
            world.subscribe(*member, "$share/g/a/#", Q1);
        }
        let other = world.connect("cat", "other", V5);
        world.subscribe(other, "$share/h/a/#", Q1);
        let bob = world.connect("bob", "b", V5);
        for _ in 0..8 {
            world.publish(bob, "a/b", Q1, "x");
        }
        assert_eq!(world.messages(other).len(), 8, "another group");
        for member in &members {
            assert_eq!(world.messages(*member).len(), 2);
        }
        for member in &members[1..] {
            world.lose(*member);
        }
        for _ in 0..8 {
            world.publish(bob, "a/b", Q1, "x");
        }
        assert_eq!(world.messages(members[0]).len(), 8);
        world.lose(members[0]);
        world.publish(bob, "a/b", Q1, "kept");
        let queued: usize =
            ["1", "2", "3", "4"].iter().map(|it| world.view(it).unwrap().queued).sum();
        assert_eq!(queued, 1, "kept for one of them");
    }
}

#[test]
fn shared_subscriptions_bring_no_retained_messages() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "c1", V5);
    world.retain(ann, "a", "x");
    assert_eq!(world.subscribe(ann, "$share/g/a", Q1), 1);
    assert!(world.messages(ann).is_empty());
}

// Shows 3.1.1: [MQTT-3.10.4-2]; 5.0: [MQTT-3.10.4-2], [MQTT-3.11.3-1], [MQTT-3.11.3-2].
#[test]
fn unsubscribe_says_whether_there_was_a_subscription_and_ends_it() {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        let ann = world.connect("ann", "c1", V5);
        world.subscribe(ann, "a", Q1);
        world.subscribe(ann, "$share/g/a", Q1);
        assert_eq!(world.unsubscribe(ann, &["b", "a", "$share/g/a"]), [0x11, 0, 0]);
        let bob = world.connect("bob", "b", V5);
        assert_eq!(world.publish(bob, "a", Q1, "x"), Some(0x10));
        assert!(world.messages(ann).is_empty());
    }
}

// Shows 5.0: [MQTT-3.3.2-5], [MQTT-3.3.2-6].
#[test]
fn a_message_expires_while_it_waits_or_carries_what_is_left() {
    for (waited_s, got) in [(4, vec!["a q1 6s: x".to_owned()]), (10, Vec::new())] {
        let mut world = World::open(2);
        let ann = world.resume("ann", "c1", V5);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        let bob = world.connect("bob", "b", V5);
        let expiring =
            OutgoingPublish { qos: Q1, message_expiry_interval_s: Some(10), ..message("a", "x") };
        world.publish_with(bob, expiring);
        world.wait_s(waited_s);
        let ann = world.resume("ann", "c1", V5);
        assert_eq!(world.messages(ann), got, "after {waited_s} s");
    }
}

// Shows 5.0: [MQTT-3.1.2-24], [MQTT-3.1.2-25].
#[test]
fn a_message_too_large_for_the_client_is_dropped_as_if_delivered() {
    for (qos, subscribers) in [(Q0, 1), (Q0, 3), (Q1, 1), (Q2, 1)] {
        let mut world = World::open(1);
        let mut connect = Connect::new(V5, "c1");
        connect.properties.maximum_packet_size = Some(60);
        let ann = world.connect_with("ann", connect);
        world.subscribe(ann, "a", Q2);
        for number in 1..subscribers {
            let other = world.connect("cat", &format!("o{number}"), V5);
            world.subscribe(other, "a", Q2);
        }
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", qos, &"x".repeat(100));
        world.publish(bob, "a", qos, "small");
        assert_eq!(world.messages(ann), [format!("a q{}: small", qos.bits())]);
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
        assert!(world.is_open(ann));
    }
}

// Shows 5.0: [MQTT-3.1.2-25].
#[test]
fn a_message_of_exactly_the_size_the_client_takes_is_sent() {
    // `a`, no properties, the payload; with QoS 1 and 2 an identifier.
    let size = |qos| 2 + 2 + 1 + 1 + 20 + if qos == Q0 { 0 } else { 2 };
    for (qos, alias_max) in [Q0, Q1, Q2].into_iter().flat_map(|qos| [(qos, 0), (qos, 5)]) {
        for (spare, expected) in [(0, 2), (2, 2), (3, 2), (10, 2), (-1, 0)] {
            let mut world = World::open(1);
            let mut connect = Connect::new(V5, "c1");
            let size_max = u32::try_from(size(qos) + spare).unwrap();
            connect.properties.maximum_packet_size = Some(size_max);
            connect.properties.topic_alias_maximum = Some(alias_max);
            let ann = world.connect_with("ann", connect);
            world.subscribe(ann, "a", Q2);
            let bob = world.connect("bob", "b", V5);
            for _ in 0..2 {
                world.publish(bob, "a", qos, &"x".repeat(20));
            }
            let messages = world.messages(ann);
            assert_eq!(messages.len(), expected, "{qos:?}, {alias_max} aliases, {spare} spare");
            assert!(messages.iter().all(|it| it.starts_with("a q")), "{messages:?}");
        }
    }
}

// Shows 5.0: [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2].
#[test]
fn no_more_is_in_flight_than_the_client_takes_and_the_rest_follows() {
    let mut world = World::open(2);
    let mut connect = Connect::new(V5, "c1");
    connect.properties.receive_maximum = Some(2);
    let ann = world.connect_with("ann", connect);
    world.subscribe(ann, "a", Q2);
    world.clients[ann].acks = false;
    let bob = world.connect("bob", "b", V5);
    for payload in ["1", "2", "3", "4"] {
        world.publish(bob, "a", Q1, payload);
    }
    assert_eq!(world.messages(ann), ["a q1: 1", "a q1: 2"]);
    world.clients[ann].acks = true;
    let id = mqtt::PacketId::MIN;
    world.send(ann, &mqtt::Packet::PubAck(mqtt::Ack::new(id, mqtt::ReasonCode::Success)));
    assert_eq!(world.messages(ann), ["a q1: 3", "a q1: 4"]);
}

// Shows 5.0: [MQTT-3.1.2-26], [MQTT-3.3.2-11].
#[test]
fn aliases_are_used_where_the_client_takes_them() {
    for qos in [Q0, Q1] {
        let mut world = World::open(1);
        let mut connect = Connect::new(V5, "c1");
        connect.properties.topic_alias_maximum = Some(2);
        let ann = world.connect_with("ann", connect);
        world.subscribe(ann, "#", Q1);
        let bob = world.connect("bob", "b", V5);
        let topics = ["a", "a", "b", "a", "c", "b", "c", "d", "a"];
        for topic in topics {
            world.publish(bob, topic, qos, "x");
        }
        let expected: Vec<_> = topics.iter().map(|it| format!("{it} q{}: x", qos.bits())).collect();
        assert_eq!(world.messages(ann), expected);
        // The harness resolves the aliases; that there are some shows in the bytes.
        let bytes = world.view("c1").unwrap().traffic.bytes_out;
        assert!(bytes > 0);
    }
}

// Shows 5.0: [MQTT-3.3.2-17], [MQTT-3.3.2-18].
#[test]
fn properties_are_handed_on_in_order() {
    let mut world = World::open(2);
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "a", Q1);
    world.clients[ann].reads = false;
    let bob = world.connect("bob", "b", V5);
    let forwardable = b"\x26\x00\x01b\x00\x01y\x26\x00\x01a\x00\x01x\x03\x00\x01c";
    for qos in [Q0, Q1] {
        world.publish_with(bob, OutgoingPublish { qos, forwardable, ..message("a", "x") });
    }
    let shard = usize::from(broker::shard_of(world.proof("ann").user_id(), "c1", 2).0);
    let output = world.engines[shard].output(world.clients[ann].id);
    assert_eq!(output.windows(forwardable.len()).filter(|it| it == forwardable).count(), 2);
}

#[test]
fn a_message_that_became_too_large_does_not_keep_the_next_one_from_being_sent_again() {
    let mut world = World::open(1);
    let mut connect = lasting(V5, "a");
    connect.properties.receive_maximum = Some(3);
    let ann = world.connect_with("ann", connect.clone());
    world.subscribe(ann, "#", Q2);
    world.set_acks(ann, false);
    let bob = world.connect("bob", "b", V5);
    for payload in ["small", &"x".repeat(500), "after", "waits"] {
        world.publish(bob, "t", Q1, payload);
    }
    world.lose(ann);
    connect.properties.receive_maximum = Some(1);
    connect.properties.maximum_packet_size = Some(100);
    let ann = world.connect_with("ann", connect);
    assert_eq!(world.messages(ann), ["t q1 d: small", "t q1 d: after", "t q1: waits"]);
}
