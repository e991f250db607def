//! Sessions: whose they are, how long they live, what a resumed one brings.

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, lasting, limits};
use broker::Limits;
use mqtt::{Connect, Disconnect, DisconnectProperties, Packet, ProtocolVersion, ReasonCode};

const BOTH: [ProtocolVersion; 2] = [V311, V5];

fn in_both(check: impl Fn(&mut World, ProtocolVersion)) {
    for shards in [1, 2] {
        for version in BOTH {
            check(&mut World::open(shards), version);
        }
    }
}

// Shows 3.1.1: [MQTT-3.1.3-2]; 5.0: [MQTT-3.1.3-2].
#[test]
fn rule_9_nobody_takes_over_or_resumes_a_session_of_another_user() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        let bob = world.resume("bob", "c1", version);
        assert!(!world.session_present(bob));
        assert!(world.is_open(ann), "ann was thrown out");
        world.publish(bob, "a", Q1, "x");
        assert_eq!(world.messages(ann), ["a q1: x"]);
        assert!(world.messages(bob).is_empty());
    });
}

#[test]
fn rule_9_a_clean_start_wipes_only_the_own_session() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        world.connect("bob", "c1", version);
        let ann = world.resume("ann", "c1", version);
        assert!(world.session_present(ann));
    });
}

#[test]
fn rule_10_a_refused_connect_leaves_the_session_as_it_was() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        let proof = world.proof("ann");
        let changed = access::User {
            credential_epoch: 2,
            ..crate::world::user("ann", &["allow readWrite #"])
        };
        world.lose(ann);
        world.put(changed);
        assert!(world.attach(proof, Connect::new(version, "c1")).is_err());
        let ann = world.resume("ann", "c1", version);
        assert!(world.session_present(ann));
    });
}

// Shows 3.1.1: [MQTT-3.1.4-2]; 5.0: [MQTT-3.1.4-3].
#[test]
fn a_takeover_tells_the_former_client_and_closes_it() {
    in_both(|world, version| {
        let first = world.resume("ann", "c1", version);
        let second = world.resume("ann", "c1", version);
        assert_eq!(world.disconnected(first), (version == V5).then_some(0x8E));
        assert!(world.session_present(second));
        assert!(world.is_open(second));
        assert_eq!(world.hub.connections(), 1);
    });
}

fn offline_with_messages(world: &mut World, version: ProtocolVersion) -> C {
    let ann = world.resume("ann", "c1", version);
    world.subscribe(ann, "a/#", Q2);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    for (topic, qos) in [("a/0", Q0), ("a/1", Q1), ("a/2", Q2), ("a/3", Q1)] {
        world.publish(bob, topic, qos, "x");
    }
    bob
}

// Shows 3.1.1: [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-4.5.0-1]; 5.0: [MQTT-3.1.2-5],
// [MQTT-3.1.2-23], [MQTT-4.5.0-1].
#[test]
fn a_resumed_session_gets_its_queue_in_order_and_no_qos_0() {
    in_both(|world, version| {
        offline_with_messages(world, version);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["a/1 q1: x", "a/2 q2: x", "a/3 q1: x"]);
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    });
}

// Shows 3.1.1: [MQTT-3.1.2-6], [MQTT-3.1.4-3]; 5.0: [MQTT-3.1.2-4], [MQTT-3.1.4-4].
#[test]
fn a_clean_start_gets_nothing_and_ends_the_subscription() {
    in_both(|world, version| {
        let bob = offline_with_messages(world, version);
        let ann = world.connect("ann", "c1", version);
        assert!(!world.session_present(ann));
        world.publish(bob, "a/1", Q1, "late");
        assert!(world.messages(ann).is_empty());
    });
}

