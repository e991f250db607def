//! Clients that hold each other, or themselves, back.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::{
    MqttClient, Packet, Version, eventually, login,
    wire::{self, Publish},
};

use crate::overload::metrics;
use crate::support::{PASSWORD, setup};

const COUNT: u16 = 20_000;

fn burst(version: Version, topic: &str) -> Vec<u8> {
    let message = |number: u16| {
        let payload = number.to_be_bytes();
        wire::publish(version, &Publish::new(topic, &payload).qos(1, number))
    };
    (1..=COUNT).flat_map(message).collect()
}

fn client(broker: SocketAddr, version: Version, name: &str) -> MqttClient {
    login(version, name).user("machine", PASSWORD).connect(broker)
}

/// Takes and acknowledges messages until all have come, each once and in order, and all of the client's own are
/// acknowledged.
fn take_all(client: &mut MqttClient) {
    let (mut last, mut acknowledged) = (0, 0);
    while last < COUNT || acknowledged < COUNT {
        match client.next_within(Duration::from_secs(30)) {
            Some(Packet::Publish { payload, packet_id, .. }) => {
                let number = u16::from_be_bytes(payload.try_into().expect("a number"));
                assert_eq!(number, last + 1);
                last = number;
                client.send(&wire::acknowledge(0x40, packet_id));
            }
            Some(Packet::Ack { kind: 4, .. }) => acknowledged += 1,
            other => panic!("after {last} messages and {acknowledged} answers: {other:?}"),
        }
    }
}

#[test]
fn clients_that_publish_to_themselves_and_each_other_lose_nothing() {
    for shards in ["1", "3"] {
        // Patience is no help here: with it, the test would take minutes.
        let broker = setup()
            .env("COUNTERSIGN_SERVER_SHARDS", shards)
            .env("COUNTERSIGN_LIMITS_SLOW_CONSUMER_PATIENCE_MS", "600000")
            .start();
        broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
        let mqtt = broker.mqtt();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut own = client(mqtt, Version::V311, "own");
                own.subscribe("own", 1);
                own.send(&burst(Version::V311, "own"));
                take_all(&mut own);
            });
            let pair = [("one", "other"), ("other", "one")].map(|(name, peer)| {
                let mut client = client(mqtt, Version::V311, name);
                client.subscribe(name, 1);
                (client, peer)
            });
            for (mut client, peer) in pair {
                scope.spawn(move || {
                    client.send(&burst(Version::V311, peer));
                    take_all(&mut client);
                });
            }
        });
    }
}

#[test]
fn what_a_client_sent_before_it_left_counts_although_it_was_held_back() {
    let broker = setup().env("COUNTERSIGN_LIMITS_SLOW_CONSUMER_PATIENCE_MS", "600000").start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let mut reader = client(broker.mqtt(), Version::V311, "reader");
    reader.subscribe("to/reader", 1);
    let mut writer = client(broker.mqtt(), Version::V311, "writer");
    // It owes an acknowledgement, so that it is read on.
    writer.subscribe("to/writer", 1);
    writer.send(&wire::publish(Version::V311, &Publish::new("to/writer", b"x").qos(1, 1)));
    writer.send(&burst(Version::V311, "to/reader"));
    writer.end_sending();
    let mut last = 0;
    while last < COUNT {
        match reader.next_within(Duration::from_secs(30)) {
            Some(Packet::Publish { payload, packet_id, .. }) => {
                let number = u16::from_be_bytes(payload.try_into().expect("a number"));
                assert_eq!(number, last + 1);
                last = number;
                reader.send(&wire::acknowledge(0x40, packet_id));
            }
            other => panic!("after {last} messages: {other:?}"),
        }
    }
}

#[test]
fn input_that_is_held_back_is_counted_and_told_with_its_client_before_there_is_too_much() {
    let broker = setup()
        .env("COUNTERSIGN_LIMITS_SLOW_CONSUMER_PATIENCE_MS", "600000")
        .env("COUNTERSIGN_LIMITS_HELD_INPUT_BYTES_MAX", "100000")
        .start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    let used = || {
        let found = metrics(&broker);
        let limit = |name: &str| {
            found[&format!("countersign_limit_{name}{{limit=\"held_input_bytes_max\"}}")]
        };
        (limit("used"), limit("near"), found["countersign_held_input_bytes"])
    };
    assert_eq!(used(), (0.0, 0.0, 0.0));
    let mut reader = client(broker.mqtt(), Version::V311, "reader");
    reader.subscribe("to/reader", 1);
    let mut writer = client(broker.mqtt(), Version::V311, "writer");
    // It owes an acknowledgement, so that it is read on.
    writer.subscribe("to/writer", 1);
    writer.send(&wire::publish(Version::V311, &Publish::new("to/writer", b"x").qos(1, 1)));
    writer.send(&burst(Version::V311, "to/reader"));
    eventually("much is held back", || used().0 >= 80_000.0);
    let (fullest, is_near, all) = used();
    // One turn more than the bound is what can have been read.
    let bound = f64::from(100_000 + 64 * 1024);
    assert!(fullest < bound && fullest <= all, "{fullest} {all}");
    assert!(is_near > 0.0);
    let words = ["a limit is nearly reached", "held_input_bytes_max"];
    let told = broker.log_lines(&words);
    assert!(
        told[0].contains("user=\"machine\"") && told[0].contains("client_id=\"writer\""),
        "{told:?}"
    );
    let mut last = 0;
    while last < COUNT {
        if let Some(Packet::Publish { payload, packet_id, .. }) =
            reader.next_within(Duration::from_secs(30))
        {
            last = u16::from_be_bytes(payload.try_into().expect("a number"));
            reader.send(&wire::acknowledge(0x40, packet_id));
        }
    }
    eventually("nothing is held back any more", || used() == (0.0, 0.0, 0.0));
    assert!(!broker.log_lines(&["a limit has room again", "held_input_bytes_max"]).is_empty());
}
