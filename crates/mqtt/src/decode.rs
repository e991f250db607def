//! Bytes in, packets out: the fixed header, then one decoder a packet.
//!
//! Strict: what the standard calls malformed or a protocol error is one here, whatever other
//! brokers let pass. The size limit is checked as soon as the fixed header is in, so that a large
//! packet costs its receiver nothing. PUBLISH borrows; its decoding allocates nothing.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod reasons;
mod subscribe;
mod unsubscribe;

use crate::fixed_header::{FixedHeader, Kind};
use crate::packet::{Connect, Packet, Publish};
use crate::reader::{Reader, varint};
use crate::{DecodeError, ProtocolError, ProtocolVersion, ReasonCode};
use topic::TopicName;

/// What the receiver is ready to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of a whole packet, fixed header included. Larger ones are refused with 0x95.
    pub packet_size_max: u32,
}

impl Default for DecodeLimits {
    /// All that the standard allows.
    fn default() -> DecodeLimits {
        DecodeLimits { packet_size_max: u32::MAX }
    }
}

/// What the input begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// The beginning of a packet, nothing wrong so far. Ask again with more input.
    Incomplete,
    /// A packet.
    Packet {
        /// Its content.
        packet: Packet<'a>,
        /// Bytes it took; the next packet begins behind them.
        length: usize,
    },
}

/// Decodes the packet that `input` begins with, whoever sent it: what a client may not send is for
/// [`Packet::check_from_client`] to say.
///
/// # Errors
/// The rule that was broken. The input is not to be decoded any further.
pub fn decode<'a>(
    input: &'a [u8],
    version: ProtocolVersion,
    limits: &DecodeLimits,
) -> Result<Decoded<'a>, DecodeError> {
    let Some((header, body)) = split(input, Some(version), limits)? else {
        return Ok(Decoded::Incomplete);
    };
    let packet = match header.kind {
        Kind::Publish => Packet::Publish(publish::decode(header.flags, body, version, None)?),
        Kind::Connect => Packet::Connect(Box::new(connect::decode(body)?)),
        _ => other(header.kind, body, version)?,
    };
    Ok(Decoded::Packet { packet, length: header.packet_length })
}

/// Decodes the PUBLISH that `input` begins with, as [`decode`] does, only faster: `known` is the topic that this sender
/// repeats. Gives the packet and its length; `None` as long as more input is needed.
///
/// # Errors
/// As [`decode`]; if it is another packet, that it is.
pub fn decode_publish<'a>(
    input: &'a [u8],
    version: ProtocolVersion,
    limits: &DecodeLimits,
    known: Option<&'a TopicName>,
) -> Result<Option<(Publish<'a>, usize)>, DecodeError> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    if !is_publish(input) {
        return Err(ProtocolError::protocol("decoded elsewhere").into());
    }
    let Some((remaining, length_bytes)) = varint(rest)? else { return Ok(None) };
    let header = FixedHeader::new(Kind::Publish, first & 0x0F, length_bytes, remaining);
    let Some(body) = body(input, &header, limits)? else { return Ok(None) };
    let publish = publish::decode(header.flags, body, version, known)?;
    Ok(Some((publish, header.packet_length)))
}

/// Whether `input` begins with a PUBLISH, whole or not.
#[must_use]
pub fn is_publish(input: &[u8]) -> bool {
    input.first().is_some_and(|first| first >> 4 == Kind::Publish.bits())
}

/// Decodes the first packet of a connection, which must be CONNECT [MQTT-3.1.0-1] and says the
/// version itself. Gives the packet and its length, or `None` if more input is needed.
///
/// Two things are for the caller to judge, as their answer is a CONNACK with its own code:
/// [`Connect::is_client_id_missing`], and whether a version that is known is also wanted.
///
/// # Errors
/// The rule that was broken; [`DecodeError::connack_version`] says whether the peer may be told.
pub fn decode_connect(
    input: &[u8],
    limits: &DecodeLimits,
) -> Result<Option<(Box<Connect>, usize)>, DecodeError> {
    // The first byte decides, so that nothing is awaited from a peer that speaks something else.
    if input.first().is_some_and(|first| first >> 4 != Kind::Connect.bits()) {
        return Err(ProtocolError::protocol("the first packet is not CONNECT").into());
    }
    let Some((header, body)) = split(input, None, limits)? else {
        return Ok(None);
    };
    let connect = connect::decode(body)?;
    Ok(Some((Box::new(connect), header.packet_length)))
}

