//! A broker that is killed starts again from what was durable, and nothing that was acknowledged is lost.

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, lasting, limits, message, user, with_will};
use broker::{Limits, Persistence, Storage};
use mqtt::{Ack, Connect, OutgoingPublish, Packet, PacketId, ReasonCode};

fn world(shards: usize) -> World {
    let mut world = World::with(shards, Limits { persistence: Persistence::On, ..limits() });
    for name in ["ann", "bob"] {
        world.user(name, &["allow readWrite #"]);
    }
    world
}

/// A client whose lasting session is on another shard than that of `other`.
fn apart(world: &mut World, other: &str) -> (C, C, String) {
    let one = world.resume("ann", other, V5);
    for number in 0.. {
        let name = format!("b{number}");
        let it = world.resume("ann", &name, V5);
        if world.shard_of(it) != world.shard_of(one) {
            return (one, it, name);
        }
    }
    unreachable!()
}

// Shows 3.1.1: [MQTT-4.3.2-2]; 5.0: [MQTT-4.3.2-4].
#[test]
fn an_answer_waits_until_its_record_is_durable() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "t", Q1);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    world.is_disk_slow = true;
    assert_eq!(world.publish(bob, "t", Q1, "x"), None);
    world.commit_all();
    assert!(matches!(world.packets(bob)[..], [Packet::PubAck(_)]));
}

#[test]
fn output_up_to_the_mark_goes_out_while_later_output_waits() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.is_disk_slow = true;
    let suback = |filter: &str, id| {
        Packet::Subscribe(mqtt::Subscribe {
            packet_id: PacketId::new(id).unwrap(),
            subscription_identifier: None,
            filters: vec![(
                topic::SubscriptionFilter::parse(filter).unwrap().into(),
                mqtt::SubscribeOptions::qos(Q1),
            )],
            user_properties: Vec::new(),
        })
    };
    world.packets(ann);
    world.send(ann, &suback("a", 1));
    world.send(ann, &suback("b", 2));
    assert_eq!(world.packets(ann).len(), 0);
    world.commit();
    world.run();
    assert!(matches!(&world.packets(ann)[..], [Packet::SubAck(it)] if it.packet_id.get() == 1));
    world.commit();
    world.run();
    assert!(matches!(&world.packets(ann)[..], [Packet::SubAck(it)] if it.packet_id.get() == 2));
}

#[test]
fn what_needs_no_disk_is_not_delayed_by_it() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    let clean = world.connect("bob", "b", V5);
    let reader = world.connect("bob", "r", V5);
    world.subscribe(reader, "t", Q0);
    world.is_disk_slow = true;
    world.packets(ann);
    world.unsubscribe_silently(ann, "none");
    assert_eq!(world.publish(clean, "t", Q1, "x"), Some(0));
    assert_eq!(world.messages(reader), ["t q0: x"]);
    world.send(ann, &Packet::PingReq);
    assert!(matches!(world.packets(ann)[..], [Packet::UnsubAck(_), Packet::PingResp]));
}

#[test]
fn a_session_is_there_again_with_subscriptions_and_messages_in_order() {
    for qos in [Q1, Q2] {
        let mut world = world(2);
        let ann = world.resume("ann", "a", V5);
        world.subscribe_with(ann, &[("t/#", mqtt::SubscribeOptions::qos(Q2))], Some(7));
        world.lose(ann);
        let bob = world.connect("bob", "b", V5);
        for number in 1..=3 {
            world.publish(bob, "t/a", qos, &number.to_string());
        }
        world.crash(0);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "t/b", qos, "4");
        let ann = world.resume("ann", "a", V5);
        assert!(world.session_present(ann));
        let q = qos.bits();
        let expected = ["t/a", "t/a", "t/a", "t/b"].iter().zip(1..);
        let expected: Vec<_> =
            expected.map(|(topic, number)| format!("{topic} q{q} [7]: {number}")).collect();
        assert_eq!(world.messages(ann), expected);
        world.crash(0);
        let ann = world.resume("ann", "a", V5);
        assert_eq!(world.messages(ann), [""; 0], "delivered is delivered");
    }
}

