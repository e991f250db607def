//! What a message says about itself: when it was sent, by whom, and its place among that publisher's messages.

use mqtt::{OutgoingPublish, PacketId, ProtocolVersion, Qos};

/// A PUBLISH of one publisher, encoded once: every message is a copy in which identifier and stamp are set.
#[derive(Debug)]
pub(super) struct Template {
    frame: Vec<u8>,
    packet_id_at: Option<usize>,
    stamp_at: usize,
}

/// The first bytes of every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) sent_ns: u64,
    pub(super) publisher: u32,
    pub(super) sequence: u32,
}

impl Template {
    /// `payload_bytes` is at least [`STAMP_BYTES`].
    pub(super) fn new(
        topic: &str,
        qos: Qos,
        payload_bytes: usize,
        version: ProtocolVersion,
    ) -> Template {
        let mut frame = Vec::new();
        let publish = OutgoingPublish {
            dup: false,
            qos,
            retain: false,
            topic,
            topic_alias: None,
            packet_id: (qos > Qos::AtMostOnce).then_some(PacketId::MIN),
            message_expiry_interval_s: None,
            subscription_identifiers: &[],
            forwardable: &[],
            payload: &vec![b'.'; payload_bytes],
        };
        mqtt::encode_publish(&publish, version, &mut frame);
        let stamp_at = frame.len().saturating_sub(payload_bytes);
        // Properties of MQTT 5, here their length alone, stand between identifier and payload.
        let packet_id_at = (qos > Qos::AtMostOnce)
            .then(|| stamp_at.saturating_sub(2 + usize::from(version.is_v5())));
        Template { frame, packet_id_at, stamp_at }
    }

    /// Bytes of one message.
    pub(super) fn len(&self) -> usize {
        self.frame.len()
    }

    pub(super) fn put(&self, packet_id: PacketId, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let Some(frame) = out.get_mut(start..) else { return };
        if let Some(at) = self.packet_id_at
            && let Some(place) = frame.get_mut(at..at + 2)
        {
            place.copy_from_slice(&packet_id.get().to_be_bytes());
        }
        if let Some(place) = frame.get_mut(self.stamp_at..self.stamp_at + STAMP_BYTES) {
            place.copy_from_slice(&stamp.bytes());
        }
    }
}

impl Stamp {
    fn bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        let number = u128::from(self.sent_ns) << 64
            | u128::from(self.publisher) << 32
            | u128::from(self.sequence);
        bytes.copy_from_slice(&number.to_be_bytes());
        bytes
    }

    pub(super) fn read(payload: &[u8]) -> Option<Stamp> {
        let (sent, rest) = payload.split_first_chunk::<8>()?;
        let (publisher, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, _) = rest.split_first_chunk::<4>()?;
        Some(Stamp {
            sent_ns: u64::from_be_bytes(*sent),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u32::from_be_bytes(*sequence),
        })
    }
}

/// Bytes that a payload has at least.
pub(super) const STAMP_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use mqtt::{DecodeLimits, Decoded, Packet, PacketId, ProtocolVersion, Qos};

    use super::{Stamp, Template};

    fn check(qos: Qos, version: ProtocolVersion) {
        let template = Template::new("bench/7", qos, 64, version);
        let stamp = Stamp { sent_ns: 1 << 40, publisher: 3, sequence: 70_000 };
        let mut out = Vec::new();
        template.put(PacketId::new(777).unwrap(), stamp, &mut out);
        let decoded = mqtt::decode(&out, version, &DecodeLimits::default()).unwrap();
        let Decoded::Packet { packet: Packet::Publish(publish), length } = decoded else {
            panic!("{decoded:?}")
        };
        assert_eq!((length, publish.topic, publish.payload.len()), (template.len(), "bench/7", 64));
        assert_eq!(publish.packet_id.map(PacketId::get), (qos > Qos::AtMostOnce).then_some(777));
        assert_eq!(Stamp::read(publish.payload), Some(stamp));
    }

    #[test]
    fn a_message_is_what_a_decoder_reads_in_every_qos_and_version() {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            check(qos, ProtocolVersion::V311);
            check(qos, ProtocolVersion::V5);
        }
    }
}
