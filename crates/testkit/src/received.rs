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
///
/// # Errors
/// What is wrong with it: it is the broker's fault.
pub fn decode(input: &[u8], version: Version) -> Result<Option<(Packet, usize)>, String> {
    let (mut length, mut shift, mut at) = (0usize, 0, 1);
    loop {
        let Some(byte) = input.get(at) else { return Ok(None) };
        at += 1;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if *byte < 0x80 {
            break;
        }
        must(at <= 4, || format!("a length of more than four bytes: {input:02x?}"))?;
    }
    let Some(bytes) = input.get(at..at + length) else { return Ok(None) };
    let mut body = Body { bytes, version };
    let packet = parse(input[0], &mut body)?;
    must(body.bytes.is_empty(), || format!("{packet:?} has bytes left over"))?;
    Ok(Some((packet, at + length)))
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn parse(first: u8, body: &mut Body<'_>) -> Result<Packet, String> {
    let kind = first >> 4;
    if kind != 3 {
        let flags = if kind == 6 { 2 } else { 0 };
        must(first & 0x0F == flags, || format!("flags of {first:#04x}"))?;
    }
    Ok(match kind {
        2 => {
            let (flags, code) = (body.byte()?, body.byte()?);
            must(flags <= 1, || format!("reserved CONNACK flags {flags:#x}"))?;
            must(code == 0 || flags == 0, || "a session with a refusal".to_owned())?;
            // A client of a version that nobody knows is told so in the form of the older ones.
            let may_lack = code == UNACCEPTABLE_VERSION;
            let properties = match may_lack {
                true => body.last_properties(CONNACK_MAY)?,
                false => body.properties(CONNACK_MAY)?,
            };
            Packet::ConnAck { session_present: flags == 1, code, properties }
        }
        3 => parse_publish(first, body)?,
        4..=7 => {
            let packet_id = body.packet_id()?;
            let code = if body.bytes.is_empty() { 0 } else { body.byte()? };
            must(body.version == Version::V5 || code == 0, || "a reason in 3.1.1".to_owned())?;
            let properties = body.last_properties(ACK_MAY)?;
            Packet::Ack { kind, packet_id, code, properties }
        }
        9 | 11 => {
            let packet_id = body.packet_id()?;
            body.properties(ACK_MAY)?;
            let codes = std::mem::take(&mut body.bytes).to_vec();
            let has_codes = kind == 9 || body.version == Version::V5;
            must(codes.is_empty() != has_codes, || format!("{} codes", codes.len()))?;
            match kind {
                9 => Packet::SubAck { packet_id, codes },
                _ => Packet::UnsubAck { packet_id, codes },
            }
        }
        13 => Packet::PingResp,
        14 => {
            must(body.version == Version::V5, || "a server's DISCONNECT in 3.1.1".to_owned())?;
            let code = if body.bytes.is_empty() { 0 } else { body.byte()? };
            body.last_properties(DISCONNECT_MAY)?;
            Packet::Disconnect { code }
        }
        other => return Err(format!("packet type {other}")),
    })
}

fn parse_publish(first: u8, body: &mut Body<'_>) -> Result<Packet, String> {
    let (qos, dup) = (first >> 1 & 3, first & 8 == 8);
    must(qos < 3, || "QoS 3".to_owned())?;
    // [MQTT-3.3.1-2]
    must(qos > 0 || !dup, || "DUP with QoS 0".to_owned())?;
    let topic = body.text()?;
    must(!topic.contains(['+', '#', '\0']), || format!("the topic `{topic}`"))?;
    let packet_id = if qos > 0 { body.packet_id()? } else { 0 };
    let properties = body.properties(PUBLISH_MAY)?;
    let has_alias = properties.iter().any(|it| matches!(it, Property::Number(35, _)));
    must(!topic.is_empty() || has_alias, || "neither topic nor alias".to_owned())?;
    let payload = std::mem::take(&mut body.bytes).to_vec();
    Ok(Packet::Publish { topic, payload, qos, retain: first & 1 == 1, dup, packet_id, properties })
}

struct Body<'a> {
    bytes: &'a [u8],
    version: Version,
}

