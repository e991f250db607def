//! Records come before what depends on them, and only for what must survive.

use crate::world::{Q1, Q2, V5, World, lasting, limits, with_will};
use broker::{Limits, Persistence, Record};

fn world() -> World {
    let mut world = World::with(1, Limits { persistence: Persistence::On, ..limits() });
    world.user("ann", &["allow readWrite #"]);
    world
}

fn kinds(world: &mut World) -> Vec<String> {
    let name = |record: Record| format!("{record:?}").split([' ', '(']).next().unwrap().to_owned();
    world.log.clear();
    std::mem::take(&mut world.records).into_iter().map(name).collect()
}

#[test]
fn a_clean_session_costs_no_records() {
    let mut world = world();
    let ann = world.connect("ann", "c1", V5);
    world.subscribe(ann, "a", Q2);
    world.publish(ann, "a", Q2, "x");
    world.disconnect(ann);
    assert_eq!(kinds(&mut world), [""; 0]);
}

#[test]
fn nothing_is_recorded_when_persistence_is_off() {
    let mut world = World::open(1);
    let ann = world.resume("ann", "c1", V5);
    world.subscribe(ann, "a", Q2);
    world.retain(ann, "a", "x");
    world.lose(ann);
    assert_eq!(kinds(&mut world), [""; 0]);
}

#[test]
fn a_lasting_session_is_recorded_with_all_it_holds() {
    let mut world = world();
    let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "w", 5));
    assert_eq!(kinds(&mut world), ["SessionPut", "WillPut"]);
    world.subscribe(ann, "a", Q2);
    assert_eq!(kinds(&mut world), ["SubscriptionPut"]);
    let bob = world.connect("ann", "b", V5);
    world.publish(bob, "a", Q1, "x");
    assert_eq!(kinds(&mut world), ["QueuedPut", "InflightPut", "InflightRemove", "MessageRemove"]);
    world.publish(bob, "a", Q2, "x");
    assert_eq!(
        kinds(&mut world),
        ["QueuedPut", "InflightPut", "InflightReleased", "MessageRemove", "InflightRemove"]
    );
    world.publish(ann, "b", Q2, "x");
    assert_eq!(kinds(&mut world), ["ReceivedPut", "ReceivedRemove"]);
    world.retain(bob, "r", "x");
    world.retain(bob, "r", "");
    assert_eq!(kinds(&mut world), ["RetainedPut", "RetainedRemove"]);
    world.lose(ann);
    assert_eq!(kinds(&mut world), ["WillPut", "SessionPut"]);
    world.publish(bob, "a", Q1, "x");
    assert_eq!(kinds(&mut world), ["QueuedPut"]);
    world.connect("ann", "c1", V5);
    assert_eq!(kinds(&mut world), ["WillRemove", "SessionRemove"]);
}

#[test]
fn the_record_comes_before_the_acknowledgement() {
    let mut world = world();
    let ann = world.resume("ann", "c1", V5);
    world.subscribe(ann, "a", Q1);
    world.lose(ann);
    let bob = world.connect("ann", "b", V5);
    world.log.clear();
    world.publish(bob, "a", Q1, "x");
    assert_eq!(world.log[..2], ["persist", "commit"]);
    assert!(world.log[2..].contains(&format!("flush {bob}")));
}
