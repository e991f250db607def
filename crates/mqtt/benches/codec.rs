//! Decoding and encoding a PUBLISH of 64 bytes of payload: `cargo bench -p mqtt`.

#![allow(missing_docs, reason = "criterion's macros make the functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mqtt::{
    DecodeLimits, OutgoingPublish, PacketId, PlainAck, ProtocolVersion, Qos, decode,
    decode_publish, encode_publish,
};
use topic::TopicName;

fn publish(version: ProtocolVersion) -> OutgoingPublish<'static> {
    OutgoingPublish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: TOPIC,
        topic_alias: None,
        packet_id: Some(PacketId::MIN),
        message_expiry_interval_s: version.is_v5().then_some(60),
        subscription_identifiers: &[],
        forwardable: if version.is_v5() { b"\x03\x00\x04text" } else { &[] },
        payload: &[7; 64],
    }
}

fn codec(criterion: &mut Criterion) {
    let limits = DecodeLimits::default();
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let mut bytes = Vec::new();
        encode_publish(&publish(version), version, &mut bytes);
        criterion.bench_function(&format!("decode PUBLISH {version:?}"), |bencher| {
            bencher.iter(|| decode(black_box(&bytes), version, &limits).is_ok());
        });
        if let Ok(known) = TopicName::parse(TOPIC) {
            criterion.bench_function(
                &format!("decode PUBLISH {version:?}, topic known"),
                |bencher| {
                    bencher.iter(|| {
                        decode_publish(black_box(&bytes), version, &limits, Some(&known)).is_ok()
                    });
                },
            );
        }
        let mut out = Vec::new();
        criterion.bench_function(&format!("encode PUBLISH {version:?}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_publish(black_box(&publish(version)), version, &mut out);
            });
        });
    }
    criterion.bench_function("read and write PUBACK", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            if let Some(ack) = PlainAck::read(black_box(b"\x40\x02\x00\x01")) {
                ack.put(&mut out);
            }
        });
    });
}

const TOPIC: &str = "plant/hall-7/line/4/temperature";

criterion_group!(benches, codec);
criterion_main!(benches);
