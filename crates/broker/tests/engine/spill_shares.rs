//! What one user's queues may have on disk: counted exactly on all ways, so that nobody takes the room of others.

use broker::{DropRule, Limits, Persistence, Report};
use mqtt::{Connect, ReasonCode};

use crate::users::user;
use crate::world::{C, Q1, V5, V311, World, lasting, limits};

/// Sessions of eve's.
const MANY: usize = 12;
/// More than a message here counts for, and less than two.
const ONE: usize = 250;
const USER_MAX: usize = 20 * ONE;

fn shared(of_all: usize) -> Limits {
    Limits {
        persistence: Persistence::On,
        queue_memory_messages_max: 8,
        queue_disk_bytes_max: of_all,
        queue_disk_bytes_per_user_max: USER_MAX,
        ..limits()
    }
}

/// Sessions of eve's and one of bob's, offline, on these shards; and ann, who publishes.
fn with_sessions(shards: usize, limits: Limits) -> (World, C) {
    let mut world = World::with(shards, limits);
    for name in ["ann", "bob", "eve"] {
        world.user(name, &["allow readWrite #"]);
    }
    for number in 0..MANY {
        wait_for(&mut world, "eve", &number.to_string(), "eve");
    }
    wait_for(&mut world, "bob", "b", "bob");
    let ann = world.connect("ann", "a", V5);
    (world, ann)
}

fn wait_for(world: &mut World, user: &str, client_id: &str, topic: &str) {
    let client = world.resume(user, client_id, V5);
    world.subscribe(client, topic, Q1);
    world.lose(client);
}

fn publish(world: &mut World, ann: C, topic: &str, count: usize) {
    for number in 0..count {
        world.publish(ann, topic, Q1, &number.to_string());
    }
}

