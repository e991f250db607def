//! What a broker sends, taken apart; anything that does not parse is a failure of the broker.

use crate::wire::Version;

/// One property of MQTT 5, by its identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// One, two or four bytes, or a variable byte integer.
    Number(u8, u32),
    /// A string or binary value.
    Bytes(u8, Vec<u8>),
    /// A user property.
    Pair(Vec<u8>, Vec<u8>),
}

/// One packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// CONNACK.
    ConnAck {
        /// Whether the broker kept a session.
        session_present: bool,
        /// Return code (3.1.1) or reason code (5.0).
        code: u8,
        /// Properties of 5.0.
        properties: Vec<Property>,
    },
    /// PUBLISH.
    Publish {
        /// Topic as delivered, empty with an alias.
        topic: String,
        /// Payload bytes.
        payload: Vec<u8>,
        /// 0, 1 or 2.
        qos: u8,
        /// Retain flag.
        retain: bool,
        /// DUP flag.
        dup: bool,
        /// Packet id, 0 with QoS 0.
        packet_id: u16,
        /// Properties of 5.0.
        properties: Vec<Property>,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        /// The packet type, 4 to 7.
        kind: u8,
        /// Packet id.
        packet_id: u16,
        /// Reason code, 0 in 3.1.1.
        code: u8,
        /// Properties of 5.0.
        properties: Vec<Property>,
    },
    /// SUBACK.
    SubAck {
        /// Packet id.
        packet_id: u16,
        /// One code a filter.
        codes: Vec<u8>,
    },
    /// UNSUBACK.
    UnsubAck {
        /// Packet id.
        packet_id: u16,
        /// One code a filter in 5.0, empty in 3.1.1.
        codes: Vec<u8>,
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT (5.0 only).
    Disconnect {
        /// Reason code.
        code: u8,
    },
}

/// The first whole packet in `input` and its length, or `None` when there is not enough yet.
pub(crate) fn decode(input: &[u8], version: Version) -> Option<(Packet, usize)> {
    let (mut length, mut shift, mut at) = (0usize, 0, 1);
    loop {
        let byte = *input.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
        assert!(at <= 4, "the broker sent a length of more than four bytes: {input:02x?}");
    }
    let body = input.get(at..at + length)?;
    Some((parse(input[0], &mut Body { bytes: body, version }), at + length))
}

fn parse(first: u8, body: &mut Body<'_>) -> Packet {
    match first >> 4 {
        2 => {
            let (flags, code) = (body.byte(), body.byte());
            assert!(flags <= 1, "reserved CONNACK flags {flags:#x}");
            Packet::ConnAck { session_present: flags == 1, code, properties: body.properties() }
        }
        3 => parse_publish(first, body),
        kind @ 4..=7 => {
            assert_eq!(first & 0x0F, if kind == 6 { 2 } else { 0 }, "flags of packet type {kind}");
            let packet_id = body.short();
            let code = if body.bytes.is_empty() { 0 } else { body.byte() };
            assert!(body.version == Version::V5 || code == 0, "a reason code in 3.1.1");
            Packet::Ack { kind, packet_id, code, properties: body.properties() }
        }
        kind @ (9 | 11) => {
            let packet_id = body.short();
            body.properties();
            let codes = body.bytes.to_vec();
            if kind == 9 {
                Packet::SubAck { packet_id, codes }
            } else {
                Packet::UnsubAck { packet_id, codes }
            }
        }
        13 => Packet::PingResp,
        14 => {
            assert_eq!(body.version, Version::V5, "a server's DISCONNECT exists in 5.0 only");
            Packet::Disconnect { code: if body.bytes.is_empty() { 0 } else { body.byte() } }
        }
        other => panic!("the broker sent packet type {other}"),
    }
}

fn parse_publish(first: u8, body: &mut Body<'_>) -> Packet {
    let qos = first >> 1 & 3;
    let topic = String::from_utf8(body.field()).expect("a topic is UTF-8");
    let packet_id = if qos > 0 { body.short() } else { 0 };
    assert!(qos == 0 || packet_id != 0, "a packet id of zero");
    let properties = body.properties();
    let payload = body.bytes.to_vec();
    Packet::Publish {
        topic,
        payload,
        qos,
        retain: first & 1 == 1,
        dup: first & 8 == 8,
        packet_id,
        properties,
    }
}

struct Body<'a> {
    bytes: &'a [u8],
    version: Version,
}

impl Body<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        assert!(count <= self.bytes.len(), "the broker sent a packet that is cut short");
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn long(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn varint(&mut self) -> u32 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u32::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn field(&mut self) -> Vec<u8> {
        let length = usize::from(self.short());
        self.take(length).to_vec()
    }

    fn properties(&mut self) -> Vec<Property> {
        if self.version == Version::V311 || self.bytes.is_empty() {
            return Vec::new();
        }
        let length = usize::try_from(self.varint()).expect("fits");
        let rest = self.bytes.len().checked_sub(length).expect("properties run past the packet");
        let mut found = Vec::new();
        while self.bytes.len() > rest {
            found.push(self.property());
        }
        assert_eq!(self.bytes.len(), rest, "the property length cuts a property");
        found
    }

    fn property(&mut self) -> Property {
        match self.byte() {
            id @ (1 | 23 | 25 | 36 | 37 | 40 | 41 | 42) => Property::Number(id, self.byte().into()),
            id @ (19 | 33 | 34 | 35) => Property::Number(id, self.short().into()),
            id @ (2 | 17 | 24 | 39) => Property::Number(id, self.long()),
            id @ 11 => Property::Number(id, self.varint()),
            id @ (3 | 8 | 9 | 18 | 21 | 22 | 26 | 28 | 31) => Property::Bytes(id, self.field()),
            38 => Property::Pair(self.field(), self.field()),
            id => panic!("the broker sent the unknown property {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Packet, decode};
    use crate::wire::{Publish, Version, publish};

    #[test]
    fn what_the_encoder_writes_the_decoder_reads_in_both_versions() {
        for version in Version::BOTH {
            let bytes = publish(version, &Publish::new("a/b", b"x").qos(1, 7).retained());
            let (packet, length) = decode(&bytes, version).expect("whole");
            assert_eq!(length, bytes.len());
            let Packet::Publish { topic, payload, qos, retain, dup, packet_id, .. } = packet else {
                panic!("not a publish")
            };
            assert_eq!((topic.as_str(), payload.as_slice(), qos), ("a/b", &b"x"[..], 1));
            assert_eq!((retain, dup, packet_id), (true, false, 7));
            assert!(decode(&bytes[..bytes.len() - 1], version).is_none(), "cut short");
        }
    }
}
