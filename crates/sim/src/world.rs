//! The broker in its world: engines, the ways between them, and a disk.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{AuthMethod, Authenticated, Policy, PolicyChange, Proof};
use arc_swap::ArcSwap;
use broker::{
    Census, Effect, Engine, Fetch, FetchContent, Fetched, Hub, Limits, Record, ShardId,
    ShardMessage, Storage, StoredDelivery,
};
use ledger::Changes;
use mqtt::Timestamp;
use testkit::judge::{Judge, Rights};

use crate::disk::{Disk, Writer};
use crate::mutation::Mutation;
use crate::people::{all_rights, user, user_id};

/// Everything but the network.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) hub: Arc<Hub>,
    pub(crate) engines: Vec<Engine>,
    policy: Arc<ArcSwap<Policy>>,
    /// Shards that do not know the newest policy.
    pub(crate) untold: Vec<bool>,
    /// What is on its way between shards.
    pub(crate) between: Vec<Vec<VecDeque<ShardMessage>>>,
    pub(crate) disk: Disk,
    pub(crate) writer: Writer,
    collecting: Vec<Vec<Record>>,
    /// Groups that wait for the disk, in order.
    pub(crate) pending: VecDeque<(usize, u64, Vec<Record>)>,
    /// Commits of which the shards have not been told.
    pub(crate) committed: VecDeque<(usize, u64)>,
    /// What shards want read, not looked at yet.
    pub(crate) fetches: Vec<(usize, Fetch)>,
    /// What was read, and has not come yet.
    pub(crate) fetched: Vec<(usize, Fetched)>,
    /// Messages dropped by engines that are no more.
    dropped_before: u64,
    hash_seed: u64,
}

