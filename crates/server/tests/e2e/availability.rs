//! What somebody without a login, or with too big a wish, can take from the others: nothing.

use std::time::{Duration, Instant};

use testkit::{MqttClient, Packet, Property, Version, eventually, login, wire};

use crate::support::{PASSWORD, machine, refusal, setup};

#[test]
fn before_a_login_a_connection_has_little_time_and_little_room() {
    let broker = setup()
        .env("COUNTERSIGN_LIMITS_CONNECT_TIMEOUT", "300ms")
        .env("COUNTERSIGN_LIMITS_CONNECT_PACKET_SIZE_MAX", "4096")
        .start();
    let closes = |bytes: &[u8], within: Duration| {
        let mut client = MqttClient::open(broker.mqtt(), Version::V5);
        client.send(bytes);
        let begun = Instant::now();
        assert!(client.is_closed_within(Duration::from_secs(5)), "{bytes:02x?} keeps its place");
        assert!(begun.elapsed() < within, "{bytes:02x?} was closed after {:?}", begun.elapsed());
    };
    // A length beyond the limit ends it at the fixed header, without the wait for the rest.
    let at_once = Duration::from_millis(250);
    closes(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], at_once);
    closes(&[0x10, 0x81, 0x20], at_once);
    // Silence, and a CONNECT that never ends, end at the deadline.
    let deadline = Duration::from_secs(2);
    closes(&[], deadline);
    closes(&[0x10, 0x80, 0x10, 0x00, 0x04], deadline);
    assert_eq!(login(Version::V5, "c").code(broker.mqtt()), 0x86, "others are served");
}

#[test]
fn unfinished_connects_do_not_fill_the_memory() {
    const PEERS: usize = 800;
    let broker = setup().start();
    let before = broker.resident_kib();
    // Each announces about the largest CONNECT there may be, and sends a part of it.
    let mut peers: Vec<MqttClient> = (0..PEERS)
        .map(|_| {
            let mut client = MqttClient::open(broker.mqtt(), Version::V5);
            client.send(&[0x10, 0x80, 0x80, 0x0F]);
            client.send(&[0; 12 * 1024]);
            client
        })
        .collect();
    assert_eq!(login(Version::V5, "c").code(broker.mqtt()), 0x86, "others are served");
    let grown_kib = broker.resident_kib().saturating_sub(before);
    println!("{} unfinished connects take {grown_kib} KiB", peers.len());
    assert!(grown_kib < 64 * 1024, "{PEERS} unfinished connects take {grown_kib} KiB");
    assert!(!peers[PEERS - 1].is_closed_within(Duration::ZERO), "they wait, and take no more");
}

// Shows 5.0: [MQTT-3.2.2-21], [MQTT-3.2.2-22].
#[test]
fn a_huge_keep_alive_is_cut_to_the_servers_and_holds_no_place() {
    let broker = setup().env("COUNTERSIGN_LIMITS_KEEP_ALIVE_S_MAX", "1").start();
    broker.add_user("machine", PASSWORD, &[]);
    for wish in [0, 65_535] {
        let login = login(Version::V5, "c").user("machine", PASSWORD).keep_alive_s(wish);
        let mut client = MqttClient::open(broker.mqtt(), Version::V5);
        client.send(&login.bytes());
        let told = client.expect("a CONNACK", |packet| match packet {
            Packet::ConnAck { properties, .. } => {
                Some(properties.contains(&Property::Number(19, 1)))
            }
            _ => None,
        });
        assert!(told, "keep-alive {wish}: the Server Keep Alive is told");
        let begun = Instant::now();
        assert!(client.is_closed_within(Duration::from_secs(6)), "keep-alive {wish}");
        assert!(
            begun.elapsed() > Duration::from_secs(1),
            "keep-alive {wish}: one and a half times"
        );
    }
    // 3.1.1 cannot be told: 0 has switched the keep-alive off.
    let mut old =
        login(Version::V311, "c").user("machine", PASSWORD).keep_alive_s(0).connect(broker.mqtt());
    assert!(!old.is_closed_within(Duration::from_secs(2)), "3.1.1 is held to what it never heard");
}

#[test]
fn a_packet_above_the_limit_ends_that_connection_only() {
    let broker = setup().env("COUNTERSIGN_LIMITS_PACKET_SIZE_MAX", "1024").start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    broker.add_user("other", PASSWORD, &[]);
    let mut bystander = login(Version::V5, "by").user("other", PASSWORD).connect(broker.mqtt());
    let mut client = machine(&broker, Version::V5);
    // The header alone is enough: nothing of that size is waited for.
    client.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(client.expect_disconnect(), 0x95);
    assert!(client.is_closed_within(Duration::from_secs(5)));
    let mut old = machine(&broker, Version::V311);
    old.send(&wire::publish(Version::V311, &wire::Publish::new("a", &[0; 2000])));
    assert!(old.is_closed_within(Duration::from_secs(5)));
    bystander.ping();
}

