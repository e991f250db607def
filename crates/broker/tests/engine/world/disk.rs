//! The disk of the fake world: what is durable, and what is left after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{
    Engine, Fetch, FetchContent, Fetched, Hub, Image, Limits, Record, ShardId, StoredDelivery,
};

use super::World;

impl World {
    /// The oldest group becomes durable.
    pub(crate) fn commit(&mut self) {
        let (shard, number, group) = self.commits.pop_front().expect("something to commit");
        self.log.push("commit".into());
        self.disk.extend(group);
        self.engines[shard].committed(number);
    }

    /// The oldest question to the disk is answered, from what is durable now.
    pub(crate) fn answer_fetch(&mut self) {
        let (shard, fetch) = self.fetches.pop_front().expect("something to read");
        let content = FetchContent::Messages(self.waiting_on_disk(&fetch));
        self.answer(shard, fetch.answer(content));
    }

    /// The disk does not answer the oldest question.
    pub(crate) fn fail_fetch(&mut self) {
        let (shard, fetch) = self.fetches.pop_front().expect("something to read");
        self.answer(shard, fetch.answer(FetchContent::Unavailable));
    }

    pub(crate) fn answer(&mut self, shard: usize, answer: Fetched) {
        self.engines[shard].fetched(answer, self.now);
    }

    /// What the disk has of what is asked for.
    pub(crate) fn waiting_on_disk(&self, fetch: &Fetch) -> Vec<(u64, StoredDelivery)> {
        let mut messages = BTreeMap::new();
        for record in &self.disk {
            match record {
                Record::QueuedPut { key, sequence, delivery } if key == fetch.key() => {
                    messages.insert(*sequence, delivery.clone());
                }
                Record::MessageRemove { key, sequence } if key == fetch.key() => {
                    messages.remove(sequence);
                }
                Record::SessionRemove(key) if key == fetch.key() => messages.clear(),
                _ => {}
            }
        }
        messages.retain(|sequence, delivery| {
            let payload = String::from_utf8_lossy(delivery.message.payload());
            fetch.sequences().contains(sequence) && !self.damaged.iter().any(|it| *it == payload)
        });
        messages.into_iter().collect()
    }

    /// All that waits for the disk becomes durable.
    pub(crate) fn commit_all(&mut self) {
        while !self.commits.is_empty() {
            self.commit();
            self.run();
        }
    }

    /// The broker is killed, what was not durable is lost, and a new one starts from the disk after
    /// so many seconds.
    pub(crate) fn crash(&mut self, away_s: u64) {
        let shards = self.engines.len();
        self.crash_into(shards, away_s);
    }

    /// The same, into a broker with other limits.
    pub(crate) fn crash_with(&mut self, shards: usize, limits: Limits, away_s: u64) {
        self.hub = Hub::new(Arc::clone(&self.policy), shards, limits, 7);
        self.crash_into(shards, away_s);
    }

    /// The same, into another number of shards.
    pub(crate) fn crash_into(&mut self, shards: usize, away_s: u64) {
        self.now = self.now.plus_s(away_s);
        for client in &mut self.clients {
            client.is_closed = true;
            client.unread.clear();
        }
        self.between_shards.clear();
        self.commits.clear();
        self.fetches.clear();
        let limits = self.hub.limits().clone();
        self.hub = Hub::new(Arc::clone(&self.policy), shards, limits, 7);
        let mut image = Image::default();
        for record in self.disk.clone() {
            image.take(record);
        }
        self.disk.extend(image.settle());
        self.disk.extend(image.restore_retained(&self.hub, self.now));
        self.uncommitted = (0..shards).map(|_| Vec::new()).collect();
        self.engines = (0..shards)
            .map(|shard| {
                let id = ShardId(u16::try_from(shard).unwrap());
                let mut engine = Engine::new(id, Arc::clone(&self.hub));
                engine.restore(&mut image, self.now);
                engine
            })
            .collect();
        // New connections have ids that old ones may have had.
        for client in &mut self.clients {
            client.shard = usize::MAX;
        }
        self.run();
        self.wait_s(0);
    }

    /// The topics that something is retained on, as the disk has it.
    pub(crate) fn retained_on_disk(&self) -> Vec<String> {
        let mut topics = std::collections::BTreeSet::new();
        for record in &self.disk {
            match record {
                Record::RetainedPut(message) => {
                    topics.insert(message.topic().to_string());
                }
                Record::RetainedRemove(topic) => {
                    topics.remove(topic.as_str());
                }
                _ => {}
            }
        }
        topics.into_iter().collect()
    }
}
