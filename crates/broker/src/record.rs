//! What a restart needs: the closed set of things a durable broker writes down.

use std::sync::Arc;

use mqtt::{PacketId, Qos, Timestamp};
use topic::{SubscriptionFilter, TopicName};

use crate::identity::SessionKey;
use crate::message::Message;

/// One change of durable state. Cheap to build: ids and shared pointers.
#[derive(Debug, Clone)]
pub enum Record {
    /// A session exists, with this expiry.
    SessionPut {
        /// Which.
        key: SessionKey,
        /// Seconds it outlives its connection.
        expiry_s: u32,
        /// When it went offline; `None` while it is online.
        offline_since: Option<Timestamp>,
    },
    /// A session and all that belongs to it is gone.
    SessionRemove(SessionKey),
    /// A subscription exists.
    SubscriptionPut {
        /// Whose.
        key: SessionKey,
        /// Its filter.
        filter: SubscriptionFilter,
        /// Its options.
        options: mqtt::SubscribeOptions,
        /// Its identifier.
        identifier: Option<u32>,
    },
    /// A subscription is gone.
    SubscriptionRemove {
        /// Whose.
        key: SessionKey,
        /// Its filter.
        filter: SubscriptionFilter,
    },
    /// A message waits for a session.
    QueuedPut {
        /// Whose.
        key: SessionKey,
        /// Its place: larger is later. Kept when the message is sent.
        sequence: u64,
        /// QoS of the delivery.
        qos: Qos,
        /// The message.
        message: Arc<Message>,
    },
    /// A waiting message was sent with this packet id and waits for its acknowledgement.
    InflightPut {
        /// Whose.
        key: SessionKey,
        /// Its place.
        sequence: u64,
        /// The packet id.
        packet_id: PacketId,
    },
    /// PUBREC came for it: only PUBREL is left to send.
    InflightReleased {
        /// Whose.
        key: SessionKey,
        /// The packet id.
        packet_id: PacketId,
    },
    /// It is delivered, or given up.
    MessageRemove {
        /// Whose.
        key: SessionKey,
        /// Its place.
        sequence: u64,
    },
    /// A QoS 2 message with this packet id came from the client and was routed.
    ReceivedPut {
        /// From whom.
        key: SessionKey,
        /// The packet id.
        packet_id: PacketId,
    },
    /// The client has released it.
    ReceivedRemove {
        /// From whom.
        key: SessionKey,
        /// The packet id.
        packet_id: PacketId,
    },
    /// This message is retained on its topic.
    RetainedPut(Arc<Message>),
    /// Nothing is retained on this topic any more.
    RetainedRemove(TopicName),
    /// A will is held for this session.
    WillPut {
        /// Whose.
        key: SessionKey,
        /// The will.
        will: Arc<mqtt::Will>,
        /// When it is to be sent, once the connection is gone.
        due: Option<Timestamp>,
    },
    /// The session's will was sent or dropped.
    WillRemove(SessionKey),
}
