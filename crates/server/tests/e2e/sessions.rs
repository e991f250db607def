//! Whose session is whose.

use testkit::{Outcome, Version, login, wire::Publish};

use crate::support::{OTHER_PASSWORD, PASSWORD, admin, broker_with_machine, setup};

// Shows 3.1.1: [MQTT-3.1.3-2]; 5.0: [MQTT-3.1.3-2].
#[test]
fn a_session_belongs_to_its_user_and_nobody_else_resumes_wipes_or_ends_it() {
    let broker = broker_with_machine(&["--allow", "read:a/#"]);
    broker.add_user("other", PASSWORD, &["--allow", "readWrite:#"]);
    for version in Version::BOTH {
        let mine = || login(version, "shared-id").user("machine", PASSWORD).resuming();
        let mut live = mine().connect(broker.mqtt());
        assert_eq!(live.subscribe("a/#", 1), 1);

        // The same client id of another user, clean and not: neither sees nor touches the session.
        let other = login(version, "shared-id").user("other", PASSWORD).connect(broker.mqtt());
        assert!(!other.session_present());
        other.disconnect();
        let other =
            login(version, "shared-id").user("other", PASSWORD).resuming().connect(broker.mqtt());
        assert!(!other.session_present(), "{version:?}");
        live.ping();
        other.disconnect();
        live.disconnect();

        let other = login(version, "shared-id").user("other", PASSWORD).connect(broker.mqtt());
        other.disconnect();
        let mut from = admin(&broker);
        assert_eq!(from.publish(Publish::new("a/1", b"kept").qos(1, 1)), 0);
        let mut back = mine().connect(broker.mqtt());
        assert!(back.session_present(), "{version:?}: the session outlived all that");
        assert_eq!(back.message().0, "a/1");
        back.disconnect();
        login(version, "shared-id").user("machine", PASSWORD).connect(broker.mqtt()).disconnect();
    }
}

// Shows 3.1.1: [MQTT-3.1.4-2]; 5.0: [MQTT-3.1.4-3].
#[test]
fn the_own_session_is_taken_over() {
    let broker = broker_with_machine(&[]);
    let mut first = login(Version::V5, "id").user("machine", PASSWORD).connect(broker.mqtt());
    let mut second = login(Version::V5, "id").user("machine", PASSWORD).connect(broker.mqtt());
    assert_eq!(first.expect_disconnect(), 0x8E);
    second.ping();
}

#[test]
fn a_refused_login_has_no_effect_on_any_session() {
    let broker = broker_with_machine(&["--allow", "read:a/#"]);
    for version in Version::BOTH {
        let mine = || login(version, "id").user("machine", PASSWORD).resuming();
        let mut live = mine().connect(broker.mqtt());
        assert_eq!(live.subscribe("a/#", 1), 1);
        let attempts = [
            login(version, "id").user("machine", OTHER_PASSWORD),
            login(version, "id").user("machine", OTHER_PASSWORD).resuming(),
            login(version, "id").user("stranger", PASSWORD),
            login(version, "id"),
        ];
        for attempt in &attempts {
            assert!(matches!(attempt.outcome(broker.mqtt()), Outcome::Refused(..)));
        }
        live.ping();
        live.disconnect();
        for attempt in &attempts {
            assert!(matches!(attempt.outcome(broker.mqtt()), Outcome::Refused(..)));
        }
        let back = mine().connect(broker.mqtt());
        assert!(back.session_present(), "{version:?}: a wrong password wiped the session");
        back.disconnect();
        login(version, "id").user("machine", PASSWORD).connect(broker.mqtt()).disconnect();
    }
}

// Shows 3.1.1: [MQTT-3.1.2-6]; 5.0: [MQTT-3.1.2-4].
#[test]
fn clean_start_begins_anew_and_expiry_zero_keeps_nothing() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let by = |version| login(version, "id").user("machine", PASSWORD);
    for version in Version::BOTH {
        assert!(!by(version).resuming().connect(broker.mqtt()).session_present());
        let again = by(version).resuming().connect(broker.mqtt());
        assert!(again.session_present(), "{version:?}");
        assert!(!by(version).connect(broker.mqtt()).session_present(), "{version:?}: clean");
    }
    let keeps_nothing = by(Version::V5).connect(broker.mqtt());
    keeps_nothing.disconnect();
    assert!(!by(Version::V5).resuming().connect(broker.mqtt()).session_present());
}
