//! A changed policy reaches sessions online and offline, at once, and nobody else.

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, lasting, user, with_will};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Authenticated, CompiledUser, PolicyChange, Proof, SecondPassword, User};
use broker::{ProofEnd, SessionKey};
use mqtt::{Packet, ProtocolVersion, ReasonCode};

const BOTH: [ProtocolVersion; 2] = [V311, V5];

fn in_both(check: impl Fn(&mut World, ProtocolVersion)) {
    for shards in [1, 2] {
        for version in BOTH {
            check(&mut World::open(shards), version);
        }
    }
}

fn offline_with_queue(world: &mut World, version: ProtocolVersion) -> C {
    let ann = world.resume("ann", "c1", version);
    world.subscribe(ann, "a/#", Q2);
    world.subscribe(ann, "b/#", Q2);
    world.lose(ann);
    let bob = world.connect("bob", "b", V5);
    for topic in ["a/1", "b/1", "a/2", "b/2"] {
        world.publish(bob, topic, Q1, "x");
    }
    bob
}

#[test]
fn rule_13_a_revoked_subscription_of_an_offline_session_is_gone_with_its_queue() {
    in_both(|world, version| {
        let bob = offline_with_queue(world, version);
        world.user("ann", &["allow read b/#"]);
        assert_eq!(world.view("c1").unwrap().subscriptions.len(), 1);
        world.user("ann", &["allow read #"]);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["b/1 q1: x", "b/2 q1: x"]);
        world.publish(bob, "a/3", Q1, "x");
        assert!(world.messages(ann).is_empty());
    });
}

#[test]
fn rule_13_a_half_done_qos_2_message_is_not_sent_again_and_the_exchange_ends_sanely() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "#", Q2);
        world.clients[ann].acks = false;
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q2, "x");
        world.publish(bob, "b", Q2, "x");
        assert_eq!(world.messages(ann).len(), 2);
        world.user("ann", &["allow read #", "deny read a"]);
        world.lose(ann);
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["b q2 d: x"]);
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
        world.publish(bob, "c", Q2, "x");
        assert_eq!(world.messages(ann), ["c q2: x"]);
    });
}

#[test]
fn rule_13_an_acknowledgement_of_a_withdrawn_message_is_taken() {
    in_both(|world, version| {
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a", Q2);
        world.clients[ann].acks = false;
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q1, "x");
        world.publish(bob, "a", Q2, "x");
        world.user("ann", &[]);
        world.clients[ann].acks = true;
        let ack = |id| mqtt::Ack::new(mqtt::PacketId::new(id).unwrap(), ReasonCode::Success);
        world.send(ann, &Packet::PubAck(ack(1)));
        world.send(ann, &Packet::PubRec(ack(2)));
        assert!(world.is_open(ann));
        assert_eq!(world.view("c1").unwrap().in_flight, 0);
    });
}

#[test]
fn rule_21_messages_that_wait_for_a_revoked_client_are_not_delivered() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "#", Q2);
        world.clients[ann].reads = false;
        let bob = world.connect("bob", "b", V5);
        for (topic, qos) in [("a", Q0), ("b", Q0), ("a", Q1), ("b", Q1), ("a", Q2), ("b", Q2)] {
            world.publish(bob, topic, qos, "x");
        }
        world.user("ann", &["allow read #", "deny read a"]);
        world.unstick(ann);
        assert_eq!(world.messages(ann), ["b q0: x", "b q1: x", "b q2: x"]);
        assert_eq!(world.view("c1").unwrap().in_flight, 0, "the withdrawn ones hold no place");
    });
}

#[test]
fn rule_22_a_changed_right_reaches_live_clients_before_their_next_packet() {
    in_both(|world, version| {
        let bob = world.connect("bob", "b", V5);
        world.subscribe(bob, "#", Q1);
        let ann = world.connect("ann", "c1", version);
        world.publish(ann, "a", Q1, "1");
        world.change_silently(user("ann", &["allow write b"]));
        world.publish(ann, "a", Q1, "2");
        world.publish(ann, "b", Q1, "3");
        assert_eq!(world.messages(bob), ["a q1: 1", "b q1: 3"]);
        assert!(world.is_open(ann) && world.is_open(bob));
    });
}

