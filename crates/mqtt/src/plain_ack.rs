//! Acknowledgements of four bytes, which say nothing but success: there are as many of them as messages, and more.

use crate::PacketId;

/// PUBACK, PUBREC, PUBREL or PUBCOMP with an identifier and nothing else, the same bytes in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainAck {
    /// QoS 1, and done.
    PubAck(PacketId),
    /// QoS 2: the receiver has it.
    PubRec(PacketId),
    /// QoS 2: the sender knows that.
    PubRel(PacketId),
    /// QoS 2, and done.
    PubComp(PacketId),
}

impl PlainAck {
    /// Bytes of each.
    pub const BYTES: usize = 4;

    /// What `input` begins with, if it is one of these.
    #[must_use]
    pub fn read(input: &[u8]) -> Option<PlainAck> {
        let [first, 2, high, low, ..] = input else { return None };
        let packet_id = PacketId::new(u16::from_be_bytes([*high, *low]))?;
        match *first {
            PUBACK => Some(PlainAck::PubAck(packet_id)),
            PUBREC => Some(PlainAck::PubRec(packet_id)),
            PUBREL => Some(PlainAck::PubRel(packet_id)),
            PUBCOMP => Some(PlainAck::PubComp(packet_id)),
            _ => None,
        }
    }

    /// Appends it.
    pub fn put(self, out: &mut Vec<u8>) {
        let (first, packet_id) = match self {
            PlainAck::PubAck(packet_id) => (PUBACK, packet_id),
            PlainAck::PubRec(packet_id) => (PUBREC, packet_id),
            PlainAck::PubRel(packet_id) => (PUBREL, packet_id),
            PlainAck::PubComp(packet_id) => (PUBCOMP, packet_id),
        };
        let [high, low] = packet_id.get().to_be_bytes();
        out.extend_from_slice(&[first, 2, high, low]);
    }
}

/// First bytes.
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

#[cfg(test)]
mod tests {
    use super::PlainAck;
    use crate::{Ack, DecodeLimits, Decoded, Packet, ProtocolVersion, ReasonCode, decode, encode};

    /// If it is read as plain, decoder and encoder agree that it is.
    fn check(input: &[u8], is_plain: bool) {
        let read = PlainAck::read(input);
        assert_eq!(read.is_some(), is_plain, "{input:?}");
        let Some(plain) = read else { return };
        let packet = match plain {
            PlainAck::PubAck(id) => Packet::PubAck(Ack::new(id, ReasonCode::Success)),
            PlainAck::PubRec(id) => Packet::PubRec(Ack::new(id, ReasonCode::Success)),
            PlainAck::PubRel(id) => Packet::PubRel(Ack::new(id, ReasonCode::Success)),
            PlainAck::PubComp(id) => Packet::PubComp(Ack::new(id, ReasonCode::Success)),
        };
        let mut put = Vec::new();
        plain.put(&mut put);
        assert_eq!(put, input);
        for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
            let mut encoded = Vec::new();
            encode(&packet, version, &mut encoded);
            assert_eq!(encoded, input);
            let decoded = decode(input, version, &DecodeLimits::default());
            let expected = Decoded::Packet { packet: packet.clone(), length: PlainAck::BYTES };
            assert_eq!(decoded, Ok(expected));
        }
    }

    #[test]
    fn a_plain_acknowledgement_is_what_decoder_and_encoder_say_it_is() {
        for first in 0..=u8::MAX {
            for id in [0, 1, 7, 256, 65_535_u16] {
                let [high, low] = id.to_be_bytes();
                let is_plain = [0x40, 0x50, 0x62, 0x70].contains(&first) && id != 0;
                check(&[first, 2, high, low], is_plain);
            }
        }
        for input in [&b"\x40\x03\x00\x01\x00"[..], b"\x40\x02\x01", b"\x6A\x02\x00\x01", b""] {
            check(input, false);
        }
    }
}
