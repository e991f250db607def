//! What the broker says of itself on `$SYS/`: values that a reader with the right gets when it
//! subscribes, and again whenever they change.
//!
//! They are never recorded: they are QoS 0, and lie in a store of their own. Nobody else can write
//! there, since no right to publish covers a topic that begins with `$`.

use std::sync::Arc;

use access::UserId;
use mqtt::{Qos, Timestamp};
use topic::{TopicFilter, TopicName};

use crate::engine::Engine;
use crate::hub::Hub;
use crate::identity::SessionKey;
use crate::message::{Message, StoredMessage};
use crate::retained::RetainedStore;

/// A value that the broker publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemValue {
    /// A topic that begins with `$SYS/`.
    pub topic: TopicName,
    /// The value as text.
    pub text: String,
}

impl Hub {
    /// Puts these values in the place of the earlier ones on their topics. Gives back those that have
    /// changed and are being read: they are for [`Engine::publish_system`] of the first shard.
    #[must_use]
    pub fn set_system(&self, values: Vec<SystemValue>, now: Timestamp) -> Vec<Arc<Message>> {
        let mut read = Vec::new();
        for SystemValue { topic, text } in values {
            let is_same = |old: &Arc<Message>| old.payload() == text.as_bytes();
            if !topic.is_dollar() || self.system.on(&topic).as_ref().is_some_and(is_same) {
                continue;
            }
            let message = Message::stored(StoredMessage {
                topic,
                qos: Qos::AtMostOnce,
                retain: true,
                forwardable: &[],
                payload: text.as_bytes(),
                writer: SessionKey { user: UserId::BROKER, client_id: "".into() },
                expires_at: None,
            });
            // Its bound is out of reach: the topics are the broker's own.
            if self.system.put(Arc::clone(&message), now, &mut Vec::new()).is_ok()
                && self.table.has_reader(message.topic())
            {
                read.push(message);
            }
        }
        read
    }

    /// Where what is retained on this topic is kept.
    pub(crate) fn store_of(&self, topic: &TopicName) -> &RetainedStore {
        if topic.is_dollar() { &self.system } else { &self.retained }
    }

    /// What is retained on the topics of this filter.
    pub(crate) fn retained_matching(
        &self,
        filter: &TopicFilter,
        now: Timestamp,
    ) -> Vec<Arc<Message>> {
        let store = if filter.is_dollar() { &self.system } else { &self.retained };
        store.matching(filter, now, usize::MAX)
    }
}

impl Engine {
    /// Sends values of the broker to those who read them, on all shards.
    pub fn publish_system(&mut self, messages: &[Arc<Message>], now: Timestamp) {
        self.take_policy(now);
        for message in messages {
            let route = self.find_route(message.topic());
            if let Some(route) = self.routes.get(route) {
                let publication = message.as_publication();
                self.shard.deliver_all(route, &publication, Some(Arc::clone(message)), now);
            }
        }
    }
}
