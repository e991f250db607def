//! The client registry: clients ask to be let in, and an administrator decides.
//!
//! Invariants: it is locked unless somebody has unlocked it, and locks itself again; a request changes nothing about who
//! may do what; a granted one gives exactly what the decision says. Everything that a stranger can fill is bounded: the
//! requests in all and of each source, and how many new ones a source may bring in a time. Each costs at most one
//! password hash, taken in the source's turn. No answer, be it by its code, a limit or its time, tells a stranger whether
//! there is a user of some name.

pub(crate) mod book;
mod clients;
mod decide;
mod register;
mod view;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access::UserName;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use store::{AuditChain, AuditEntry, Change, RegistryChange, RegistryRecord};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::admin::{Admin, Shared};
use crate::attempt::PeerAddress;
use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::AdminError;
use crate::model::{RegistryUnlock, RegistryView, Time};
use crate::pool::Source;
use crate::proof::Tag;
use crate::settings::RegistrySettings;

use book::Channel;
pub use clients::ClientLabel;
pub(crate) use clients::{Attempted, Filing, Stranger, record_filings};
pub use register::RegistrationRefused;

/// The lock, and what is known of requests that is not worth a disk write.
pub(crate) struct Registry {
    settings: RegistrySettings,
    /// 0: locked.
    unlocked_until_ms: AtomicU64,
    traffic: Mutex<Traffic>,
    filings: mpsc::Sender<Filing>,
}

#[derive(Default)]
struct Traffic {
    window_began_at_ms: u64,
    /// New requests of the window.
    counts: HashMap<(Channel, Source), u32>,
    /// Requests that are being hashed or written.
    places: HashMap<(Channel, Box<str>), Source>,
    /// Of requests that are there.
    seen: HashMap<Uuid, Seen>,
}

/// What has happened to a request since the start.
#[derive(Clone, Copy, Default)]
struct Seen {
    attempts: u64,
    other_passwords: u64,
    last: Option<(u64, Option<IpAddr>)>,
    /// The password that was proven to be the request's.
    proven: Option<Tag>,
}

/// Somebody has come with the name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sighting {
    Same,
    Other,
}

/// A place for a request that is being made; free again when it is dropped.
pub(crate) struct Place {
    registry: Arc<Registry>,
    key: (Channel, Box<str>),
}

/// Why there is no place for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoPlace {
    Locked,
    /// One with this name is being made.
    Twice,
    /// There are too many in all.
    Full,
    /// Too many of this source wait.
    FullForSource,
    /// This source has brought too many, and may bring more after this time.
    TooFast {
        retry_after_ms: u64,
    },
}

impl Registry {
    /// Locked, with the requests that MQTT clients will make.
    pub(crate) fn new(settings: RegistrySettings) -> (Arc<Registry>, mpsc::Receiver<Filing>) {
        let (filings, filed) = mpsc::channel(FILINGS_MAX);
        let traffic = Mutex::default();
        let unlocked_until_ms = AtomicU64::new(0);
        (Arc::new(Registry { settings, unlocked_until_ms, traffic, filings }), filed)
    }

    pub(crate) fn is_unlocked(&self, now_ms: u64) -> bool {
        now_ms < self.unlocked_until_ms.load(Ordering::Relaxed)
    }

    /// Whether a request has ended.
    fn is_over(&self, record: &RegistryRecord, now_ms: u64) -> bool {
        now_ms >= self.ends_at_ms(record)
    }

    fn ends_at_ms(&self, record: &RegistryRecord) -> u64 {
        book::counted_from_ms(record).saturating_add(millis(self.settings.expiry))
    }

