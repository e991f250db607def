//! What a client may do: denied publish, subscribe, will and retained, and what a change of rights does.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{BrokerProcess, MqttClient, Version, Will, eventually, login, wire::Publish};

use crate::support::{
    OTHER_PASSWORD, PASSWORD, admin, broker_with_machine, machine, refusal, setup,
};

/// The messages that `client` has got once the broker has nothing more for it: everything published
/// before is in front of the marker.
fn messages_up_to_marker(client: &mut MqttClient, from: &mut MqttClient) -> Vec<(String, Vec<u8>)> {
    assert_eq!(
        from.publish(Publish::new("marker", b"end").qos(1, 1)),
        0,
        "the marker is delivered"
    );
    let mut messages = Vec::new();
    loop {
        let message = client.message();
        if message.0 == "marker" {
            return messages;
        }
        messages.push(message);
    }
}

fn topics(messages: &[(String, Vec<u8>)]) -> Vec<&str> {
    messages.iter().map(|(topic, _)| topic.as_str()).collect()
}

#[test]
fn a_denied_publish_is_answered_as_its_version_can_and_reaches_nobody() {
    let broker = broker_with_machine(&["--allow", "write:mine/#"]);
    let mut observer = admin(&broker);
    assert_eq!(observer.subscribe_all(&[("mine/#", 0), ("yours/#", 0), ("marker", 0)]), [0, 0, 0]);
    let mut from =
        login(Version::V5, "marker").user("admin-of-test", PASSWORD).connect(broker.mqtt());
    for version in Version::BOTH {
        let mut client = machine(&broker, version);
        // 3.1.1 cannot be told: acknowledged and dropped.
        let denied = refusal(version, 0, 0x87);
        for qos in [1, 2] {
            assert_eq!(
                client.publish(Publish::new("yours/x", b"no").qos(qos, 1)),
                denied,
                "QoS {qos}"
            );
            assert!(client.publish(Publish::new("mine/x", b"yes").qos(qos, 1)) < 0x80, "QoS {qos}");
        }
        client.publish(Publish::new("yours/x", b"no"));
        client.publish(Publish::new("mine/y", b"yes"));
        client.ping();
        let messages = messages_up_to_marker(&mut observer, &mut from);
        assert_eq!(topics(&messages), ["mine/x", "mine/x", "mine/y"], "{version:?}");
    }
}

#[test]
fn each_filter_of_a_subscribe_has_its_own_result() {
    let broker = broker_with_machine(&["--allow", "read:plant/#", "--deny", "read:plant/safe/#"]);
    for version in Version::BOTH {
        let no = refusal(version, 0x80, 0x87);
        let mut client = machine(&broker, version);
        let filters =
            [("plant/a", 0), ("other", 1), ("plant/+/temp", 1), ("plant/safe/x", 0), ("#", 0)];
        assert_eq!(client.subscribe_all(&filters), [0, no, 1, no, no], "{version:?}");
        assert_eq!(client.subscribe_all(&[("other", 0), ("plant/b", 2)]), [no, 2], "{version:?}");
    }
}

#[test]
fn a_deny_that_only_overlaps_a_filter_thins_out_its_deliveries() {
    let broker = broker_with_machine(&[
        "--allow",
        "read:plant/#",
        "--allow",
        "read:marker",
        "--deny",
        "read:plant/safe/#",
    ]);
    let mut from = admin(&broker);
    for version in Version::BOTH {
        let mut client = machine(&broker, version);
        assert_eq!(client.subscribe_all(&[("plant/#", 0), ("marker", 0)]), [0, 0]);
        for topic in ["plant/safe/code", "plant/a", "plant/safe", "plant/b"] {
            from.publish(Publish::new(topic, b"x"));
        }
        let messages = messages_up_to_marker(&mut client, &mut from);
        assert_eq!(topics(&messages), ["plant/a", "plant/b"], "{version:?}");
    }
}

