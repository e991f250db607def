//! The fixed header (section 2.1): kind, flags, remaining length.

use crate::reader::varint;
use crate::{ProtocolError, ProtocolVersion};

/// Which packet it is; the number is the upper half of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl Kind {
    fn from_bits(bits: u8) -> Option<Kind> {
        Some(match bits {
            1 => Kind::Connect,
            2 => Kind::ConnAck,
            3 => Kind::Publish,
            4 => Kind::PubAck,
            5 => Kind::PubRec,
            6 => Kind::PubRel,
            7 => Kind::PubComp,
            8 => Kind::Subscribe,
            9 => Kind::SubAck,
            10 => Kind::Unsubscribe,
            11 => Kind::UnsubAck,
            12 => Kind::PingReq,
            13 => Kind::PingResp,
            14 => Kind::Disconnect,
            15 => Kind::Auth,
            _ => return None,
        })
    }

    pub(crate) fn bits(self) -> u8 {
        self as u8
    }

    /// First byte of every packet of this kind but PUBLISH, which has flags of its own.
    pub(crate) fn first_byte(self) -> u8 {
        (self.bits() << 4) | self.flags()
    }

    /// Table 2-2.
    fn flags(self) -> u8 {
        match self {
            Kind::PubRel | Kind::Subscribe | Kind::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    fn check_flags(self, flags: u8, version: Option<ProtocolVersion>) -> Result<(), ProtocolError> {
        // 3.1 section 2.1: these three are sent with QoS 1 and may be sent again with DUP.
        let may_be_dup = self.flags() != 0 && version == Some(ProtocolVersion::V31);
        let flags = if may_be_dup { flags & 0b0111 } else { flags };
        // [MQTT-2.1.3-1] Reserved bits are as the table says.
        if self == Kind::Publish || flags == self.flags() {
            return Ok(());
        }
        Err(ProtocolError::malformed("reserved flags of the fixed header are wrong"))
    }

    /// The fewest bytes its body can have, and the most where there is a most: a length outside is
    /// wrong before the body is there.
    fn check_length(self, length: u32) -> Result<(), ProtocolError> {
        match self {
            Kind::PingReq | Kind::PingResp if length != 0 => {
                Err(ProtocolError::malformed("ping has a body"))
            }
            _ => Ok(()),
        }
    }
}

/// A fixed header that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedHeader {
    pub(crate) kind: Kind,
    /// Lower half of the first byte.
    pub(crate) flags: u8,
    /// Bytes of the fixed header.
    pub(crate) length: usize,
    /// Bytes of the whole packet.
    pub(crate) packet_length: usize,
}

impl FixedHeader {
    /// `remaining` was said in `length_bytes` bytes.
    pub(crate) fn new(kind: Kind, flags: u8, length_bytes: usize, remaining: u32) -> FixedHeader {
        let length = length_bytes + 1;
        let packet_length = length.saturating_add(usize::try_from(remaining).unwrap_or(usize::MAX));
        FixedHeader { kind, flags, length, packet_length }
    }

    /// `None` if more input is needed. `version` is not known before CONNECT.
    pub(crate) fn read(
        input: &[u8],
        version: Option<ProtocolVersion>,
    ) -> Result<Option<FixedHeader>, ProtocolError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(None);
        };
        let kind = Kind::from_bits(first >> 4).ok_or(UNKNOWN_KIND)?;
        if kind == Kind::Auth && version.is_some_and(|version| !version.is_v5()) {
            return Err(UNKNOWN_KIND);
        }
        let flags = first & 0x0F;
        kind.check_flags(flags, version)?;
        // The shortest form is demanded of all versions: no client was seen to write another.
        let Some((remaining, length_bytes)) = varint(rest)? else {
            return Ok(None);
        };
        kind.check_length(remaining)?;
        Ok(Some(FixedHeader::new(kind, flags, length_bytes, remaining)))
    }
}

const UNKNOWN_KIND: ProtocolError = ProtocolError::malformed("packet type is reserved");
