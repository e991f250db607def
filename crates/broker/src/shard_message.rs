//! What shards say to each other: a closed set, so that the same can once go to other nodes.

use std::sync::Arc;

use mqtt::{Qos, Timestamp};
use topic::TopicName;

use crate::identity::{ConnectionId, SessionIdentity, ShardId};
use crate::message::{Message, Publication};
use crate::record::Way;
use crate::routes::Target;

/// One message between two shards. Hand it over in order and without loss.
#[derive(Debug)]
pub struct ShardMessage(pub(crate) Body);

#[derive(Debug)]
pub(crate) enum Body {
    /// Everything one round published for sessions of the target shard.
    Publishes(Box<PublishBatch>),
    /// Publishes of this size, which the target shard had sent, have been delivered.
    Delivered(ShardId, usize),
    /// A receiver is behind: hold this connection of yours back.
    Hold(ConnectionId),
    /// The receiver has caught up, or is given up.
    Release(ConnectionId),
}

impl ShardMessage {
    /// Bytes it holds, for the bound of the channel that carries it.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Body::Publishes(batch) => batch.size(),
            Body::Delivered(..) | Body::Hold(_) | Body::Release(_) => size_of::<ShardMessage>(),
        }
    }
}

/// The publishes of one round for one shard. Messages of one topic and sender in a row share a
/// group, so that nothing shared is counted per message.
#[derive(Debug, Default)]
pub(crate) struct PublishBatch {
    pub(crate) policy_generation: u64,
    /// The oldest subscriptions that a route of it was made from.
    pub(crate) table_generation: u64,
    pub(crate) origin: ShardId,
    groups: Vec<Group>,
    items: Vec<Item>,
    bytes: Vec<u8>,
    shared_bytes: usize,
    /// Messages of QoS 1 and 2 that are copied.
    copied: usize,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) route: u64,
    pub(crate) topic: TopicName,
    pub(crate) writer: Arc<SessionIdentity>,
    pub(crate) source: Option<ConnectionId>,
    pub(crate) targets: Arc<[Target]>,
}

#[derive(Debug)]
struct Item {
    group: usize,
    qos: Qos,
    retain: bool,
    expires_at: Option<Timestamp>,
    body: ItemBody,
    /// Where it is recorded, if it is.
    way: Option<Way>,
}

#[derive(Debug)]
enum ItemBody {
    /// Nobody on the sending shard keeps it: properties and payload lie in the batch's own bytes.
    Inline { start: usize, payload_start: usize, end: usize },
    /// Shared with whoever else keeps it.
    Shared(Arc<Message>),
}

impl PublishBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts a message in; `route` says which route the targets come from, 0 that they are for this
    /// message only.
    pub(crate) fn push(
        &mut self,
        route: u64,
        targets: &Arc<[Target]>,
        shard: ShardId,
        publication: &Publication<'_>,
        message: Option<&Arc<Message>>,
        way: Option<Way>,
    ) {
        self.origin = shard;
        let is_same = self.groups.last().is_some_and(|group| {
            route != 0
                && group.route == route
                && group.source == publication.source
                && Arc::ptr_eq(&group.targets, targets)
                && Arc::ptr_eq(&group.writer, publication.writer)
        });
        if !is_same {
            self.groups.push(Group {
                route,
                topic: publication.topic.clone(),
                writer: Arc::clone(publication.writer),
                source: publication.source,
                targets: Arc::clone(targets),
            });
        }
        let body = if let Some(message) = message {
            self.shared_bytes += message.size();
            ItemBody::Shared(Arc::clone(message))
        } else {
            self.copied += usize::from(publication.qos > Qos::AtMostOnce);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(publication.forwardable);
            let payload_start = self.bytes.len();
            self.bytes.extend_from_slice(publication.payload);
            ItemBody::Inline { start, payload_start, end: self.bytes.len() }
        };
        self.items.push(Item {
            group: self.groups.len().saturating_sub(1),
            qos: publication.qos,
            retain: publication.retain,
            expires_at: publication.expires_at,
            body,
            way,
        });
    }

    /// Every message with its group, in the order of publishing.
    pub(crate) fn for_each(
        &self,
        mut f: impl FnMut(&Group, &Publication<'_>, Option<&Arc<Message>>, Option<Way>),
    ) {
        for item in &self.items {
            let Some(group) = self.groups.get(item.group) else { continue };
            match &item.body {
                ItemBody::Shared(message) => {
                    let publication =
                        Publication { source: group.source, ..message.as_publication() };
                    f(group, &publication, Some(message), item.way);
                }
                ItemBody::Inline { start, payload_start, end } => {
                    let publication = Publication {
                        topic: &group.topic,
                        qos: item.qos,
                        retain: item.retain,
                        forwardable: self.bytes.get(*start..*payload_start).unwrap_or_default(),
                        payload: self.bytes.get(*payload_start..*end).unwrap_or_default(),
                        writer: &group.writer,
                        source: group.source,
                        expires_at: item.expires_at,
                    };
                    f(group, &publication, None, item.way);
                }
            }
        }
    }

    /// What counts against the window between two shards.
    pub(crate) fn window_bytes(&self) -> usize {
        // In a receiver's queue, a small one takes more than its bytes, and a place.
        self.bytes.len() + self.shared_bytes + self.copied * Message::size_of(0, 0)
    }

    fn size(&self) -> usize {
        self.bytes.len()
            + self.shared_bytes
            + self.items.len() * size_of::<Item>()
            + self.groups.len() * size_of::<Group>()
    }
}