#[test]
fn a_shared_subscription_is_judged_without_its_group() {
    let broker = broker_with_machine(&[
        "--allow",
        "read:plant/#",
        "--deny",
        "read:plant/safe/#",
        "--allow",
        "read:marker",
    ]);
    let mut client = machine(&broker, Version::V5);
    let filters = [
        ("$share/g/plant/safe/x", 0),
        ("$share/g/other", 0),
        ("$share/g/plant/#", 0),
        ("marker", 0),
    ];
    assert_eq!(client.subscribe_all(&filters), [0x87, 0x87, 0, 0]);
    let mut from = admin(&broker);
    for topic in ["plant/safe/code", "plant/a"] {
        from.publish(Publish::new(topic, b"x"));
    }
    let messages = messages_up_to_marker(&mut client, &mut from);
    assert_eq!(topics(&messages), ["plant/a"], "a group does not lift a deny");
}

#[test]
fn no_grant_means_no_retained_message() {
    let broker = broker_with_machine(&["--allow", "read:open/#", "--allow", "read:marker"]);
    let mut from = admin(&broker);
    for topic in ["open/r", "closed/r"] {
        assert!(from.publish(Publish::new(topic, b"kept").qos(1, 1).retained()) < 0x80);
    }
    for version in Version::BOTH {
        let no = refusal(version, 0x80, 0x87);
        let mut client = machine(&broker, version);
        let filters = [("closed/#", 0), ("#", 0), ("open/#", 0), ("marker", 0)];
        assert_eq!(client.subscribe_all(&filters), [no, no, 0, 0]);
        let messages = messages_up_to_marker(&mut client, &mut from);
        assert_eq!(topics(&messages), ["open/r"], "{version:?}");
    }
}

#[test]
fn a_retained_message_is_not_delivered_after_its_writer_has_lost_the_right() {
    let broker = broker_with_machine(&["--allow", "write:a/#", "--allow", "write:b/#"]);
    let mut client = machine(&broker, Version::V5);
    for topic in ["a/r", "b/r"] {
        assert!(client.publish(Publish::new(topic, b"kept").qos(1, 1).retained()) < 0x80);
    }
    let retained = |client_id: &str| {
        let mut reader =
            login(Version::V5, client_id).user("admin-of-test", PASSWORD).connect(broker.mqtt());
        assert_eq!(reader.subscribe_all(&[("a/#", 0), ("b/#", 0), ("marker", 0)]), [0, 0, 0]);
        let mut from =
            login(Version::V5, "from").user("admin-of-test", PASSWORD).connect(broker.mqtt());
        let mut messages = messages_up_to_marker(&mut reader, &mut from);
        messages.sort();
        messages.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>()
    };
    assert_eq!(retained("one"), ["a/r", "b/r"]);
    let _done = broker.cli(&["user", "set", "machine", "--revoke", "write:a/#"]).ok();
    assert_eq!(retained("two"), ["b/r"]);
    let _done = broker.cli(&["user", "remove", "machine"]).ok();
    assert_eq!(retained("three"), Vec::<String>::new(), "the writer is gone");
}

#[test]
fn a_forbidden_will_is_a_refused_connect() {
    let broker =
        broker_with_machine(&["--allow", "readWrite:mine/#", "--allow", "readWrite:$SYS/#"]);
    for version in Version::BOTH {
        let code = |topic| {
            let will = Will::new(topic, b"gone");
            login(version, "w").user("machine", PASSWORD).will(will).code(broker.mqtt())
        };
        let no = refusal(version, 5, 0x87);
        assert_eq!(code("mine/will"), 0, "{version:?}");
        assert_eq!(code("yours/will"), no, "{version:?}");
        assert_eq!(code("$SYS/will"), no, "{version:?}: never to a `$` topic");
    }
}