/// Bytes on disk only of all queues, and of those of the user that has most, with the name.
fn used(world: &World) -> (usize, Option<(&'static str, usize)>) {
    let most = world.hub.most_queue_disk_bytes_of_a_user();
    let names = ["ann", "bob", "eve"];
    let most = most.map(|(id, bytes)| {
        let name = names.into_iter().find(|name| user(name, &[]).id == id);
        (name.expect("one of them"), bytes)
    });
    (world.hub.queue_disk_bytes(), most)
}

fn dropped(world: &World) -> (u64, u64) {
    let dropped = world.engines.iter().map(|it| it.counters().dropped);
    let sum = |sum: (u64, u64), it: broker::Dropped| {
        (sum.0 + it.disk_queue_of_user_full, sum.1 + it.disk_queue_full)
    };
    dropped.fold((0, 0), sum)
}

#[test]
fn nobody_fills_the_room_for_queues_with_many_sessions_and_others_lose_nothing() {
    for shards in [1, 3] {
        let (mut world, ann) = with_sessions(shards, shared(30 * ONE));
        publish(&mut world, ann, "eve", 50);
        let (all, most) = used(&world);
        assert!(all <= USER_MAX && all + ONE > USER_MAX, "{all}");
        assert_eq!(most, Some(("eve", all)));
        let (of_user, of_all) = dropped(&world);
        assert!(of_user > 400 && of_all == 0, "{of_user} and {of_all}");
        let is_told = |it: &&Report| {
            let rule = DropRule::DiskQueueOfUserFull;
            matches!(it, Report::SlowConsumer { rule: told, .. } if *told == rule)
        };
        assert_eq!(world.reports.iter().filter(is_told).count(), MANY, "once for each session");
        // There is her share and no more, after a crash too, into another number of shards.
        world.crash_into(4 - shards, 1);
        assert_eq!(used(&world), (all, Some(("eve", all))));
        let ann = world.connect("ann", "a", V311);
        publish(&mut world, ann, "eve", 10);
        assert_eq!(used(&world), (all, Some(("eve", all))));
        publish(&mut world, ann, "bob", 9);
        assert!(world.hub.queue_disk_bytes() > all, "bob's are beside hers");
        let bob = world.resume("bob", "b", V5);
        assert_eq!(world.messages(bob).len(), 9);
        assert_eq!(used(&world), (all, Some(("eve", all))));
    }
}

#[test]
fn what_a_user_is_given_takes_and_what_it_takes_leaves_the_share_on_every_way() {
    let (mut world, ann) = with_sessions(2, shared(1 << 20));
    publish(&mut world, ann, "eve", 2);
    let (full, most) = used(&world);
    assert!(full > 0 && most == Some(("eve", full)));
    let of_one = full / MANY;
    // Delivered.
    let zero = world.resume("eve", "0", V5);
    assert_eq!(world.messages(zero).len(), 2);
    assert_eq!(used(&world), (full - of_one, Some(("eve", full - of_one))));
    // Wiped by a clean start.
    world.connect_with("eve", Connect { clean_start: true, ..lasting(V5, "1") });
    // Taken over by a connection that it ends with.
    let two = world.connect_with("eve", Connect { clean_start: false, ..Connect::new(V5, "2") });
    assert_eq!(world.messages(two).len(), 2);
    // Ended by an administrator.
    let (eve, now) = (world.proof("eve").user_id(), world.now);
    let code = ReasonCode::AdministrativeAction;
    assert!(world.engines.iter_mut().any(|it| it.kick(eve, "3", code, now)));
    world.run();
    let left = full - 4 * of_one;
    assert_eq!(used(&world), (left, Some(("eve", left))));
    // Counted again from the disk.
    world.crash_into(3, 1);
    assert_eq!(used(&world), (left, Some(("eve", left))));
    // Expired.
    world.wait_s(3_700);
    assert_eq!(used(&world), (0, None), "who has no session is not known");
}

#[test]
fn what_is_dropped_or_expires_leaves_the_share() {
    let limits = Limits { queue_messages_max: 4, ..shared(1 << 20) };
    let (mut world, ann) = with_sessions(1, limits);
    // From the fifth on there is none in the head any more.
    publish(&mut world, ann, "bob", 5);
    let before = used(&world);
    assert!(before.0 > 0);
    publish(&mut world, ann, "bob", 5);
    assert_eq!(used(&world), before, "the oldest make room for the newest");
    assert_eq!(dropped(&world), (0, 0));
    // Rights that are gone when it is read.
    world.put(user("bob", &["allow readWrite other"]));
    world.resume("bob", "b", V5);
    assert_eq!(used(&world).0, 0);
}

#[test]
fn what_was_confirmed_is_kept_by_a_start_with_a_smaller_share_and_nothing_is_added() {
    let (mut world, ann) = with_sessions(1, shared(1 << 20));
    publish(&mut world, ann, "bob", 10);
    let (before, _) = used(&world);
    let smaller = Limits { queue_disk_bytes_per_user_max: 1_024, ..shared(1 << 20) };
    assert!(before > 1_024);
    world.crash_with(2, smaller, 1);
    assert_eq!(used(&world), (before, Some(("bob", before))));
    let ann = world.connect("ann", "a", V5);
    publish(&mut world, ann, "bob", 3);
    assert_eq!((used(&world).0, dropped(&world)), (before, (3, 0)));
    let bob = world.resume("bob", "b", V5);
    assert_eq!(world.messages(bob).len(), 10);
    assert_eq!(used(&world).0, 0);
}

#[test]
fn who_goes_away_with_a_full_share_leaves_no_long_head_in_memory() {
    let (mut world, ann) = with_sessions(1, shared(1 << 20));
    let bob = world.resume("bob", "b", V5);
    world.set_acks(bob, false);
    publish(&mut world, ann, "eve", 1);
    // What is in transit to bob, and then a head and a share that are full.
    publish(&mut world, ann, "bob", 1_100);
    let (before, _) = used(&world);
    assert!(before + ONE > USER_MAX, "{before}");
    world.lose(bob);
    let census = world.engines[0].census();
    assert_eq!(census.queued_messages - census.queued_on_disk, 1 + MANY);
    assert!(used(&world).0 < USER_MAX + 8 * ONE);
}
