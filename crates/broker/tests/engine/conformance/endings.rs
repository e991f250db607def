//! How connections, wills and sessions end, and what comes first when they begin.

use super::{BOTH, bytes, output, says};
use crate::world::{C, Q1, Q2, V5, World, lasting, limits, with_will};
use broker::{Limits, Persistence};
use mqtt::{Connect, Packet, ReasonCode};

/// What ends a connection other than its DISCONNECT.
const ENDINGS: [fn(&mut World, C); 7] = [
    |world, ann| world.lose(ann),
    |world, _| world.wait_s(15),
    |world, ann| world.send_bytes(ann, &bytes("00 00")),
    |world, ann| world.send(ann, &Packet::Connect(Box::new(Connect::new(V5, "c1")))),
    |world, ann| {
        let version = world.clients[ann].version;
        world.resume("ann", "c1", version);
    },
    |world, _| {
        let (user, now) = (world.proof("ann").user_id(), world.now);
        for engine in &mut world.engines {
            engine.kick(user, "c1", ReasonCode::AdministrativeAction, now);
        }
        world.run();
    },
    |world, ann| {
        let (shard, now) = (world.shard_of(ann), world.now);
        world.engines[shard].shut_down(now);
        world.run();
    },
];

// Shows 3.1.1: [MQTT-3.1.2-8]; 5.0: [MQTT-3.1.2-8].
#[test]
fn the_will_is_sent_whatever_ends_the_connection_but_a_disconnect() {
    for (version, (number, end)) in
        BOTH.into_iter().flat_map(|it| ENDINGS.into_iter().enumerate().map(move |end| (it, end)))
    {
        let mut world = World::open(1);
        let reader = world.resume("bob", "reader", version);
        world.subscribe(reader, "w", Q1);
        let mut connect = with_will(lasting(version, "c1"), "w", 0);
        connect.keep_alive_s = 10;
        let ann = world.connect_with("ann", connect);
        end(&mut world, ann);
        assert!(!world.is_open(ann), "{version} {number}");
        if !world.is_open(reader) {
            // The whole broker stops: the message waits in the session.
            world.resume("bob", "reader", version);
            assert_eq!(number, ENDINGS.len() - 1);
        }
        let all: Vec<_> = (0..world.clients.len()).flat_map(|it| world.messages(it)).collect();
        assert_eq!(all, ["w q1: gone"], "{version} {number}");
    }
}

// Shows 5.0: [MQTT-3.1.2-10], [MQTT-3.1.3-9].
#[test]
fn a_will_that_waits_is_gone_for_good_when_the_session_goes_on_without_one() {
    let mut world = World::open(1);
    let reader = world.connect("bob", "reader", V5);
    world.subscribe(reader, "#", Q1);
    let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "w", 10));
    world.lose(ann);
    world.wait_s(5);
    let ann = world.resume("ann", "c1", V5);
    world.wait_s(60);
    world.lose(ann);
    world.wait_s(4000);
    assert!(world.view("c1").is_none(), "the session is over");
    assert!(world.messages(reader).is_empty());
}

// Shows 3.1.1: [MQTT-4.1.0-1], [MQTT-4.1.0-2]; 5.0: [MQTT-4.1.0-1].
#[test]
fn a_session_stays_as_long_as_its_connection_whatever_its_expiry_was() {
    for version in BOTH {
        let mut world = World::open(1);
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        world.wait_s(1800);
        let ann = world.resume("ann", "c1", version);
        assert!(world.session_present(ann));
        world.wait_s(30 * 24 * 3600);
        assert!(world.is_open(ann));
        let bob = world.connect("bob", "b", version);
        world.publish(bob, "a", Q1, "x");
        assert_eq!(world.messages(ann), ["a q1: x"]);
    }
}

// Shows 3.1.1: [MQTT-3.2.0-1]; 5.0: [MQTT-3.2.0-1].
#[test]
fn what_waits_for_a_client_is_written_behind_its_connack() {
    for version in BOTH {
        let mut world = World::open(1);
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "#", Q2);
        world.set_acks(ann, false);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q1, "in flight");
        world.lose(ann);
        world.publish(bob, "a", Q1, "queued");
        world.newcomers_read = false;
        let ann = world.resume("ann", "c1", version);
        let output = output(&mut world, ann);
        assert_eq!(output.first(), Some(&0x20), "{output:02x?}");
        let position = |text: &[u8]| output.windows(text.len()).position(|it| it == text);
        let (first, second) = (position(b"in flight").unwrap(), position(b"queued").unwrap());
        assert!(first < second);
    }
}

// Shows 5.0: [MQTT-3.3.4-6].
#[test]
fn a_subscription_identifier_from_a_client_ends_its_connection_and_goes_nowhere() {
    for publish in [
        "30 07 0001'a' 02 0B01 'x'",
        "32 09 0001'a' 0007 02 0B01 'x'",
        "34 0E 0001'a' 0007 07 0200000009 0B01 'x'",
    ] {
        let mut world = World::open(1);
        let reader = world.connect("bob", "reader", V5);
        world.subscribe(reader, "#", Q2);
        let ann = world.connect("ann", "c1", V5);
        world.send_bytes(ann, &bytes(publish));
        assert_eq!(world.disconnected(ann), Some(0x82), "{publish}");
        assert!(world.messages(reader).is_empty(), "{publish}");
    }
}

// Shows 5.0: [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2].
#[test]
fn what_goes_out_again_keeps_to_the_receive_maximum_of_the_new_connection() {
    let mut world = World::open(1);
    let ann = world.resume("ann", "c1", V5);
    world.subscribe(ann, "a", Q2);
    world.set_acks(ann, false);
    let bob = world.connect("bob", "b", V5);
    for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q1)] {
        world.publish(bob, "a", qos, payload);
    }
    world.lose(ann);
    let mut connect = lasting(V5, "c1");
    connect.properties.receive_maximum = Some(1);
    world.newcomers_read = false;
    let ann = world.connect_with("ann", connect);
    let again = output(&mut world, ann);
    assert!(again.ends_with(&bytes("3A 07 0001'a' 0001 00'1'")), "{again:02x?}");
    says(&mut world, ann, "40 02 0001", "3C 07 0001'a' 0002 00'2'");
    says(&mut world, ann, "50 02 0002", "62 02 0002");
    says(&mut world, ann, "70 02 0002", "3A 07 0001'a' 0003 00'3'");
}

// Shows 5.0: [MQTT-3.14.0-1].
#[test]
fn a_connection_that_ends_before_its_connack_is_durable_is_told_nothing() {
    let mut world = World::with(1, Limits { persistence: Persistence::On, ..limits() });
    world.user("ann", &[]);
    world.is_disk_slow = true;
    let ann = world.resume("ann", "c1", V5);
    assert!(world.packets(ann).is_empty(), "CONNACK waits for the disk");
    let now = world.now;
    world.engines[0].storage_failed(now);
    world.run();
    assert_eq!(world.disconnected(ann), None);
    assert!(world.packets(ann).is_empty());
}
