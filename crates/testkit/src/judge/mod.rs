//! What a broker may and must do, judged from outside.
//!
//! The judge sees what went in (rights, packets that were taken), what came out (bytes), and what went wrong (crashes,
//! lost connections). It has a model of its own, as plain as the standard's words, and shares no code with the broker.
//! Where an input leaves open what the broker makes of it, such as a crash before anything was confirmed, both
//! ways are taken for good.

mod ending;
mod input;
mod line;
mod matching;
mod message;
mod output;
mod rights;
mod session;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use input::{Hello, Taken, Wish};
pub use message::Sent;
pub use rights::{Rights, Rule};

use line::Line;
use message::Message;
use rights::History;
use session::Session;

/// What a broker was found to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Bytes or packets that the standard does not allow.
    Protocol,
    /// A message for somebody who may not read it, or by somebody who may not write it.
    Rights,
    /// A message for a session without a subscription to it.
    Uninvited,
    /// A message that was confirmed has not come.
    Lost,
    /// A message more often than its QoS allows.
    Twice,
    /// A message before an earlier one of its sender and topic.
    Order,
    /// A session that is there and should not be, or the other way round.
    Session,
    /// More in transit than the client takes.
    Quota,
    /// A packet id that is in use.
    PacketId,
    /// A retained message that was replaced, or whose writer had no right any more.
    Retained,
    /// A will that was not to be sent.
    Will,
    /// More in store than a limit says.
    Limit,
    /// Something that is never finished.
    Stuck,
    /// Something is left when all is over.
    Leftover,
    /// Something is on disk that belongs to nothing.
    Stray,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of which kind.
    pub check: Check,
    /// What exactly.
    pub text: String,
}

/// What the judge has to know of the broker.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its shards.
    pub shards: usize,
    /// People who may have rights.
    pub people: usize,
    /// Whether it keeps anything over a crash.
    pub is_persistent: bool,
    /// QoS 1 and 2 messages in transit to one client, at most.
    pub in_flight_max: u16,
    /// Whether it cuts off who publishes without the right to, where it cannot say so.
    pub closes_denied: bool,
}

/// The judge.
#[derive(Clone, Debug)]
pub struct Judge {
    setup: Setup,
    history: History,
    /// By person and client.
    sessions: BTreeMap<(usize, usize), Session>,
    /// Sessions that ended, by serial, with whose they were: what their connections had waiting is still written.
    over: BTreeMap<u64, ((usize, usize), Session)>,
    /// Sessions that ended, which a crash could bring back, with their shards.
    ghosts: BTreeMap<(usize, usize), usize>,
    lines: BTreeMap<usize, Line>,
    messages: BTreeMap<u32, Message>,
    /// Messages that a crash could take back, by shard.
    unconfirmed: Vec<BTreeSet<u32>>,
    retained: BTreeMap<String, Vec<Kept>>,
    /// Wills that will not be sent, unless a crash undoes that, with their shards.
    cancelled: Vec<(usize, u32)>,
    serial: u64,
    /// Counts what happens.
    time: u64,
    is_storage_failing: bool,
    dropped: u64,
    violation: Option<Violation>,
}

/// A message that is or was retained.
#[derive(Clone, Debug)]
struct Kept {
    number: u32,
    /// When another took its place, surely.
    replaced: Option<u64>,
    /// By which message; 0: by an empty one.
    by: u32,
    /// A crash cannot undo that.
    is_confirmed: bool,
    /// The one that did it.
    shard: usize,
}