impl Body<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let halves = self.bytes.split_at_checked(count);
        let (taken, rest) = halves.ok_or_else(|| "a packet that is cut short".to_owned())?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16, String> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes")))
    }

    fn packet_id(&mut self) -> Result<u16, String> {
        let id = self.short()?;
        must(id != 0, || "a packet id of zero".to_owned())?;
        Ok(id)
    }

    fn long(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn varint(&mut self) -> Result<u32, String> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            must(shift < 28, || "a number of more than four bytes".to_owned())?;
            value |= u32::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(value);
            }
        }
    }

    fn field(&mut self) -> Result<Vec<u8>, String> {
        let length = usize::from(self.short()?);
        Ok(self.take(length)?.to_vec())
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.field()?).map_err(|error| error.to_string())
    }

    /// Properties that may be left out together with what stands before them.
    fn last_properties(&mut self, may: &[u8]) -> Result<Vec<Property>, String> {
        if self.bytes.is_empty() { Ok(Vec::new()) } else { self.properties(may) }
    }

    /// Properties, each of which must be in `may`; only user properties and subscription
    /// identifiers may come more than once.
    fn properties(&mut self, may: &[u8]) -> Result<Vec<Property>, String> {
        if self.version == Version::V311 {
            return Ok(Vec::new());
        }
        let length = usize::try_from(self.varint()?).expect("fits");
        let rest = self.bytes.len().checked_sub(length).ok_or("properties that are cut short")?;
        let (mut found, mut seen) = (Vec::new(), Vec::new());
        while self.bytes.len() > rest {
            let id = self.bytes[0];
            must(may.contains(&id), || format!("property {id} in the wrong packet"))?;
            must([11, 38].contains(&id) || !seen.contains(&id), || format!("property {id} twice"))?;
            seen.push(id);
            found.push(self.property()?);
        }
        must(self.bytes.len() == rest, || "a property that is cut".to_owned())?;
        Ok(found)
    }

    fn property(&mut self) -> Result<Property, String> {
        Ok(match self.byte()? {
            id @ (1 | 23 | 25 | 36 | 37 | 40 | 41 | 42) => {
                Property::Number(id, self.byte()?.into())
            }
            id @ (19 | 33 | 34 | 35) => Property::Number(id, self.short()?.into()),
            id @ (2 | 17 | 24 | 39) => Property::Number(id, self.long()?),
            id @ 11 => Property::Number(id, self.varint()?),
            id @ (9 | 22) => Property::Bytes(id, self.field()?),
            id @ (3 | 8 | 18 | 21 | 26 | 28 | 31) => Property::Bytes(id, self.text()?.into_bytes()),
            38 => Property::Pair(self.text()?.into_bytes(), self.text()?.into_bytes()),
            id => return Err(format!("the unknown property {id}")),
        })
    }
}

/// The return code of 3.1.1; in 5.0 it means nothing.
const UNACCEPTABLE_VERSION: u8 = 1;
/// 3.2.2.3, 3.3.2.3, 3.4.2.2 and its like, 3.14.2.2.
const CONNACK_MAY: &[u8] = &[17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42];
const PUBLISH_MAY: &[u8] = &[1, 2, 3, 8, 9, 11, 35, 38];
const ACK_MAY: &[u8] = &[31, 38];
const DISCONNECT_MAY: &[u8] = &[28, 31, 38];

#[cfg(test)]
mod tests {
    use super::{Packet, decode};
    use crate::wire::{Publish, Version, publish};

    #[test]
    fn what_the_encoder_writes_the_decoder_reads_in_both_versions() {
        for version in Version::BOTH {
            let bytes = publish(version, &Publish::new("a/b", b"x").qos(1, 7).retained());
            let (packet, length) = decode(&bytes, version).expect("valid").expect("whole");
            assert_eq!(length, bytes.len());
            let Packet::Publish { topic, payload, qos, retain, dup, packet_id, .. } = packet else {
                panic!("not a publish")
            };
            assert_eq!((topic.as_str(), payload.as_slice(), qos), ("a/b", &b"x"[..], 1));
            assert_eq!((retain, dup, packet_id), (true, false, 7));
            assert_eq!(decode(&bytes[..bytes.len() - 1], version), Ok(None), "cut short");
        }
    }
}
