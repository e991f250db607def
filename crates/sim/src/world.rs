//! The broker in its world: engines, the ways between them, and a disk.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{AuthMethod, Authenticated, Policy, PolicyChange, Proof};
use arc_swap::ArcSwap;
use broker::{
    Census, Effect, Engine, Fetch, FetchContent, Fetched, Hub, Image, Limits, Persistence, Record,
    ShardId, ShardMessage, StoredDelivery,
};
use mqtt::Timestamp;
use testkit::judge::Rights;

use crate::disk::Disk;
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
    disk: Disk,
    collecting: Vec<Vec<Record>>,
    /// Groups that wait for the disk, in order.
    pub(crate) pending: VecDeque<(usize, u64, Vec<Record>)>,
    /// Commits of which the shards have not been told.
    pub(crate) committed: VecDeque<(usize, u64)>,
    pub(crate) is_disk_failing: bool,
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
            collecting: vec![Vec::new(); shards],
            pending: VecDeque::new(),
            committed: VecDeque::new(),
            is_disk_failing: false,
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

    pub(crate) fn is_persistent(&self) -> bool {
        self.hub.limits().persistence == Persistence::On
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

    /// The first groups become durable. Gives the shards that have none waiting any more.
    pub(crate) fn write_disk(&mut self, groups: usize) -> Vec<usize> {
        for _ in 0..groups {
            let Some((shard, number, records)) = self.pending.pop_front() else { break };
            for record in records {
                self.disk.write(as_written(record, &self.hub));
            }
            self.committed.push_back((shard, number));
        }
        let has_none = |shard: &usize| {
            self.collecting[*shard].is_empty() && !self.pending.iter().any(|it| it.0 == *shard)
        };
        (0..self.shards()).filter(has_none).collect()
    }

    /// Looks up what is wanted by one of those that wait, as the disk has it at this moment.
    pub(crate) fn read_disk(
        &mut self,
        index: usize,
        answers: bool,
        change: impl FnOnce(&Fetch, &mut Vec<(u64, StoredDelivery)>),
    ) {
        let (shard, fetch) = self.fetches.remove(index);
        let mut messages = self.disk.read(&fetch);
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

    /// The broker dies, and another starts from the disk.
    pub(crate) fn restart(&mut self) {
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
        self.is_disk_failing = false;
        let mut image = self.image();
        let settled = image.settle();
        let forgotten = image.restore_retained(&self.hub, self.at());
        settled.into_iter().chain(forgotten).for_each(|it| self.disk.write(it));
        let now = self.at();
        self.engines = (0..shards)
            .map(|shard| {
                let mut engine = Engine::new(shard_id(shard), Arc::clone(&self.hub));
                engine.restore(&mut image, now);
                engine
            })
            .collect();
    }

    fn image(&self) -> Image {
        if self.is_persistent() { self.disk.image(self.hub.limits()) } else { Image::default() }
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
        if hub != (0, 0, (0, 0)) {
            return Some(format!("connections, wills and retained: {hub:?}"));
        }
        let mut image = self.image();
        let strays = image.settle();
        let counts = image.counts();
        (counts != (0, 0) || !strays.is_empty()).then(|| format!("on disk: {counts:?}, {strays:?}"))
    }

    /// What still is to happen in a world in which nobody has anything any more.
    pub(crate) fn timer_left(&self) -> Option<String> {
        let next = self.engines.iter().filter_map(Engine::next_timeout).min();
        next.map(|at| format!("a timer at {at:?}"))
    }
}

/// As the writer of the state log has it: what is retained is asked of the hub at that moment.
fn as_written(record: Record, hub: &Hub) -> Record {
    let topic = match &record {
        Record::RetainedPut(message) => message.topic().clone(),
        Record::RetainedRemove(topic) => topic.clone(),
        _ => return record,
    };
    hub.retained_on(&topic).map_or(Record::RetainedRemove(topic), Record::RetainedPut)
}

fn ways(shards: usize) -> Vec<Vec<VecDeque<ShardMessage>>> {
    (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect()
}

pub(crate) fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("few shards"))
}