// Shows 3.1.1: [MQTT-2.3.1-4], [MQTT-4.1.0-1]; 5.0: [MQTT-4.4.0-1].
#[test]
fn what_was_in_flight_goes_out_again_with_its_packet_id() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "t", Q2);
    world.set_acks(ann, false);
    let bob = world.connect("bob", "b", V5);
    world.publish(bob, "t", Q2, "x");
    world.publish(bob, "t", Q1, "y");
    assert_eq!(world.messages(ann), ["t q2: x", "t q1: y"]);
    // PUBREC for the first: from now on only PUBREL is left of it.
    world.send(ann, &Packet::PubRec(Ack::new(PacketId::MIN, ReasonCode::Success)));
    world.crash(0);
    let ann = world.resume("ann", "a", V5);
    assert_eq!(world.messages(ann), ["t q1 d: y"]);
    let packets = world.packets(ann);
    assert!(packets.iter().any(|it| matches!(it, Packet::PubRel(a) if a.packet_id.get() == 1)));
}

#[test]
fn a_received_qos_2_message_is_not_routed_again_after_a_restart() {
    let mut world = world(2);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "t", Q1);
    let bob = world.resume("bob", "b", V5);
    let packet_id = PacketId::new(9);
    let sent = OutgoingPublish { qos: Q2, packet_id, ..message("t", "x") };
    world.set_acks(bob, false);
    world.publish_with(bob, sent);
    assert_eq!(world.messages(ann).len(), 1);
    world.crash(0);
    let bob = world.resume("bob", "b", V5);
    let ann = world.resume("ann", "a", V5);
    world.publish_with(bob, OutgoingPublish { dup: true, ..sent });
    assert_eq!(world.messages(ann), [""; 0]);
}

/// Kills the broker after each possible number of commits while a QoS 2 message goes from one shard
/// to another, lets both clients come back and the sender repeat itself.
#[test]
fn a_qos_2_message_between_shards_is_there_once_wherever_the_crash_comes() {
    for commits in 0..8 {
        let mut world = world(2);
        let (reader, writer, writer_name) = apart(&mut world, "a");
        world.subscribe(reader, "t", Q2);
        world.lose(reader);
        world.is_disk_slow = true;
        world.set_acks(writer, false);
        let packet_id = PacketId::new(9);
        let sent = OutgoingPublish { qos: Q2, packet_id, ..message("t", "x") };
        world.publish_with(writer, sent);
        for _ in 0..commits {
            if world.has_commits() {
                world.commit();
                world.run();
            }
        }
        world.is_disk_slow = false;
        world.crash_into(1 + commits % 3, 0);
        let writer = world.resume("ann", &writer_name, V5);
        world.publish_with(writer, OutgoingPublish { dup: true, ..sent });
        world.crash(0);
        let reader = world.resume("ann", "a", V5);
        assert_eq!(world.messages(reader), ["t q2: x"], "killed after {commits} commits");
    }
}

// Shows 3.1.1: [MQTT-3.1.2-6]; 5.0: [MQTT-3.1.2-4].
#[test]
fn a_message_on_its_way_between_shards_is_not_for_the_session_that_came_after_the_one_it_was_for() {
    for is_clean in [false, true] {
        let mut world = world(2);
        let (reader, writer, _) = apart(&mut world, "a");
        world.subscribe(reader, "t", Q1);
        world.lose(reader);
        world.are_shards_apart = true;
        world.publish(writer, "t", Q1, "x");
        world.connect_with("ann", Connect { clean_start: is_clean, ..lasting(V5, "a") });
        world.crash(0);
        world.are_shards_apart = false;
        let reader = world.resume("ann", "a", V5);
        assert!(world.session_present(reader));
        let kept: &[&str] = if is_clean { &[] } else { &["t q1: x"] };
        assert_eq!(world.messages(reader), kept, "clean start: {is_clean}");
    }
}

