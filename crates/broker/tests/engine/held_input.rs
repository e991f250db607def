//! What a client sends while it is held back: acknowledgements are taken, the rest waits in its order.

use std::num::NonZeroU16;

use broker::{DropRule, HeldInput, Limits, Memory, Report};
use mqtt::{Packet, ProtocolVersion};

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, limits, message};

fn small() -> Limits {
    Limits {
        in_flight_max: NonZeroU16::new(2).unwrap(),
        queue_messages_max: 200,
        outbox_pressure_bytes: 1_000,
        shard_window_bytes: 300,
        held_input_bytes_max: 100_000,
        ..limits()
    }
}

/// The bytes of so many messages to this topic.
fn burst(version: ProtocolVersion, topic: &str, qos: mqtt::Qos, count: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=count {
        let text = format!("{number:05}");
        let id = mqtt::PacketId::new(number).filter(|_| qos > Q0);
        let publish = mqtt::OutgoingPublish { qos, packet_id: id, ..message(topic, &text) };
        mqtt::encode_publish(&publish, version, &mut bytes);
    }
    bytes
}

fn numbers(world: &mut World, client: C) -> Vec<u16> {
    let messages = world.messages(client);
    messages.iter().map(|it| it.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

fn drops(world: &World) -> usize {
    world.reports.iter().filter(|it| matches!(it, Report::SlowConsumer { .. })).count()
}

#[test]
fn a_client_that_publishes_to_itself_gets_everything_in_order_and_waits_for_no_patience() {
    for (version, qos) in [(V311, Q1), (V5, Q1), (V311, Q2), (V5, Q2)] {
        let mut world = World::with(1, small());
        world.user("ann", &["allow readWrite #"]);
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a", qos);
        world.send_bytes(ann, &burst(version, "a", qos, 500));
        assert_eq!(numbers(&mut world, ann), (1..=500).collect::<Vec<_>>(), "{version:?} {qos:?}");
        assert!(!world.clients[ann].is_paused);
        assert_eq!(drops(&world), 0);
    }
}

#[test]
fn clients_that_publish_to_each_other_do_not_hold_each_other_for_ever() {
    for shards in [1, 2] {
        let mut world = World::with(shards, small());
        world.user("ann", &["allow readWrite #"]);
        let (one, other) = (world.connect("ann", "s1", V5), world.connect("ann", "p2", V311));
        world.subscribe(one, "to/one", Q1);
        world.subscribe(other, "to/other", Q1);
        // Neither reads before both have sent all.
        for client in [one, other] {
            world.clients[client].reads = false;
        }
        world.send_bytes(one, &burst(V5, "to/other", Q1, 500));
        world.send_bytes(other, &burst(V311, "to/one", Q1, 500));
        assert!(world.clients[one].is_paused && world.clients[other].is_paused, "{shards}");
        world.unstick(one);
        world.unstick(other);
        for client in [one, other] {
            assert_eq!(numbers(&mut world, client), (1..=500).collect::<Vec<_>>(), "{shards}");
            assert!(!world.clients[client].is_paused);
        }
        assert_eq!(drops(&world), 0);
    }
}

/// A client that is held back by one that does not read, and owes an acknowledgement for packet 1 of QoS 1.
fn held() -> (World, C, C) {
    let mut world = World::with(1, small());
    world.user("ann", &["allow readWrite #"]);
    let (held, stuck) = (world.connect("ann", "c1", V5), world.connect("ann", "c2", V5));
    world.subscribe(held, "mine", Q1);
    world.subscribe(stuck, "a", Q0);
    world.set_acks(held, false);
    world.publish(held, "mine", Q1, "x");
    world.clients[stuck].reads = false;
    world.send_bytes(held, &burst(V5, "a", Q0, 200));
    assert!(world.clients[held].is_paused);
    (world, held, stuck)
}

#[test]
fn only_acknowledgements_and_pings_are_taken_early_however_they_are_cut() {
    let kept: [&[u8]; 4] = [
        &[0x30, 5, 0, 1, b'a', 0, b'1'],
        &[0x62, 2, 0, 9],
        &[0x82, 8, 0, 7, 0, 0, 2, b'z', b'z', 0],
        &[0xE0, 0],
    ];
    let early: [&[u8]; 2] = [&[0xC0, 0], &[0x40, 2, 0, 1]];
    let whole: Vec<u8> = [kept[0], early[0], kept[1], early[1], kept[2], kept[3]].concat();
    for cut in 0..=whole.len() {
        let (mut world, client, _) = held();
        let (id, now) = (world.clients[client].id, world.now);
        let engine = &mut world.engines[0];
        let mut input = HeldInput::new(whole[..cut].to_vec());
        engine.receive_held(id, &mut input, now);
        input.extend(&whole[cut..]);
        engine.receive_held(id, &mut input, now);
        assert_eq!(input.bytes(), kept.concat(), "cut at {cut}");
        world.run();
        assert_eq!(world.view("c1").unwrap().in_flight, 0, "cut at {cut}");
        assert!(world.packets(client).contains(&Packet::PingResp), "cut at {cut}");
    }
}

#[test]
fn what_makes_no_sense_waits_for_its_turn_and_a_wrong_acknowledgement_does_not() {
    let (mut world, client, _) = held();
    let (id, now) = (world.clients[client].id, world.now);
    // A reserved kind of packet, and one whose length never ends.
    for nonsense in [&[0x00, 0, 0x40, 2, 0, 1][..], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]] {
        let mut input = HeldInput::new(nonsense.to_vec());
        world.engines[0].receive_held(id, &mut input, now);
        assert!(world.is_open(client));
        assert_eq!(input.bytes()[..1], nonsense[..1]);
    }
    // With properties that are none.
    let mut input = HeldInput::new(vec![0x40, 5, 0, 1, 0, 9, 9]);
    world.engines[0].receive_held(id, &mut input, now);
    world.run();
    assert!(!world.is_open(client));
}

#[test]
fn nobody_is_read_on_who_owes_nothing_or_has_sent_too_much_or_when_memory_is_short() {
    let (mut world, client, stuck) = held();
    let may_hold = |world: &World, client: C, bytes| {
        world.engines[0].may_hold(world.clients[client].id, bytes)
    };
    assert!(may_hold(&world, client, 99_999));
    assert!(!may_hold(&world, client, 100_000));
    assert!(!may_hold(&world, stuck, 0), "it owes nothing");
    world.hub.set_memory(Memory::Short);
    assert!(!may_hold(&world, client, 0));
    world.hub.set_memory(Memory::Ample);
    let (id, now) = (world.clients[client].id, world.now);
    world.engines[0].receive_held(id, &mut HeldInput::new(vec![0x40, 2, 0, 1]), now);
    world.run();
    assert!(!may_hold(&world, client, 0));
}

fn patience_over(world: &World) -> usize {
    let is_over =
        |it: &&Report| matches!(it, Report::SlowConsumer { rule: DropRule::PatienceOver, .. });
    world.reports.iter().filter(is_over).count()
}

#[test]
fn patience_does_not_begin_anew_for_a_receiver_that_only_reads_slowly() {
    let (mut world, _, slow) = held();
    world.clients[slow].reads = true;
    world.read_up_to(slow, 1);
    world.clients[slow].reads = false;
    assert_eq!(patience_over(&world), 0);
    world.wait_s(5);
    assert_eq!(patience_over(&world), 1);
}

#[test]
fn patience_begins_anew_for_a_receiver_that_is_held_back_and_sends_but_not_without_end() {
    let mut world = World::with(1, small());
    world.user("ann", &["allow readWrite #"]);
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "a", Q1);
    world.set_acks(ann, false);
    world.send_bytes(ann, &burst(V5, "a", Q1, 200));
    for period in 0..12 {
        assert!(world.clients[ann].is_paused, "{period}");
        assert_eq!(patience_over(&world), 0, "{period}");
        // A part of a packet, which waits like all before it.
        let (id, now) = (world.clients[ann].id, world.now);
        let mut input = HeldInput::new(Vec::new());
        input.extend(&[0x30]);
        world.engines[0].receive_held(id, &mut input, now);
        world.wait_s(5);
    }
    assert_eq!(patience_over(&world), 1);
}
