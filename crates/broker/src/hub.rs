//! What all shards share: subscriptions, retained messages, the policy, and the counts that bound
//! the whole broker. The hot path reads only generations of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use access::{Policy, UserId};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use mqtt::ReasonCode;
use parking_lot::Mutex;
use topic::TopicName;

use crate::budget::Budgets;
use crate::disk_share::DiskShare;
use crate::limits::Limits;
use crate::memory::{Memory, MemoryGauge, OUTBOX_PART};
use crate::message::Message;
use crate::retained::RetainedStore;
use crate::subscription_table::SubscriptionTable;

/// The shared part of a broker; each [`crate::Engine`] is made on it.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    run: u32,
    shards: usize,
    policy: Arc<ArcSwap<Policy>>,
    pub(crate) table: SubscriptionTable,
    pub(crate) retained: RetainedStore,
    hash_seed: u64,
    connections: AtomicUsize,
    will_bytes: AtomicUsize,
    /// Shared with every queue that has a part in it.
    queue_disk_bytes: Arc<AtomicUsize>,
    storage: AtomicU8,
    /// Either storage or memory is not what it should be.
    is_strained: AtomicBool,
    memory: MemoryGauge,
    /// What an outbox may hold at the moment.
    outbox_bytes_max: AtomicUsize,
    pub(crate) budgets: Budgets,
    pub(crate) system: RetainedStore,
    sessions: Mutex<SessionCounts>,
}

/// Whether records can be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// They can.
    Working,
    /// They wait until there is room on the disk again: what needs it is refused with 0x97.
    Full,
    /// They wait until the disk takes them again: what needs it is refused with 0x83.
    Failing,
    /// They wait for a disk that says neither yes nor no: what needs it is refused with 0x83.
    Stalled,
}

impl Storage {
    const fn level(self) -> u8 {
        match self {
            Storage::Working => 0,
            Storage::Full => 1,
            Storage::Failing => 2,
            Storage::Stalled => 3,
        }
    }
}

/// The limit that a storage is that does not take anything, in refusals.
pub(crate) const STORAGE: &str = "storage";
/// The same, for want of room.
pub(crate) const STORAGE_FULL: &str = "storage_full";

/// What a peer is told when this limit is in its way.
pub(crate) fn limit_reason(limit: &str) -> ReasonCode {
    if limit == STORAGE {
        // A disk that is broken is not the client's quota.
        ReasonCode::ImplementationSpecificError
    } else {
        ReasonCode::QuotaExceeded
    }
}

/// The limit that a publish budget is, in refusals.
pub(crate) const BUDGET: &str = "publish_budget";

#[derive(Debug, Default)]
struct SessionCounts {
    total: usize,
    by_user: HashMap<UserId, OfUser>,
}

/// What the sessions of one user have together.
#[derive(Debug, Default)]
struct OfUser {
    sessions: usize,
    will_bytes: usize,
    /// Shared with every queue that has a part in it, all of which are queues of these sessions.
    queue_disk_bytes: Arc<AtomicUsize>,
}

impl SessionCounts {
    fn of(&mut self, user: UserId) -> &mut OfUser {
        self.by_user.entry(user).or_default()
    }

    fn change(&mut self, user: UserId, change: impl FnOnce(&mut OfUser)) {
        let Some(of_user) = self.by_user.get_mut(&user) else { return };
        change(of_user);
        if of_user.sessions == 0 && of_user.will_bytes == 0 {
            self.by_user.remove(&user);
        }
    }

    fn most(&self, of: impl Fn(&OfUser) -> usize) -> Option<(UserId, usize)> {
        self.by_user.iter().map(|(user, it)| (*user, of(it))).max_by_key(|(_, amount)| *amount)
    }
}