impl World {
    pub(crate) fn new(shards: usize, limits: Limits, hash_seed: u64) -> Self {
        let policy = Arc::new(ArcSwap::from_pointee(Policy::empty()));
        let hub = Hub::new(Arc::clone(&policy), shards, limits, hash_seed);
        let engines = (0..shards).map(|it| Engine::new(shard_id(it), Arc::clone(&hub))).collect();
        Self {
            now: 1_000_000,
            hub,
            engines,
            policy,
            untold: vec![false; shards],
            between: ways(shards),
            disk: Disk::default(),
            writer: Writer::default(),
            collecting: vec![Vec::new(); shards],
            pending: VecDeque::new(),
            committed: VecDeque::new(),
            fetches: Vec::new(),
            fetched: Vec::new(),
            dropped_before: 0,
            hash_seed,
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.engines.len()
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Swaps the policy; no shard is told.
    pub(crate) fn put_rights(&mut self, person: usize, rights: &Rights, epoch: u64) {
        let change = if rights.exists {
            PolicyChange::PutUser(user(person, rights, epoch))
        } else {
            PolicyChange::RemoveUser(user_id(person))
        };
        self.policy.store(Arc::new(self.policy.load().apply([change])));
        self.untold.fill(true);
    }

    /// Proof of who this is, unless there is no such user or it may not come in.
    pub(crate) fn prove(&self, person: usize) -> Option<Authenticated> {
        let policy = self.policy.load();
        let user = policy.user(user_id(person))?;
        let credential_epoch = user.credential_epoch();
        let proof = Proof { methods: AuthMethod::Password.into(), credential_epoch };
        Authenticated::prove(user, proof).ok()
    }

    /// What the shard wants done, but for what this world does by itself.
    pub(crate) fn effects(&mut self, shard: usize, lose: impl Fn(&Record) -> bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.engines[shard].poll_effect() {
            match effect {
                Effect::Persist(record) if lose(&record) => {}
                Effect::Persist(record) => self.collecting[shard].push(record),
                Effect::Commit(number) => {
                    let records = std::mem::take(&mut self.collecting[shard]);
                    self.pending.push_back((shard, number, records));
                }
                Effect::Forward(to, message) => {
                    self.between[shard][usize::from(to.0)].push_back(message);
                }
                Effect::Fetch(fetch) => self.fetches.push((shard, *fetch)),
                other => effects.push(other),
            }
        }
        effects
    }

    /// Whether there is anything for the disk.
    pub(crate) fn has_to_write(&self) -> bool {
        !self.pending.is_empty() || self.writer.groups().next().is_some()
    }

    /// The first groups go to the thread that writes.
    pub(crate) fn gather(&mut self, groups: usize) {
        for (shard, number, records) in self.pending.drain(..groups.min(self.pending.len())) {
            self.writer.take(shard, number, &records);
        }
    }

    /// The thread that writes writes what is gathered.
    pub(crate) fn write(&mut self) {
        self.writer.write(&self.hub);
    }

    /// What is gathered and written becomes durable. Gives the shards that have nothing waiting any more.
    pub(crate) fn commit(&mut self, judge: &Judge) -> Vec<usize> {
        self.disk.note(judge);
        self.writer.write(&self.hub);
        for one in self.writer.written.drain(..) {
            self.disk.write(one.changes.folded());
            self.committed.extend(one.groups);
        }
        if std::mem::take(&mut self.writer.has_failed) {
            self.hub.set_storage(Storage::Working);
        }
        self.all_written()
    }

    fn all_written(&self) -> Vec<usize> {
        let has_none = |shard: &usize| {
            self.collecting[*shard].is_empty() && !self.pending.iter().any(|it| it.0 == *shard)
        };
        (0..self.shards()).filter(has_none).collect()
    }

    /// The disk says no, and has as many of what was written, the first ones, nevertheless. All of it will be written again.
    pub(crate) fn fail(&mut self, there: usize, mutation: Option<Mutation>) {
        self.writer.write(&self.hub);
        for one in self.writer.written.iter().take(there) {
            self.disk.write(one.changes.folded());
        }
        self.writer.take_back();
        // Or as if nothing of it could be there.
        if mutation != Some(Mutation::TrustFailure) {
            self.writer.next.changes.are_perhaps_there();
        }
        self.writer.has_failed = true;
        self.hub.set_storage(Storage::Failing);
    }

    /// The broker dies when it has written what is gathered; as many of that, the first ones, are on the disk. Gives the shards all of
    /// whose records are there.
    pub(crate) fn die(&mut self, there: usize, mutation: Option<Mutation>) -> Vec<usize> {
        self.writer.write(&self.hub);
        let is_all = there >= self.writer.written.len();
        let torn = (mutation == Some(Mutation::TearBatch)).then_some(there);
        for (at, one) in self.writer.written.iter().enumerate() {
            if at < there {
                self.disk.write(one.changes.folded());
            } else if torn == Some(at) {
                self.disk.tear(one.changes.folded());
            }
        }
        if is_all { self.all_written() } else { Vec::new() }
    }

    /// Looks up what is wanted by one of those that wait, as the disk has it at this moment.
    pub(crate) fn read_disk(
        &mut self,
        index: usize,
        answers: bool,
        change: impl FnOnce(&Fetch, &mut Vec<(u64, StoredDelivery)>),
    ) {
        let (shard, fetch) = self.fetches.remove(index);
        let mut messages = self.disk.read(&fetch, &self.writer.written);
        change(&fetch, &mut messages);
        let content = FetchContent::Messages(messages);
        let content = if answers { content } else { FetchContent::Unavailable };
        self.fetched.push((shard, fetch.answer(content)));
    }

    /// One of the answers comes, while these may do everything.
    pub(crate) fn take_fetched(&mut self, index: usize, free: Vec<(usize, u64)>) -> usize {
        let (shard, fetched) = self.fetched.remove(index);
        let newest = self.policy.load_full();
        if !free.is_empty() {
            let put = |(person, epoch)| PolicyChange::PutUser(user(person, &all_rights(), epoch));
            self.policy.store(Arc::new(newest.apply(free.into_iter().map(put))));
        }
        self.engines[shard].fetched(fetched, Timestamp(self.now));
        self.policy.store(newest);
        shard
    }

    /// Messages that the disk could not give back, which never happens here.
    pub(crate) fn unreadable(&self) -> u64 {
        self.engines.iter().map(|it| it.counters().dropped.unreadable).sum()
    }

    /// Another broker starts from the disk.
    pub(crate) fn restart(&mut self, judge: &Judge) {
        self.dropped_before = self.dropped();
        let (shards, limits) = (self.shards(), self.hub.limits().clone());
        self.hub = Hub::new(Arc::clone(&self.policy), shards, limits, self.hash_seed);
        self.between = ways(shards);
        self.pending.clear();
        self.committed.clear();
        self.fetches.clear();
        self.fetched.clear();
        self.collecting.iter_mut().for_each(Vec::clear);
        self.untold.fill(false);
        self.writer = Writer::default();
        self.disk.is_failing = false;
        // What was not lost now has reached the disk for good.
        self.disk.settle();
        let (mut image, mut bundles) = self.disk.image(self.hub.limits());
        let mut changes = Changes::default();
        changes.remove_stray_marks(&mut bundles);
        for record in image.settle().iter().chain(&image.restore_retained(&self.hub, self.at())) {
            ledger::put(record, &mut changes);
        }
        self.disk.note(judge);
        self.disk.write(changes.fold(&mut bundles, &self.hub));
        self.writer.bundles = bundles;
        let now = self.at();
        self.engines = (0..shards)
            .map(|shard| {
                let mut engine = Engine::new(shard_id(shard), Arc::clone(&self.hub));
                engine.restore(&mut image, now);
                engine
            })
            .collect();
    }

    /// Messages dropped by a limit so far.
    pub(crate) fn dropped(&self) -> u64 {
        let now: u64 = self.engines.iter().map(|it| it.counters().dropped.total()).sum();
        self.dropped_before + now
    }

    /// What is left anywhere once nobody has anything any more.
    pub(crate) fn leftovers(&self) -> Option<String> {
        let counters: Vec<_> = self.engines.iter().map(Engine::counters).collect();
        if counters.iter().any(|it| (it.connections, it.sessions) != (0, 0)) {
            return Some(format!("{counters:?}"));
        }
        let census: Vec<_> = self.engines.iter().map(Engine::census).collect();
        if census.iter().any(|it| *it != Census::default()) {
            return Some(format!("{census:?}"));
        }
        let hub = (self.hub.connections(), self.hub.will_bytes(), self.hub.retained_usage());
        if self.hub.queue_disk_bytes() != 0 {
            return Some(format!("{} bytes of queues on disk", self.hub.queue_disk_bytes()));
        }
        if let Some((user, bytes)) = self.hub.most_queue_disk_bytes_of_a_user() {
            return Some(format!("{user} is known without a session, with {bytes} bytes on disk"));
        }
        if hub != (0, 0, (0, 0)) {
            return Some(format!("connections, wills and retained: {hub:?}"));
        }
        self.disk.any().map(|left| format!("on disk: {left}"))
    }

    /// What still is to happen in a world in which nobody has anything any more.
    pub(crate) fn timer_left(&self) -> Option<String> {
        let next = self.engines.iter().filter_map(Engine::next_timeout).min();
        next.map(|at| format!("a timer at {at:?}"))
    }
}

fn ways(shards: usize) -> Vec<Vec<VecDeque<ShardMessage>>> {
    (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect()
}

pub(crate) fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("few shards"))
}
