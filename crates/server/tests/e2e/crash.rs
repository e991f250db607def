//! The broker is killed at random moments under load, again and again, and what clients were told must hold.
//!
//! Each round: publishers send numbered messages at QoS 1 and 2, a reader with a lasting session takes some of them, another
//! is away most of the time; then SIGKILL. At the end everything is read out and compared with what was acknowledged.
//! `CRASH_ROUNDS` and `CRASH_SEED` change how long and which way it goes; a failure names the seed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use testkit::{
    BrokerProcess, MqttClient, Outcome, Packet, Random, Version, login,
    wire::{self, Publish},
};

use crate::support::{PASSWORD, setup};

/// One publisher with a lasting session: it repeats what was not acknowledged, as the standard says.
struct Publisher {
    name: String,
    /// QoS and number of messages not yet acknowledged to the end, in order.
    open: Vec<Sent>,
    next_number: u32,
    next_id: u16,
    /// Numbers that the broker has acknowledged, by QoS.
    acknowledged: Vec<(u8, u32)>,
}

struct Sent {
    id: u16,
    qos: u8,
    number: u32,
    /// PUBREC has come: only PUBREL is to be repeated.
    is_received: bool,
}

impl Publisher {
    fn topic(&self, qos: u8) -> String {
        format!("load/{}/{qos}", self.name)
    }

    fn send(&self, client: &mut MqttClient, sent: &Sent, dup: bool) {
        if sent.is_received {
            return client.send(&wire::acknowledge(0x62, sent.id));
        }
        let (topic, payload) = (self.topic(sent.qos), sent.number.to_be_bytes());
        let publish = Publish { dup, ..Publish::new(&topic, &payload).qos(sent.qos, sent.id) };
        client.send(&wire::publish(Version::V311, &publish));
    }

    /// Publishes and takes acknowledgements until `end`, or until the broker is gone.
    fn run(&mut self, broker: std::net::SocketAddr, end: Instant, random: &mut Random) {
        let session = login(Version::V311, &self.name).user("machine", PASSWORD).resuming();
        let Outcome::Accepted(mut client) = session.outcome(broker) else { return };
        for sent in &self.open {
            self.send(&mut client, sent, true);
        }
        while Instant::now() < end {
            while self.open.len() < WINDOW {
                self.next_id = self.next_id % 60_000 + 1;
                self.next_number += 1;
                let qos = if random.chance(1, 2) { 1 } else { 2 };
                let (id, number) = (self.next_id, self.next_number);
                let sent = Sent { id, qos, number, is_received: false };
                self.send(&mut client, &sent, false);
                self.open.push(sent);
            }
            match client.next_within(Duration::from_millis(100)) {
                Some(Packet::Ack { kind, packet_id, .. }) => {
                    self.take(&mut client, kind, packet_id)
                }
                Some(_) => {}
                None if client.is_closed_within(Duration::from_millis(1)) => return,
                None => {}
            }
        }
    }

    fn take(&mut self, client: &mut MqttClient, kind: u8, id: u16) {
        let Some(at) = self.open.iter().position(|sent| sent.id == id) else { return };
        let sent = &mut self.open[at];
        if kind == 5 {
            if !sent.is_received {
                sent.is_received = true;
                self.acknowledged.push((2, sent.number));
            }
            return client.send(&wire::acknowledge(0x62, id));
        }
        let sent = self.open.remove(at);
        if kind == 4 {
            self.acknowledged.push((1, sent.number));
        }
    }
}

/// A reader with a lasting session that keeps its side of QoS 2 over connections.
#[derive(Default)]
struct Reader {
    /// Packet ids of QoS 2 messages received and not released.
    unreleased: Vec<u16>,
    /// Numbers by topic, in the order of arrival.
    got: HashMap<String, Vec<u32>>,
}

impl Reader {
    /// Reads until nothing comes for `quiet`, the broker is gone, or `end`.
    fn run(&mut self, client: &mut MqttClient, quiet: Duration, end: Instant) {
        while Instant::now() < end {
            match client.next_within(quiet) {
                None => return,
                Some(Packet::Publish { topic, payload, qos, packet_id, .. }) => {
                    let number = u32::from_be_bytes(payload.try_into().expect("a number"));
                    let is_new = qos < 2 || !self.unreleased.contains(&packet_id);
                    if is_new {
                        self.got.entry(topic).or_default().push(number);
                    }
                    if qos == 2 && is_new {
                        self.unreleased.push(packet_id);
                    }
                    client.send(&wire::acknowledge(if qos == 2 { 0x50 } else { 0x40 }, packet_id));
                }
                Some(Packet::Ack { kind: 6, packet_id, .. }) => {
                    self.unreleased.retain(|id| *id != packet_id);
                    client.send(&wire::acknowledge(0x70, packet_id));
                }
                Some(_) => {}
            }
        }
    }

