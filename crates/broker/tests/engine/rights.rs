//! Every path to a message leads through the publish gate and the deliver gate.

use crate::world::{C, Q0, Q1, Q2, V5, V311, World, limits, message, prefixed};
use broker::{DeniedPublish, Limits, RefusedAction, Report};
use mqtt::{OutgoingPublish, Packet, ProtocolVersion, ReasonCode, SubscribeOptions};

const BOTH: [ProtocolVersion; 2] = [V311, V5];

/// One user of each kind, with all rights but the ones each test is about.
fn world(shards: usize, rules: &[&str]) -> World {
    let mut world = World::open(shards);
    world.user("ann", rules);
    world
}

fn in_both(rules: &[&str], check: impl Fn(&mut World, ProtocolVersion)) {
    for shards in [1, 2] {
        for version in BOTH {
            check(&mut world(shards, rules), version);
        }
    }
}

fn listener(world: &mut World) -> C {
    let bob = world.connect("bob", "listener", V5);
    assert_eq!(world.subscribe(bob, "#", Q2), 2);
    bob
}

fn refusals(world: &World, action: RefusedAction) -> Vec<String> {
    let of = |report: &Report| match report {
        Report::Refused(refusal) if refusal.action == action => {
            assert_eq!(refusal.client.peer.address.to_string(), "192.0.2.1:4711");
            let name = &refusal.client.user_name;
            let text = format!("{name} {} {}", refusal.client.client_id, refusal.topic);
            Some(vec![text; usize::try_from(refusal.count).unwrap()])
        }
        _ => None,
    };
    world.reports.iter().filter_map(of).flatten().collect()
}

// Shows 3.1.1: [MQTT-3.3.5-2]; 5.0: [MQTT-3.4.2-1], [MQTT-3.5.2-1].
#[test]
fn a_denied_publish_is_dropped_and_told_as_the_version_can() {
    in_both(&["allow write ok"], |world, version| {
        let bob = listener(world);
        let ann = world.connect("ann", "c1", version);
        let told = if version == V5 { 0x87 } else { 0 };
        assert_eq!(world.publish(ann, "secret", Q0, "x"), None);
        assert_eq!(world.publish(ann, "secret", Q1, "x"), Some(told));
        assert_eq!(world.publish(ann, "secret", Q2, "x"), Some(told));
        assert!(world.is_open(ann));
        world.publish(ann, "ok", Q2, "x");
        assert_eq!(world.messages(bob), ["ok q2: x"]);
        world.wait_s(1);
        assert_eq!(refusals(world, RefusedAction::Publish), ["ann c1 secret"; 3], "rule 41");
    });
}

// Shows 3.1.1: [MQTT-3.3.5-2].
#[test]
fn a_denied_publish_closes_the_connection_if_so_configured() {
    for version in BOTH {
        let limits = Limits { denied_publish: DeniedPublish::Close, ..limits() };
        let mut world = World::with(1, limits);
        world.user("ann", &[]);
        let ann = world.connect("ann", "c1", version);
        world.publish(ann, "secret", Q0, "x");
        assert_eq!(world.disconnected(ann), (version == V5).then_some(0x87));
    }
}

// Shows 5.0: [MQTT-3.1.2-29].
#[test]
fn a_refusal_names_its_decision_unless_the_client_does_not_want_to_know() {
    for (wants, expected) in [(None, Some("refused, decision 0-0-1")), (Some(false), None)] {
        let mut world = world(1, &[]);
        let mut connect = mqtt::Connect::new(V5, "c1");
        connect.properties.request_problem_information = wants;
        let ann = world.connect_with("ann", connect);
        world.publish(ann, "secret", Q1, "x");
        let packets = world.packets(ann);
        let Some(Packet::PubAck(ack)) = packets.last() else { panic!("{packets:?}") };
        assert_eq!(ack.properties.reason_string.as_deref(), expected);
        // There is no right to ask after: nobody may.
        world.publish(ann, "$secret", Q1, "x");
        let packets = world.packets(ann);
        let Some(Packet::PubAck(ack)) = packets.last() else { panic!("{packets:?}") };
        assert_eq!((ack.reason, &ack.properties.reason_string), (ReasonCode::NotAuthorized, &None));
    }
}

// Shows 3.1.1: [MQTT-3.8.4-4], [MQTT-3.8.4-5], [MQTT-3.9.3-1], [MQTT-3.9.3-2]; 5.0: [MQTT-3.8.4-5],
// [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2].
#[test]
fn rule_18_each_filter_of_a_subscribe_is_judged_by_itself() {
    in_both(&["allow read a/#", "deny read a/no/#"], |world, version| {
        let ann = world.connect("ann", "c1", version);
        let wish = |filter| (filter, SubscribeOptions::qos(Q1));
        let filters = [wish("b"), wish("a/b"), wish("#"), wish("a/no/x"), wish("a/#")];
        let refused = if version == V5 { 0x87 } else { 0x80 };
        let codes = world.subscribe_with(ann, &filters, None);
        assert_eq!(codes, [refused, 1, refused, refused, 1]);
        assert_eq!(
            refusals(world, RefusedAction::Subscribe),
            ["ann c1 b", "ann c1 #", "ann c1 a/no/x"]
        );
    });
}