    /// The request of this name that came this way and has not ended.
    fn live<'d>(
        &self,
        directory: &'d Directory,
        (channel, name): (Channel, &str),
        now_ms: u64,
    ) -> Option<&'d Arc<RegistryRecord>> {
        directory.registry.named(channel, name).filter(|record| !self.is_over(record, now_ms))
    }

    /// Takes a place for a new request, if there is one.
    fn reserve(
        self: &Arc<Self>,
        (channel, name): (Channel, &str),
        source: Source,
        directory: &Directory,
        now_ms: u64,
    ) -> Result<Place, NoPlace> {
        let RegistrySettings { pending_max, pending_per_source_max, .. } = self.settings;
        if !self.is_unlocked(now_ms) {
            return Err(NoPlace::Locked);
        }
        let key = (channel, name.into());
        let mut traffic = self.traffic.lock();
        if traffic.places.contains_key(&key) {
            return Err(NoPlace::Twice);
        }
        let on_their_way = || traffic.places.iter().filter(|((other, _), _)| *other == channel);
        if directory.registry.pending(channel) + on_their_way().count() >= pending_max {
            return Err(NoPlace::Full);
        }
        let of_source = on_their_way().filter(|(_, other)| **other == source).count();
        if directory.registry.pending_of(channel, source) + of_source >= pending_per_source_max {
            return Err(NoPlace::FullForSource);
        }
        self.count(&mut traffic, (channel, source), now_ms)?;
        traffic.places.insert(key.clone(), source);
        drop(traffic);
        Ok(Place { registry: Arc::clone(self), key })
    }

    /// Counts a new request against its source.
    fn count(
        &self,
        traffic: &mut Traffic,
        (channel, source): (Channel, Source),
        now_ms: u64,
    ) -> Result<(), NoPlace> {
        let window_ms = millis(self.settings.window);
        let since_ms = now_ms.saturating_sub(traffic.window_began_at_ms);
        if since_ms >= window_ms {
            traffic.window_began_at_ms = now_ms;
            traffic.counts.clear();
        }
        let retry_after_ms =
            window_ms.saturating_sub(now_ms.saturating_sub(traffic.window_began_at_ms)).max(1);
        let is_known = traffic.counts.contains_key(&(channel, source));
        let sources = || traffic.counts.keys().filter(|(other, _)| *other == channel).count();
        if !is_known && sources() >= SOURCES_MAX {
            return Err(NoPlace::TooFast { retry_after_ms });
        }
        let count = traffic.counts.entry((channel, source)).or_default();
        if *count >= self.settings.new_per_source_max {
            return Err(NoPlace::TooFast { retry_after_ms });
        }
        *count += 1;
        Ok(())
    }

    /// Notes that somebody has come with the name of a request.
    fn saw(&self, id: Uuid, sighting: Sighting, peer: PeerAddress, now_ms: u64) {
        let mut traffic = self.traffic.lock();
        let seen = traffic.seen.entry(id).or_default();
        match sighting {
            Sighting::Same => seen.attempts = seen.attempts.saturating_add(1),
            Sighting::Other => {
                seen.other_passwords = seen.other_passwords.saturating_add(1);
            }
        }
        let address = match peer {
            PeerAddress::Local => None,
            PeerAddress::Network(address) => Some(address.ip()),
        };
        seen.last = Some((now_ms, address));
    }

    fn seen(&self, id: Uuid) -> Seen {
        self.traffic.lock().seen.get(&id).copied().unwrap_or_default()
    }

    fn is_proven(&self, id: Uuid, tag: Tag) -> bool {
        self.seen(id).proven == Some(tag)
    }

    fn remember_proven(&self, id: Uuid, tag: Tag) {
        self.traffic.lock().seen.entry(id).or_default().proven = Some(tag);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.traffic.lock().places.remove(&self.key);
    }
}

impl Admin {
    /// Unlocks the client registry for a time.
    ///
    /// # Errors
    /// If the time is out of bounds, or it cannot be recorded: then it stays as it is.
    pub async fn unlock_registry(
        &self,
        caller: &Caller,
        asked: RegistryUnlock,
    ) -> Result<RegistryView, AdminError> {
        let settings = &self.shared.registry.settings;
        let duration_ms = asked.duration_ms.unwrap_or(millis(settings.unlock_time));
        let longest_ms = millis(settings.unlock_time_max);
        if duration_ms == 0 || duration_ms > longest_ms {
            let reason = format!("must be 1 to {longest_ms}");
            return Err(AdminError::invalid("durationMs", reason));
        }
        let target = json!({ "registry": "clients", "durationMs": duration_ms });
        self.record_action(caller, "registry.unlock", target).await?;
        let until_ms = self.now_ms().saturating_add(duration_ms);
        self.shared.registry.unlocked_until_ms.store(until_ms, Ordering::Relaxed);
        tracing::info!(%caller, duration_ms, "the client registry is unlocked");
        Ok(self.registry(caller))
    }

    /// Locks the client registry. Requests that are there stay.
    ///
    /// # Errors
    /// If it cannot be recorded; it is locked all the same.
    pub async fn lock_registry(&self, caller: &Caller) -> Result<RegistryView, AdminError> {
        self.shared.registry.unlocked_until_ms.store(0, Ordering::Relaxed);
        tracing::info!(%caller, "the client registry is locked");
        let target = json!({ "registry": "clients" });
        self.record_action(caller, "registry.lock", target).await?;
        Ok(self.registry(caller))
    }

    /// Whether the client registry takes new requests.
    #[must_use]
    pub fn registry(&self, _: &Caller) -> RegistryView {
        let until_ms = self.shared.registry.unlocked_until_ms.load(Ordering::Relaxed);
        let unlocked = self.now_ms() < until_ms;
        let pending = {
            let book = &self.shared.directory.read().registry;
            book.pending(Channel::Mqtt) + book.pending(Channel::Rest)
        };
        RegistryView {
            unlocked,
            unlocked_until: unlocked.then_some(Time(until_ms)),
            pending: u64::try_from(pending).unwrap_or(u64::MAX),
        }
    }