#[test]
fn a_new_deny_filters_a_live_subscription_and_its_end_opens_it_again() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a/#", Q1);
        let bob = world.connect("bob", "b", V5);
        let got = |world: &mut World| {
            world.publish(bob, "a/1", Q0, "x");
            world.publish(bob, "a/2", Q0, "x");
            world.messages(ann)
        };
        assert_eq!(got(world).len(), 2);
        world.user("ann", &["allow read a/#", "deny read a/2"]);
        assert_eq!(got(world), ["a/1 q0: x"]);
        world.user("ann", &["allow read a/#"]);
        assert_eq!(got(world).len(), 2);
        assert!(world.is_open(ann));
    });
}

#[test]
fn a_revoked_subscription_is_removed_and_the_client_stays() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        world.subscribe(ann, "b", Q1);
        world.user("ann", &["allow read b"]);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q1, "x");
        world.publish(bob, "b", Q1, "x");
        assert_eq!(world.messages(ann), ["b q1: x"]);
        assert!(world.is_open(ann));
    });
}

/// What a change of ann does to her connection and session, while bob's stay.
fn check_standing(change: impl Fn(User) -> PolicyChange, told: u8, session_stays: bool) {
    in_both(|world, version| {
        let bob = world.resume("bob", "b", version);
        let ann = world.resume("ann", "c1", version);
        let offline = world.resume("ann", "c2", version);
        world.lose(offline);
        world.change(change(user("ann", &["allow readWrite #"])));
        assert_eq!(world.disconnected(ann), (version == V5).then_some(told));
        for session in ["c1", "c2"] {
            assert_eq!(world.view(session).is_some(), session_stays, "{session}");
        }
        assert!(world.is_open(bob));
        assert_eq!(world.hub.connections(), 1);
    });
}

#[test]
fn a_removed_user_loses_connection_and_sessions() {
    check_standing(|user| PolicyChange::RemoveUser(user.id), 0x87, false);
}

#[test]
fn a_disabled_user_loses_its_connection() {
    check_standing(|user| PolicyChange::PutUser(User { enabled: false, ..user }), 0x87, true);
}

#[test]
fn a_changed_password_ends_the_connection_and_keeps_the_session() {
    check_standing(|user| PolicyChange::PutUser(User { credential_epoch: 2, ..user }), 0x98, true);
}

#[test]
fn a_second_password_ends_the_connections_that_it_has_proven_and_no_others() {
    in_both(|world, version| {
        let serial = |number: u32| std::num::NonZeroU32::new(number).unwrap();
        let put = |world: &mut World, number: u32| {
            let second = SecondPassword { serial: serial(number), ends_at_ms: u64::MAX };
            let ann = user("ann", &["allow readWrite #"]);
            let ann = CompiledUser::with_second_password(ann, Some(second));
            world.change(PolicyChange::PutCompiled(Arc::new(ann)));
        };
        put(world, 1);
        let policy = world.policy.load_full();
        let compiled = policy.user_by_name("ann").unwrap();
        let proof = Proof {
            methods: access::AuthMethod::Password.into(),
            credential_epoch: compiled.credential_epoch(),
        };
        let proof = Authenticated::prove_by_second(compiled, proof, serial(1)).unwrap();
        let by_first = world.resume("ann", "c1", version);
        let by_second = world.attach(proof.clone(), lasting(version, "c2")).unwrap();
        assert!(world.is_open(by_second));
        put(world, 2);
        assert_eq!(world.disconnected(by_second), (version == V5).then_some(0x98));
        assert!(world.is_open(by_first));
        assert!(world.view("c2").is_some(), "the session stays");
        // What was proven before is worth nothing now, and touches no session.
        assert_eq!(
            world.attach(proof, lasting(version, "c1")),
            Err(if version == V5 { 0x87 } else { 5 })
        );
        assert!(world.is_open(by_first));
    });
}

