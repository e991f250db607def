//! A run: one step after the other, each drawn, until the steps are used up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use access::UserId;
use broker::{ConnectionId, DeniedPublish, Persistence, StoredDelivery};
use testkit::Version;
use testkit::judge::{Check, Judge, Rights, Setup};

use crate::Outcome;
use crate::choices::Choices;
use crate::client::Client;
use crate::link::Link;
use crate::mutation::Mutation;
use crate::people::{PEOPLE, ROOT, all_rights};
use crate::setting::{bound_memory, draw_limits};
use crate::trace::Trace;
use crate::world::World;

/// Messages that wait for a session, by place.
type Waiting = Vec<(u64, StoredDelivery)>;

/// Everything.
pub(crate) struct Sim {
    pub(crate) choices: Choices,
    pub(crate) world: World,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
    pub(crate) clients: Vec<Client>,
    /// By a number that is never used again.
    pub(crate) links: BTreeMap<usize, Link>,
    pub(crate) ids: HashMap<(usize, ConnectionId), usize>,
    pub(crate) next_link: usize,
    pub(crate) next_number: u32,
    pub(crate) rights: Vec<Rights>,
    pub(crate) epochs: Vec<u64>,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) crashes: usize,
    /// Commits that the disk had confirmed and lost.
    pub(crate) forgotten: usize,
    fetched: usize,
    /// What was last read for a session, for a mutation.
    fetched_before: BTreeMap<(UserId, Arc<str>), Waiting>,
    /// What was first sent as retained on a topic, for another.
    pub(crate) retained_before: BTreeMap<String, [u8; 4]>,
}

impl Sim {
    pub(crate) fn new(mut choices: Choices, mutation: Option<Mutation>) -> Self {
        let shards = 1 + choices.below(4);
        let mut limits = draw_limits(&mut choices);
        let setup = Setup {
            shards,
            people: PEOPLE,
            is_persistent: limits.persistence == Persistence::On,
            in_flight_max: limits.in_flight_max.get(),
            closes_denied: limits.denied_publish == DeniedPublish::Close,
        };
        let kind = choices.below(256);
        bound_memory(&mut limits, kind);
        let seed = u64::try_from(kind).unwrap_or(0);
        let mut clients = Vec::new();
        for person in 0..ROOT {
            for client in 0..CLIENTS_EACH {
                let version = if choices.chance(1, 2) { Version::V5 } else { Version::V311 };
                clients.push(Client::new((person, client), version));
            }
        }
        clients.push(Client::new((ROOT, 0), Version::V5));
        let mut sim = Self {
            choices,
            world: World::new(shards, limits, seed),
            judge: Judge::new(setup),
            trace: Trace::default(),
            clients,
            links: BTreeMap::new(),
            ids: HashMap::new(),
            next_link: 0,
            next_number: 0,
            rights: vec![Rights::default(); PEOPLE],
            epochs: vec![1; PEOPLE],
            mutation,
            crashes: 0,
            forgotten: 0,
            fetched: 0,
            retained_before: BTreeMap::new(),
            fetched_before: BTreeMap::new(),
        };
        sim.world.disk.is_lying = sim.choices.chance(1, 5);
        for person in 0..PEOPLE {
            sim.set_rights(person, all_rights());
        }
        for shard in 0..shards {
            sim.tell_rights(shard);
        }
        sim
    }

    pub(crate) fn run(mut self, steps: usize) -> Outcome {
        for _ in 0..steps {
            if self.choices.are_over() || self.judge.violation().is_some() {
                break;
            }
            self.step();
        }
        if self.judge.violation().is_none() {
            self.finish();
        }
        let (deliveries, acknowledged) = self.judge.deliveries();
        Outcome {
            violation: self.judge.violation().cloned(),
            trace_hash: self.trace.hash(),
            messages: self.judge.messages(),
            deliveries,
            acknowledged,
            crashes: self.crashes,
            forgotten: self.forgotten,
            fetched: self.fetched,
            trace: self.trace.into_lines(),
        }
    }

    fn step(&mut self) {
        let links = || self.links.values();
        let between = self.world.between.iter().flatten().any(|it| !it.is_empty());
        let forbids = self.mutation == Some(Mutation::JudgeFetchedEarly);
        let possible = [
            (100, links().any(Link::has_input)),
            (100, links().any(Link::has_output)),
            (100, links().any(Link::is_readable)),
            (60, between),
            (30, self.world.has_to_write()),
            (30, !self.world.committed.is_empty()),
            (20, true),
            (20, self.world.untold.contains(&true)),
            (120, true),
            (6, true),
            (6, true),
            (1, true),
            (1, true),
            (30, !self.world.fetches.is_empty()),
            (30, !self.world.fetched.is_empty()),
            // Rights that change between writing and reading, so that the mistake can be made at all.
            (60, forbids && !self.world.fetched.is_empty()),
        ];
        let weights = possible.map(|(weight, is_possible)| if is_possible { weight } else { 0 });
        match self.choices.weighted(&weights) {
            0 => self.step_up(),
            1 => self.step_flush(),
            2 => self.step_read(),
            3 => self.step_between(),
            4 => self.step_disk(),
            5 => self.step_committed(),
            6 => self.step_time(),
            7 => self.step_tell(),
            8 => self.step_client(),
            9 => self.step_fault(),
            10 => self.step_rights(),
            11 => self.step_crash(),
            12 => self.step_storage(),
            13 => self.step_fetch(),
            14 => self.step_fetched(),
            _ => self.step_forbid_reading(),
        }
        self.check_limits();
    }

