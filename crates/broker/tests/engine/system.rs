//! `$SYS`: what the broker says of itself, to those who may read it and nobody else.

use broker::{Limits, Persistence, SystemValue};
use mqtt::SubscribeOptions;
use topic::TopicName;

use crate::world::{Q0, Q1, Q2, V5, V311, World, limits, user};

fn say(world: &mut World, values: &[(&str, &str)]) {
    let values = values
        .iter()
        .map(|(topic, text)| SystemValue {
            topic: TopicName::parse(topic).unwrap(),
            text: (*text).to_owned(),
        })
        .collect();
    let read = world.hub.set_system(values, world.now);
    world.engines[0].publish_system(&read, world.now);
    world.run();
}

fn world(shards: usize) -> World {
    let mut world = World::with(shards, Limits { persistence: Persistence::On, ..limits() });
    world.user("ann", &["allow readWrite #", "allow read $SYS/#"]);
    world.user("bob", &["allow readWrite #"]);
    world
}

const UPTIME: &str = "$SYS/broker/uptime";

#[test]
fn a_reader_gets_the_present_values_at_once_and_then_each_change_on_every_shard() {
    for shards in [1, 2] {
        let mut world = world(shards);
        say(&mut world, &[(UPTIME, "1 seconds"), ("$SYS/broker/version", "9")]);
        for number in 0..8 {
            let reader = world.connect("ann", &format!("r{number}"), [V5, V311][number % 2]);
            world.subscribe(reader, "$SYS/broker/#", Q2);
            let mut present = world.messages(reader);
            present.sort();
            assert_eq!(
                present,
                ["$SYS/broker/uptime q0 r: 1 seconds", "$SYS/broker/version q0 r: 9"]
            );
        }
        say(&mut world, &[(UPTIME, "2 seconds"), ("$SYS/broker/version", "9")]);
        for reader in 0..8 {
            assert_eq!(
                world.messages(reader),
                ["$SYS/broker/uptime q0: 2 seconds"],
                "changes only"
            );
        }
    }
}

// Shows 3.1.1: [MQTT-4.7.2-1]; 5.0: [MQTT-4.7.2-1].
#[test]
fn nobody_reads_it_without_an_explicit_right_and_nobody_writes_there() {
    let mut world = world(1);
    say(&mut world, &[(UPTIME, "1")]);
    let bob = world.connect("bob", "b", V5);
    for filter in ["$SYS/#", "$SYS/broker/uptime", "$share/g/$SYS/#"] {
        assert_eq!(world.subscribe(bob, filter, Q0), 0x87, "{filter}");
    }
    for filter in ["#", "+/broker/uptime", "+/#"] {
        assert_eq!(world.subscribe(bob, filter, Q0), 0, "{filter}");
    }
    say(&mut world, &[(UPTIME, "2")]);
    assert_eq!(world.messages(bob).len(), 0);
    world.user("bob", &["allow readWrite #", "allow readWrite $SYS/#"]);
    assert_eq!(world.publish(bob, UPTIME, Q1, "forged"), Some(0x87));
    assert_eq!(world.retain(bob, "$SYS/broker/mine", "forged"), Some(0x87));
    world.subscribe(bob, "$SYS/#", Q0);
    assert_eq!(world.messages(bob), ["$SYS/broker/uptime q0 r: 2"]);
}

#[test]
fn a_deny_takes_single_values_out_and_a_lost_right_ends_it_all() {
    let mut world = world(1);
    world.user("ann", &["allow read $SYS/#", "deny read $SYS/broker/clients/#"]);
    say(&mut world, &[(UPTIME, "1"), ("$SYS/broker/clients/total", "7")]);
    let ann = world.connect("ann", "a", V5);
    world.subscribe(ann, "$SYS/#", Q0);
    say(&mut world, &[(UPTIME, "2"), ("$SYS/broker/clients/total", "8")]);
    let got = world.messages(ann);
    assert_eq!(got, ["$SYS/broker/uptime q0 r: 1", "$SYS/broker/uptime q0: 2"]);
    world.put(user("ann", &["allow read a"]));
    say(&mut world, &[(UPTIME, "3")]);
    assert_eq!(world.messages(ann).len(), 0);
}

#[test]
fn it_is_neither_recorded_nor_queued_nor_counted_as_retained() {
    let mut world = world(1);
    let ann = world.resume("ann", "a", V5);
    world.subscribe(ann, "$SYS/#", Q2);
    let before = world.disk.len();
    world.lose(ann);
    let after_loss = world.disk.len();
    assert!(after_loss > before, "the session itself is durable");
    say(&mut world, &[(UPTIME, "1")]);
    say(&mut world, &[(UPTIME, "2")]);
    assert_eq!(world.disk.len(), after_loss);
    assert_eq!(world.view("a").unwrap().queued, 0);
    assert_eq!(world.hub.retained_usage(), (0, 0));
}

#[test]
fn a_share_group_gets_each_change_once_over_all_shards() {
    let mut world = world(2);
    let members: Vec<_> = (0..6).map(|it| world.connect("ann", &format!("m{it}"), V5)).collect();
    for member in &members {
        let options = SubscribeOptions::qos(Q0);
        let granted = world.subscribe_with(*member, &[("$share/g/$SYS/#", options)], None);
        assert_eq!(granted, [0]);
    }
    for number in 0..6 {
        say(&mut world, &[(UPTIME, &number.to_string())]);
    }
    let got: usize = members.iter().map(|it| world.messages(*it).len()).sum();
    assert_eq!(got, 6);
}

#[test]
fn what_nobody_reads_is_kept_and_not_sent() {
    let mut world = world(1);
    let values = vec![SystemValue { topic: TopicName::parse(UPTIME).unwrap(), text: "1".into() }];
    assert_eq!(world.hub.set_system(values, world.now).len(), 0);
    let before = world.engines[0].counters().messages_out;
    say(&mut world, &[(UPTIME, "2")]);
    assert_eq!(world.engines[0].counters().messages_out, before);
}