#[test]
fn a_removed_grant_type_ends_the_connection() {
    let grants = access::GrantTypes::CERTIFICATE;
    check_standing(move |user| PolicyChange::PutUser(User { grants, ..user }), 0x87, true);
}

#[test]
fn a_disabled_user_gets_nothing_that_waited() {
    in_both(|world, version| {
        let ann = world.connect("ann", "c1", version);
        world.subscribe(ann, "a", Q1);
        world.clients[ann].reads = false;
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a", Q0, "x");
        let now_disabled = User { enabled: false, ..user("ann", &["allow read #"]) };
        // The close comes while the client does not read; what it reads then is the end only.
        world.clients[ann].reads = true;
        world.put(now_disabled);
        assert!(world.messages(ann).is_empty());
        assert_eq!(world.disconnected(ann), (version == V5).then_some(0x87));
    });
}

#[test]
fn a_will_that_is_not_allowed_any_more_is_dropped_also_while_it_waits() {
    for is_online in [true, false] {
        let mut world = World::open(2);
        let bob = world.connect("bob", "b", V5);
        world.subscribe(bob, "#", Q1);
        let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "w", 10));
        if !is_online {
            world.lose(ann);
        }
        world.user("ann", &["allow write other"]);
        world.user("ann", &["allow write #"]);
        if is_online {
            world.lose(ann);
        }
        world.wait_s(60);
        assert!(world.messages(bob).is_empty(), "online: {is_online}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time it takes is what is measured")]
fn ten_thousand_sessions_are_judged_again_in_well_under_a_second() {
    for is_one_filter in [false, true] {
        let mut world = World::open(1);
        for number in 0..10_000 {
            let name = ["ann", "bob", "cat"][number % 3];
            let client = world.resume(name, &format!("c{number}"), V5);
            let filter = if is_one_filter { "a/#".to_owned() } else { format!("a/{number}/#") };
            world.subscribe(client, &filter, Q1);
            if number % 2 == 0 {
                world.lose(client);
            }
            world.clients.clear();
        }
        world.change_silently(user("ann", &["allow read a/+/b"]));
        let (now, start) = (world.now, Instant::now());
        world.engines[0].policy_changed(now);
        let spent = start.elapsed();
        let filters = if is_one_filter { "one filter" } else { "filters of their own" };
        println!("10,000 sessions with {filters}, 3,334 of them concerned: {spent:?}");
        assert!(spent < Duration::from_secs(1), "{spent:?}");
        let clients = world.engines[0].clients();
        let kept = clients.iter().filter(|it| !it.subscriptions.is_empty()).count();
        assert_eq!(kept, 6_666);
    }
}

#[test]
fn rule_22_a_message_on_its_way_between_shards_is_judged_where_it_arrives() {
    for (rules, got) in [(&["allow read #"][..], 2), (&["allow read #", "deny read a"][..], 0)] {
        let mut world = World::open(2);
        // Of these two client ids each lies on a shard of its own.
        let (reader, writer) = world.apart("ann", "bob");
        world.subscribe(reader, "a", Q1);
        world.are_shards_apart = true;
        world.publish(writer, "a", Q0, "x");
        world.publish(writer, "a", Q1, "x");
        assert!(world.messages(reader).is_empty());
        world.change_silently(user("ann", rules));
        world.are_shards_apart = false;
        world.run();
        assert_eq!(world.messages(reader).len(), got);
    }
}

#[test]
fn rule_22_a_shard_that_is_late_does_not_trust_routes_of_one_that_is_not() {
    for (rules, got) in [
        (&["allow read #", "allow read b"][..], 1),
        (&["allow read #", "deny read a"], 0),
        (&["allow read b"], 0),
    ] {
        for filter in ["a", "#", "$share/g/a"] {
            let mut world = World::open(2);
            let (reader, writer) = world.apart("ann", "bob");
            world.subscribe(reader, filter, Q1);
            world.are_shards_apart = true;
            world.change_silently(user("ann", rules));
            // The writer's shard knows the new policy from here on; the reader's has not looked yet.
            world.publish(writer, "a", Q1, "x");
            world.are_shards_apart = false;
            world.run();
            assert_eq!(world.messages(reader).len(), got, "{filter} by {rules:?}");
            world.publish(writer, "a", Q1, "y");
            assert_eq!(world.messages(reader).len(), got, "{filter} by {rules:?}, afterwards");
        }
    }
}