    /// Writes a request down, in the place of the one that it replaces, if any.
    ///
    /// # Errors
    /// If there is another of the same name meanwhile, or it cannot be written.
    async fn file_request(
        &self,
        record: RegistryRecord,
        replaces: Option<Uuid>,
    ) -> Result<(), AdminError> {
        let (registry, now_ms) = (Arc::clone(&self.shared.registry), self.now_ms());
        let plan = move |directory: &Directory| {
            let mut changes = Vec::with_capacity(3);
            let (channel, name) = (book::channel(&record), record.username.as_str());
            if let Some(present) = directory.registry.named(channel, name) {
                let gives_way = registry.is_over(present, now_ms)
                    || (Some(present.id) == replaces && book::is_pending(present));
                if !gives_way {
                    return Err(AdminError::Busy);
                }
                changes.push(Change::Registry(RegistryChange::Remove(present.id)));
            }
            changes.push(Change::Record(filed(&record)));
            changes.push(Change::Registry(RegistryChange::File(Box::new(record))));
            Ok((changes, ()))
        };
        self.change(&Caller::Broker, plan, |_, ()| ()).await
    }

    /// Removes requests that have ended, now and then.
    pub(crate) fn sweep_registry(&self) {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            while let Some(shared) = shared.upgrade() {
                if let Err(error) = (Admin { shared }).remove_ended_requests().await {
                    tracing::warn!(%error, "requests that have ended could not be removed");
                }
                tokio::time::sleep(SWEEP_INTERVAL).await;
            }
        });
    }

    async fn remove_ended_requests(&self) -> Result<(), AdminError> {
        let (registry, now_ms) = (Arc::clone(&self.shared.registry), self.now_ms());
        let is_here = |registry: &Registry, directory: &Directory| {
            directory.registry.all().any(|record| registry.is_over(record, now_ms))
        };
        {
            let directory = self.shared.directory.read();
            let mut traffic = registry.traffic.lock();
            traffic.seen.retain(|id, _| directory.registry.get(*id).is_some());
            drop(traffic);
            if !is_here(&registry, &directory) {
                return Ok(());
            }
        }
        let plan = move |directory: &Directory| {
            let over = directory.registry.all().filter(|record| registry.is_over(record, now_ms));
            Ok((over.flat_map(|record| removal(record, now_ms)).collect(), ()))
        };
        self.change(&Caller::Broker, plan, |_, ()| ()).await
    }
}

/// The changes that end a request, recorded where nobody has ever decided on it.
fn removal(record: &RegistryRecord, now_ms: u64) -> Vec<Change> {
    let mut changes = vec![Change::Registry(RegistryChange::Remove(record.id))];
    if book::is_pending(record) {
        let mut details = Map::new();
        details.insert("request".to_owned(), Value::from(record.id.to_string()));
        details.insert("username".to_owned(), Value::from(record.username.as_str()));
        changes.push(Change::Record(AuditEntry {
            chain: AuditChain::Refusals,
            at_ms: now_ms,
            actor: Caller::Broker.audit_name(),
            action: "registry.expire".to_owned(),
            details,
        }));
    }
    changes
}

/// The record of a new request: among the refusals, since strangers make them, and none of theirs may push out what an
/// administrator did.
fn filed(record: &RegistryRecord) -> AuditEntry {
    let mut details = Map::new();
    let mut field = |name: &str, value: Value| {
        details.insert(name.to_owned(), value);
    };
    field("request", Value::from(record.id.to_string()));
    field("username", Value::from(record.username.as_str()));
    field("origin", json!(view::origin(record.origin)));
    field("password", json!(view::password(&record.password)));
    field("csr", Value::from(record.csr.is_some()));
    field("address", Value::from(&*record.address));
    field("listener", Value::from(&*record.listener));
    if let Some(client_id) = &record.client_id {
        field("clientId", Value::from(&**client_id));
    }
    AuditEntry {
        chain: AuditChain::Refusals,
        at_ms: record.created_at_ms,
        actor: record.username.as_str().to_owned(),
        action: "registry.request".to_owned(),
        details,
    }
}

/// The requests of users that the changes remove: whoever takes the name next is another.
pub(crate) fn ended_by(directory: &Directory, changes: &[Change]) -> Vec<Change> {
    let removed = changes.iter().filter_map(|change| match change {
        Change::RemoveUser(user) => Some(*user),
        _ => None,
    });
    let ended = removed.flat_map(|user| directory.registry.granted_to(user));
    ended.map(|record| Change::Registry(RegistryChange::Remove(record.id))).collect()
}

impl Shared {
    /// Whether there is no user of this name.
    fn is_stranger(&self, name: &UserName) -> bool {
        self.directory.read().user_named(name.as_str()).is_none()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Requests of MQTT clients that wait to be written. Full: the newest is not written, and its client tries again.
const FILINGS_MAX: usize = 256;
/// Sources whose new requests are counted. Full: others bring none until the window ends.
const SOURCES_MAX: usize = 4096;
/// How late what has ended may be removed. It counts as ended at once.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
