//! Retained messages of all topics, each with the user and client that wrote it, because it is
//! delivered only while the writer may still write there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use mqtt::Timestamp;
use parking_lot::RwLock;
use topic::{TopicFilter, TopicName, Tree};

use crate::message::Message;

#[derive(Debug)]
pub(crate) struct RetainedStore {
    inner: RwLock<Inner>,
    messages_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Inner {
    tree: Tree<Arc<Message>>,
    expiries: BTreeSet<(Timestamp, TopicName)>,
    bytes: usize,
}

/// The store has no room for one more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl RetainedStore {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> RetainedStore {
        let inner = Inner { tree: Tree::new(), expiries: BTreeSet::new(), bytes: 0 };
        RetainedStore { inner: RwLock::new(inner), messages_max, bytes_max }
    }

    /// [MQTT-3.3.1-5] Replaces what was retained on the topic. If it does not fit, the old one is
    /// gone all the same: it is not the topic's last message any more.
    /// Topics whose message expired meanwhile go to `expired`.
    pub(crate) fn put(
        &self,
        message: Arc<Message>,
        now: Timestamp,
        expired: &mut Vec<TopicName>,
    ) -> Result<(), RetainedFull> {
        let mut inner = self.inner.write();
        inner.remove_expired(now, expired);
        inner.remove(message.topic());
        let bytes = inner.bytes + message.size();
        if inner.tree.len() >= self.messages_max || bytes > self.bytes_max {
            return Err(RetainedFull);
        }
        inner.bytes = bytes;
        if let Some(at) = message.expires_at() {
            inner.expiries.insert((at, message.topic().clone()));
        }
        let topic = message.topic().clone();
        inner.tree.insert(&topic, message);
        Ok(())
    }

    /// [MQTT-3.3.1-6] An empty payload removes. Says whether there was something.
    pub(crate) fn remove(&self, topic: &TopicName) -> bool {
        self.inner.write().remove(topic)
    }

    /// The topics whose message expired: nothing is retained there any more.
    pub(crate) fn remove_expired(&self, now: Timestamp) -> Vec<TopicName> {
        let mut expired = Vec::new();
        if self.inner.read().expiries.first().is_some_and(|(at, _)| *at <= now) {
            self.inner.write().remove_expired(now, &mut expired);
        }
        expired
    }

    /// The messages on all topics that the filter matches, at most `max`.
    pub(crate) fn matching(
        &self,
        filter: &TopicFilter,
        now: Timestamp,
        max: usize,
    ) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let _all = self.inner.read().tree.visit_matched(filter, |message| {
            if !message.is_expired(now) {
                found.push(Arc::clone(message));
            }
            if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        found
    }

    /// Whether this very message is still its topic's last one.
    pub(crate) fn is_current(&self, message: &Arc<Message>) -> bool {
        let inner = self.inner.read();
        inner.tree.get(message.topic()).is_some_and(|current| Arc::ptr_eq(current, message))
    }

    pub(crate) fn on(&self, topic: &TopicName) -> Option<Arc<Message>> {
        self.inner.read().tree.get(topic).map(Arc::clone)
    }

    pub(crate) fn usage(&self) -> (usize, usize) {
        let inner = self.inner.read();
        (inner.tree.len(), inner.bytes)
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.inner.read().expiries.first().map(|(at, _)| *at)
    }
}

impl Inner {
    fn remove(&mut self, topic: &TopicName) -> bool {
        let Some(old) = self.tree.remove(topic) else { return false };
        self.bytes = self.bytes.saturating_sub(old.size());
        if let Some(at) = old.expires_at() {
            self.expiries.remove(&(at, topic.clone()));
        }
        true
    }

    fn remove_expired(&mut self, now: Timestamp, expired: &mut Vec<TopicName>) {
        while let Some((at, topic)) = self.expiries.first().cloned() {
            if at > now {
                return;
            }
            self.remove(&topic);
            self.expiries.remove(&(at, topic.clone()));
            expired.push(topic);
        }
    }
}
