//! Queues that are longer than memory is to be: what lies behind the head is on disk only, and comes back.

use broker::{DropRule, Limits, Persistence, QueueFull, Report};
use mqtt::{Connect, OutgoingPublish, ProtocolVersion};

use crate::users::user;
use crate::world::{C, Q1, Q2, V5, V311, World, lasting, limits, message};

/// So many messages of a queue stay in memory while the client is there; one while it is not.
const HEAD: usize = 8;

fn spilling() -> Limits {
    Limits { persistence: Persistence::On, queue_memory_messages_max: HEAD, ..limits() }
}

fn world_with(limits: Limits) -> World {
    let mut world = World::with(1, limits);
    for name in ["ann", "bob"] {
        world.user(name, &["allow readWrite #"]);
    }
    world
}

/// A session of bob's, offline, for which these numbers wait.
fn waiting(limits: Limits, numbers: std::ops::Range<u32>) -> (World, C) {
    let mut world = world_with(limits);
    let bob = world.resume("bob", "b", V5);
    world.subscribe(bob, "t/#", Q2);
    world.lose(bob);
    let ann = world.connect("ann", "a", V5);
    publish(&mut world, ann, numbers);
    (world, ann)
}

fn publish(world: &mut World, ann: C, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let qos = if number % 3 == 0 { Q2 } else { Q1 };
        world.publish(ann, &format!("t/{}", number % 2), qos, &number.to_string());
    }
}

fn numbers(world: &mut World, client: C) -> Vec<u32> {
    let payload = |text: &String| text.rsplit(": ").next().unwrap().parse().unwrap();
    world.messages(client).iter().map(payload).collect()
}

fn in_memory(world: &World) -> usize {
    let census = world.engines[0].census();
    census.queued_messages - census.queued_on_disk
}

fn check_comes_back(mut world: World, version: ProtocolVersion, expected: &[u32]) {
    let bob = world.resume("bob", "b", version);
    assert_eq!(numbers(&mut world, bob), expected);
    let census = world.engines[0].census();
    assert_eq!((census.queued_messages, census.queued_bytes, census.in_flight), (0, 0, 0));
    assert_eq!((census.queued_on_disk, census.queued_on_disk_bytes), (0, 0));
    assert_eq!(world.hub.queue_disk_bytes(), 0);
}

fn all(numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.collect()
}

#[test]
fn a_long_queue_is_on_disk_but_for_its_head_and_comes_back_in_order_once() {
    let (world, _) = waiting(spilling(), 0..100);
    assert_eq!((in_memory(&world), world.engines[0].clients()[0].queued), (1, 100));
    assert!(world.hub.queue_disk_bytes() > 99 * 128);
    check_comes_back(world, V5, &all(0..100));
}

#[test]
fn after_a_crash_a_long_queue_is_read_but_for_its_head_only_when_it_is_wanted() {
    for version in [V311, V5] {
        let (mut world, _) = waiting(spilling(), 0..100);
        world.crash(1);
        assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (1, 100));
        check_comes_back(world, version, &all(0..100));
    }
}

#[test]
fn a_queue_of_a_session_that_ends_with_its_connection_stays_in_memory() {
    let mut world = world_with(spilling());
    let bob = world.connect("bob", "b", V5);
    world.subscribe(bob, "t/#", Q2);
    world.set_acks(bob, false);
    let ann = world.connect("ann", "a", V5);
    publish(&mut world, ann, 0..1200);
    assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (176, 176));
    assert_eq!(world.hub.queue_disk_bytes(), 0);
}

#[test]
fn what_is_not_durable_yet_stays_in_memory_and_is_never_asked_for() {
    let (mut world, ann) = waiting(spilling(), 0..0);
    world.is_disk_slow = true;
    world.are_fetches_slow = true;
    publish(&mut world, ann, 0..20);
    assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (20, 20));
    let bob = world.resume("bob", "b", V311);
    world.commit_all();
    world.run();
    assert!(world.fetches.is_empty(), "{:?}", world.fetches);
    assert_eq!(numbers(&mut world, bob), all(0..20));
}

#[test]
fn what_comes_while_the_disk_is_read_waits_behind_what_is_read() {
    let (mut world, ann) = waiting(spilling(), 0..50);
    world.are_fetches_slow = true;
    let bob = world.resume("bob", "b", V5);
    assert_eq!(numbers(&mut world, bob), [0]);
    publish(&mut world, ann, 50..60);
    assert_eq!(world.fetches.len(), 1, "one question of a session at a time");
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, bob), all(1..60));
}

