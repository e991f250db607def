//! What is told of refusals: each decision once, repetitions counted, and nobody crowds out others.

use broker::{RefusedAction, Report};
use mqtt::{Packet, SubscribeOptions};

use crate::world::{C, Q0, Q1, V5, World, lasting, with_will};

/// Decision, topic and count of each refusal reported since the last look.
fn reported(world: &mut World) -> Vec<(String, String, u64)> {
    let reports = std::mem::take(&mut world.reports);
    let refusals = reports.into_iter().filter_map(|report| match report {
        Report::Refused(it) => Some((it.decision.to_string(), it.topic.to_string(), it.count)),
        Report::RefusalsLeftOut { client, count } => {
            Some(("none".to_owned(), client.client_id.to_string(), count))
        }
        _ => None,
    });
    refusals.collect()
}

fn told(world: &mut World, client: C) -> Option<String> {
    let packets = world.packets(client);
    packets.iter().find_map(|packet| match packet {
        Packet::PubAck(ack) => ack.properties.reason_string.clone(),
        Packet::SubAck(ack) => ack.properties.reason_string.clone(),
        _ => None,
    })
}

fn check(world: &mut World, expected: &[(&str, &str, u64)]) {
    let own = |(id, topic, count): &(&str, &str, u64)| (id.to_string(), topic.to_string(), *count);
    assert_eq!(reported(world), expected.iter().map(own).collect::<Vec<_>>());
}

fn world() -> (World, C) {
    let mut world = World::new(1);
    world.user("ann", &["allow readWrite ok/#"]);
    world.user("bob", &["allow readWrite ok/#"]);
    let ann = world.connect("ann", "c1", V5);
    (world, ann)
}

#[test]
fn a_repeated_refusal_is_the_same_decision_and_is_counted_within_a_second() {
    let (mut world, ann) = world();
    for _ in 0..1_000 {
        world.publish(ann, "no", Q1, "x");
        assert_eq!(told(&mut world, ann).as_deref(), Some("refused, decision 0-0-1"));
    }
    check(&mut world, &[("0-0-1", "no", 1)]);
    world.wait_s(1);
    check(&mut world, &[("0-0-1", "no", 999)]);
    world.wait_s(10);
    check(&mut world, &[]);
    world.publish(ann, "no", Q0, "x");
    world.subscribe(ann, "no", Q1);
    assert_eq!(told(&mut world, ann).as_deref(), Some("refused, decision 0-0-2"), "another action");
    world.lose(ann);
    check(&mut world, &[("0-0-2", "no", 1), ("0-0-1", "no", 1)]);
}

#[test]
fn other_rights_make_another_decision_and_what_was_counted_is_not_lost() {
    let (mut world, ann) = world();
    world.publish(ann, "no", Q1, "x");
    world.publish(ann, "no", Q1, "x");
    world.user("bob", &["allow readWrite #"]);
    world.publish(ann, "no", Q1, "x");
    assert_eq!(told(&mut world, ann).as_deref(), Some("refused, decision 0-0-1"));
    world.user("ann", &["allow readWrite ok/#", "deny write no"]);
    world.publish(ann, "no", Q1, "x");
    assert_eq!(told(&mut world, ann).as_deref(), Some("refused, decision 0-0-2"));
    check(&mut world, &[("0-0-1", "no", 1), ("0-0-1", "no", 2), ("0-0-2", "no", 1)]);
}

#[test]
fn a_client_that_makes_up_topics_has_so_many_decisions_a_second_and_does_not_use_up_anothers() {
    let (mut world, ann) = world();
    let bob = world.connect("bob", "c2", V5);
    for number in 0..500 {
        world.publish(ann, &format!("no/{number}"), Q1, "x");
    }
    assert_eq!(told(&mut world, ann), None, "there is no decision to tell");
    world.publish(bob, "no", Q1, "x");
    assert_eq!(told(&mut world, bob).as_deref(), Some("refused, decision 0-0-17"));
    let all = reported(&mut world);
    assert_eq!(all.len(), 17, "{all:?}");
    world.wait_s(1);
    check(&mut world, &[("none", "c1", 484)]);
    world.publish(ann, "no/again", Q1, "x");
    assert_eq!(told(&mut world, ann).as_deref(), Some("refused, decision 0-0-18"));
}

#[test]
fn a_subscribe_of_many_filters_names_the_decisions_that_are_told() {
    let (mut world, ann) = world();
    let filters: Vec<String> = (0..100).map(|number| format!("no/{number}")).collect();
    let wishes: Vec<_> =
        filters.iter().map(|filter| (filter.as_str(), SubscribeOptions::qos(Q1))).collect();
    let codes = world.subscribe_with(ann, &wishes, None);
    assert!(codes.len() == 100 && codes.iter().all(|code| *code == 0x87));
    let told = told(&mut world, ann).unwrap();
    let ids: Vec<_> = told.strip_prefix("refused, decision ").unwrap().split(' ').collect();
    let known: Vec<_> = reported(&mut world).into_iter().map(|(id, ..)| id).collect();
    assert_eq!((ids.len(), known.len()), (8, 16));
    assert!(ids.iter().all(|id| known.iter().any(|known| known == id)), "{ids:?} {known:?}");
}

#[test]
fn a_topic_too_long_to_be_remembered_is_a_decision_of_its_own_each_time() {
    let (mut world, ann) = world();
    let long = "x".repeat(513);
    world.publish(ann, &long, Q1, "x");
    world.publish(ann, &long, Q1, "x");
    check(&mut world, &[("0-0-1", &long, 1), ("0-0-2", &long, 1)]);
}

#[test]
fn what_a_change_of_rights_takes_from_a_session_is_reported_with_how_much() {
    let (mut world, _) = world();
    let ann = world.connect_with("ann", with_will(lasting(V5, "held"), "ok/will", 60));
    world.subscribe(ann, "ok/#", Q1);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    for number in 0..3 {
        world.publish(bob, &format!("ok/{number}"), Q1, "x");
    }
    world.reports.clear();
    world.user("ann", &[]);
    let actions = world.reports.iter().filter_map(|report| match report {
        Report::Refused(it) => Some((it.action, it.topic.to_string(), it.count)),
        _ => None,
    });
    let expected = [
        (RefusedAction::Held, "ok/#".to_owned(), 1),
        (RefusedAction::Will, "ok/will".to_owned(), 1),
        (RefusedAction::Delivery, "ok/0".to_owned(), 3),
    ];
    assert_eq!(actions.collect::<Vec<_>>(), expected);
}