    /// One of the links for which this holds.
    pub(crate) fn any_link(&mut self, fits: impl Fn(&Link) -> bool) -> Option<usize> {
        let fitting: Vec<_> =
            self.links.iter().filter(|(_, it)| fits(it)).map(|(it, _)| *it).collect();
        (!fitting.is_empty()).then(|| self.choices.pick(&fitting))
    }

    pub(crate) fn is_mutated(&mut self, mutation: Mutation, one_in: usize) -> bool {
        self.mutation == Some(mutation) && self.choices.chance(1, one_in)
    }

    fn step_between(&mut self) {
        let between = &self.world.between;
        let all = (0..between.len()).flat_map(|from| (0..between.len()).map(move |to| (from, to)));
        let ways: Vec<_> = all.filter(|(from, to)| !between[*from][*to].is_empty()).collect();
        if ways.is_empty() {
            return;
        }
        let (from, to) = self.choices.pick(&ways);
        self.deliver_between(from, to);
    }

    pub(crate) fn deliver_between(&mut self, from: usize, to: usize) {
        if self.is_mutated(Mutation::SwapForwards, 2) && self.world.between[from][to].len() > 1 {
            self.world.between[from][to].swap(0, 1);
        }
        let Some(message) = self.world.between[from][to].pop_front() else { return };
        self.trace.note(format!("shard {to} takes from {from}"));
        if self.is_mutated(Mutation::LoseForward, 3) {
            return;
        }
        let now = self.world.at();
        self.world.engines[to].handle_message(message, now);
        self.pump(to);
    }

    fn step_disk(&mut self) {
        let groups = self.choices.below(self.world.pending.len() + 1);
        let writer = &self.world.writer;
        let has_room = !writer.has_failed && writer.written.len() < WRITTEN_MAX;
        if has_room && self.choices.chance(1, 3) {
            // It is synced later.
            self.world.gather(groups);
            self.world.write();
            self.trace.note(format!("{groups} groups are written"));
        } else {
            self.write_disk(groups);
        }
    }

    /// The thread that writes takes so many groups more, and what it has is synced.
    pub(crate) fn write_disk(&mut self, groups: usize) {
        self.world.gather(groups);
        if self.world.writer.groups().next().is_none() {
            return;
        }
        if self.world.disk.is_failing {
            return self.fail_to_write();
        }
        self.trace.note(format!("disk takes {:?}", self.world.writer.groups().collect::<Vec<_>>()));
        let is_recovered = self.world.writer.has_failed;
        for shard in self.world.commit(&self.judge) {
            self.judge.make_durable(shard);
        }
        if is_recovered {
            self.judge.set_storage_failing(false);
        }
    }

    fn fail_to_write(&mut self) {
        let there = self.choices.below(self.world.writer.written.len() + 2);
        self.trace.note(format!("disk says no and has {there} of what was written"));
        self.judge.set_storage_failing(true);
        self.world.fail(there, self.mutation);
        if self.mutation == Some(Mutation::ForgetFailure) {
            self.world.writer.next.changes.clear();
        }
        let at = self.world.at();
        for shard in 0..self.world.shards() {
            self.world.engines[shard].storage_failed(at);
            self.pump(shard);
        }
    }

    pub(crate) fn step_committed(&mut self) {
        if self.is_mutated(Mutation::CommitEarly, 2) {
            for (shard, number, _) in &self.world.pending {
                self.world.engines[*shard].committed(*number);
            }
            self.pump_all();
        }
        let Some((shard, number)) = self.world.committed.pop_front() else { return };
        self.trace.note(format!("shard {shard} learns of commit {number}"));
        self.world.engines[shard].committed(number);
        self.pump(shard);
    }

    fn step_fetch(&mut self) {
        let index = self.choices.below(self.world.fetches.len());
        let answers = !self.world.disk.is_failing && !self.choices.chance(1, 20);
        self.read_disk(index, answers);
    }

    /// The disk is read for one of the shards that want it.
    pub(crate) fn read_disk(&mut self, index: usize, answers: bool) {
        let Some((shard, fetch)) = self.world.fetches.get(index) else { return };
        self.trace.note(format!("disk is read for shard {shard}, {answers}: {fetch:?}"));
        let loses = self.is_mutated(Mutation::LoseFetched, 3);
        let swaps = self.is_mutated(Mutation::SwapFetched, 2);
        let is_stale = self.is_mutated(Mutation::StaleFetched, 2);
        let before = &mut self.fetched_before;
        let fetched = &mut self.fetched;
        self.world.read_disk(index, answers, |fetch, messages| {
            *fetched += messages.len();
            let name = (fetch.key().user, Arc::clone(&fetch.key().client_id));
            if let Some(before) = before.get(&name).filter(|_| is_stale) {
                for ((_, now), (_, then)) in messages.iter_mut().zip(before) {
                    *now = broker::StoredDelivery::clone(then);
                }
            }
            before.insert(name, messages.clone());
            if loses {
                messages.pop();
            }
            if swaps && messages.len() > 1 {
                let first = messages[0].1.clone();
                messages[0].1 = std::mem::replace(&mut messages[1].1, first);
            }
        });
    }