#[test]
fn rights_are_those_of_the_moment_when_a_message_comes_back() {
    let (mut world, _) = waiting(spilling(), 0..60);
    world.put(user("bob", &["allow readWrite #", "deny read t/1"]));
    let bob = world.resume("bob", "b", V5);
    let even: Vec<_> = (0..60).filter(|it| it % 2 == 0).collect();
    assert_eq!(numbers(&mut world, bob), even);
    assert_eq!(world.engines[0].counters().withheld, 30);
    world.crash(1);
    check_comes_back(world, V5, &[]);
}

#[test]
fn rights_that_change_while_the_disk_is_read_are_those_that_count() {
    let (mut world, _) = waiting(spilling(), 0..60);
    world.are_fetches_slow = true;
    let bob = world.resume("bob", "b", V5);
    assert_eq!(numbers(&mut world, bob), [0]);
    // The engine is not told, and the question was asked under the rights of before.
    world.change_silently(user("bob", &["allow readWrite #", "deny read t/0"]));
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    let odd: Vec<_> = (0..60).filter(|it| it % 2 == 1).collect();
    assert_eq!(numbers(&mut world, bob), odd);
}

#[test]
fn an_answer_for_a_session_that_is_no_more_is_left() {
    let (mut world, ann) = waiting(spilling(), 0..30);
    world.are_fetches_slow = true;
    world.resume("bob", "b", V5);
    let (shard, stale) = world.fetches.pop_front().unwrap();
    let content = broker::FetchContent::Messages(world.waiting_on_disk(&stale));
    // The same name, and soon the same places, with other messages.
    let bob = world.connect_with("bob", Connect { clean_start: true, ..lasting(V5, "b") });
    assert!(!world.session_present(bob));
    world.subscribe(bob, "t/#", Q1);
    world.lose(bob);
    publish(&mut world, ann, 100..130);
    let bob = world.resume("bob", "b", V5);
    world.messages(bob);
    world.answer(shard, stale.answer(content));
    world.run();
    assert_eq!(numbers(&mut world, bob), [], "from before the clean start");
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, bob), all(101..130));
}

#[test]
fn an_answer_to_a_connection_that_is_no_more_is_left_and_the_next_asks_anew() {
    let (mut world, _) = waiting(spilling(), 0..30);
    world.are_fetches_slow = true;
    let first = world.resume("bob", "b", V5);
    assert_eq!(numbers(&mut world, first), [0]);
    let second = world.resume("bob", "b", V5);
    assert_eq!(world.fetches.len(), 2);
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, second), [], "the answer was for the former connection");
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, second), all(1..30));
}

#[test]
fn the_oldest_of_a_full_queue_is_dropped_wherever_it_is() {
    let full = Limits { queue_messages_max: 20, ..spilling() };
    let (world, _) = waiting(full.clone(), 0..50);
    assert_eq!(world.engines[0].counters().dropped.queue_full, 30);
    check_comes_back(world, V5, &all(30..50));
    let (mut world, _) = waiting(full, 0..50);
    world.crash(1);
    check_comes_back(world, V5, &all(30..50));
}

#[test]
fn a_full_queue_that_keeps_its_oldest_drops_what_does_not_fit() {
    let limits = Limits { queue_messages_max: 20, queue_full: QueueFull::DropNewest, ..spilling() };
    let (mut world, _) = waiting(limits, 0..50);
    assert_eq!(world.engines[0].counters().dropped.queue_full, 30);
    world.crash(1);
    check_comes_back(world, V5, &all(0..20));
}

#[test]
fn what_is_dropped_while_it_is_read_does_not_come() {
    let (mut world, ann) = waiting(Limits { queue_messages_max: 20, ..spilling() }, 0..20);
    world.are_fetches_slow = true;
    let bob = world.resume("bob", "b", V5);
    assert_eq!(numbers(&mut world, bob), [0]);
    publish(&mut world, ann, 20..21);
    // She is held back for him as long as there is patience with him.
    world.wait_s(6);
    publish(&mut world, ann, 21..25);
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, bob), all(5..25));
}

#[test]
fn a_start_with_smaller_limits_keeps_to_them() {
    for (queue_full, left) in [(QueueFull::DropOldest, 20..50), (QueueFull::DropNewest, 0..30)] {
        let (world, _) = waiting(spilling(), 0..50);
        let smaller = Limits { queue_messages_max: 30, queue_full, ..spilling() };
        let mut world = world;
        world.crash_with(1, smaller, 1);
        check_comes_back(world, V5, &all(left));
    }
}

#[test]
fn all_queues_together_have_a_limit_on_disk_and_what_does_not_fit_is_dropped_and_told() {
    let limits = Limits { queue_disk_bytes_max: 10 * 256, ..spilling() };
    let (mut world, _) = waiting(limits, 0..50);
    let dropped = world.engines[0].counters().dropped.disk_queue_full;
    assert!(world.hub.queue_disk_bytes() <= 10 * 256);
    assert!((30..45).contains(&dropped), "{dropped}");
    let is_told = |report: &Report| {
        matches!(report, Report::SlowConsumer { rule: DropRule::DiskQueueFull, .. })
    };
    assert_eq!(world.reports.iter().filter(|it| is_told(it)).count(), 1);
    world.crash(1);
    check_comes_back(world, V5, &all(0..50 - u32::try_from(dropped).unwrap()));
}