/// What withdraws ann's identity.
const WITHDRAWALS: [fn(User) -> PolicyChange; 4] = [
    |ann| PolicyChange::PutUser(User { credential_epoch: 2, ..ann }),
    |ann| PolicyChange::PutUser(User { enabled: false, ..ann }),
    |ann| PolicyChange::PutUser(User { grants: access::GrantTypes::CERTIFICATE, ..ann }),
    |ann| PolicyChange::RemoveUser(ann.id),
];

fn check_will(change: &dyn Fn(&mut World), is_online: bool, expected: &[&str]) {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        let reader = world.connect("bob", "reads", V5);
        world.subscribe(reader, "#", Q1);
        let delay_s = if is_online { 0 } else { 10 };
        let ann = world.connect_with("ann", with_will(lasting(V5, "c1"), "w", delay_s));
        let other = world.connect_with("bob", with_will(lasting(V5, "c2"), "other", delay_s));
        if !is_online {
            world.lose(ann);
            world.lose(other);
        }
        change(&mut world);
        if is_online {
            world.lose(ann);
            world.lose(other);
        }
        // What was lost does not come back.
        world.user("ann", &["allow readWrite #"]);
        world.wait_s(60);
        let mut messages = world.messages(reader);
        messages.sort();
        assert_eq!(messages, expected, "online: {is_online}");
        assert_eq!(world.hub.will_bytes(), 0);
    }
}

#[test]
fn rule_20_a_withdrawn_identity_does_not_speak_by_its_will_at_once_or_later() {
    for withdrawal in WITHDRAWALS {
        let change =
            |world: &mut World| world.change(withdrawal(user("ann", &["allow readWrite #"])));
        check_will(&change, true, &["other q1: gone"]);
        check_will(&change, false, &["other q1: gone"]);
    }
    // Whatever else is changed, it speaks.
    let change = |world: &mut World| world.user("ann", &["allow write #"]);
    check_will(&change, true, &["other q1: gone", "w q1: gone"]);
    check_will(&change, false, &["other q1: gone", "w q1: gone"]);
}

#[test]
fn rule_20_who_is_told_to_be_withdrawn_does_not_speak_by_its_will() {
    let key = |world: &World| {
        let ann = world.policy.load().user_by_name("ann").unwrap().id();
        SessionKey { user: ann, client_id: "c1".into() }
    };
    let cut = |world: &mut World, end| {
        let (now, key) = (world.now, key(world));
        for engine in &mut world.engines {
            // Of one without a delay, or that is still there, nothing is to be taken in this way.
            assert_eq!(engine.waiting_will_ms(&key, now), None);
            engine.withdraw_waiting_will(&key, now);
        }
        // The second who came.
        let ann = 1;
        let (shard, id) = (world.shard_of(ann), world.clients[ann].id);
        world.engines[shard].end_lapsed(id, end, ReasonCode::NotAuthorized, now);
        world.run();
        assert_eq!(world.disconnected(ann), Some(0x87));
        assert!(world.view("c1").is_some(), "the session stays");
    };
    check_will(&|world| cut(world, ProofEnd::Withdrawn), true, &["other q1: gone"]);
    // Nobody has withdrawn what was good until then.
    let both = ["other q1: gone", "w q1: gone"];
    check_will(&|world| cut(world, ProofEnd::Over), true, &both);
    let take = |world: &mut World| {
        let (now, key) = (world.now, key(world));
        let waits = |world: &World| {
            world.engines.iter().filter_map(|it| it.waiting_will_ms(&key, now)).collect::<Vec<_>>()
        };
        assert_eq!(waits(world), [10_000]);
        for engine in &mut world.engines {
            engine.withdraw_waiting_will(&key, now);
        }
        world.run();
        assert_eq!(waits(world), [0_u64; 0]);
    };
    check_will(&take, false, &["other q1: gone"]);
}

