//! What is left of the broker when memory gets short, and that it recovers.

use broker::{Limits, Memory};
use mqtt::OutgoingPublish;

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, limits, message};

fn set(world: &mut World, memory: Memory) {
    world.hub.set_memory(memory);
    for engine in &mut world.engines {
        engine.memory_changed(world.now);
    }
    world.run();
}

fn full() -> (World, C, C) {
    let mut world = World::open(1);
    let publisher = world.connect("ann", "p", V5);
    let subscriber = world.connect("bob", "s", V5);
    world.subscribe(subscriber, "a", Q2);
    set(&mut world, Memory::Full);
    (world, publisher, subscriber)
}

#[test]
fn what_needs_more_memory_is_refused_with_0x97_and_taken_again_afterwards() {
    let (mut world, publisher, subscriber) = full();
    let mut connect = mqtt::Connect::new(V311, "late");
    assert_eq!(world.try_connect("cat", connect.clone()), Err(3));
    connect.version = V5;
    assert_eq!(world.try_connect("cat", connect.clone()), Err(0x97));
    assert_eq!(world.subscribe(subscriber, "b", Q1), 0x97);
    assert_eq!(world.subscribe(subscriber, "a", Q1), 1, "it is there already");
    for qos in [Q1, Q2] {
        assert_eq!(world.publish(publisher, "a", qos, "x"), Some(0x97));
        world.wait_s(1);
    }
    assert_eq!(world.retain(publisher, "nobody/reads", "x"), Some(0x97));
    world.wait_s(1);
    assert_eq!(world.publish(publisher, "nobody/reads", Q1, "x"), Some(0x10), "nothing is kept");
    assert_eq!(world.hub.retained_usage().0, 0);
    assert_eq!(world.messages(subscriber).len(), 0);
    world.wait_s(1);
    set(&mut world, Memory::Ample);
    assert_eq!(world.publish(publisher, "a", Q1, "x"), Some(0));
    assert_eq!(world.subscribe(subscriber, "b", Q1), 1);
    assert!(world.try_connect("cat", connect).is_ok());
    assert_eq!(world.engines[0].counters().refused_publishes.memory, 3);
}

#[test]
fn what_3_1_1_publishes_with_an_acknowledgement_waits_and_is_not_lost() {
    let (mut world, _, subscriber) = full();
    set(&mut world, Memory::Ample);
    let publisher = world.connect("ann", "old", V311);
    set(&mut world, Memory::Full);
    assert_eq!(world.publish(publisher, "a", Q1, "x"), None);
    world.wait_s(20);
    assert_eq!(world.messages(subscriber).len(), 0);
    assert!(world.is_open(publisher));
    set(&mut world, Memory::Short);
    world.wait_s(1);
    assert_eq!(world.messages(subscriber), ["a q1: x"]);
}

#[test]
fn a_takeover_needs_no_more_and_is_let_in() {
    let (mut world, publisher, _) = full();
    let again = world.try_connect("ann", mqtt::Connect::new(V5, "p"));
    assert!(again.is_ok());
    assert!(!world.is_open(publisher));
}

#[test]
fn a_retained_message_there_is_no_room_for_takes_the_old_one_with_it_for_good() {
    let mut world = World::with(1, Limits { persistence: broker::Persistence::On, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    let publisher = world.connect("ann", "p", V5);
    world.retain(publisher, "a", "old");
    set(&mut world, Memory::Full);
    world.publish_with(publisher, OutgoingPublish { retain: true, ..message("a", "new") });
    assert_eq!(world.hub.retained_usage().0, 0);
    assert!(
        matches!(world.disk.last(), Some(broker::Record::RetainedRemove(topic)) if topic.as_str() == "a")
    );
}

#[test]
fn publishers_rest_between_turns_while_memory_is_short_and_others_do_not() {
    let mut world = World::open(1);
    let publisher = world.connect("ann", "p", V5);
    let subscriber = world.connect("bob", "s", V5);
    set(&mut world, Memory::Short);
    assert_eq!(world.subscribe(subscriber, "a", Q1), 1);
    for _ in 0..5 {
        world.publish(publisher, "a", Q0, "x");
    }
    assert_eq!(world.messages(subscriber).len(), 1);
    assert!(world.clients[publisher].is_paused && !world.clients[subscriber].is_paused);
    world.wait_s(1);
    assert_eq!(world.messages(subscriber).len(), 4);
}

#[test]
fn outboxes_of_those_who_do_not_read_are_cut_down_oldest_first() {
    let mut world = World::open(1);
    let publisher = world.connect("ann", "p", V5);
    let subscriber = world.connect("bob", "s", V5);
    world.subscribe(subscriber, "a", Q0);
    world.clients[subscriber].reads = false;
    for number in 0..1_000 {
        world.publish(publisher, "a", Q0, &format!("{number:0500}"));
        if world.clients[publisher].is_paused {
            // Patience with it is over.
            world.wait_s(10);
        }
    }
    let held = |world: &World| world.engines[0].census().held_bytes();
    assert!(held(&world) > 400_000, "{}", held(&world));
    set(&mut world, Memory::Full);
    let max = limits().outbox_bytes_max / 16;
    assert!(held(&world) <= max, "{}", held(&world));
    let dropped = world.engines[0].counters().dropped;
    assert!(dropped.memory_full > 500, "{dropped:?}");
    world.publish(publisher, "a", Q0, &format!("{:0500}", 1_000));
    assert!(held(&world) <= max);
    world.unstick(subscriber);
    assert!(world.messages(subscriber).last().is_some_and(|it| it.ends_with("1000")));
}