#[test]
fn a_disk_that_cannot_be_read_is_asked_again_and_nothing_is_lost_or_overtaken() {
    let (mut world, ann) = waiting(spilling(), 0..40);
    world.are_fetches_slow = true;
    let bob = world.resume("bob", "b", V5);
    assert_eq!(numbers(&mut world, bob), [0]);
    for _ in 0..3 {
        world.fail_fetch();
        world.run();
        assert!(world.fetches.is_empty(), "it is left alone for a second");
        publish(&mut world, ann, 40..41);
        world.wait_s(1);
        assert_eq!(world.fetches.len(), 1);
    }
    assert_eq!(numbers(&mut world, bob), []);
    assert_eq!(world.engines[0].counters().fetches_failed, 3);
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    let expected: Vec<_> = (1..40).chain([40, 40, 40]).collect();
    assert_eq!(numbers(&mut world, bob), expected);
}

#[test]
fn what_is_damaged_on_disk_is_given_up_and_told_and_the_rest_comes() {
    let (mut world, _) = waiting(spilling(), 0..40);
    world.damaged = vec!["7".into(), "20".into(), "39".into()];
    let bob = world.resume("bob", "b", V5);
    let left: Vec<_> = (0..40).filter(|it| ![7, 20, 39].contains(it)).collect();
    assert_eq!(numbers(&mut world, bob), left);
    assert_eq!(world.engines[0].counters().dropped.unreadable, 3);
    world.damaged.clear();
    world.crash(1);
    check_comes_back(world, V5, &[]);
}

#[test]
fn messages_that_expire_on_disk_do_not_come() {
    let (mut world, ann) = waiting(spilling(), 0..20);
    for _ in 0..5 {
        let expiring =
            OutgoingPublish { qos: Q1, message_expiry_interval_s: Some(5), ..message("t/x", "99") };
        world.publish_with(ann, expiring);
    }
    publish(&mut world, ann, 20..30);
    world.wait_s(6);
    check_comes_back(world, V5, &all(0..30));
}

#[test]
fn a_session_that_is_resumed_for_one_connection_only_still_gets_all_and_leaves_nothing() {
    let (mut world, _) = waiting(spilling(), 0..40);
    world.are_fetches_slow = true;
    let connect = Connect { clean_start: false, ..Connect::new(V5, "b") };
    let bob = world.connect_with("bob", connect);
    assert!(world.session_present(bob));
    world.are_fetches_slow = false;
    world.answer_fetch();
    world.run();
    assert_eq!(numbers(&mut world, bob), all(0..40));
    world.crash(1);
    let bob = world.resume("bob", "b", V5);
    assert!(!world.session_present(bob), "it was to end with its connection");
}

#[test]
fn a_session_that_was_resumed_for_one_connection_ends_in_a_crash_also_while_the_disk_is_read() {
    let (mut world, _) = waiting(spilling(), 0..40);
    world.are_fetches_slow = true;
    let connect = Connect { clean_start: false, ..Connect::new(V5, "b") };
    let bob = world.connect_with("bob", connect);
    assert!(world.session_present(bob));
    world.crash(0);
    let bob = world.resume("bob", "b", V5);
    assert!(!world.session_present(bob));
    assert!(world.messages(bob).is_empty());
}

#[test]
fn a_client_that_goes_away_leaves_no_more_than_a_short_head_in_memory() {
    let mut world = world_with(spilling());
    let bob = world.resume("bob", "b", V5);
    world.subscribe(bob, "t/#", Q1);
    world.set_acks(bob, false);
    let ann = world.connect("ann", "a", V5);
    publish(&mut world, ann, 0..1100);
    assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (HEAD, 76));
    world.lose(bob);
    assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (1, 76));
    check_comes_back(world, V5, &all(0..1100));
}

#[test]
fn a_head_that_is_not_durable_when_its_client_goes_away_gets_short_once_it_is() {
    let mut world = world_with(Limits { in_flight_max: 1.try_into().unwrap(), ..spilling() });
    let bob = world.resume("bob", "b", V5);
    world.subscribe(bob, "t/#", Q1);
    world.set_acks(bob, false);
    let ann = world.connect("ann", "a", V311);
    world.is_disk_slow = true;
    publish(&mut world, ann, 0..6);
    world.lose(bob);
    assert_eq!(in_memory(&world), 5);
    world.is_disk_slow = false;
    world.commit_all();
    assert_eq!((in_memory(&world), world.engines[0].census().queued_messages), (1, 5));
    check_comes_back(world, V5, &all(0..6));
}