#[test]
fn an_alias_that_went_away_with_a_withdrawn_message_is_set_anew() {
    let mut world = World::open(1);
    let mut connect = mqtt::Connect::new(V5, "c1");
    connect.properties.topic_alias_maximum = Some(5);
    let ann = world.connect_with("ann", connect);
    world.subscribe(ann, "#", Q1);
    let bob = world.connect("bob", "b", V5);
    world.clients[ann].reads = false;
    for topic in ["a", "a", "b"] {
        world.publish(bob, topic, Q0, "1");
    }
    world.user("ann", &["allow read #", "deny read a"]);
    world.user("ann", &["allow read #"]);
    for topic in ["a", "b", "a"] {
        world.publish(bob, topic, Q0, "2");
    }
    world.unstick(ann);
    assert_eq!(world.messages(ann), ["b q0: 1", "a q0: 2", "b q0: 2", "a q0: 2"]);
}

#[test]
fn a_message_judged_by_the_new_policy_does_not_use_what_another_shard_noted_under_the_old_one() {
    // By the last she may read the message, but not hold the subscription that it comes by.
    for rules in
        [&["allow read #", "deny read a/b"][..], &["allow read b"][..], &["allow read a/b"][..]]
    {
        let mut world = World::open(2);
        let (ann, bob) = world.apart("ann", "bob");
        world.subscribe(ann, "a/#", Q1);
        world.are_shards_apart = true;
        world.change_silently(user("ann", rules));
        // Bob's shard takes the new policy with this; Ann's has not looked at her subscriptions.
        world.publish(bob, "a/b", Q1, "x");
        let shard = world.shard_of(ann);
        world.engines[shard].policy_changed(world.now);
        world.are_shards_apart = false;
        world.run();
        assert_eq!(world.messages(ann), [""; 0], "{rules:?}");
    }
}

#[test]
fn a_message_that_waits_behind_its_alias_is_not_lost_when_other_rights_change() {
    let mut world = World::open(1);
    let mut connect = lasting(V5, "a");
    connect.properties.topic_alias_maximum = Some(5);
    let ann = world.connect_with("ann", connect);
    world.subscribe(ann, "#", Q2);
    let bob = world.connect("bob", "b", V5);
    world.clients[ann].reads = false;
    for (number, qos) in [Q1, Q1, Q2].into_iter().enumerate() {
        world.publish(bob, "a", qos, &number.to_string());
    }
    world.publish(bob, "secret", Q1, "x");
    world.publish(bob, "secret", Q1, "x");
    world.user("ann", &["allow readWrite #", "deny read secret"]);
    world.unstick(ann);
    assert_eq!(world.messages(ann), ["a q1: 0", "a q1: 1", "a q2: 2"]);
    world.publish(bob, "c", Q0, "x");
    assert_eq!(world.view("a").unwrap().in_flight, 0);
}

#[test]
fn a_repeated_message_that_is_taken_back_before_it_is_written_gives_its_place_in_the_window_free() {
    for qos in [Q1, Q2] {
        let mut world = World::open(1);
        let mut connect = lasting(V5, "a");
        connect.properties.receive_maximum = Some(1);
        let ann = world.connect_with("ann", connect.clone());
        world.subscribe(ann, "#", Q2);
        world.set_acks(ann, false);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "secret", qos, "x");
        world.publish(bob, "open", qos, "y");
        world.lose(ann);
        world.newcomers_read = false;
        let ann = world.connect_with("ann", connect);
        world.user("ann", &["allow readWrite #", "deny read secret"]);
        world.unstick(ann);
        assert_eq!(world.messages(ann), [format!("open q{}: y", qos.bits())]);
        assert_eq!(world.view("a").unwrap().in_flight, 0);
    }
}