impl Hub {
    /// A hub for `shards` engines (1 to 65,535) that judge by whatever `policy` holds. `hash_seed` is
    /// random and secret, so that no peer can choose names that collide.
    #[must_use]
    pub fn new(
        policy: Arc<ArcSwap<Policy>>,
        shards: usize,
        limits: Limits,
        hash_seed: u64,
    ) -> Arc<Hub> {
        Hub::of_run(0, policy, shards, limits, hash_seed)
    }

    /// The same for a broker that has run before: `run` is another one each time, so that a decision has
    /// a number that none had before.
    #[must_use]
    pub fn of_run(
        run: u32,
        policy: Arc<ArcSwap<Policy>>,
        shards: usize,
        limits: Limits,
        hash_seed: u64,
    ) -> Arc<Hub> {
        let outbox_bytes_max = AtomicUsize::new(limits.outbox_bytes_max);
        Arc::new(Hub {
            run,
            shards: shards.clamp(1, usize::from(u16::MAX)),
            retained: RetainedStore::new(limits.retained_messages_max, limits.retained_bytes_max),
            limits,
            policy,
            table: SubscriptionTable::new(),
            hash_seed,
            connections: AtomicUsize::new(0),
            will_bytes: AtomicUsize::new(0),
            queue_disk_bytes: Arc::new(AtomicUsize::new(0)),
            storage: AtomicU8::new(Storage::Working.level()),
            is_strained: AtomicBool::new(false),
            memory: MemoryGauge::default(),
            outbox_bytes_max,
            budgets: Budgets::default(),
            system: RetainedStore::new(usize::MAX, usize::MAX),
            sessions: Mutex::new(SessionCounts::default()),
        })
    }

    /// The bounds of the broker.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// How many engines share this hub.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// How many messages are retained, and their bytes.
    #[must_use]
    pub fn retained_usage(&self) -> (usize, usize) {
        self.retained.usage()
    }

    /// Live connections of all shards.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Bytes of all queues that are on disk only, or will be with the next commit.
    #[must_use]
    pub fn queue_disk_bytes(&self) -> usize {
        self.queue_disk_bytes.load(Ordering::Relaxed)
    }

    /// The user whose queues have most on disk only, and how many bytes.
    #[must_use]
    pub fn most_queue_disk_bytes_of_a_user(&self) -> Option<(UserId, usize)> {
        self.sessions.lock().most(|it| it.queue_disk_bytes.load(Ordering::Relaxed))
    }

    /// For a queue of this user that has nothing on disk yet.
    pub(crate) fn disk_share(&self, user: UserId) -> DiskShare {
        let of_user = Arc::clone(&self.sessions.lock().of(user).queue_disk_bytes);
        DiskShare::new(of_user, Arc::clone(&self.queue_disk_bytes))
    }

    /// Says whether records can be made durable. While not, what needs that is refused.
    pub fn set_storage(&self, storage: Storage) {
        self.storage.store(storage.level(), Ordering::Relaxed);
        self.set_strained();
    }

    /// Says that storage is `to` now, if it was `from`: whoever watches it from outside does not know what it has said
    /// itself meanwhile. True if so.
    pub fn move_storage(&self, from: Storage, to: Storage) -> bool {
        let (order, former) = (Ordering::Relaxed, from.level());
        let is_moved = self.storage.compare_exchange(former, to.level(), order, order).is_ok();
        self.set_strained();
        is_moved
    }

    /// Says how short memory is. Each engine is to be told by [`crate::Engine::memory_changed`] as well.
    pub fn set_memory(&self, memory: Memory) {
        let max = self.limits.outbox_bytes_max;
        let outbox = if memory == Memory::Full { max / OUTBOX_PART } else { max };
        self.outbox_bytes_max.store(outbox, Ordering::Relaxed);
        self.memory.set(memory);
        self.set_strained();
    }

