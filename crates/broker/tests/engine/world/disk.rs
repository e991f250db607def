//! The disk of the fake world: what is durable, and what is left after a crash.

use std::sync::Arc;

use broker::{Engine, Hub, Image, Record, ShardId};

use super::World;

impl World {
    /// The oldest group becomes durable.
    pub(crate) fn commit(&mut self) {
        let (shard, number, group) = self.commits.pop_front().expect("something to commit");
        self.log.push("commit".into());
        self.disk.extend(group);
        self.engines[shard].committed(number);
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

    /// The same, into another number of shards.
    pub(crate) fn crash_into(&mut self, shards: usize, away_s: u64) {
        self.now = self.now.plus_s(away_s);
        for client in &mut self.clients {
            client.is_closed = true;
            client.unread.clear();
        }
        self.between_shards.clear();
        self.commits.clear();
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
