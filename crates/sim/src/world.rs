//! The broker in its world: engines, the ways between them, and a disk.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{AuthMethod, Authenticated, Policy, PolicyChange, Proof};
use arc_swap::ArcSwap;
use broker::{
    Census, Effect, Engine, Hub, Image, Limits, Persistence, Record, ShardId, ShardMessage,
};
use mqtt::Timestamp;
use testkit::judge::Rights;

use crate::people::{user, user_id};

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
    disk: Vec<Record>,
    collecting: Vec<Vec<Record>>,
    /// Groups that wait for the disk, in order.
    pub(crate) pending: VecDeque<(usize, u64, Vec<Record>)>,
    /// Commits of which the shards have not been told.
    pub(crate) committed: VecDeque<(usize, u64)>,
    pub(crate) is_disk_failing: bool,
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
            disk: Vec::new(),
            collecting: vec![Vec::new(); shards],
            pending: VecDeque::new(),
            committed: VecDeque::new(),
            is_disk_failing: false,
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
                self.disk.push(as_written(record, &self.hub));
            }
            self.committed.push_back((shard, number));
        }
        let has_none = |shard: &usize| {
            self.collecting[*shard].is_empty() && !self.pending.iter().any(|it| it.0 == *shard)
        };
        (0..self.shards()).filter(has_none).collect()
    }

    /// The broker dies, and another starts from the disk.
    pub(crate) fn restart(&mut self) {
        self.dropped_before = self.dropped();
        let (shards, limits) = (self.shards(), self.hub.limits().clone());
        self.hub = Hub::new(Arc::clone(&self.policy), shards, limits, self.hash_seed);
        self.between = ways(shards);
        self.pending.clear();
        self.committed.clear();
        self.collecting.iter_mut().for_each(Vec::clear);
        self.untold.fill(false);
        self.is_disk_failing = false;
        let mut image = self.image();
        let settled = image.settle();
        let forgotten = image.restore_retained(&self.hub, self.at());
        self.disk.extend(settled.into_iter().chain(forgotten));
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
        let mut image = Image::default();
        if self.is_persistent() {
            self.disk.iter().for_each(|record| image.take(record.clone()));
        }
        image
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