impl Judge {
    /// Before anything has happened.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            history: History::new(setup.people, setup.shards),
            unconfirmed: vec![BTreeSet::new(); setup.shards],
            setup,
            sessions: BTreeMap::new(),
            over: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            lines: BTreeMap::new(),
            messages: BTreeMap::new(),
            retained: BTreeMap::new(),
            cancelled: Vec::new(),
            serial: 0,
            time: 0,
            is_storage_failing: false,
            dropped: 0,
            violation: None,
        }
    }

    /// The first thing that was wrong.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The session of this person and client, if there is one: never the same for two.
    #[must_use]
    pub fn session_serial(&self, who: (usize, usize)) -> Option<u64> {
        self.sessions.get(&who).map(|it| it.serial)
    }

    /// Messages that were taken so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Deliveries so far, and how many of them their readers have acknowledged.
    #[must_use]
    pub fn deliveries(&self) -> (u64, usize) {
        let all = || self.messages.values().flat_map(|it| it.expected.values());
        (all().map(|it| u64::from(it.got)).sum(), all().filter(|it| it.is_acknowledged).count())
    }

    /// The driver itself found something wrong.
    pub fn accuse(&mut self, check: Check, text: String) {
        self.violation.get_or_insert(Violation { check, text });
    }

    /// A person's rights are these from now on; no shard knows yet.
    pub fn change_rights(&mut self, person: usize, rights: Rights) {
        self.withdraw(person, &rights);
        self.history.change(person, rights);
    }

    /// What had proven a person is worth nothing from now on; no shard knows yet. Wills that it has left until then may come
    /// before that, or not at all.
    pub fn change_secret(&mut self, person: usize) {
        let sessions = self.sessions.iter().filter(|(who, _)| who.0 == person);
        for will in sessions.filter_map(|(_, session)| session.will) {
            if let Some(message) = self.messages.get_mut(&will.number) {
                message.is_doubtful = true;
            }
        }
    }

    /// What these rights do not allow is on its way out.
    pub(super) fn withdraw(&mut self, person: usize, rights: &Rights) {
        for (who, session) in &mut self.sessions {
            if who.0 != person {
                continue;
            }
            for (text, it) in &mut session.subscriptions {
                if !rights.may_subscribe(matching::share(text).1) {
                    it.since = None;
                }
            }
            for exchange in session.outbound.values_mut() {
                let topics = self.messages.get(&exchange.number).map(|it| it.topics.as_slice());
                let may = |topic: &String| rights.may_read(topic);
                exchange.is_withdrawn |= !topics.unwrap_or_default().iter().all(may);
            }
            session.is_maybe |= !rights.exists;
        }
    }

    /// A shard was told of all changes so far.
    pub fn tell_shard(&mut self, shard: usize, now: u64) {
        self.history.tell(shard);
        let is_gone = |who: &(usize, usize)| !self.history.newest(who.0).exists;
        let of_shard = self.sessions.iter().filter(|(_, it)| it.shard == shard);
        let gone: Vec<_> = of_shard.map(|(who, _)| *who).filter(is_gone).collect();
        for who in gone {
            self.end_session(who, now);
        }
        for (who, session) in self.sessions.iter_mut().filter(|(_, it)| it.shard == shard) {
            let rights = self.history.newest(who.0);
            for (text, it) in &mut session.subscriptions {
                if !it.is_gone && !rights.may_subscribe(matching::share(text).1) {
                    (it.is_gone, it.is_confirmed) = (true, false);
                }
            }
            for exchange in session.outbound.values_mut() {
                let topics = self.messages.get(&exchange.number).map(|it| it.topics.as_slice());
                let may = |topic: &String| rights.may_read(topic);
                exchange.is_gone |= !topics.unwrap_or_default().iter().all(may);
            }
        }
    }

    /// Everything this shard has done so far is durable.
    pub fn make_durable(&mut self, shard: usize) {
        self.ghosts.retain(|_, it| *it != shard);
        self.cancelled.retain(|(it, _)| *it != shard);
        for session in self.sessions.values_mut().filter(|it| it.shard == shard) {
            session.confirm(self.time);
        }
        for number in std::mem::take(&mut self.unconfirmed[shard]) {
            if let Some(message) = self.messages.get_mut(&number) {
                message.is_confirmed = true;
            }
        }
        for kept in self.retained.values_mut().flatten().filter(|it| it.shard == shard) {
            kept.is_confirmed = true;
        }
    }

    /// The disk takes nothing, or takes everything again.
    pub fn set_storage_failing(&mut self, is_failing: bool) {
        self.is_storage_failing = is_failing;
    }

    /// The broker says that it has dropped messages for this session.
    pub fn note_dropping(&mut self, who: (usize, usize)) {
        if let Some(session) = self.sessions.get_mut(&who) {
            session.is_dropped_for = true;
        }
    }

    /// The broker says that it has dropped so many messages in all.
    pub fn note_dropped(&mut self, count: u64) {
        self.dropped = count;
    }

    /// A message of this session is on its way through the broker from now on.
    fn publish(&mut self, number: u32) {
        self.time += 1;
        let Some(message) = self.messages.get_mut(&number) else { return };
        let known = self.history.known(message.shard);
        let rights: Vec<_> = self.history.since(message.writer.0, known).collect();
        let topics = rights.iter().map(|it| format!("{}{}", it.prefix, message.sent.topic));
        let topics: BTreeSet<String> = topics.collect();
        let may = |it: &&&Rights| it.may_write(&format!("{}{}", it.prefix, message.sent.topic));
        let allowed = rights.iter().filter(may).count();
        if message.taken == 0 {
            message.time = self.time;
            message.version = self.history.known_by_all();
            if allowed == 0 && !message.is_muddled {
                message.forbidden = Some("its writer had no right to");
            }
        } else if allowed > 0 && message.forbidden.is_some() {
            message.forbidden = None;
            message.is_doubtful = true;
        }
        message.is_muddled |= topics.len() > 1;
        message.is_doubtful |= allowed < rights.len() || self.is_storage_failing;
        message.topics.extend(topics);
        message.topics.dedup();
        message.taken += 1;
        self.unconfirmed[message.shard].insert(number);
        for session in self.sessions.values() {
            let is_own = session.serial == message.writer_serial;
            let fits = message.topics.iter().flat_map(|topic| session.matching(topic));
            for (text, it) in fits.filter(|(_, it)| !(is_own && it.is_no_local)) {
                let expected = message.expected.entry(session.serial).or_default();
                expected.qos_max = expected.qos_max.max(it.qos_max.min(message.sent.qos));
                expected.keeps_retain |= it.keeps_retain;
                let is_group = matching::share(text).0.is_some();
                if it.qos_max.min(message.sent.qos) == 2 {
                    expected.once.insert(if is_group { text.to_owned() } else { String::new() });
                }
                if !is_group {
                    expected.is_direct = true;
                    continue;
                }
                let members = message.groups.entry(text.to_owned()).or_default();
                if !members.contains(&session.serial) {
                    members.push(session.serial);
                    expected.groups += 1;
                }
            }
        }
        if message.sent.retain && message.forbidden.is_none() {
            self.keep(number);
        }
    }

    /// The message is retained from now on, instead of what was before.
    fn keep(&mut self, number: u32) {
        let message = &self.messages[&number];
        // One that was sent again under another prefix is kept on one of its topics, and nobody knows here on which.
        let is_sure = !message.is_doubtful && !message.is_muddled && message.topics.len() == 1;
        let shard = message.shard;
        for topic in message.topics.clone() {
            if is_sure {
                self.replace_kept(&topic, number, shard);
            }
            let kept = Kept { number, replaced: None, by: 0, is_confirmed: false, shard };
            self.retained.entry(topic).or_default().push(kept);
        }
    }

    fn replace_kept(&mut self, topic: &str, by: u32, shard: usize) {
        let kept = self.retained.get_mut(topic).into_iter().flatten();
        for kept in kept.filter(|it| it.replaced.is_none()) {
            (kept.replaced, kept.by) = (Some(self.time), by);
            (kept.is_confirmed, kept.shard) = (false, shard);
        }
    }
}
