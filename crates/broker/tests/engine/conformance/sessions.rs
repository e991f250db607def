//! Whether a session is there, and by which name.

use super::BOTH;
use crate::world::{Q1, V5, V311, World, lasting, limits};
use broker::Limits;
use mqtt::{Connect, ProtocolVersion};

fn connect(version: ProtocolVersion, clean_start: bool) -> Connect {
    Connect { clean_start, ..lasting(version, "c1") }
}

// Shows 3.1.1: [MQTT-3.1.2-4], [MQTT-3.1.2-6], [MQTT-3.1.4-3], [MQTT-3.1.4-4], [MQTT-3.2.2-1], [MQTT-3.2.2-2],
// [MQTT-3.2.2-3]; 5.0: [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.4-4], [MQTT-3.1.4-5],
// [MQTT-3.2.2-2], [MQTT-3.2.2-3].
#[test]
fn connack_says_whether_there_is_a_session_which_only_a_kept_one_is() {
    // What was before, what is asked for, and whether the session is there.
    for (before, clean_start, is_there) in [
        (None, false, false),
        (None, true, false),
        (Some(false), false, true),
        (Some(false), true, false),
    ] {
        for (version, is_online) in BOTH.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let mut world = World::open(1);
            if let Some(clean_start) = before {
                let former = world.connect_with("ann", connect(version, clean_start));
                world.subscribe(former, "a", Q1);
                if !is_online {
                    world.lose(former);
                }
            }
            let ann = world.connect_with("ann", connect(version, clean_start));
            let connack = world.connack(ann);
            assert_eq!(connack.session_present, is_there, "{before:?} {clean_start} {version}");
            assert_eq!(connack.reason.value(), 0);
            let subscriptions = world.view("c1").unwrap().subscriptions.len();
            assert_eq!(subscriptions, usize::from(is_there));
        }
    }
}

// Shows 3.1.1: [MQTT-3.1.2-6]; 5.0: [MQTT-3.1.2-23], [MQTT-4.1.0-2].
#[test]
fn a_session_of_311_that_was_clean_and_one_of_5_without_expiry_end_with_their_connection() {
    for (version, expiry_s) in [(V311, None), (V5, None), (V5, Some(0))] {
        let mut world = World::open(1);
        let mut connect = Connect::new(version, "c1");
        connect.properties.session_expiry_interval_s = expiry_s;
        let ann = world.connect_with("ann", connect);
        world.subscribe(ann, "a", Q1);
        world.lose(ann);
        assert!(world.view("c1").is_none());
        let ann = world.resume("ann", "c1", version);
        assert!(!world.session_present(ann));
    }
}

// Shows 3.1.1: [MQTT-3.1.3-2], [MQTT-3.1.3-5]; 5.0: [MQTT-3.1.3-2], [MQTT-3.1.3-5].
#[test]
fn every_client_id_of_up_to_23_letters_and_digits_is_a_name_of_its_own() {
    const ALLOWED: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in BOTH {
        let mut world = World::open(2);
        let singles = ALLOWED.chars().map(String::from);
        let longer = (2..=23).map(|length| ALLOWED.chars().take(length).collect());
        let names: Vec<_> = singles.chain(longer).collect();
        for name in &names {
            let client = world.resume("ann", name, version);
            assert!(!world.session_present(client), "{name} is somebody else");
        }
        for name in &names {
            let client = world.resume("ann", name, version);
            assert!(world.session_present(client), "{name} is the same");
        }
    }
}

// Shows 3.1.1: [MQTT-3.1.3-9]; 5.0: [MQTT-3.1.3-8].
#[test]
fn a_client_id_that_is_too_long_is_refused_by_its_own_code() {
    for (version, code) in [(V311, 2), (V5, 0x85)] {
        let mut world = World::with(1, Limits { client_id_bytes_max: 30, ..limits() });
        world.user("ann", &[]);
        assert_eq!(world.try_connect("ann", Connect::new(version, &"x".repeat(31))), Err(code));
        assert!(world.try_connect("ann", Connect::new(version, &"x".repeat(30))).is_ok());
    }
}