#[test]
fn retained_messages_survive_with_their_writer() {
    let mut world = world(2);
    let ann = world.connect("ann", "a", V5);
    world.retain(ann, "r/1", "x");
    world.retain(ann, "r/2", "y");
    world.retain(ann, "r/2", "");
    world.crash(0);
    let bob = world.connect("bob", "b", V5);
    world.subscribe(bob, "r/#", Q1);
    assert_eq!(world.messages(bob), ["r/1 q1 r: x"]);
    world.crash(0);
    world.put(user("ann", &["allow read #"]));
    let bob = world.connect("bob", "b", V5);
    world.subscribe(bob, "r/#", Q1);
    assert_eq!(world.messages(bob), [""; 0], "its writer may not write there any more");
}

#[test]
fn a_will_is_sent_when_its_delay_is_over_also_if_the_broker_was_what_ended_the_connection() {
    let mut world = world(2);
    let ann = world.connect_with("ann", with_will(lasting(V5, "a"), "w", 60));
    let bob = world.resume("bob", "b", V5);
    world.subscribe(bob, "w", Q1);
    let _gone = (ann, bob);
    world.crash(0);
    let bob = world.resume("bob", "b", V5);
    world.wait_s(59);
    assert_eq!(world.messages(bob), [""; 0]);
    world.wait_s(2);
    assert_eq!(world.messages(bob), ["w q1: gone"]);
    world.crash(100);
    let bob = world.resume("bob", "b", V5);
    assert_eq!(world.messages(bob), [""; 0], "a will is sent once");
}

#[test]
fn a_will_from_before_a_restart_is_gone_with_the_password_that_its_sender_had_and_with_nothing_else()
 {
    let ann = |epoch| access::User { credential_epoch: epoch, ..user("ann", &["allow write #"]) };
    let grants = access::GrantTypes::CERTIFICATE;
    for (change, expected) in [
        (ann(1), &["w q1: gone"][..]),
        (ann(2), &[]),
        (access::User { grants, ..ann(1) }, &[]),
        (access::User { enabled: false, ..ann(1) }, &[]),
    ] {
        let mut world = world(2);
        let gone = world.connect_with("ann", with_will(lasting(V5, "a"), "w", 60));
        world.lose(gone);
        world.crash(1);
        let bob = world.connect("bob", "b", V5);
        world.subscribe(bob, "w", Q1);
        world.put(change.clone());
        world.put(ann(change.credential_epoch));
        world.wait_s(70);
        assert_eq!(world.messages(bob), expected, "{change:?}");
    }
}

#[test]
fn the_time_away_counts_for_the_expiry_of_sessions_and_for_wills() {
    let mut world = world(1);
    let ann = world.connect_with("ann", with_will(lasting(V5, "a"), "w", 30));
    let bob = world.resume("bob", "b", V5);
    world.subscribe(bob, "w", Q1);
    world.lose(ann);
    world.crash(31);
    let bob = world.resume("bob", "b", V5);
    assert_eq!(world.messages(bob), ["w q1: gone"]);
    world.lose(bob);
    world.crash(3500);
    assert!(world.view("b").is_some() && world.view("a").is_some());
    world.crash(101);
    assert!(world.view("b").is_none(), "its hour is over");
    let bob = world.resume("bob", "b", V5);
    assert!(!world.session_present(bob));
}

#[test]
fn what_a_user_may_not_have_any_more_does_not_come_back() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "t", Q1);
    world.subscribe(ann, "s", Q1);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    world.publish(bob, "t", Q1, "x");
    world.publish(bob, "s", Q1, "y");
    world.change_while_down(user("ann", &["allow read s"]));
    world.crash(0);
    let ann = world.resume("ann", "a", V5);
    assert!(world.session_present(ann));
    assert_eq!(world.messages(ann), ["s q1: y"]);
    assert_eq!(world.view("a").unwrap().subscriptions.len(), 1);
    world.remove_while_down("ann");
    world.crash(0);
    assert!(world.view("a").is_none());
    world.put(user("ann", &["allow read s"]));
    world.crash(0);
    assert!(world.view("a").is_none(), "a removed user's session is gone from the disk as well");
}