// Shows 3.1.1: [MQTT-3.3.1-1], [MQTT-4.4.0-1], [MQTT-4.6.0-6]; 5.0: [MQTT-3.3.1-1], [MQTT-4.4.0-1].
#[test]
fn what_is_in_flight_goes_out_again_as_duplicate_in_order() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a/#", Q2);
        world.clients[ann].acks = false;
        let bob = world.connect("bob", "b", V5);
        for (topic, qos) in [("a/1", Q1), ("a/2", Q2), ("a/3", Q1)] {
            world.publish(bob, topic, qos, "x");
        }
        assert_eq!(world.messages(ann), ["a/1 q1: x", "a/2 q2: x", "a/3 q1: x"]);
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["a/1 q1 d: x", "a/2 q2 d: x", "a/3 q1 d: x"]);
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    });
}

// Shows 3.1.1: [MQTT-4.3.3-1], [MQTT-4.4.0-1]; 5.0: [MQTT-4.3.3-5], [MQTT-4.3.3-6], [MQTT-4.4.0-1].
#[test]
fn a_qos_2_message_that_was_received_is_only_released_again() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q2);
        world.clients[ann].acks = false;
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q2, "x");
        assert_eq!(world.messages(ann).len(), 1);
        let id = mqtt::PacketId::new(1).unwrap();
        world.send(ann, &Packet::PubRec(mqtt::Ack::new(id, ReasonCode::Success)));
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        assert!(world.messages(ann).is_empty());
        assert!(world.packets(ann).iter().any(|packet| matches!(packet, Packet::PubRel(_))));
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    });
}

// Shows 3.1.1: [MQTT-4.3.3-2]; 5.0: [MQTT-4.3.3-10].
#[test]
fn a_repeated_qos_2_publish_is_routed_once_even_over_a_reconnect() {
    in_both(|world, version| {
        let bob = world.connect("bob", "b", V5);
        world.subscribe(bob, "a", Q2);
        let ann = world.resume("ann", "c1", version);
        world.clients[ann].acks = false;
        let id = mqtt::PacketId::new(9);
        let publish =
            mqtt::OutgoingPublish { qos: Q2, packet_id: id, ..crate::world::message("a", "x") };
        world.publish_with(ann, publish);
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        let again = mqtt::OutgoingPublish { dup: true, ..publish };
        assert_eq!(world.publish_with(ann, again), Some(0));
        assert_eq!(world.messages(bob), ["a q2: x"]);
        world.publish_with(ann, mqtt::OutgoingPublish { dup: true, ..publish });
        assert_eq!(world.messages(bob), ["a q2: x"], "released in between, so a new message");
    });
}

// Shows 3.1.1: [MQTT-4.1.0-2]; 5.0: [MQTT-4.1.0-2].
#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        assert!(world.view("c1").is_none());
        let ann = world.resume("ann", "c1", version);
        assert!(!world.session_present(ann));
    });
}

// Shows 5.0: [MQTT-3.1.2-23], [MQTT-4.1.0-2].
#[test]
fn a_session_ends_when_its_expiry_has_passed() {
    for (version, expiry_s) in
        [(V5, 3600), (V311, u64::from(Limits::default().session_expiry_s_max))]
    {
        for (waited_s, is_there) in [(expiry_s - 1, true), (expiry_s, false)] {
            let mut world = World::open(2);
            let ann = world.resume("ann", "c1", version);
            world.lose(ann);
            world.wait_s(waited_s);
            assert_eq!(world.view("c1").is_some(), is_there, "{version} after {waited_s} s");
        }
    }
}

#[test]
fn the_expiry_can_be_changed_at_disconnect_but_not_raised_from_zero() {
    let disconnect = |expiry_s| {
        let properties = DisconnectProperties {
            session_expiry_interval_s: Some(expiry_s),
            ..Default::default()
        };
        Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties })
    };
    let mut world = World::open(1);
    let ann = world.resume("ann", "c1", V5);
    world.send(ann, &disconnect(0));
    assert!(world.view("c1").is_none());
    let ann = world.connect("ann", "c1", V5);
    world.send(ann, &disconnect(5));
    assert_eq!(world.disconnected(ann), Some(0x82));
    assert!(world.view("c1").is_none());
}