#[test]
fn a_will_is_judged_again_when_it_fires() {
    let broker = broker_with_machine(&["--allow", "write:mine/#"]);
    let mut observer = admin(&broker);
    assert_eq!(observer.subscribe_all(&[("mine/#", 0), ("marker", 0)]), [0, 0]);
    let mut from =
        login(Version::V5, "from").user("admin-of-test", PASSWORD).connect(broker.mqtt());
    let with_will = |topic| {
        let will = Will::new(topic, b"gone");
        login(Version::V5, "w").user("machine", PASSWORD).will(will).connect(broker.mqtt())
    };
    with_will("mine/first").drop_link();
    assert_eq!(observer.message().0, "mine/first", "an allowed will fires");
    let second = with_will("mine/second");
    let _done = broker.cli(&["user", "set", "machine", "--revoke", "write:mine/#"]).ok();
    second.drop_link();
    is_gone(&broker, "machine");
    let messages = messages_up_to_marker(&mut observer, &mut from);
    assert_eq!(topics(&messages), Vec::<&str>::new(), "a will without right does not fire");
}

/// Waits until no connection of the user is left.
fn is_gone(broker: &BrokerProcess, user: &str) {
    eventually("the connection is gone", || {
        let clients = broker.cli_json(&["client", "list"]);
        let of_user = |c: &&serde_json::Value| c["user"] == user && c["connected"] == true;
        clients.as_array().expect("an array").iter().find(of_user).is_none()
    });
}

// Shows 3.1.1: [MQTT-4.7.2-1]; 5.0: [MQTT-4.7.2-1].
#[test]
fn nobody_publishes_to_a_dollar_topic_and_a_wildcard_does_not_read_one() {
    let broker = broker_with_machine(&["--allow", "readWrite:#"]);
    let mut client = machine(&broker, Version::V5);
    assert_eq!(client.publish(Publish::new("$SYS/x", b"x").qos(1, 1)), 0x87);
    assert_eq!(client.publish(Publish::new("$internal/x", b"x").qos(1, 1)), 0x87);
    assert_eq!(client.subscribe_all(&[("$SYS/#", 0), ("#", 0)]), [0x87, 0]);
    let mut admin = admin(&broker);
    assert_eq!(admin.subscribe("$SYS/#", 0), 0, "with an explicit right it may");
    assert_eq!(admin.publish(Publish::new("$SYS/x", b"x").qos(1, 1)), 0x87, "but never write");
}

#[test]
fn the_publish_prefix_comes_before_the_check_and_holds_for_wills() {
    let more = ["--allow", "write:site/#", "--publish-prefix", "site/one/"];
    let broker = broker_with_machine(&more);
    let mut observer = admin(&broker);
    assert_eq!(observer.subscribe_all(&[("#", 0)]), [0]);
    for version in Version::BOTH {
        let mut client = machine(&broker, version);
        assert!(client.publish(Publish::new("temp", b"1").qos(1, 1)) < 0x80);
        assert_eq!(observer.message().0, "site/one/temp");
        drop(client);
        let will = Will::new("will", b"gone");
        let client =
            login(version, "w").user("machine", PASSWORD).will(will).connect(broker.mqtt());
        client.drop_link();
        assert_eq!(observer.message().0, "site/one/will");
    }
}

#[test]
fn an_alias_is_resolved_before_the_check_and_the_checked_topic_is_routed() {
    let broker = broker_with_machine(&["--allow", "write:mine/#"]);
    let mut observer = admin(&broker);
    assert_eq!(observer.subscribe_all(&[("#", 0)]), [0]);
    let mut client = machine(&broker, Version::V5);
    const ALIAS_ONE: &[u8] = &[0x23, 0, 1];
    let mut send = |topic, payload| {
        let publish = Publish { properties: ALIAS_ONE, ..Publish::new(topic, payload).qos(1, 1) };
        client.publish(publish)
    };
    assert!(send("mine/a", b"1") < 0x80);
    assert!(send("", b"2") < 0x80, "the alias stands for an allowed topic");
    // A refused topic still sets the alias; using it must be refused as well.
    assert_eq!(send("yours/a", b"3"), 0x87);
    assert_eq!(send("", b"4"), 0x87, "the alias stands for a forbidden topic");
    assert!(send("mine/b", b"5") < 0x80);
    for expected in [("mine/a", b"1"), ("mine/a", b"2"), ("mine/b", b"5")] {
        let (topic, payload) = observer.message();
        assert_eq!((topic.as_str(), payload.as_slice()), (expected.0, &expected.1[..]));
    }
}

