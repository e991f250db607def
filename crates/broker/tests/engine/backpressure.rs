//! A receiver that is behind holds its publishers back, for a time; then messages go by rule.

use crate::world::{C, Q0, Q1, V5, V311, World, limits};
use broker::{DropRule, Limits, Report};
use mqtt::Qos;

fn flooded(shards: usize, qos: Qos, messages: usize) -> (World, C, C) {
    let limits = Limits {
        outbox_bytes_max: 20_000,
        outbox_pressure_bytes: 5_000,
        shard_window_bytes: 8_000,
        queue_messages_max: 100,
        ..limits()
    };
    let mut world = World::with(shards, limits);
    world.user("ann", &["allow readWrite #"]);
    // Client ids that lie on different shards if there are two.
    let subscriber = world.connect("ann", "s1", V311);
    let publisher = world.connect("ann", "p2", V5);
    world.subscribe(subscriber, "a", Q1);
    world.clients[subscriber].reads = false;
    for number in 0..messages {
        world.publish(publisher, "a", qos, &format!("{number:0100}"));
    }
    (world, publisher, subscriber)
}

fn slow_reports(world: &World, rule: DropRule) -> u64 {
    let of = |report: &Report| match report {
        Report::SlowConsumer { rule: it, dropped, .. } if *it == rule => Some((*dropped).max(1)),
        _ => None,
    };
    world.reports.iter().filter_map(of).sum()
}

#[test]
fn a_publisher_waits_for_its_receiver_and_nothing_is_lost() {
    for shards in [1, 2] {
        for qos in [Q0, Q1] {
            let (mut world, publisher, subscriber) = flooded(shards, qos, 1000);
            assert!(world.clients[publisher].is_paused, "{shards} shards, {qos:?}");
            world.unstick(subscriber);
            assert!(!world.clients[publisher].is_paused);
            let payloads = world.messages(subscriber);
            assert_eq!(
                payloads.len(),
                1000,
                "{shards} shards, {qos:?} {:?} {:?}",
                world.view("s1"),
                world.view("p2")
            );
            for (number, message) in payloads.iter().enumerate() {
                assert!(message.ends_with(&format!("{number:0100}")));
            }
        }
    }
}

#[test]
fn one_stuck_receiver_does_not_stop_a_publisher_for_ever() {
    for shards in [1, 2] {
        let (mut world, publisher, subscriber) = flooded(shards, Q0, 1000);
        world.wait_s(6);
        assert!(!world.clients[publisher].is_paused);
        assert_eq!(slow_reports(&world, DropRule::PatienceOver), 1);
        assert!(slow_reports(&world, DropRule::OutboxFull) > 0);
        world.unstick(subscriber);
        let messages = world.messages(subscriber);
        assert!(messages.len() > 100 && messages.len() < 200, "{}", messages.len());
        assert!(messages.last().unwrap().ends_with("999"), "the newest are kept");
        world.publish(publisher, "a", Q0, "after");
        assert_eq!(world.messages(subscriber), ["a q0: after"]);
    }
}

/// Whether the publisher was paused while 200 messages came one after the other, patience being over.
fn is_paused_by_200(
    world: &mut World,
    publisher: usize,
    mut topic: impl FnMut(usize) -> &'static str,
) -> bool {
    (0..200).any(|number| {
        world.publish(publisher, topic(number), Q0, &format!("{number:0200}"));
        world.clients[publisher].is_paused
    })
}

#[test]
fn a_publisher_that_only_a_given_up_receiver_hears_rests_between_its_messages() {
    let (mut world, publisher, _) = flooded(1, Q0, 1000);
    world.wait_s(6);
    assert!(is_paused_by_200(&mut world, publisher, |_| "a"));
    assert!(world.engines[0].counters().futile_pauses > 0);
    world.wait_s(1);
    assert!(!world.clients[publisher].is_paused, "it goes on");
    let second = world.connect("ann", "s2", V5);
    world.subscribe(second, "a", Q0);
    assert!(!is_paused_by_200(&mut world, publisher, |_| "a"), "somebody hears it");
    assert_eq!(world.messages(second).len(), 200);
}

#[test]
fn a_publisher_with_some_messages_for_a_given_up_receiver_does_not_rest() {
    let (mut world, publisher, _) = flooded(1, Q0, 1000);
    let second = world.connect("ann", "s2", V5);
    world.subscribe(second, "b", Q0);
    world.wait_s(6);
    let in_turn = |number| if number % 50 == 0 { "b" } else { "a" };
    assert!(!is_paused_by_200(&mut world, publisher, in_turn));
    assert_eq!(world.messages(second).len(), 4);
}

#[test]
fn a_held_publisher_is_let_go_when_its_receiver_is_gone() {
    for shards in [1, 2] {
        let (mut world, publisher, subscriber) = flooded(shards, Q0, 1000);
        assert!(world.clients[publisher].is_paused);
        world.lose(subscriber);
        assert!(!world.clients[publisher].is_paused);
        assert!(world.is_open(publisher));
    }
}

#[test]
fn a_held_publisher_is_not_taken_for_silent() {
    let limits =
        Limits { outbox_pressure_bytes: 1_000, slow_consumer_patience_ms: 100_000, ..limits() };
    let mut world = World::with(1, limits);
    world.user("ann", &["allow readWrite #"]);
    let subscriber = world.connect("ann", "s", V5);
    world.subscribe(subscriber, "a", Q1);
    world.clients[subscriber].reads = false;
    let mut connect = mqtt::Connect::new(V5, "p");
    connect.keep_alive_s = 10;
    let publisher = world.connect_with("ann", connect);
    for _ in 0..20 {
        world.publish(publisher, "a", Q0, &"x".repeat(200));
    }
    assert!(world.clients[publisher].is_paused);
    world.wait_s(60);
    assert!(world.is_open(publisher));
}

#[test]
fn the_outbox_of_a_stuck_receiver_never_grows_beyond_its_limit() {
    let (mut world, publisher, subscriber) = flooded(1, Q0, 1000);
    world.wait_s(6);
    for number in 0..5_000 {
        if world.clients[publisher].is_paused {
            world.wait_s(1);
        }
        world.publish(publisher, "a", Q0, &format!("{number:0200}"));
        let waiting = world.engines[0].output(world.clients[subscriber].id).len();
        assert!(waiting <= 20_000, "{waiting}");
    }
    assert!(world.engines[0].counters().dropped.total() > 4_000);
}

// Shows 3.1.1: [MQTT-4.6.0-5], [MQTT-4.6.0-6]; 5.0: [MQTT-4.6.0-5], [MQTT-4.6.0-6].
#[test]
fn what_waits_in_the_queue_goes_before_what_is_new() {
    let (mut world, publisher, subscriber) = flooded(1, Q1, 0);
    for number in 0..20 {
        // Held back again and again, the publisher goes on when patience is over.
        world.publish(publisher, "a", Q1, &format!("{number:01000}"));
        world.wait_s(6);
    }
    assert!(world.view("s1").unwrap().queued > 0);
    world.clients[subscriber].reads = true;
    // Now there is room for another message, but others came before.
    world.clients[subscriber].acks = false;
    world.read_up_to(subscriber, 3_000);
    world.publish(publisher, "a", Q1, &format!("{:01000}", 20));
    world.unstick(subscriber);
    let expected: Vec<_> = (0..=20).map(|number| format!("a q1: {number:01000}")).collect();
    assert_eq!(world.messages(subscriber), expected);
}