    /// How short memory is.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory.get()
    }

    /// Sessions of all shards.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.lock().total
    }

    /// The user that has the most sessions, and how many.
    #[must_use]
    pub fn most_sessions_of_a_user(&self) -> Option<(UserId, usize)> {
        self.sessions.lock().most(|it| it.sessions)
    }

    /// The user whose wills are the largest together, and their bytes.
    #[must_use]
    pub fn most_will_bytes_of_a_user(&self) -> Option<(UserId, usize)> {
        self.sessions.lock().most(|it| it.will_bytes)
    }

    pub(crate) fn outbox_bytes_max(&self) -> usize {
        self.outbox_bytes_max.load(Ordering::Relaxed)
    }

    /// Whether anything but what is short on its own is in the way of a message.
    pub(crate) fn is_strained(&self) -> bool {
        self.is_strained.load(Ordering::Relaxed)
    }

    fn set_strained(&self) {
        let is_strained = self.is_storage_failing() || self.memory() == Memory::Full;
        self.is_strained.store(is_strained, Ordering::Relaxed);
    }

    pub(crate) fn is_storage_failing(&self) -> bool {
        self.storage() != Storage::Working
    }

    /// The limit that storage is at the moment, if it is one.
    pub(crate) fn storage_limit(&self) -> Option<&'static str> {
        match self.storage() {
            Storage::Working => None,
            Storage::Full => Some(STORAGE_FULL),
            Storage::Failing | Storage::Stalled => Some(STORAGE),
        }
    }

    /// Whether records can be made durable.
    #[must_use]
    pub fn storage(&self) -> Storage {
        match self.storage.load(Ordering::Relaxed) {
            0 => Storage::Working,
            1 => Storage::Full,
            2 => Storage::Failing,
            _ => Storage::Stalled,
        }
    }

    /// What is retained on this topic now: the truth for a record that says it has changed.
    #[must_use]
    pub fn retained_on(&self, topic: &TopicName) -> Option<Arc<Message>> {
        self.retained.on(topic)
    }

    pub(crate) fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    pub(crate) fn is_policy(&self, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.policy.load(), policy)
    }

    /// Takes a place for a connection, if one is left.
    pub(crate) fn enter_connection(&self, is_takeover: bool) -> Result<(), &'static str> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before >= self.limits.connections_max && !is_takeover {
            self.leave_connection();
            return Err("connections_max");
        }
        Ok(())
    }

    pub(crate) fn leave_connection(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes of the wills of all sessions.
    #[must_use]
    pub fn will_bytes(&self) -> usize {
        self.will_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn will_bytes_of(&self, user: UserId) -> usize {
        self.sessions.lock().by_user.get(&user).map_or(0, |it| it.will_bytes)
    }

    pub(crate) fn enter_will(&self, user: UserId, bytes: usize) {
        self.will_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sessions.lock().of(user).will_bytes += bytes;
    }

    pub(crate) fn leave_will(&self, user: UserId, bytes: usize) {
        self.will_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let mut sessions = self.sessions.lock();
        sessions.change(user, |it| it.will_bytes = it.will_bytes.saturating_sub(bytes));
    }

    /// Takes a place for a session of this user, if one is left.
    pub(crate) fn enter_session(&self, user: UserId) -> Result<(), &'static str> {
        let mut sessions = self.sessions.lock();
        if sessions.total >= self.limits.sessions_max {
            return Err("sessions_max");
        }
        let of_user = sessions.of(user);
        if of_user.sessions >= self.limits.sessions_per_user_max {
            return Err("sessions_per_user_max");
        }
        of_user.sessions += 1;
        sessions.total += 1;
        Ok(())
    }

    /// Takes the place back that a session gave up a moment ago for its successor.
    pub(crate) fn enter_session_again(&self, user: UserId) {
        let mut sessions = self.sessions.lock();
        sessions.of(user).sessions += 1;
        sessions.total += 1;
    }

    pub(crate) fn leave_session(&self, user: UserId) {
        let mut sessions = self.sessions.lock();
        sessions.total = sessions.total.saturating_sub(1);
        sessions.change(user, |it| it.sessions = it.sessions.saturating_sub(1));
    }
}
