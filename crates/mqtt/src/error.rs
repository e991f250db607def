//! What a peer did wrong, as a reason code for the peer and a text for the log.

use crate::{ProtocolVersion, ReasonCode};
use thiserror::Error;

/// A rule of the protocol that the peer broke; the connection is to be closed with `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{detail} ({reason})")]
pub struct ProtocolError {
    /// The code a 5.0 peer is told in DISCONNECT (in CONNACK, if it was in CONNECT).
    pub reason: ReasonCode,
    /// The rule, for the log; never holds anything the peer sent.
    pub detail: &'static str,
}

impl ProtocolError {
    pub(crate) const fn new(reason: ReasonCode, detail: &'static str) -> ProtocolError {
        ProtocolError { reason, detail }
    }

    /// 0x81: the bytes cannot be read as the standard says.
    pub(crate) const fn malformed(detail: &'static str) -> ProtocolError {
        ProtocolError::new(ReasonCode::MalformedPacket, detail)
    }

    /// 0x82: the bytes can be read, what they say is not allowed.
    pub(crate) const fn protocol(detail: &'static str) -> ProtocolError {
        ProtocolError::new(ReasonCode::ProtocolError, detail)
    }
}

/// Why bytes were refused by [`decode`](crate::decode) or
/// [`decode_connect`](crate::decode_connect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{detail} ({reason})")]
pub struct DecodeError {
    /// The code a 5.0 peer is told.
    pub reason: ReasonCode,
    /// The rule, for the log; never holds anything the peer sent.
    pub detail: &'static str,
    /// Only for a refused CONNECT: the version a CONNACK with `reason` can be written in. `None`:
    /// close without a word, as 3.1.1 demands for everything but an unacceptable protocol version.
    pub connack_version: Option<ProtocolVersion>,
}

impl From<ProtocolError> for DecodeError {
    fn from(error: ProtocolError) -> DecodeError {
        DecodeError { reason: error.reason, detail: error.detail, connack_version: None }
    }
}
