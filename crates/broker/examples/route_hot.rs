//! What one message costs on the hot path: from one publisher to its subscribers, as batches of packets through
//! `receive` and out of `output`, with all rights checked and all acknowledgements on both sides.
//!
//! `cargo run --release -p broker --example route_hot [MESSAGES] [QOS] [SUBSCRIBERS]` prints
//! nanoseconds a message; under `valgrind --tool=callgrind` two runs of different length give the
//! instructions a message.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measuring tool, not the broker"
)]

use std::sync::Arc;
use std::time::Instant;

use access::{
    AuthMethod, Authenticated, Context, Effect, GrantTypes, Operation, Permission, PermissionId,
    Policy, Proof, Resource, User, UserId, UserName,
};
use arc_swap::ArcSwap;
use broker::{Attach, ConnectionId, Engine, Hub, Limits, Peer, ShardId};
use mqtt::{
    Connect, OutgoingPublish, Packet, PacketId, ProtocolVersion, Qos, Subscribe, SubscribeOptions,
    Timestamp,
};
use topic::SubscriptionFilter;
use uuid::Uuid;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: usize| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (messages, qos, subscribers) = (number(2_000_000), number(0), number(1));
    let qos = match qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let mut bench = Bench::new(subscribers, qos);
    let batches = messages / BATCH;
    bench.run(10, qos);
    let start = Instant::now();
    let bytes = bench.run(batches, qos);
    let spent = start.elapsed();
    let count = u128::try_from((batches * BATCH * subscribers).max(1)).expect("small");
    println!("{} ns a delivery, {bytes} bytes out", spent.as_nanos() / count);
}

struct Bench {
    engine: Engine,
    publisher: ConnectionId,
    subscribers: Vec<ConnectionId>,
}

impl Bench {
    fn new(subscribers: usize, qos: Qos) -> Bench {
        let user = user();
        let policy = Policy::compile([user.clone()], []);
        let proof = Proof { methods: AuthMethod::Password.into(), credential_epoch: 1 };
        let compiled = policy.user(user.id).expect("compiled");
        let proof = Authenticated::prove(compiled, proof).expect("good proof");
        let hub = Hub::new(Arc::new(ArcSwap::from_pointee(policy)), 1, Limits::default(), 1);
        let mut engine = Engine::new(ShardId(0), hub);
        let mut connect = |client_id: &str| {
            let connect = Box::new(Connect::new(ProtocolVersion::V311, client_id));
            let peer = Peer {
                address: ([127, 0, 0, 1], 1).into(),
                listener: "mqtt".into(),
                security: None,
            };
            let attach = Attach { connect, assigned_client_id: None, peer };
            engine.attach(proof.clone(), attach, NOW).expect("attached")
        };
        let publisher = connect("publisher");
        let subscribers: Vec<_> = (0..subscribers).map(|it| connect(&format!("s{it}"))).collect();
        let filter = SubscriptionFilter::parse("plant/+/line/#").expect("valid");
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            filters: vec![(filter.into(), SubscribeOptions::qos(qos))],
            user_properties: Vec::new(),
        });
        let mut bytes = Vec::new();
        mqtt::encode(&packet, ProtocolVersion::V311, &mut bytes);
        for subscriber in &subscribers {
            engine.receive(*subscriber, &bytes, NOW);
        }
        let mut bench = Bench { engine, publisher, subscribers };
        bench.drain();
        bench
    }

    fn run(&mut self, batches: usize, qos: Qos) -> usize {
        let mut input = Vec::new();
        for number in 0..BATCH {
            let id = u16::try_from(number + 1).expect("small");
            let packet_id = PacketId::new(id).filter(|_| qos > Qos::AtMostOnce);
            let publish = OutgoingPublish {
                dup: false,
                qos,
                retain: false,
                topic: TOPIC,
                topic_alias: None,
                packet_id,
                message_expiry_interval_s: None,
                subscription_identifiers: &[],
                forwardable: &[],
                payload: &[7; 64],
            };
            mqtt::encode_publish(&publish, ProtocolVersion::V311, &mut input);
        }
        let mut out = 0;
        for _ in 0..batches {
            let used = self.engine.receive(self.publisher, &input, NOW);
            assert_eq!(used, input.len());
            while self.engine.poll_effect().is_some() {}
            while self.answer(&mut out) {}
        }
        out
    }

    /// Takes all output and answers it as clients do. Says whether there was any.
    fn answer(&mut self, out: &mut usize) -> bool {
        let mut acks = Vec::new();
        let mut is_any = false;
        for id in self.subscribers.iter().chain([&self.publisher]) {
            let bytes = self.engine.output(*id);
            let length = bytes.len();
            if length == 0 {
                continue;
            }
            is_any = true;
            *out += length;
            acks.clear();
            acknowledge(bytes, &mut acks);
            self.engine.advance_output(*id, length, NOW);
            if !acks.is_empty() {
                self.engine.receive(*id, &acks, NOW);
                while self.engine.poll_effect().is_some() {}
            }
        }
        is_any
    }

    fn drain(&mut self) {
        while self.engine.poll_effect().is_some() {}
        for id in self.subscribers.iter().chain([&self.publisher]) {
            let length = self.engine.output(*id).len();
            self.engine.advance_output(*id, length, NOW);
        }
    }
}

/// What a client answers: all PUBLISH are of one length below 128, all else is four bytes long.
fn acknowledge(mut bytes: &[u8], acks: &mut Vec<u8>) {
    while let [first, length, rest @ ..] = bytes {
        let (frame, behind) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = behind;
        let (answer, id) = match first >> 4 {
            3 if first & 6 == 0 => continue,
            3 if first & 6 == 2 => (0x40, frame.get(TOPIC_END..TOPIC_END + 2)),
            3 => (0x50, frame.get(TOPIC_END..TOPIC_END + 2)),
            5 => (0x62, frame.get(..2)),
            6 => (0x70, frame.get(..2)),
            _ => continue,
        };
        acks.extend_from_slice(&[answer, 2]);
        acks.extend_from_slice(id.expect("an identifier"));
    }
}

fn user() -> User {
    User {
        id: UserId(Uuid::from_u128(1)),
        name: UserName::parse("machine").expect("valid"),
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: access::RoleIds::new(),
        permissions: vec![Permission {
            id: PermissionId(Uuid::from_u128(1)),
            resource: Resource::parse("plant/#", Context::Mqtt).expect("valid"),
            operation: Operation::ReadWrite,
            context: Context::Mqtt,
            effect: Effect::Allow,
        }],
        enabled: true,
        publish_budget: access::PublishBudget::default(),
        credential_epoch: 1,
    }
}

const TOPIC: &str = "plant/hall-7/line/4/temperature";
const TOPIC_END: usize = 2 + TOPIC.len();
const BATCH: usize = 400;
const NOW: Timestamp = Timestamp(1_000_000);
