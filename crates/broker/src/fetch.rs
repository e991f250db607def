//! What lies on disk only comes back: asked for when the head of a queue gets low, in batches, in order,
//! and judged when it is there.
//!
//! The queue decides what is taken, the disk gives only contents: what was given up meanwhile, belongs
//! to a session that is no more, or answers a question that nobody waits for, is left.

use mqtt::Timestamp;

use crate::engine::{Engine, Shard};
use crate::identity::{SessionKey, SessionRef};
use crate::message::Delivery;
use crate::pressure::count_dropped;
use crate::queue::{HeadMax, NEVER};
use crate::record::{Record, StoredDelivery};
use crate::rejudge::LastJudged;
use crate::report::{DropRule, RefusedAction};
use crate::timers::Timer;

/// Messages of one session to be read from disk. Answer with [`Engine::fetched`], at any later time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    session: SessionRef,
    number: u64,
    key: SessionKey,
    sequences: Vec<u64>,
}

impl Fetch {
    /// Whose.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Their places, ascending: never none, and never more than `queue_memory_messages_max`.
    #[must_use]
    pub fn sequences(&self) -> &[u64] {
        &self.sequences
    }

    /// The answer to it.
    #[must_use]
    pub fn answer(&self, content: FetchContent) -> Fetched {
        Fetched { session: self.session, number: self.number, content }
    }
}

/// The answer to a [`Fetch`].
#[derive(Debug)]
pub struct Fetched {
    session: SessionRef,
    number: u64,
    content: FetchContent,
}

/// What the disk has given.
#[derive(Debug)]
pub enum FetchContent {
    /// What is there, by place, ascending. What is missing cannot be read, now or later.
    Messages(Vec<(u64, StoredDelivery)>),
    /// Nothing for now: the question is asked again.
    Unavailable,
}

/// What one session waits for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing.
    #[default]
    Nothing,
    /// The answer to the question with this number, about messages up to this place.
    Answer { number: u64, last: u64 },
    /// A failing disk is left alone until then.
    Disk { until: Timestamp },
}

impl Engine {
    /// Takes in what was read from disk for an [`crate::Effect::Fetch`].
    pub fn fetched(&mut self, fetched: Fetched, now: Timestamp) {
        self.take_policy(now);
        self.shard.take_fetched(fetched, now);
    }
}

impl Shard {
    /// Asks for what is on disk only, if the client takes messages and there are few left in memory.
    pub(crate) fn fetch(&mut self, place: SessionRef) {
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        if session.connection.is_none() {
            return;
        }
        let Some(reading) = session.queue.reading().map(|it| *it) else { return };
        if reading != Reading::Nothing {
            return;
        }
        let sequences = session.queue.wanted(HeadMax::of(hub.limits(), true));
        let Some(last) = sequences.last().copied() else { return };
        let number = round.next_fetch();
        if let Some(reading) = session.queue.reading() {
            *reading = Reading::Answer { number, last };
        }
        let key = session.identity.key.clone();
        round.fetch(Fetch { session: place, number, key, sequences });
    }

    /// What has waited for this commit is durable and needs no memory any more.
    pub(crate) fn settle_queues(&mut self, committed: u64) {
        while self.unsettled.front().is_some_and(|(commit, _)| *commit <= committed) {
            let Some((_, place)) = self.unsettled.pop_front() else { return };
            let Some(session) = self.sessions.get_mut(place) else { continue };
            let is_online = session.connection.is_some();
            session.queue.settle(committed, HeadMax::of(self.hub.limits(), is_online));
            if is_online {
                self.fetch(place);
            } else {
                self.shorten_queue(place, committed);
            }
        }
    }

    /// Nobody is there to take what waits.
    pub(crate) fn shorten_queue(&mut self, place: SessionRef, committed: u64) {
        let Shard { sessions, hub, unsettled, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        if session.is_durable(hub.limits())
            && let Some(commit) = session.queue.shorten(committed, session.client.user, hub)
            && commit != NEVER
        {
            unsettled.push_back((commit, place));
        }
    }

    /// A disk that could not be read is asked again.
    pub(crate) fn fetch_again(&mut self, place: SessionRef, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(reading) = session.queue.reading() else { return };
        if matches!(reading, Reading::Disk { until } if *until <= now) {
            *reading = Reading::Nothing;
            self.fetch(place);
        }
    }

    fn take_fetched(&mut self, fetched: Fetched, now: Timestamp) {
        let Fetched { session: place, number, content } = fetched;
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(reading) = session.queue.reading() else { return };
        let Reading::Answer { number: awaited, last } = *reading else { return };
        if awaited != number {
            return;
        }
        match content {
            FetchContent::Unavailable => {
                let until = now.plus_ms(RETRY_MS);
                *reading = Reading::Disk { until };
                self.round.counters.fetches_failed += 1;
                self.timers.arm(until, Timer::Fetch(place));
            }
            FetchContent::Messages(messages) => {
                *reading = Reading::Nothing;
                self.round.counters.fetched += u64::try_from(messages.len()).unwrap_or(u64::MAX);
                self.take_back(place, messages, last);
                self.pump(place, now);
                self.end_draining(place);
            }
        }
    }

    /// What fires later is judged later: rights may have changed since it was written. What cannot be
    /// read is given up: what comes after it must not wait for ever.
    fn take_back(&mut self, place: SessionRef, messages: Vec<(u64, StoredDelivery)>, last: u64) {
        let Shard { sessions, round, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        let mut judged = LastJudged::new(session.rights.clone());
        let mut messages = messages.into_iter().peekable();
        let (mut gone, mut withheld) = (Vec::new(), None);
        while let Some(sequence) = session.queue.first_behind().filter(|it| *it <= last) {
            while messages.next_if(|(other, _)| *other < sequence).is_some() {}
            let Some((_, stored)) = messages.next_if(|(other, _)| *other == sequence) else {
                session.queue.drop_behind();
                gone.push(sequence);
                continue;
            };
            let delivery = Delivery::restored(stored, sequence);
            if judged.may_read(delivery.message.topic()) {
                session.queue.take_back(delivery);
                continue;
            }
            session.queue.drop_behind();
            let (_, count) = withheld.get_or_insert((delivery.message.topic().clone(), 0_u64));
            *count += 1;
            let key = session.identity.key.clone();
            round.persist(Record::MessageRemove { key, sequence });
        }
        session.queue.tidy();
        let lost = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        for sequence in gone {
            let key = session.identity.key.clone();
            round.persist(Record::MessageRemove { key, sequence });
        }
        count_dropped(session, round, DropRule::Unreadable, lost);
        if let Some((topic, count)) = withheld {
            round.counters.withheld += count;
            let (client, reason) = (session.client.clone(), judged.refusal(&topic));
            round.refuse_all(&client, RefusedAction::Delivery, topic.as_str(), reason, count);
        }
    }

    /// A session that was resumed for this connection only is recorded as long as it needs the disk.
    fn end_draining(&mut self, place: SessionRef) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.expiry_s > 0 || !session.is_recorded {
            return;
        }
        session.queue.gather();
        if !session.queue.is_spilled() {
            self.persist_session(place);
        }
    }
}

/// How long a disk that cannot be read is left alone.
const RETRY_MS: u64 = 1_000;