#[test]
fn a_changed_right_reaches_live_clients_within_a_second_and_leaves_others_alone() {
    let broker = broker_with_machine(&["--allow", "readWrite:a/#", "--allow", "readWrite:b/#"]);
    broker.add_user("bystander", PASSWORD, &["--allow", "read:#"]);
    let mut bystander = login(Version::V5, "by").user("bystander", PASSWORD).connect(broker.mqtt());
    assert_eq!(bystander.subscribe("#", 0), 0);
    let mut from = admin(&broker);
    for version in Version::BOTH {
        let mut client = machine(&broker, version);
        assert_eq!(client.subscribe_all(&[("a/#", 0), ("b/#", 0)]), [0, 0]);
        // Fill the caches of the hot path before the right goes.
        assert!(client.publish(Publish::new("a/x", b"own").qos(1, 1)) < 0x80);
        assert_eq!(client.message().0, "a/x");
        let _done = broker.cli(&["user", "set", "machine", "--revoke", "readWrite:a/#"]).ok();
        let begun = Instant::now();
        is_cut_off(&broker, &mut client, &mut from);
        assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
        assert_eq!(
            client.publish(Publish::new("a/x", b"own").qos(1, 1)),
            refusal(version, 0, 0x87)
        );
        let again = ["user", "set", "machine", "--allow", "readWrite:a/#"];
        let _done = broker.cli(&again).ok();
        assert_eq!(client.subscribe("a/#", 0), 0, "given again");
    }
    bystander.ping();
}

/// Publishes to `a/…` and `b/…` until only the second reaches the client any more.
fn is_cut_off(broker: &BrokerProcess, client: &mut MqttClient, from: &mut MqttClient) {
    let mut round = 0;
    eventually("the subscription is gone", || {
        round += 1;
        let mark = format!("b/{round}");
        from.publish(Publish::new("a/y", b"x").qos(1, 1));
        from.publish(Publish::new(&mark, b"x").qos(1, 1));
        let mut has_leaked = false;
        loop {
            let (topic, _) = client.message();
            if topic == mark {
                return !has_leaked;
            }
            has_leaked |= topic == "a/y";
        }
    });
    let machine = |c: &&serde_json::Value| c["user"] == "machine";
    let clients = broker.cli_json(&["client", "list"]);
    let listed =
        clients.as_array().expect("an array").iter().find(machine).expect("listed").clone();
    assert!(!listed["subscriptions"].to_string().contains("a/#"), "{listed}");
}

#[test]
fn queued_messages_of_a_revoked_right_are_dropped_and_granted_ones_kept() {
    let broker = broker_with_machine(&["--allow", "read:a/#", "--allow", "read:b/#"]);
    let mut from = admin(&broker);
    for version in Version::BOTH {
        let session = || login(version, "offline").user("machine", PASSWORD).resuming();
        let mut client = session().connect(broker.mqtt());
        assert_eq!(client.subscribe_all(&[("a/#", 1), ("b/#", 1)]), [1, 1]);
        client.disconnect();
        is_gone(&broker, "machine");
        for topic in ["a/1", "b/1", "a/2", "b/2"] {
            assert_eq!(
                from.publish(Publish::new(topic, b"queued").qos(1, 1)),
                0,
                "somebody gets it"
            );
        }
        let _done = broker.cli(&["user", "set", "machine", "--revoke", "read:a/#"]).ok();
        let mut client = session().connect(broker.mqtt());
        assert!(client.session_present(), "{version:?}");
        let got = [client.message().0, client.message().0];
        assert_eq!(got, ["b/1", "b/2"], "{version:?}");
        assert!(client.messages_before_ping().is_empty(), "{version:?}");
        from.publish(Publish::new("a/3", b"late").qos(1, 1));
        from.publish(Publish::new("b/3", b"late").qos(1, 1));
        assert_eq!(client.message().0, "b/3", "the subscription is gone as well");
        let _done = broker.cli(&["user", "set", "machine", "--allow", "read:a/#"]).ok();
        client.disconnect();
        let clean = login(version, "offline").user("machine", PASSWORD).connect(broker.mqtt());
        clean.disconnect();
    }
}

