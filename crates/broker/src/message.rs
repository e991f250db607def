//! A message on its way: borrowed while it is routed, shared once something must keep it.

use std::sync::Arc;

use mqtt::{Qos, Timestamp};
use smallvec::SmallVec;
use topic::TopicName;

use crate::identity::{ConnectionId, SessionIdentity, SessionRef, ShardId};

/// A message that outlives the packet it came in: queued, in flight, retained, or on its way to
/// another shard.
#[derive(Debug)]
pub struct Message {
    topic: TopicName,
    qos: Qos,
    retain: bool,
    payload_start: usize,
    /// Properties, then payload. Small ones lie in the message itself: one allocation less.
    data: SmallVec<[u8; Message::INLINE_BYTES]>,
    writer: Arc<SessionIdentity>,
    expires_at: Option<Timestamp>,
}

impl Message {
    /// Bytes that a message holds without an allocation of their own.
    pub(crate) const INLINE_BYTES: usize = 96;

    /// A message read from disk.
    #[must_use]
    pub fn stored(parts: StoredMessage<'_>) -> Arc<Message> {
        let nowhere = SessionRef { shard: ShardId(u16::MAX), slot: u32::MAX, serial: 0 };
        let publication = Publication {
            topic: &parts.topic,
            qos: parts.qos,
            retain: parts.retain,
            forwardable: parts.forwardable,
            payload: parts.payload,
            writer: &Arc::new(SessionIdentity::new(parts.writer, nowhere)),
            source: None,
            expires_at: parts.expires_at,
        };
        publication.to_message()
    }

    /// The final topic: alias resolved, prefix added.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// QoS as published.
    #[must_use]
    pub fn qos(&self) -> Qos {
        self.qos
    }

    /// Retain flag as published.
    #[must_use]
    pub fn retain(&self) -> bool {
        self.retain
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.data.get(self.payload_start..).unwrap_or_default()
    }

    /// MQTT 5 properties to hand on unaltered, encoded.
    #[must_use]
    pub fn forwardable(&self) -> &[u8] {
        self.data.get(..self.payload_start).unwrap_or_default()
    }

    /// When the message is of no use any more.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The session (user and client id) that wrote it.
    #[must_use]
    pub fn writer(&self) -> &crate::SessionKey {
        &self.writer.key
    }

    /// Bytes this message counts for against a limit.
    #[must_use]
    pub fn size(&self) -> usize {
        Self::size_of(self.topic.as_str().len(), self.data.len())
    }

    /// The same of a message with a topic, and with payload and properties, of so many bytes.
    #[must_use]
    pub fn size_of(topic: usize, content: usize) -> usize {
        content.max(Self::INLINE_BYTES) + topic + MESSAGE_OVERHEAD
    }

    /// Makes another message of this one, in the same memory. What both share is not counted anew.
    pub(crate) fn refill(&mut self, publication: &Publication<'_>) {
        if !std::ptr::eq(self.topic.as_str(), publication.topic.as_str()) {
            self.topic = publication.topic.clone();
        }
        if !Arc::ptr_eq(&self.writer, publication.writer) {
            self.writer = Arc::clone(publication.writer);
        }
        self.qos = publication.qos;
        self.retain = publication.retain;
        self.payload_start = publication.forwardable.len();
        self.data.clear();
        self.data.extend_from_slice(publication.forwardable);
        self.data.extend_from_slice(publication.payload);
        self.expires_at = publication.expires_at;
    }

    /// Whether all of it lies in one allocation.
    pub(crate) fn is_small(&self) -> bool {
        !self.data.spilled()
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// [MQTT-3.3.2-6] What is left of the expiry interval after the time spent waiting here.
    pub(crate) fn expiry_left_s(&self, now: Timestamp) -> Option<u32> {
        expiry_left_s(self.expires_at, now)
    }

    pub(crate) fn as_publication(&self) -> Publication<'_> {
        Publication {
            topic: &self.topic,
            qos: self.qos,
            retain: self.retain,
            forwardable: self.forwardable(),
            payload: self.payload(),
            writer: &self.writer,
            source: None,
            expires_at: self.expires_at,
        }
    }
}

/// What a [`Message`] is made of, as it lies on disk.
#[derive(Debug)]
pub struct StoredMessage<'a> {
    /// The final topic.
    pub topic: TopicName,
    /// QoS as published.
    pub qos: Qos,
    /// Retain flag as published.
    pub retain: bool,
    /// MQTT 5 properties to hand on unaltered, encoded.
    pub forwardable: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
    /// The session that wrote it.
    pub writer: crate::SessionKey,
    /// When it is of no use any more.
    pub expires_at: Option<Timestamp>,
}

/// A message while it is routed, straight from the packet.
#[derive(Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) topic: &'a TopicName,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) forwardable: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) writer: &'a Arc<SessionIdentity>,
    /// The connection to hold back when a receiver is behind; a will has none.
    pub(crate) source: Option<ConnectionId>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Publication<'_> {
    pub(crate) fn writer_place(&self) -> SessionRef {
        self.writer.place
    }

    pub(crate) fn to_message(self) -> Arc<Message> {
        let data = if self.forwardable.is_empty() {
            SmallVec::from_slice(self.payload)
        } else {
            let mut data = SmallVec::with_capacity(self.forwardable.len() + self.payload.len());
            data.extend_from_slice(self.forwardable);
            data.extend_from_slice(self.payload);
            data
        };
        Arc::new(Message {
            topic: self.topic.clone(),
            qos: self.qos,
            retain: self.retain,
            payload_start: self.forwardable.len(),
            data,
            writer: Arc::clone(self.writer),
            expires_at: self.expires_at,
        })
    }
}

/// A message for one session: what the subscription made of it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
    /// Its place among all messages of the session.
    pub(crate) sequence: u64,
}

/// The subscription identifiers a delivery carries; most carry none.
pub(crate) type Identifiers = Option<Arc<[u32]>>;

pub(crate) fn expiry_left_s(expires_at: Option<Timestamp>, now: Timestamp) -> Option<u32> {
    let left_ms = expires_at?.0.saturating_sub(now.0);
    // Rounded up: a message that is still alive never carries an interval of zero.
    Some(u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX))
}

/// About what the shared pointers, the allocation and a queue's entry add to a message's bytes.
const MESSAGE_OVERHEAD: usize = 128;