    fn check(&self, publishers: &[Publisher], seed: u64) {
        for publisher in publishers {
            for qos in [1, 2] {
                let topic = publisher.topic(qos);
                let empty = Vec::new();
                let got = self.got.get(&topic).unwrap_or(&empty);
                // QoS 1 may repeat itself; the first of each number must come in order. QoS 2 never does.
                let (mut seen, mut last) = (HashSet::new(), 0);
                for number in got {
                    if seen.insert(*number) {
                        assert!(last < *number, "seed {seed}: {topic} has {number} after {last}");
                        last = *number;
                    } else {
                        assert_eq!(qos, 1, "seed {seed}: {topic} has {number} twice");
                    }
                }
                let wanted = publisher.acknowledged.iter().filter(|(q, _)| *q == qos);
                for (_, number) in wanted {
                    assert!(seen.contains(number), "seed {seed}: {topic} lost {number}");
                }
            }
        }
    }
}

fn broker(shards: &str) -> BrokerProcess {
    // The queues must hold all that is sent while nobody reads.
    let broker = setup()
        .env("COUNTERSIGN_SERVER_SHARDS", shards)
        .env("COUNTERSIGN_LIMITS_QUEUE_MESSAGES_MAX", "1000000")
        .env("COUNTERSIGN_LIMITS_QUEUE_BYTES_MAX", "1000000000")
        // And most of them wait on disk only.
        .env("COUNTERSIGN_LIMITS_QUEUE_MEMORY_MESSAGES_MAX", "16")
        .start();
    broker.add_user("machine", PASSWORD, &["--allow", "readWrite:#"]);
    broker
}

fn reader_session(broker: &BrokerProcess, name: &str) -> MqttClient {
    login(Version::V311, name).user("machine", PASSWORD).resuming().connect(broker.mqtt())
}

fn rounds() -> usize {
    std::env::var("CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_twice_however_often_the_broker_is_killed() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut broker = broker("3");
    let mut publishers: Vec<_> = (0..4)
        .map(|number| Publisher {
            name: format!("p{number}"),
            open: Vec::new(),
            next_number: 0,
            next_id: 0,
            acknowledged: Vec::new(),
        })
        .collect();
    let (mut busy, mut away) = (Reader::default(), Reader::default());
    for name in ["busy", "away"] {
        assert_eq!(reader_session(&broker, name).subscribe("load/#", 2), 2);
    }
    for _ in 0..rounds() {
        let address = broker.mqtt();
        let end = Instant::now() + Duration::from_millis(50 + random.bits() % 200);
        // Whoever is in the middle of something when the broker dies notices it and ends.
        let last = end + Duration::from_secs(2);
        let mut here = vec![(&mut busy, reader_session(&broker, "busy"))];
        if random.chance(1, 5) {
            // It is in the middle of what waits on disk when the broker dies.
            here.push((&mut away, reader_session(&broker, "away")));
        }
        std::thread::scope(|scope| {
            for publisher in &mut publishers {
                let mut random = Random::new(random.bits());
                scope.spawn(move || publisher.run(address, last, &mut random));
            }
            for (reader, mut client) in here {
                scope.spawn(move || reader.run(&mut client, Duration::from_secs(3), last));
            }
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            broker.kill();
        });
        broker.begin();
    }
    for (name, reader) in [("busy", &mut busy), ("away", &mut away)] {
        let mut client = reader_session(&broker, name);
        assert!(client.session_present(), "seed {seed}");
        let end = Instant::now() + Duration::from_secs(60 + 3 * rounds() as u64);
        reader.run(&mut client, Duration::from_secs(1), end);
        reader.check(&publishers, seed);
    }
    let acknowledged: usize = publishers.iter().map(|it| it.acknowledged.len()).sum();
    assert!(acknowledged > rounds() * 10, "only {acknowledged} messages: that shows nothing");
    println!("{} rounds, {acknowledged} messages acknowledged, seed {seed}", rounds());
}

/// Messages that a publisher has in transit at a time.
const WINDOW: usize = 20;
