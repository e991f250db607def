//! Every request in memory, found by id, and by its name and the way it came.
//!
//! Invariant: it holds what the store holds. A request that has ended is still there until it is removed, so whoever
//! looks for one gives the time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use access::UserId;
use store::{RegistryChange, RegistryOrigin, RegistryPassword, RegistryRecord, RegistryState};
use uuid::Uuid;

use crate::hash::{HashError, ParsedHash};
use crate::pool::Source;

/// All requests.
#[derive(Default)]
pub(crate) struct RegistryBook {
    by_id: HashMap<Uuid, Arc<RegistryRecord>>,
    by_name: HashMap<(Channel, Box<str>), Uuid>,
    /// In the order of lists: by age.
    in_order: BTreeMap<(u64, Uuid), Arc<RegistryRecord>>,
    /// How many of each source wait for a decision.
    pending: HashMap<(Channel, Source), usize>,
    pending_in_all: HashMap<Channel, usize>,
}

/// The way that a request came. What comes by the one is never counted with or compared with the other: MQTT clients
/// are recorded only if they are no users, and answers over REST must not show who was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Channel {
    Mqtt,
    Rest,
}

impl RegistryBook {
    /// # Errors
    /// If the password of a request in store is no hash, with the request's name.
    pub(crate) fn new(records: Vec<RegistryRecord>) -> Result<RegistryBook, (String, HashError)> {
        let mut book = RegistryBook::default();
        for record in records {
            if let RegistryPassword::Kept(hash) = &record.password {
                let parsed = ParsedHash::parse(hash);
                parsed.map_err(|error| (record.username.as_str().to_owned(), error))?;
            }
            book.put(record);
        }
        Ok(book)
    }

    /// Makes a change that is on disk.
    pub(crate) fn apply(&mut self, change: &RegistryChange) {
        match change {
            RegistryChange::File(record) | RegistryChange::Decide(record) => {
                self.put((**record).clone());
            }
            RegistryChange::Remove(id) => self.remove(*id),
        }
    }

    fn put(&mut self, record: RegistryRecord) {
        self.remove(record.id);
        let channel = channel(&record);
        if is_pending(&record) {
            *self.pending.entry((channel, source(&record))).or_default() += 1;
            *self.pending_in_all.entry(channel).or_default() += 1;
        }
        let record = Arc::new(record);
        self.by_name.insert((channel, record.username.as_str().into()), record.id);
        self.in_order.insert((record.created_at_ms, record.id), Arc::clone(&record));
        self.by_id.insert(record.id, record);
    }

    fn remove(&mut self, id: Uuid) {
        let Some(record) = self.by_id.remove(&id) else { return };
        self.in_order.remove(&(record.created_at_ms, id));
        let channel = channel(&record);
        if is_pending(&record) {
            if let Some(count) = self.pending_in_all.get_mut(&channel) {
                *count -= 1;
            }
            let place = (channel, source(&record));
            if let Some(count) = self.pending.get_mut(&place) {
                *count -= 1;
                if *count == 0 {
                    self.pending.remove(&place);
                }
            }
        }
        let name = (channel, record.username.as_str().into());
        // Another may have come in its place.
        if self.by_name.get(&name) == Some(&id) {
            self.by_name.remove(&name);
        }
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&Arc<RegistryRecord>> {
        self.by_id.get(&id)
    }

    pub(crate) fn named(&self, channel: Channel, name: &str) -> Option<&Arc<RegistryRecord>> {
        self.by_id.get(self.by_name.get(&(channel, name.into()))?)
    }

    /// Whether any came this way.
    pub(crate) fn has_any(&self, wanted: Channel) -> bool {
        self.all().any(|record| channel(record) == wanted)
    }

    /// All, the oldest first.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Arc<RegistryRecord>> {
        self.in_order.values()
    }

    /// How many wait for a decision: of the way that has most, and of the source.
    pub(crate) fn most_pending(&self) -> (usize, usize) {
        let most = |counts: &mut dyn Iterator<Item = &usize>| counts.copied().max().unwrap_or(0);
        (most(&mut self.pending_in_all.values()), most(&mut self.pending.values()))
    }

    /// How many that came this way wait for a decision.
    pub(crate) fn pending(&self, channel: Channel) -> usize {
        self.pending_in_all.get(&channel).copied().unwrap_or_default()
    }

    /// How many that came this way from this source wait for a decision.
    pub(crate) fn pending_of(&self, channel: Channel, source: Source) -> usize {
        self.pending.get(&(channel, source)).copied().unwrap_or_default()
    }

    /// Those of users that were made.
    pub(crate) fn granted_to(&self, wanted: UserId) -> impl Iterator<Item = &Arc<RegistryRecord>> {
        self.all().filter(
            move |it| matches!(&it.state, RegistryState::Granted { user, .. } if *user == wanted),
        )
    }
}

pub(crate) fn is_pending(record: &RegistryRecord) -> bool {
    matches!(record.state, RegistryState::Pending)
}

/// When a request was filed or, if it was, decided.
pub(crate) fn counted_from_ms(record: &RegistryRecord) -> u64 {
    match &record.state {
        RegistryState::Pending => record.created_at_ms,
        RegistryState::Granted { at_ms, .. } | RegistryState::Denied { at_ms } => *at_ms,
    }
}

/// Which way a request came.
pub(crate) fn channel(record: &RegistryRecord) -> Channel {
    match record.origin {
        RegistryOrigin::Mqtt | RegistryOrigin::MqttCertificate => Channel::Mqtt,
        RegistryOrigin::Rest => Channel::Rest,
    }
}

/// Where a request came from.
pub(crate) fn source(record: &RegistryRecord) -> Source {
    record.address.parse::<SocketAddr>().map_or(Source::Local, |it| Source::of(it.ip()))
}
