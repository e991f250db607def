//! Publish budgets: over one, a publisher waits, is refused or cut off; whatever way it tries.

use access::{PolicyChange, PublishBudget, Role, RoleId, RoleName, User};
use broker::{Limits, OverBudget, Report};
use mqtt::{OutgoingPublish, ProtocolVersion};
use uuid::Uuid;

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, limits, message, user, with_will};

fn budgeted(name: &str, budget: &str) -> User {
    User { publish_budget: budget.parse().unwrap(), ..user(name, &["allow readWrite #"]) }
}

/// Ann publishes within a budget; bob reads it all.
fn world(shards: usize, rule: OverBudget, budget: &str) -> (World, C) {
    let mut world = World::with(shards, Limits { over_budget: rule, ..limits() });
    world.put(budgeted("ann", budget));
    world.user("bob", &["allow readWrite #"]);
    let reader = world.connect("bob", "reader", V5);
    world.subscribe(reader, "#", Q2);
    (world, reader)
}

/// Publishes ten messages at once over each connection, and says how many come in each second.
fn check_pace(shards: usize, budget: &str, versions: &[ProtocolVersion], expected: &[usize]) {
    for qos in [Q0, Q1, Q2] {
        let (mut world, reader) = world(shards, OverBudget::Wait, budget);
        let publishers: Vec<_> = versions
            .iter()
            .enumerate()
            .map(|(number, version)| world.connect("ann", &format!("p{number}"), *version))
            .collect();
        for publisher in publishers {
            for number in 0..10 {
                let text = format!("{number:010}");
                world.publish_with(publisher, OutgoingPublish { qos, ..message("a", &text) });
            }
            assert!(world.clients[publisher].is_paused, "{qos:?}");
        }
        let mut came = vec![world.messages(reader).len()];
        while came.len() < expected.len() {
            world.wait_s(1);
            came.push(world.messages(reader).len());
        }
        assert_eq!(came, expected, "{qos:?}");
        world.wait_s(100);
        let all: usize = came.iter().sum::<usize>() + world.messages(reader).len();
        assert_eq!(all, 10 * versions.len(), "nothing is lost");
    }
}

#[test]
fn a_publisher_over_its_budget_waits_and_loses_nothing() {
    check_pace(1, "messages=1:3", &[V5], &[3, 1, 1, 1, 1, 1, 1, 1, 0]);
    check_pace(1, "messages=2:3", &[V311], &[3, 2, 2, 2, 1, 0]);
}

#[test]
fn all_connections_of_a_user_on_all_shards_share_one_budget() {
    check_pace(1, "messages=2:3", &[V5, V311, V5], &[3, 2, 2, 2, 2]);
    check_pace(2, "messages=2:3", &[V5, V311, V5, V5, V311, V5], &[3, 2, 2, 2, 2]);
}

#[test]
fn bytes_count_with_topic_and_header() {
    // 2 of fixed header, 3 of topic, 10 of payload, 1 of properties in 5.0, 2 of packet id but for QoS 0.
    let (mut world, reader) = world(1, OverBudget::Wait, "bytes=16:32");
    let publisher = world.connect("ann", "p", V5);
    for _ in 0..5 {
        world.publish(publisher, "a", Q0, "0123456789");
    }
    assert_eq!(world.messages(reader).len(), 2);
    world.wait_s(1);
    assert_eq!(world.messages(reader).len(), 1);
}

#[test]
fn a_huge_message_goes_once_and_is_paid_for() {
    let (mut world, reader) = world(1, OverBudget::Wait, "bytes=1000:1000");
    let publisher = world.connect("ann", "p", V5);
    world.publish(publisher, "a", Q1, &"x".repeat(100_000));
    world.publish(publisher, "a", Q1, "next");
    assert_eq!(world.messages(reader).len(), 1);
    world.wait_s(90);
    assert_eq!(world.messages(reader).len(), 0);
    assert!(world.is_open(publisher), "it is the broker that does not read");
    world.wait_s(11);
    assert_eq!(world.messages(reader), ["a q1: next"]);
}

#[test]
fn an_alias_costs_what_its_topic_is_long() {
    let (mut world, reader) = world(1, OverBudget::Wait, "bytes=1000:2000");
    let publisher = world.connect("ann", "p", V5);
    let topic = "t".repeat(900);
    let set = OutgoingPublish { topic_alias: Some(1), ..message(&topic, "") };
    world.publish_with(publisher, set);
    for _ in 0..10 {
        let by_alias = OutgoingPublish { topic: "", topic_alias: Some(1), ..message("", "x") };
        world.publish_with(publisher, by_alias);
    }
    let at_once = world.messages(reader).len();
    assert!(at_once <= 4, "{at_once}");
    world.wait_s(3);
    let later = world.messages(reader).len();
    assert!((2..=4).contains(&later), "{later}");
}