// Shows 3.1.1: [MQTT-4.8.0-2].
#[test]
fn a_disk_that_fails_refuses_what_needs_it_and_nothing_else() {
    check_refusals(Storage::Full, 0x97);
    check_refusals(Storage::Failing, 0x83);
    check_refusals(Storage::Stalled, 0x83);
}

fn check_refusals(storage: Storage, code: u8) {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "t", Q1);
    world.subscribe(ann, "t2", Q2);
    let bob = world.connect("bob", "b", V5);
    let old = world.connect("bob", "old", V311);
    let reader = world.connect("bob", "r", V5);
    world.subscribe(reader, "free", Q1);
    world.is_disk_slow = true;
    assert_eq!(world.publish(bob, "t", Q1, "waits"), None);
    world.hub.set_storage(storage);
    world.engines[0].storage_failed(world.now);
    world.run();
    assert_eq!(world.disconnected(bob), Some(code));
    let bob = world.connect("bob", "b", V5);
    assert_eq!(world.publish(bob, "t", Q1, "no"), Some(code));
    assert_eq!(world.publish(bob, "t2", Q2, "no"), Some(code));
    assert_eq!(world.publish(bob, "free", Q1, "yes"), Some(0));
    assert_eq!(world.retain(bob, "r", "no"), Some(code));
    assert_eq!(world.subscribe(bob, "t", Q1), 1, "a clean session needs no disk");
    assert_eq!(world.subscribe(ann, "t3", Q1), code, "one that lasts does");
    assert_eq!(world.try_connect("bob", lasting(V5, "new")), Err(code));
    world.publish(old, "t", Q1, "no");
    assert!(!world.is_open(old), "3.1.1 has no other way to say no");
    assert_eq!(world.messages(reader), ["free q1: yes"]);
    world.hub.set_storage(Storage::Working);
    world.commit_all();
    world.is_disk_slow = false;
    assert_eq!(world.publish(bob, "t", Q1, "yes"), Some(0));
}

#[test]
fn what_is_not_retained_any_more_is_not_on_the_disk_either() {
    let persistence = Persistence::On;
    let mut world = World::with(2, Limits { persistence, retained_messages_max: 2, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let ann = world.connect("ann", "a", V5);
    let expiring = |topic| OutgoingPublish {
        retain: true,
        qos: Q1,
        message_expiry_interval_s: Some(5),
        ..message(topic, "x")
    };
    world.publish_with(ann, expiring("soon/1"));
    world.wait_s(6);
    assert_eq!(world.retained_on_disk(), [""; 0], "expired");
    world.retain(ann, "a", "x");
    world.retain(ann, "b", "x");
    world.retain(ann, "c", "too many");
    assert_eq!(world.retained_on_disk(), ["a", "b"]);
    world.publish_with(ann, expiring("a"));
    world.wait_s(6);
    assert_eq!(world.retained_on_disk(), ["b"]);
}

#[test]
fn a_retained_message_that_found_no_room_does_not_leave_its_predecessor_behind() {
    let persistence = Persistence::On;
    let mut world = World::with(1, Limits { persistence, retained_bytes_max: 600, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let ann = world.connect("ann", "a", V5);
    world.retain(ann, "a", "x");
    world.retain(ann, "a", &"x".repeat(600));
    assert_eq!(world.retained_on_disk(), [""; 0]);
    world.crash(0);
    let ann = world.connect("ann", "a", V5);
    world.subscribe(ann, "#", Q1);
    assert_eq!(world.messages(ann), [""; 0], "it is not the last one any more");
}
