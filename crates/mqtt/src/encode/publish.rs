//! PUBLISH: one reservation, one pass.

use crate::fixed_header::Kind;
use crate::packet::{OutgoingPublish, Publish};
use crate::property::Property;
use crate::writer::{VARINT_MAX, put_text, put_two_bytes, put_varint, varint_size};
use crate::{ProtocolVersion, Qos};

/// Bytes of the largest packet that the wire can say, fixed header included.
pub const PACKET_SIZE_MAX: usize = VARINT_MAX + 5;

/// Appends `publish` to `out`. Without a packet identifier it is written as QoS 0. Nothing is
/// written if [`publish_size`] is above [`PACKET_SIZE_MAX`].
pub fn encode_publish(publish: &OutgoingPublish<'_>, version: ProtocolVersion, out: &mut Vec<u8>) {
    let sizes = Sizes::of(publish, version);
    if sizes.body > VARINT_MAX {
        return;
    }
    out.reserve(sizes.packet());
    out.push(first_byte(publish));
    put_varint(sizes.body, out);
    put_text(publish.topic, out);
    if let Some(packet_id) = publish.packet_id {
        put_two_bytes(packet_id.get(), out);
    }
    if version.is_v5() {
        put_varint(sizes.properties, out);
        put_properties(publish, out);
    }
    out.extend_from_slice(publish.payload);
}

/// Bytes that [`encode_publish`] writes: to be compared with the peer's maximum packet size.
#[must_use]
pub fn publish_size(publish: &OutgoingPublish<'_>, version: ProtocolVersion) -> usize {
    Sizes::of(publish, version).packet()
}

/// Writes a message as it was received, properties and all.
pub(super) fn encode_received(publish: &Publish<'_>, version: ProtocolVersion, out: &mut Vec<u8>) {
    let outgoing = OutgoingPublish {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: publish.topic,
        topic_alias: None,
        packet_id: publish.packet_id,
        message_expiry_interval_s: None,
        subscription_identifiers: &[],
        forwardable: publish.properties.as_bytes(),
        payload: publish.payload,
    };
    encode_publish(&outgoing, version, out);
}

struct Sizes {
    properties: usize,
    /// All behind the fixed header.
    body: usize,
}

impl Sizes {
    fn of(publish: &OutgoingPublish<'_>, version: ProtocolVersion) -> Sizes {
        let fixed = 2 + publish.topic.len() + publish.payload.len();
        let packet_id = if publish.packet_id.is_some() { 2 } else { 0 };
        if !version.is_v5() {
            return Sizes { properties: 0, body: fixed + packet_id };
        }
        let alias = if publish.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if publish.message_expiry_interval_s.is_some() { 5 } else { 0 };
        let identifiers = publish.subscription_identifiers.iter();
        let identifiers = identifiers.map(|&id| 1 + varint_size(usize::try_from(id).unwrap_or(0)));
        let properties = alias + expiry + identifiers.sum::<usize>() + publish.forwardable.len();
        Sizes { properties, body: fixed + packet_id + varint_size(properties) + properties }
    }

    fn packet(&self) -> usize {
        1 + varint_size(self.body) + self.body
    }
}

fn first_byte(publish: &OutgoingPublish<'_>) -> u8 {
    let qos = if publish.packet_id.is_some() { publish.qos } else { Qos::AtMostOnce };
    // [MQTT-3.3.1-2]
    let dup = publish.dup && qos != Qos::AtMostOnce;
    let flags = u8::from(dup) << 3 | qos.bits() << 1 | u8::from(publish.retain);
    Kind::Publish.first_byte() | flags
}

fn put_properties(publish: &OutgoingPublish<'_>, out: &mut Vec<u8>) {
    if let Some(alias) = publish.topic_alias {
        Property::TopicAlias(alias).put(out);
    }
    if let Some(seconds) = publish.message_expiry_interval_s {
        Property::MessageExpiryInterval(seconds).put(out);
    }
    for &id in publish.subscription_identifiers {
        Property::SubscriptionIdentifier(id).put(out);
    }
    out.extend_from_slice(publish.forwardable);
}

#[cfg(test)]
mod tests {
    use super::{encode_publish, publish_size};
    use crate::{
        DecodeLimits, Decoded, OutgoingPublish, Packet, PacketId, ProtocolVersion, Qos, decode,
    };

    fn message() -> OutgoingPublish<'static> {
        OutgoingPublish {
            dup: true,
            qos: Qos::AtLeastOnce,
            retain: true,
            topic: "a/b",
            topic_alias: Some(3),
            packet_id: PacketId::new(9),
            message_expiry_interval_s: Some(60),
            subscription_identifiers: &[1, 200, 268_435_455],
            forwardable: b"\x03\x00\x01c",
            payload: b"hello",
        }
    }

    fn check(message: OutgoingPublish<'_>, version: ProtocolVersion, expected: &[u8]) {
        let mut out = b"before".to_vec();
        encode_publish(&message, version, &mut out);
        assert_eq!(out.strip_prefix(b"before"), Some(expected));
        assert_eq!(publish_size(&message, version), expected.len());
        let decoded = decode(expected, version, &DecodeLimits::default()).unwrap();
        let Decoded::Packet { packet: Packet::Publish(read), length } = decoded else {
            panic!("not a message: {decoded:?}");
        };
        assert_eq!(
            (read.topic, read.payload, length),
            (message.topic, message.payload, expected.len())
        );
    }

    #[test]
    fn a_message_is_written_with_all_it_carries() {
        let expected =
            b"\x3B\x23\x00\x03a/b\x00\x09\x16\x23\x00\x03\x02\x00\x00\x00\x3C\x0B\x01\x0B\xC8\x01\
            \x0B\xFF\xFF\xFF\x7F\x03\x00\x01chello";
        check(message(), ProtocolVersion::V5, expected);
    }

    #[test]
    fn older_versions_get_no_properties() {
        let expected = b"\x3B\x0C\x00\x03a/b\x00\x09hello";
        check(message(), ProtocolVersion::V311, expected);
        check(message(), ProtocolVersion::V31, expected);
    }

    // Shows 3.1.1: [MQTT-2.3.1-5]; 5.0: [MQTT-2.2.1-2].
    #[test]
    fn without_an_identifier_a_message_is_sent_once() {
        let message = OutgoingPublish { packet_id: None, ..message() };
        check(message, ProtocolVersion::V311, b"\x31\x0A\x00\x03a/bhello");
    }

    #[test]
    fn a_message_too_large_for_the_wire_is_not_written() {
        let payload = vec![0; super::VARINT_MAX];
        let message = OutgoingPublish { payload: &payload, ..message() };
        let mut out = Vec::new();
        encode_publish(&message, ProtocolVersion::V5, &mut out);
        assert!(
            out.is_empty()
                && publish_size(&message, ProtocolVersion::V5) > super::PACKET_SIZE_MAX - 5
        );
    }
}