#[test]
fn coming_back_does_not_fill_the_bucket() {
    let (mut world, reader) = world(1, OverBudget::Wait, "messages=1:3");
    for round in 0..20 {
        let publisher = world.connect("ann", &format!("p{}", round % 3), V5);
        world.publish(publisher, "a", Q0, "x");
        world.publish(publisher, "a", Q0, "x");
        world.lose(publisher);
    }
    assert_eq!(world.messages(reader).len(), 3);
    // What was never taken in is not owed.
    let publisher = world.connect("ann", "last", V5);
    world.wait_s(3);
    for _ in 0..3 {
        world.publish(publisher, "a", Q0, "x");
    }
    assert_eq!(world.messages(reader).len(), 3);
}

#[test]
fn wills_count_and_cannot_be_used_instead() {
    let (mut world, reader) = world(1, OverBudget::Wait, "messages=1:1");
    let mut wills = 0;
    for number in 0..50 {
        let connect = with_will(mqtt::Connect::new(V5, &format!("w{number}")), "will", 0);
        match world.try_connect("ann", connect) {
            Ok(client) => {
                world.lose(client);
                wills += 1;
            }
            Err(code) => assert_eq!(code, 0x97),
        }
    }
    assert!((10..=13).contains(&wills), "{wills}");
    assert_eq!(world.messages(reader).len(), wills);
    let publisher = world.connect("ann", "p", V5);
    world.publish(publisher, "a", Q0, "x");
    assert!(world.clients[publisher].is_paused, "wills are paid for by what comes after them");
}

#[test]
fn a_message_over_budget_is_refused_where_the_configuration_says_so() {
    let (mut world, reader) = world(1, OverBudget::Refuse, "messages=1:2");
    let publisher = world.connect("ann", "p", V5);
    let codes: Vec<_> = [Q1, Q2, Q1, Q2].map(|qos| world.publish(publisher, "a", qos, "x")).into();
    assert_eq!(codes, [Some(0), Some(0), Some(0x97), Some(0x97)]);
    world.publish(publisher, "a", Q0, "dropped");
    assert_eq!(world.messages(reader).len(), 2);
    // Before 5.0 it cannot be told: acknowledged means kept, so it waits.
    let old = world.connect("ann", "old", V311);
    assert_eq!(world.publish(old, "a", Q1, "waits"), None);
    assert!(world.clients[old].is_paused);
    world.wait_s(5);
    assert_eq!(world.messages(reader), ["a q1: waits"]);
    assert_eq!(world.publish(publisher, "a", Q2, "again"), Some(0));
    let refused = world.engines[0].counters().refused_publishes;
    assert_eq!(refused.budget, 3);
}

#[test]
fn a_connection_over_budget_is_closed_where_the_configuration_says_so() {
    let (mut world, reader) = world(1, OverBudget::Close, "messages=1:2");
    let publisher = world.connect("ann", "p", V5);
    for _ in 0..3 {
        world.publish(publisher, "a", Q0, "x");
    }
    assert_eq!(world.disconnected(publisher), Some(0x97));
    assert_eq!(world.messages(reader).len(), 2);
}

fn role(budget: &str) -> Role {
    Role {
        id: RoleId(Uuid::from_u128(5)),
        name: RoleName::parse("loud").unwrap(),
        permissions: Vec::new(),
        publish_budget: budget.parse().unwrap_or_default(),
    }
}

#[test]
fn of_user_and_roles_the_narrowest_budget_holds_for_each_user_by_itself_and_a_change_at_once() {
    let (mut world, reader) = world(1, OverBudget::Wait, "messages=100");
    world.change(PolicyChange::PutRole(role("messages=1:1")));
    for name in ["ann", "bob"] {
        let own = if name == "ann" { "messages=100" } else { "messages=50" };
        world.put(User { roles: [role("").id].into_iter().collect(), ..budgeted(name, own) });
    }
    let publishers = [world.connect("ann", "p1", V5), world.connect("bob", "p2", V5)];
    for publisher in publishers {
        for _ in 0..30 {
            world.publish(publisher, "a", Q0, "x");
        }
    }
    assert_eq!(world.messages(reader).len(), 2, "one each");
    world.wait_s(2);
    assert_eq!(world.messages(reader).len(), 4);
    // Without the role's budget, their own hold at once.
    world.change(PolicyChange::PutRole(role("")));
    world.wait_s(1);
    assert_eq!(world.messages(reader).len(), 60 - 6);
    // And with none at all, nothing is bounded.
    world.put(User { publish_budget: PublishBudget::default(), ..budgeted("ann", "messages=1") });
    for _ in 0..300 {
        world.publish(publishers[0], "a", Q0, "x");
    }
    assert_eq!(world.messages(reader).len(), 300);
}

#[test]
fn being_over_budget_is_reported_once_a_minute() {
    let (mut world, _) = world(1, OverBudget::Wait, "messages=1:1");
    let publisher = world.connect("ann", "p", V5);
    for _ in 0..70 {
        world.publish(publisher, "a", Q0, "x");
    }
    world.wait_s(58);
    let count = |world: &World| {
        world.reports.iter().filter(|it| matches!(it, Report::OverBudget { .. })).count()
    };
    assert_eq!(count(&world), 1);
    assert!(world.engines[0].counters().budget_waits > 50);
    world.wait_s(10);
    assert_eq!(count(&world), 2);
}