#[test]
fn a_longer_expiry_than_the_limit_is_cut_and_said() {
    let mut world = World::with(1, Limits { session_expiry_s_max: 60, ..limits() });
    world.user("ann", &[]);
    let ann = world.resume("ann", "c1", V5);
    assert_eq!(world.connack(ann).properties.session_expiry_interval_s, Some(60));
    world.lose(ann);
    world.wait_s(61);
    assert!(world.view("c1").is_none());
}

// Shows 3.1.1: [MQTT-3.1.3-6]; 5.0: [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16].
#[test]
fn a_client_without_id_is_given_one_where_the_version_allows() {
    let mut world = World::open(1);
    let ann = world.connect("ann", "", V5);
    let assigned = world.connack(ann).properties.assigned_client_identifier;
    assert_eq!(assigned.as_deref(), Some("assigned"));
    let mut connect = Connect::new(V311, "");
    assert!(world.try_connect("bob", connect.clone()).is_ok());
    connect.clean_start = false;
    assert_eq!(world.try_connect("bob", connect), Err(2));
    assert_eq!(world.try_connect("bob", Connect::new(V5, &"x".repeat(300))), Err(0x85));
}

#[test]
fn connections_and_sessions_are_bounded_and_a_takeover_always_fits() {
    let limits =
        Limits { connections_max: 2, sessions_max: 3, sessions_per_user_max: 2, ..limits() };
    let mut world = World::with(2, limits);
    world.user("ann", &[]);
    world.user("bob", &[]);
    let first = world.resume("ann", "1", V5);
    world.resume("ann", "2", V5);
    assert_eq!(world.try_connect("bob", Connect::new(V5, "3")), Err(0x97));
    assert_eq!(world.try_connect("bob", Connect::new(V311, "3")), Err(3));
    assert!(world.try_connect("ann", lasting(V5, "2")).is_ok());
    assert!(world.try_connect("ann", Connect::new(V5, "2")).is_ok(), "also with a clean start");
    world.lose(first);
    assert_eq!(
        world.try_connect("ann", Connect::new(V5, "3")),
        Err(0x97),
        "a third session of ann"
    );
    let bob = world.resume("bob", "3", V5);
    world.lose(bob);
    assert_eq!(world.try_connect("bob", Connect::new(V5, "4")), Err(0x97), "a fourth session");
    assert!(world.try_connect("bob", Connect::new(V5, "3")).is_ok());
}

#[test]
fn a_kick_ends_connection_and_session() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        let user = world.proof("ann").user_id();
        let reason = ReasonCode::AdministrativeAction;
        let now = world.now;
        let kicks = world.engines.iter_mut().map(|it| it.kick(user, "c1", reason, now));
        assert_eq!(kicks.filter(|is_kicked| *is_kicked).count(), 1);
        world.run();
        assert_eq!(world.disconnected(ann), (version == V5).then_some(0x98));
        assert!(world.view("c1").is_none());
    });
}

#[test]
fn at_shut_down_clients_are_told_and_sessions_stay() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        let now = world.now;
        world.engines.iter_mut().for_each(|engine| engine.shut_down(now));
        world.run();
        assert_eq!(world.disconnected(ann), (version == V5).then_some(0x8B));
        assert!(!world.view("c1").unwrap().connected);
    });
}

#[test]
fn a_full_queue_gives_up_the_oldest_or_the_newest_by_rule() {
    use broker::QueueFull::{DropNewest, DropOldest};
    for (queue_full, left) in
        [(DropOldest, ["a q1: 2", "a q1: 3"]), (DropNewest, ["a q1: 1", "a q1: 2"])]
    {
        let mut world = World::with(1, Limits { queue_messages_max: 2, queue_full, ..limits() });
        world.user("ann", &["allow readWrite #"]);
        let ann = world.resume("ann", "c1", V5);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        let publisher = world.connect("ann", "p", V5);
        for payload in ["1", "2", "3"] {
            world.publish(publisher, "a", Q1, payload);
        }
        let slow =
            world.reports.iter().filter(|it| matches!(it, broker::Report::SlowConsumer { .. }));
        assert_eq!(slow.count(), 1);
        let ann = world.resume("ann", "c1", V5);
        assert_eq!(world.messages(ann), left);
    }
}
