//! What is durable: all records in order, and of what waits for sessions where it lies.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::UserId;
use broker::{Fetch, Image, Limits, Record, SessionKey, StoredDelivery};

#[derive(Default)]
pub(crate) struct Disk {
    /// All but what waits.
    records: Vec<Record>,
    waiting: BTreeMap<(UserId, Arc<str>), BTreeMap<u64, StoredDelivery>>,
}

impl Disk {
    pub(crate) fn write(&mut self, record: Record) {
        match record {
            Record::QueuedPut { key, sequence, delivery } => {
                self.waiting.entry(name(&key)).or_default().insert(sequence, delivery);
            }
            Record::MessageRemove { key, sequence } => {
                if let Some(waiting) = self.waiting.get_mut(&name(&key)) {
                    waiting.remove(&sequence);
                }
            }
            Record::SessionRemove(ref key) => {
                self.waiting.remove(&name(key));
                self.records.push(record);
            }
            record => self.records.push(record),
        }
    }

    /// What is there of what is wanted.
    pub(crate) fn read(&self, fetch: &Fetch) -> Vec<(u64, StoredDelivery)> {
        let Some(waiting) = self.waiting.get(&name(fetch.key())) else { return Vec::new() };
        let found = fetch.sequences().iter().filter_map(|it| waiting.get_key_value(it));
        found.map(|(sequence, delivery)| (*sequence, delivery.clone())).collect()
    }

    /// What a start makes of it: of a long queue only the head is read.
    pub(crate) fn image(&self, limits: &Limits) -> Image {
        let mut image = Image::default();
        self.records.iter().for_each(|record| image.take(record.clone()));
        for ((user, client_id), waiting) in &self.waiting {
            for (sequence, delivery) in waiting {
                let key = SessionKey { user: *user, client_id: Arc::clone(client_id) };
                let sequence = *sequence;
                if image.wants(&key, sequence, limits) {
                    let delivery = delivery.clone();
                    image.take(Record::QueuedPut { key, sequence, delivery });
                } else {
                    image.take_behind(key, sequence, delivery.message.size());
                }
            }
        }
        image
    }
}

fn name(key: &SessionKey) -> (UserId, Arc<str>) {
    (key.user, Arc::clone(&key.client_id))
}
