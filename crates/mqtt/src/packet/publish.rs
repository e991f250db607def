//! PUBLISH: a message, as it comes in and as it goes out.

use crate::{PacketId, PublishProperties, Qos};

/// A message as received; borrows from the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    /// Sent before; never with QoS 0.
    pub dup: bool,
    /// Guarantee of this hop.
    pub qos: Qos,
    /// To be kept for later subscribers (to the server), or kept before (to the client).
    pub retain: bool,
    /// A topic name, or empty when a topic alias stands for it (5.0). What the standard demands of a name it is; it may
    /// have more levels than [`topic::TopicName`] accepts.
    pub topic: &'a str,
    /// Absent exactly with QoS 0.
    pub packet_id: Option<PacketId>,
    /// 5.0 only; validated.
    pub properties: PublishProperties<'a>,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// Whether the payload is UTF-8, if its format indicator says so. Reads the whole payload: only
    /// for those who want to refuse with 0x99.
    #[must_use]
    pub fn is_payload_as_declared(&self) -> bool {
        !self.properties.is_payload_utf8() || std::str::from_utf8(self.payload).is_ok()
    }
}

/// A message to be written. What the version does not know is left out.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingPublish<'a> {
    /// Sent before.
    pub dup: bool,
    /// Guarantee of this hop.
    pub qos: Qos,
    /// Whether it was kept, or the subscriber wants to see the flag.
    pub retain: bool,
    /// Empty only when `topic_alias` stands for it.
    pub topic: &'a str,
    /// 5.0 only; never 0.
    pub topic_alias: Option<u16>,
    /// Needed exactly with QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// Seconds left; 5.0 only.
    pub message_expiry_interval_s: Option<u32>,
    /// 5.0 only; each 1 to 268,435,455.
    pub subscription_identifiers: &'a [u32],
    /// Properties in wire form, from [`PublishProperties::forwardable`]; 5.0 only.
    pub forwardable: &'a [u8],
    /// Any bytes.
    pub payload: &'a [u8],
}
