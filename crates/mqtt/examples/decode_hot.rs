//! What decoding one PUBLISH costs: batches of packets of 64 bytes of payload, the topic as it is sent every time.
//!
//! `cargo run --release -p mqtt --example decode_hot MESSAGES`, under `valgrind --tool=callgrind` twice with different
//! numbers: the difference is what so many packets cost.

use mqtt::{
    DecodeLimits, Decoded, OutgoingPublish, Packet, PacketId, ProtocolVersion, Qos, decode,
    encode_publish,
};

fn main() {
    let messages: usize = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    let publish = OutgoingPublish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: "plant/hall-7/line/4/temperature",
        topic_alias: None,
        packet_id: Some(PacketId::MIN),
        message_expiry_interval_s: None,
        subscription_identifiers: &[],
        forwardable: &[],
        payload: &[7; 64],
    };
    let mut input = Vec::new();
    for _ in 0..BATCH {
        encode_publish(&publish, ProtocolVersion::V311, &mut input);
    }
    let limits = DecodeLimits::default();
    let mut payload_bytes = 0;
    for _ in 0..messages / BATCH {
        let mut rest = input.as_slice();
        while let Ok(Decoded::Packet { packet: Packet::Publish(publish), length }) =
            decode(rest, ProtocolVersion::V311, &limits)
        {
            payload_bytes += publish.payload.len();
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    println!("{payload_bytes} bytes of payload");
}

const BATCH: usize = 400;
