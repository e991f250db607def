//! Wills: judged at CONNECT and again when they are sent; sent when they must be.

use crate::world::{C, Q1, V5, V311, World, lasting, limits, with_will};
use broker::Limits;
use mqtt::{Connect, Disconnect, Packet, ProtocolVersion, ReasonCode};

const BOTH: [ProtocolVersion; 2] = [V311, V5];

fn with_listener(shards: usize) -> (World, C) {
    let mut world = World::open(shards);
    let bob = world.connect("bob", "listener", V5);
    world.subscribe(bob, "#", Q1);
    (world, bob)
}

#[test]
fn rule_11_a_will_without_right_is_a_refused_connect() {
    for (version, code) in [(V5, 0x87), (V311, 5)] {
        for (rules, topic) in
            [(&["allow write ok"][..], "secret"), (&["allow write #"][..], "$SYS/x")]
        {
            let mut world = World::open(1);
            world.user("ann", rules);
            let connect = with_will(Connect::new(version, "c1"), topic, 0);
            assert_eq!(world.try_connect("ann", connect), Err(code), "{topic}");
            assert!(world.view("c1").is_none());
        }
    }
}

#[test]
fn rule_11_a_will_is_judged_again_when_it_is_sent() {
    for version in BOTH {
        for (rule_then, sent) in [("allow write w", 1), ("allow write other", 0)] {
            let (mut world, bob) = with_listener(2);
            let ann = world.connect_with("ann", with_will(Connect::new(version, "c1"), "w", 0));
            world.change_silently(crate::world::user("ann", &[rule_then]));
            world.lose(ann);
            assert_eq!(world.messages(bob).len(), sent, "{rule_then}");
        }
    }
}

#[test]
fn a_will_takes_the_publish_prefix() {
    let (mut world, bob) = with_listener(1);
    world.put(crate::world::prefixed("ann", "site/", &["allow write site/#"]));
    let ann = world.connect_with("ann", with_will(Connect::new(V5, "c1"), "w", 0));
    world.lose(ann);
    assert_eq!(world.messages(bob), ["site/w q1: gone"]);
}

// Shows 3.1.1: [MQTT-3.1.2-8], [MQTT-3.14.4-3]; 5.0: [MQTT-3.1.2-8], [MQTT-3.14.4-3].
#[test]
fn a_lost_connection_sends_the_will_and_a_normal_disconnect_drops_it() {
    for version in BOTH {
        let (mut world, bob) = with_listener(2);
        let ann = world.connect_with("ann", with_will(Connect::new(version, "c1"), "w", 0));
        world.disconnect(ann);
        assert!(world.messages(bob).is_empty());
        let ann = world.connect_with("ann", with_will(Connect::new(version, "c1"), "w", 0));
        world.lose(ann);
        assert_eq!(world.messages(bob), ["w q1: gone"]);
    }
}

#[test]
fn a_disconnect_with_0x04_sends_the_will() {
    let (mut world, bob) = with_listener(1);
    let ann = world.connect_with("ann", with_will(Connect::new(V5, "c1"), "w", 0));
    world.send(ann, &Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill)));
    assert_eq!(world.messages(bob), ["w q1: gone"]);
}

// Shows 3.1.1: [MQTT-3.1.2-8]; 5.0: [MQTT-3.1.2-8].
#[test]
fn a_protocol_error_sends_the_will() {
    for version in BOTH {
        let (mut world, bob) = with_listener(1);
        let ann = world.connect_with("ann", with_will(Connect::new(version, "c1"), "w", 0));
        world.send_bytes(ann, &[0x00, 0x00]);
        assert!(!world.is_open(ann));
        assert_eq!(world.messages(bob), ["w q1: gone"]);
    }
}

// Shows 5.0: [MQTT-3.1.2-8], [MQTT-3.1.3-9].
#[test]
fn a_delayed_will_waits_and_is_not_sent_if_the_session_goes_on_in_time() {
    for (waited_s, is_back, sent) in [(9, false, 0), (10, false, 1), (9, true, 0)] {
        let (mut world, bob) = with_listener(2);
        let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "w", 10));
        world.lose(ann);
        world.wait_s(waited_s);
        if is_back {
            world.resume("ann", "c1", V5);
            world.wait_s(60);
        }
        assert_eq!(world.messages(bob).len(), sent, "{waited_s} {is_back}");
    }
}

// Shows 5.0: [MQTT-3.1.2-8].
#[test]
fn a_delayed_will_is_sent_at_the_latest_when_the_session_ends() {
    let (mut world, bob) = with_listener(1);
    let mut connect = with_will(lasting(V5, "c1"), "w", 1000);
    connect.properties.session_expiry_interval_s = Some(5);
    let ann = world.connect_with("ann", connect.clone());
    world.lose(ann);
    assert!(world.messages(bob).is_empty());
    world.wait_s(5);
    assert_eq!(world.messages(bob), ["w q1: gone"], "by expiry");
    let ann = world.connect_with("ann", connect);
    world.lose(ann);
    world.connect("ann", "c1", V5);
    assert_eq!(world.messages(bob), ["w q1: gone"], "by a clean start");
}