// Shows 3.1.1: [MQTT-3.1.0-1], [MQTT-3.1.0-2], [MQTT-3.1.4-5]; 5.0: [MQTT-3.1.0-1], [MQTT-3.1.0-2],
// [MQTT-3.1.4-6].
#[test]
fn nothing_but_connect_comes_first_and_connect_comes_once() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut observer = machine(&broker, Version::V5);
    assert_eq!(observer.subscribe("#", 0), 0);
    for version in Version::BOTH {
        let firsts = [
            wire::publish(version, &wire::Publish::new("a", b"before login")),
            wire::subscribe(version, 1, &[("#", 0)]),
            wire::ping(),
            wire::disconnect(),
            wire::packet(0xF0, &[0x18, 0]),
        ];
        for first in firsts {
            let mut client = MqttClient::open(broker.mqtt(), version);
            client.send(&first);
            assert!(client.is_closed_within(Duration::from_secs(5)), "{first:02x?}");
        }
        // Packets that ride behind a refused CONNECT are nobody's.
        let mut client = MqttClient::open(broker.mqtt(), version);
        let connect = login(version, "c").user("machine", "wrong-password-here").bytes();
        let publish = wire::publish(version, &wire::Publish::new("a", b"after refusal"));
        client.send(&[connect, publish].concat());
        assert!(client.is_closed_within(Duration::from_secs(5)));
        let mut twice = login(version, "twice").user("machine", PASSWORD).connect(broker.mqtt());
        twice.send(&login(version, "twice").user("machine", PASSWORD).bytes());
        assert!(twice.is_closed_within(Duration::from_secs(5)), "a second CONNECT");
    }
    assert!(observer.messages_before_ping().is_empty(), "nothing was published without a login");
}

#[test]
fn every_refused_login_is_logged_with_user_client_id_address_and_reason() {
    let broker = setup().start();
    broker.add_user("machine", PASSWORD, &[]);
    let cases = [
        ("logged-1", Some("machine"), Some("not-the-password")),
        ("logged-2", Some("stranger"), Some(PASSWORD)),
        ("logged-3", None, None),
        ("logged-4", Some("machine"), None),
    ];
    for (client_id, name, password) in cases {
        let login = login(Version::V5, client_id).credentials(name, password);
        assert_eq!(login.code(broker.mqtt()), 0x86);
        let lines = broker.log_lines(&[client_id, "127.0.0.1:", name.unwrap_or("")]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        println!("{}", lines[0]);
        assert!(
            !lines[0].contains(PASSWORD) && !lines[0].contains("not-the-password"),
            "{lines:?}"
        );
    }
    let reason = |id: &str| {
        let line = broker.log_lines(&[id]).remove(0);
        line.split("reason")
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("no reason: {line}"))
    };
    let (wrong, unknown) = (reason("logged-1"), reason("logged-2"));
    assert_ne!(wrong, unknown, "the log tells apart what the client must not");
}

#[test]
fn what_a_client_sends_cannot_forge_a_line_of_the_log() {
    let broker = setup().start();
    let name = "x\nready mqtt=0.0.0.0:1 forged";
    // A line break is a control character, which a user name may carry on the wire.
    let outcome = login(Version::V5, "line-break").user(name, PASSWORD).outcome(broker.mqtt());
    drop(outcome);
    let _lines = broker.log_lines(&["127.0.0.1:"]);
    assert!(
        !broker.stderr().lines().any(|line| line.starts_with("ready mqtt=")),
        "{}",
        broker.stderr()
    );
}

#[test]
fn at_the_limit_of_connections_a_client_may_come_anew_in_place_of_itself_and_nobody_else() {
    const AGAIN: usize = 30;
    let broker = setup().env("COUNTERSIGN_LIMITS_CONNECTIONS_MAX", "2").start();
    for user in ["ann", "bob"] {
        broker.add_user(user, PASSWORD, &[]);
    }
    for version in Version::BOTH {
        let enter = |user, client_id| login(version, client_id).user(user, PASSWORD);
        let full = refusal(version, 3, 0x97);
        let is_full_for_others = || {
            assert_eq!(enter("ann", "c").code(broker.mqtt()), full, "a third client");
            assert_eq!(enter("bob", "a").code(broker.mqtt()), full, "her client id, not her");
        };
        let mut bystander = enter("ann", "b").connect(broker.mqtt());
        // Neither reads nor closes, as one whose network is gone.
        let mut half_dead = vec![enter("ann", "a").connect(broker.mqtt())];
        is_full_for_others();
        let wrong = login(version, "a").user("ann", "not-hers").code(broker.mqtt());
        assert_eq!(wrong, refusal(version, 4, 0x86), "nobody learns who is here without a proof");
        let before = broker.open_files();
        for _ in 0..AGAIN {
            half_dead.push(enter("ann", "a").connect(broker.mqtt()));
        }
        let begun = Instant::now();
        is_full_for_others();
        // At other times they have five seconds to close theirs.
        eventually("the sockets of those before are closed", || broker.open_files() <= before + 2);
        assert!(begun.elapsed() < Duration::from_secs(4), "after {:?}", begun.elapsed());
        let mut last = half_dead.pop().unwrap();
        last.ping();
        bystander.ping();
        for mut former in half_dead {
            assert!(former.is_closed_within(Duration::from_secs(5)));
        }
        last.disconnect();
        eventually("her place is free", || enter("bob", "a").code(broker.mqtt()) == 0);
        bystander.disconnect();
        eventually("all places are free", || {
            broker.cli_json(&["client", "list"]).as_array().is_some_and(Vec::is_empty)
        });
    }
}