#[test]
fn rule_14_one_deliver_gate_holds_for_live_retained_queued_and_resumed_messages() {
    in_both(&["allow read a/#", "deny read a/no/#"], |world, version| {
        let bob = world.connect("bob", "b", V5);
        world.retain(bob, "a/no/r", "x");
        world.retain(bob, "a/r", "x");
        let ann = world.resume("ann", "c1", version);
        world.subscribe(ann, "a/#", Q1);
        assert_eq!(world.messages(ann), ["a/r q1 r: x"], "retained");
        world.publish(bob, "a/no/live", Q1, "x");
        world.publish(bob, "a/live", Q0, "x");
        assert_eq!(world.messages(ann), ["a/live q0: x"], "live");
        world.lose(ann);
        world.publish(bob, "a/no/queued", Q1, "x");
        world.publish(bob, "a/queued", Q1, "x");
        let ann = world.resume("ann", "c1", version);
        assert_eq!(world.messages(ann), ["a/queued q1: x"], "queued");
    });
}

#[test]
fn rule_15_a_share_group_changes_nothing_about_rights() {
    in_both(&["allow read a/#", "deny read a/no/#"], |world, version| {
        let ann = world.connect("ann", "c1", version);
        let refused = if version == V5 { 0x87 } else { 0x80 };
        assert_eq!(world.subscribe(ann, "$share/g/b", Q1), refused);
        assert_eq!(world.subscribe(ann, "$share/g/a/no/x", Q1), refused);
        assert_eq!(world.subscribe(ann, "$share/g/a/#", Q1), 1);
        let bob = world.connect("bob", "b", V5);
        world.publish(bob, "a/no/x", Q1, "x");
        world.publish(bob, "a/yes", Q1, "x");
        assert_eq!(world.messages(ann), ["a/yes q1: x"]);
    });
}

#[test]
fn rule_17_alias_and_prefix_are_resolved_before_the_right_is_judged() {
    for shards in [1, 2] {
        let mut world = World::open(shards);
        world.put(prefixed("ann", "site/", &["allow write site/ok", "allow write secret"]));
        let bob = listener(&mut world);
        let ann = world.connect("ann", "c1", V5);
        let aliased = |topic, alias| OutgoingPublish {
            topic_alias: Some(alias),
            qos: Q1,
            ..message(topic, "x")
        };
        assert_eq!(world.publish_with(ann, aliased("ok", 1)), Some(0));
        assert_eq!(world.publish_with(ann, aliased("secret", 2)), Some(0x87), "with its prefix");
        assert_eq!(world.publish_with(ann, aliased("", 2)), Some(0x87), "an alias hides nothing");
        assert_eq!(world.publish_with(ann, aliased("", 1)), Some(0));
        assert_eq!(world.publish_with(ann, aliased("secret", 1)), Some(0x87), "set anew");
        assert_eq!(world.publish_with(ann, aliased("", 1)), Some(0x87));
        assert_eq!(world.messages(bob), ["site/ok q1: x", "site/ok q1: x"]);
    }
}

#[test]
fn rule_19_a_refused_subscribe_brings_no_retained_messages() {
    in_both(&["allow read b"], |world, version| {
        let bob = world.connect("bob", "b", V5);
        world.retain(bob, "a", "x");
        let ann = world.connect("ann", "c1", version);
        assert!(world.subscribe(ann, "a", Q1) >= 0x80);
        assert!(world.subscribe(ann, "#", Q1) >= 0x80);
        assert!(world.messages(ann).is_empty());
    });
}

#[test]
fn rule_16_no_namespace_is_exempt() {
    in_both(&["allow readWrite #", "allow readWrite $SYS/#"], |world, version| {
        let ann = world.connect("ann", "c1", version);
        assert_eq!(world.subscribe(ann, "$SYS/#", Q1), 1);
        let told = if version == V5 { 0x87 } else { 0 };
        assert_eq!(world.publish(ann, "$SYS/x", Q1, "x"), Some(told));
        assert_eq!(world.publish(ann, "$share/g/x", Q1, "x"), Some(told));
        assert!(world.messages(ann).is_empty());
    });
}

#[test]
fn rule_12_a_retained_message_is_delivered_only_while_its_writer_may_write_it() {
    in_both(&["allow write a"], |world, version| {
        let writer = world.connect("ann", "c1", version);
        world.retain(writer, "a", "x");
        world.disconnect(writer);
        let bob = world.connect("bob", "b", version);
        let read_again = |world: &mut World| {
            world.subscribe(bob, "a", Q1);
            world.messages(bob)
        };
        assert_eq!(read_again(world), ["a q1 r: x"]);
        world.user("ann", &["allow write b"]);
        assert!(read_again(world).is_empty(), "the right is gone");
        world.user("ann", &["allow write a"]);
        assert_eq!(read_again(world), ["a q1 r: x"], "the right is back");
        let ann = world.proof("ann").user_id();
        world.change(access::PolicyChange::RemoveUser(ann));
        assert!(read_again(world).is_empty(), "the writer is gone");
    });
}

#[test]
fn a_proof_that_has_lapsed_on_the_way_is_refused() {
    for (version, code) in [(V5, 0x87), (V311, 5)] {
        let mut world = world(2, &[]);
        let proof = world.proof("ann");
        world.change_silently(access::User { enabled: false, ..crate::world::user("ann", &[]) });
        assert_eq!(world.attach(proof, mqtt::Connect::new(version, "c1")), Err(code));
        assert_eq!(world.hub.connections(), 0);
    }
}