#[test]
fn in_flight_messages_of_a_revoked_right_are_not_sent_again() {
    let broker = broker_with_machine(&["--allow", "read:a/#", "--allow", "read:b/#"]);
    let mut from = admin(&broker);
    let session = || login(Version::V5, "flight").user("machine", PASSWORD).resuming();
    let mut client = session().connect(broker.mqtt());
    assert_eq!(client.subscribe_all(&[("a/#", 1), ("b/#", 1)]), [1, 1]);
    for topic in ["a/1", "b/1"] {
        assert_eq!(from.publish(Publish::new(topic, b"x").qos(1, 1)), 0);
    }
    for _ in 0..2 {
        // Received, but never acknowledged.
        client.expect("a PUBLISH", |packet| {
            matches!(packet, testkit::Packet::Publish { .. }).then_some(())
        });
    }
    client.drop_link();
    is_gone(&broker, "machine");
    let _done = broker.cli(&["user", "set", "machine", "--revoke", "read:a/#"]).ok();
    let mut client = session().connect(broker.mqtt());
    assert!(client.session_present());
    assert_eq!(client.message().0, "b/1");
    assert!(client.messages_before_ping().is_empty());
}

#[test]
fn a_role_changed_or_taken_away_counts_at_once() {
    let broker = setup().start();
    let _done = broker.cli(&["role", "add", "readers", "--allow", "read:a/#"]).ok();
    broker.add_user("machine", PASSWORD, &["--role", "readers"]);
    let mut client = machine(&broker, Version::V5);
    assert_eq!(client.subscribe_all(&[("a/x", 0), ("b/x", 0)]), [0, 0x87]);
    let _done =
        broker.cli(&["role", "set", "readers", "--allow", "read:b/#", "--deny", "read:a/x"]).ok();
    assert_eq!(client.subscribe_all(&[("a/x", 0), ("a/y", 0), ("b/x", 0)]), [0x87, 0, 0]);
    let _done = broker.cli(&["user", "set", "machine", "--no-role", "readers"]).ok();
    assert_eq!(client.subscribe_all(&[("a/y", 0), ("b/x", 0)]), [0x87, 0x87]);
}

#[test]
fn a_user_without_any_permission_may_do_nothing() {
    let broker = broker_with_machine(&[]);
    for version in Version::BOTH {
        let mut client = machine(&broker, version);
        let no = refusal(version, 0x80, 0x87);
        assert_eq!(client.subscribe_all(&[("a", 0), ("#", 0), ("$SYS/#", 0)]), [no, no, no]);
        assert_eq!(client.publish(Publish::new("a", b"x").qos(1, 1)), refusal(version, 0, 0x87));
    }
}

#[test]
fn a_deny_wins_whatever_the_order_in_which_rules_were_given() {
    let broker = setup().start();
    let allow = json!({"resource": "a/#", "operation": "readWrite", "context": "mqtt"});
    let deny = json!({"resource": "a/b", "operation": "read", "context": "mqtt", "effect": "deny"});
    let orders = [("first", vec![&allow, &deny]), ("last", vec![&deny, &allow])];
    for (name, permissions) in orders {
        let name = format!("machine-{name}");
        broker.post_user(&name, OTHER_PASSWORD, &json!({"permissions": permissions}));
        let mut client = login(Version::V5, "c").user(&name, OTHER_PASSWORD).connect(broker.mqtt());
        assert_eq!(client.subscribe_all(&[("a/b", 0), ("a/c", 0)]), [0x87, 0], "{name}");
    }
}