/// Bytes of the whole packet that `input` begins with, as soon as its fixed header says so.
#[must_use]
pub fn announced_length(input: &[u8]) -> Option<usize> {
    FixedHeader::read(input, None).ok().flatten().map(|header| header.packet_length)
}

/// The fixed header and the body, or `None` if more input is needed.
fn split<'a>(
    input: &'a [u8],
    version: Option<ProtocolVersion>,
    limits: &DecodeLimits,
) -> Result<Option<(FixedHeader, Reader<'a>)>, ProtocolError> {
    let Some(header) = FixedHeader::read(input, version)? else {
        return Ok(None);
    };
    Ok(body(input, &header, limits)?.map(|body| (header, body)))
}

/// What is behind the fixed header, or `None` if not all of it is there.
fn body<'a>(
    input: &'a [u8],
    header: &FixedHeader,
    limits: &DecodeLimits,
) -> Result<Option<Reader<'a>>, ProtocolError> {
    let limit = usize::try_from(limits.packet_size_max).unwrap_or(usize::MAX);
    if header.packet_length > limit {
        // [MQTT-3.2.2-15]
        return Err(ProtocolError::new(
            ReasonCode::PacketTooLarge,
            "packet is larger than the maximum packet size",
        ));
    }
    Ok(input.get(header.length..header.packet_length).map(Reader::new))
}

/// Everything but PUBLISH and CONNECT.
fn other(
    kind: Kind,
    mut body: Reader<'_>,
    version: ProtocolVersion,
) -> Result<Packet<'static>, ProtocolError> {
    let reader = &mut body;
    let packet = match kind {
        Kind::PubAck => Packet::PubAck(ack::decode(kind, reader, version)?),
        Kind::PubRec => Packet::PubRec(ack::decode(kind, reader, version)?),
        Kind::PubRel => Packet::PubRel(ack::decode(kind, reader, version)?),
        Kind::PubComp => Packet::PubComp(ack::decode(kind, reader, version)?),
        Kind::Subscribe => Packet::Subscribe(subscribe::decode(reader, version)?),
        Kind::SubAck => Packet::SubAck(subscribe::decode_ack(reader, version)?),
        Kind::Unsubscribe => Packet::Unsubscribe(unsubscribe::decode(reader, version)?),
        Kind::UnsubAck => Packet::UnsubAck(unsubscribe::decode_ack(reader, version)?),
        Kind::PingReq => Packet::PingReq,
        Kind::PingResp => Packet::PingResp,
        Kind::Disconnect => Packet::Disconnect(disconnect::decode(reader, version)?),
        Kind::Auth => Packet::Auth(auth::decode(reader)?),
        Kind::ConnAck => Packet::ConnAck(Box::new(connack::decode(reader, version)?)),
        Kind::Connect | Kind::Publish => return Err(ProtocolError::protocol("decoded elsewhere")),
    };
    body.finish()?;
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::{DecodeLimits, Decoded, decode, decode_publish};
    use crate::{Packet, ProtocolVersion};

    #[test]
    fn the_length_is_known_with_the_fixed_header() {
        let check = |input: &[u8], expected| assert_eq!(super::announced_length(input), expected);
        check(b"", None);
        check(b"\x10", None);
        check(b"\x10\x80", None);
        check(b"\x10\x80\x20", Some(4099));
        check(b"\x10\x00", Some(2));
        check(b"\x10\xFF\xFF\xFF\xFF", None);
    }

    #[test]
    fn what_is_decoded_does_not_depend_on_the_topic_that_is_known() {
        let inputs: [&[u8]; 10] = [
            b"",
            b"\x30\x80",
            b"\x30\x80\x80\x80\x80\x01",
            b"\x36\x03\x00\x01a",
            b"\x30\x07\x00\x03a/bxy",
            b"\x32\x09\x00\x03a/b\x00\x01xy",
            b"\x30\x08\x00\x04a/bcxy",
            b"\x30\x07\x00\x03a/#xy",
            b"\x30\x04\x00\x03a/",
            b"\x30\x05\x00\x03a\xFFb",
        ];
        for (input, known) in inputs.iter().flat_map(|it| ["a/b", "a/bc", "a"].map(|k| (it, k))) {
            let known = topic::TopicName::parse(known).unwrap();
            let limits = DecodeLimits::default();
            for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
                let expected = decode(input, version, &limits);
                let found = decode_publish(input, version, &limits, Some(&known)).map(|found| {
                    found.map_or(Decoded::Incomplete, |(publish, length)| Decoded::Packet {
                        packet: Packet::Publish(publish),
                        length,
                    })
                });
                assert_eq!(found, expected, "{input:?} with `{known}`");
            }
        }
    }
}
