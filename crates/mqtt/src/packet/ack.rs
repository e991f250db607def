//! PUBACK, PUBREC, PUBREL and PUBCOMP: one shape.

use super::UserProperties;
use crate::{PacketId, ReasonCode};

/// Answer within the exchange of one QoS 1 or QoS 2 message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which exchange.
    pub packet_id: PacketId,
    /// How it went; always `Success` before 5.0.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: AckProperties,
}

impl Ack {
    /// An answer with this code and no properties.
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Ack {
        Ack { packet_id, reason, properties: AckProperties::default() }
    }
}

/// What every 5.0 answer may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckProperties {
    /// For people to read.
    pub reason_string: Option<String>,
    /// Name and value pairs.
    pub user_properties: UserProperties,
}