    fn step_fetched(&mut self) {
        let index = self.choices.below(self.world.fetched.len());
        self.take_fetched(index);
    }

    /// What was read comes to the shard that wanted it.
    pub(crate) fn take_fetched(&mut self, index: usize) {
        let is_early = self.is_mutated(Mutation::JudgeFetchedEarly, 1);
        let may_come_in = |it: &usize| self.rights[*it].exists && self.rights[*it].is_enabled;
        let everybody = (0..PEOPLE).filter(|it| is_early && may_come_in(it));
        let free = everybody.map(|it| (it, self.epochs[it])).collect();
        let shard = self.world.take_fetched(index, free);
        self.trace.note(format!("shard {shard} gets what was read"));
        self.pump(shard);
        if is_early {
            // Before the engine sees that other rights hold.
            for number in self.links.keys().copied().collect::<Vec<_>>() {
                self.flush(number, usize::MAX);
            }
        }
        if self.world.unreadable() > 0 {
            self.judge.accuse(Check::Lost, "it was not found on disk".to_owned());
        }
    }

    fn step_time(&mut self) {
        let next = self.next_timeout();
        let step = match self.choices.weighted(&[6, 2, 1, 1]) {
            0 => 1 + u64::try_from(self.choices.below(20)).unwrap_or(0),
            1 => next.map_or(10, |at| at.saturating_sub(self.world.now)).min(3_000),
            2 => 1_000,
            _ => 4_000,
        };
        self.world.now += step;
        self.trace.note(format!("time {}", self.world.now));
        self.pass_time();
    }

    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.world.engines.iter().filter_map(broker::Engine::next_timeout).map(|at| at.0).min()
    }

    pub(crate) fn pass_time(&mut self) {
        let (at, now) = (self.world.at(), self.world.now);
        for shard in 0..self.world.shards() {
            self.world.engines[shard].handle_timeout(at);
            self.judge.pass_time(shard, now);
            self.pump(shard);
        }
    }

    fn step_tell(&mut self) {
        let untold = (0..self.world.shards()).find(|it| self.world.untold[*it]);
        if let Some(shard) = untold {
            self.tell_rights(shard);
        }
    }

    pub(crate) fn tell_rights(&mut self, shard: usize) {
        self.trace.note(format!("shard {shard} is told of rights"));
        self.world.untold[shard] = false;
        let at = self.world.at();
        self.world.engines[shard].policy_changed(at);
        self.judge.tell_shard(shard, self.world.now);
        self.pump(shard);
    }

    pub(crate) fn set_rights(&mut self, person: usize, rights: Rights) {
        self.trace.note(format!("rights of {person}: {rights:?}"));
        if self.mutation != Some(Mutation::HideRights) || self.world.now == 1_000_000 {
            self.world.put_rights(person, &rights, self.epochs[person]);
        }
        self.judge.change_rights(person, rights.clone());
        self.rights[person] = rights;
    }

    fn check_limits(&mut self) {
        let limits = self.world.hub.limits();
        let shrink = usize::from(self.mutation == Some(Mutation::ShrinkLimits)) * 4;
        let queued_max = limits.queue_messages_max.min(5) - shrink.min(4);
        let is_small = limits.queue_messages_max <= 5 || shrink > 0;
        let (in_flight_max, output_max) = (limits.in_flight_max.get(), limits.outbox_bytes_max);
        let retained_max = limits.retained_messages_max;
        let mut wrong = None;
        for engine in &self.world.engines {
            for view in engine.clients() {
                if is_small && view.queued > queued_max {
                    wrong = Some(format!("{} messages queued", view.queued));
                }
                if view.in_flight > usize::from(in_flight_max) + WINDOW_SPARE {
                    wrong = Some(format!("{} messages in flight", view.in_flight));
                }
            }
        }
        for ((shard, id), _) in self.ids.iter() {
            let length = self.world.engines[*shard].output(*id).len();
            if length > output_max + OUTPUT_SPARE {
                wrong = Some(format!("{length} bytes of output"));
            }
        }
        if self.world.hub.retained_usage().0 > retained_max {
            wrong = Some("too many retained messages".to_owned());
        }
        if let Some(text) = wrong {
            self.judge.accuse(Check::Limit, text);
        }
    }
}

/// Clients of each person but the last.
const CLIENTS_EACH: usize = 3;
/// Exchanges of former connections, which do not count against the window of this one.
const WINDOW_SPARE: usize = 64;
/// Acknowledgements and the like, which no limit stops.
const OUTPUT_SPARE: usize = 2_000;
/// Groups that are written and not synced, at most.
const WRITTEN_MAX: usize = 3;