#[test]
fn wills_share_their_room_and_give_it_back_whatever_becomes_of_them() {
    for (version, refusal) in [(V311, 3), (V5, 0x97)] {
        let mut world = World::with(1, Limits { will_bytes_max: 600, ..limits() });
        world.user("ann", &["allow readWrite #"]);
        let will = |id: &str| with_will(lasting(version, id), "w", 0);
        let one = world.connect_with("ann", will("1"));
        world.connect_with("ann", will("2"));
        let taken = world.hub.will_bytes();
        assert_eq!(world.try_connect("ann", will("3")), Err(refusal));
        assert_eq!(world.hub.will_bytes(), taken, "a refused one takes nothing");
        assert!(world.view("3").is_none());
        world.connect("ann", "3", version);
        // Its own former will is no reason to refuse a client.
        world.connect_with("ann", will("2"));
        assert_eq!(world.hub.will_bytes(), taken);
        world.lose(one);
        world.connect_with("ann", will("3"));
        assert_eq!(world.hub.will_bytes(), taken, "a will that was sent left its room");
        let three = world.connect_with("ann", will("3"));
        world.disconnect(three);
        assert_eq!(world.hub.will_bytes(), taken / 2, "and one that was not");
        let user = world.proof("ann").user_id();
        let now = world.now;
        assert!(world.engines[0].kick(user, "2", ReasonCode::AdministrativeAction, now));
        world.run();
        assert_eq!(world.hub.will_bytes(), 0);
    }
}

#[test]
fn nobody_has_more_than_a_users_part_of_the_room_for_wills() {
    for (version, refusal) in [(V311, 3), (V5, 0x97)] {
        let mut world = World::with(2, Limits { will_bytes_per_user_max: 600, ..limits() });
        for user in ["ann", "bob"] {
            world.user(user, &["allow readWrite #"]);
        }
        let will = |id: &str| with_will(lasting(version, id), "w", 0);
        let ann = world.proof("ann").user_id();
        let one = world.connect_with("ann", will("1"));
        world.connect_with("ann", will("2"));
        let taken = world.hub.most_will_bytes_of_a_user();
        assert!(taken.is_some_and(|(user, bytes)| user == ann && bytes > 300), "{taken:?}");
        assert_eq!(world.try_connect("ann", will("3")), Err(refusal));
        assert!(world.view("3").is_none());
        assert_eq!(world.hub.most_will_bytes_of_a_user(), taken, "a refused one takes nothing");
        world.connect_with("bob", will("3"));
        world.connect_with("ann", will("2"));
        assert_eq!(
            world.hub.most_will_bytes_of_a_user(),
            taken,
            "its own former will is as good as free"
        );
        world.lose(one);
        world.connect_with("ann", will("3"));
    }
}

// Shows 5.0: [MQTT-3.1.2-8], [MQTT-3.1.3-9].
#[test]
fn a_takeover_sends_the_will_unless_it_waits_and_the_session_goes_on() {
    for (delay_s, clean_start, sent) in [(0, false, 1), (0, true, 1), (9, true, 1), (9, false, 0)] {
        let (mut world, bob) = with_listener(1);
        world.connect_with("ann", with_will(lasting(V5, "c1"), "w", delay_s));
        let mut connect = lasting(V5, "c1");
        connect.clean_start = clean_start;
        world.connect_with("ann", connect);
        world.wait_s(60);
        assert_eq!(world.messages(bob).len(), sent, "delay {delay_s}, clean {clean_start}");
    }
}

// Shows 3.1.1: [MQTT-3.1.2-17]; 5.0: [MQTT-3.1.2-15].
#[test]
fn a_will_expires_as_a_message_and_may_be_retained() {
    let mut world = World::open(1);
    let mut connect = with_will(Connect::new(V5, "c1"), "w", 0);
    if let Some(will) = connect.will.as_mut() {
        will.retain = true;
        will.properties.message_expiry_interval_s = Some(10);
    }
    let ann = world.connect_with("ann", connect);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    world.wait_s(4);
    world.subscribe(bob, "w", Q1);
    assert_eq!(world.messages(bob), ["w q1 r 6s: gone"]);
    world.wait_s(6);
    world.subscribe(bob, "w", Q1);
    assert!(world.messages(bob).is_empty());
}

// Shows 5.0: [MQTT-3.1.3-9].
#[test]
fn the_delay_of_an_earlier_will_does_not_send_a_later_one() {
    let (mut world, bob) = with_listener(1);
    let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "old", 10));
    world.lose(ann);
    world.wait_s(5);
    world.connect_with("ann", with_will(lasting(V5, "c1"), "new", 10));
    world.wait_s(60);
    assert!(world.messages(bob).is_empty());
}
