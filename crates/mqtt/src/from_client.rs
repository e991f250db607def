//! What a client may send: the rules that depend on who speaks, not on the bytes.

use crate::packet::{Auth, Disconnect, Packet};
use crate::{ProtocolError, ReasonCode};

impl Packet<'_> {
    /// Whether a client may send this packet on a connection that has begun.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn check_from_client(&self) -> Result<(), ProtocolError> {
        match self {
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(ProtocolError::protocol("second CONNECT")),
            // [MQTT-3.3.4-6]
            Packet::Publish(publish) if publish.properties.has_subscription_identifier() => {
                Err(ProtocolError::protocol("subscription identifier from a client"))
            }
            Packet::Disconnect(disconnect) => check_disconnect(disconnect),
            Packet::Auth(auth) => check_auth(auth),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(ProtocolError::protocol("a packet that only servers send"))
            }
            Packet::Publish(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => Ok(()),
        }
    }
}

/// Table 3-10, column "Sent by".
fn check_disconnect(disconnect: &Disconnect) -> Result<(), ProtocolError> {
    if disconnect.properties.server_reference.is_some() {
        return Err(ProtocolError::protocol("server reference from a client"));
    }
    match disconnect.reason {
        ReasonCode::Success
        | ReasonCode::DisconnectWithWill
        | ReasonCode::UnspecifiedError
        | ReasonCode::MalformedPacket
        | ReasonCode::ProtocolError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::TopicNameInvalid
        | ReasonCode::ReceiveMaximumExceeded
        | ReasonCode::TopicAliasInvalid
        | ReasonCode::PacketTooLarge
        | ReasonCode::MessageRateTooHigh
        | ReasonCode::QuotaExceeded
        | ReasonCode::AdministrativeAction
        | ReasonCode::PayloadFormatInvalid => Ok(()),
        _ => Err(ProtocolError::protocol("a disconnect reason that only servers give")),
    }
}

/// Table 3-11, column "Sent by".
fn check_auth(auth: &Auth) -> Result<(), ProtocolError> {
    match auth.reason {
        ReasonCode::ContinueAuthentication | ReasonCode::ReAuthenticate => Ok(()),
        _ => Err(ProtocolError::protocol("an authentication reason that only servers give")),
    }
}
