//! What a restart needs: the closed set of things a durable broker writes down.

use std::sync::Arc;

use access::ProvenMethods;
use mqtt::{PacketId, ProtocolVersion, Qos, Timestamp};
use topic::{SubscriptionFilter, TopicName};

use crate::identity::{ClientName, SessionKey, ShardId};
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
        /// Who its (last) client is.
        client: Arc<ClientName>,
        /// What that client speaks.
        version: ProtocolVersion,
        /// When that client came.
        connected_at: Timestamp,
        /// Whether it asked for a new session.
        clean_start: bool,
        /// The ways in which it had proven itself.
        methods: ProvenMethods,
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
        /// What is to be delivered.
        delivery: StoredDelivery,
    },
    /// A waiting message was sent with this packet id and waits for its acknowledgement.
    InflightPut {
        /// Whose.
        key: SessionKey,
        /// Its place.
        sequence: u64,
        /// The packet id.
        packet_id: PacketId,
        /// QoS of the delivery: 1 or 2.
        qos: Qos,
    },
    /// PUBREC came for it: only PUBREL is left to send.
    InflightReleased {
        /// Whose.
        key: SessionKey,
        /// The place of the PUBREL among all that the session sends.
        sequence: u64,
        /// The packet id.
        packet_id: PacketId,
    },
    /// The exchange with this packet id is over.
    InflightRemove {
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
    /// A message is on its way to sessions of another shard.
    ForwardPut {
        /// Which way, and its place on it.
        way: Way,
        /// For whom, and what.
        targets: Vec<(SessionKey, StoredDelivery)>,
    },
    /// It has arrived: what it became is recorded with this.
    ForwardRemove(Way),
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

/// A message as one session is to get it.
#[derive(Debug, Clone)]
pub struct StoredDelivery {
    /// QoS of the delivery: 1 or 2.
    pub qos: Qos,
    /// Whether it carries the retain flag.
    pub retain: bool,
    /// The subscription identifiers it carries.
    pub identifiers: Option<Arc<[u32]>>,
    /// The message.
    pub message: Arc<Message>,
}

/// The place of one message on its way from shard to shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// From here.
    pub from: ShardId,
    /// To there.
    pub to: ShardId,
    /// Larger is later.
    pub number: u64,
}

impl Record {
    /// About how many bytes it holds until it is durable.
    #[must_use]
    pub fn size(&self) -> usize {
        let held = match self {
            Record::QueuedPut { delivery, .. } => delivery.message.size(),
            Record::ForwardPut { targets, .. } => {
                let message = targets.first().map_or(0, |(_, delivery)| delivery.message.size());
                message + targets.len() * RECORD_OVERHEAD
            }
            Record::RetainedPut(message) => message.size(),
            Record::WillPut { will, .. } => will.payload.len() + will.properties.forwardable.len(),
            Record::SessionPut { .. }
            | Record::SessionRemove(_)
            | Record::SubscriptionPut { .. }
            | Record::SubscriptionRemove { .. }
            | Record::InflightPut { .. }
            | Record::InflightReleased { .. }
            | Record::InflightRemove { .. }
            | Record::MessageRemove { .. }
            | Record::ReceivedPut { .. }
            | Record::ReceivedRemove { .. }
            | Record::ForwardRemove(_)
            | Record::RetainedRemove(_)
            | Record::WillRemove(_) => 0,
        };
        held + RECORD_OVERHEAD
    }
}

/// About what a record takes besides the message in it.
const RECORD_OVERHEAD: usize = 256;
