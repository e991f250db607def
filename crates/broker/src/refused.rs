//! What a connection was refused lately: the same again is the same decision, counted and not told anew.
//!
//! So a client that repeats a forbidden publish a thousand times a second costs one comparison each
//! time and one report a second, and one that makes up a new topic each time has so many decisions a
//! second and no more: it cannot crowd out what others were refused.

use std::sync::Arc;

use mqtt::Timestamp;

use crate::engine::Shard;
use crate::identity::{ClientName, SessionRef};
use crate::report::{DecisionId, Refusal, RefusalReason, RefusedAction, Report};
use crate::round::Round;
use crate::timers::Timer;

/// The refusals of one connection under its present rights.
#[derive(Debug, Default)]
pub(crate) struct RefusedLately {
    entries: Vec<Entry>,
    /// When the second began in which `told` decisions were made.
    second: Timestamp,
    told: u32,
    /// Refusals since the last report that have no decision of their own.
    left_out: u64,
    /// Whether the session is among those that have something to report.
    is_pending: bool,
}

#[derive(Debug)]
struct Entry {
    action: RefusedAction,
    topic: Box<str>,
    reason: RefusalReason,
    decision: DecisionId,
    /// Repetitions since the last report.
    untold: u64,
}

impl RefusedLately {
    /// Reports what was only counted, and forgets all: another decision may come of other rights.
    pub(crate) fn close(&mut self, client: &Arc<ClientName>, round: &mut Round) {
        self.tell(client, round);
        self.entries = Vec::new();
    }

    fn tell(&mut self, client: &Arc<ClientName>, round: &mut Round) {
        self.is_pending = false;
        for entry in &mut self.entries {
            entry.tell(client, round);
        }
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            round.report(Report::RefusalsLeftOut { client: Arc::clone(client), count });
        }
    }

    /// Whether one more decision may be made in this second.
    fn admits(&mut self, now: Timestamp) -> bool {
        if now.since(self.second) >= SECOND_MS || now < self.second {
            self.second = now;
            self.told = 0;
        }
        self.told += 1;
        self.told <= DECISIONS_A_SECOND_MAX
    }
}

impl Entry {
    fn tell(&mut self, client: &Arc<ClientName>, round: &mut Round) {
        let count = std::mem::take(&mut self.untold);
        if count > 0 {
            round.report(Report::Refused(Refusal {
                decision: self.decision,
                client: Arc::clone(client),
                action: self.action,
                topic: self.topic.clone(),
                reason: self.reason.clone(),
                count,
            }));
        }
    }
}

impl Shard {
    /// Notes that a client was refused what it asked for. `None` if it asks for so many different
    /// things that there is no decision to tell it.
    pub(crate) fn refuse(
        &mut self,
        place: SessionRef,
        (action, topic): (RefusedAction, &str),
        reason: RefusalReason,
        now: Timestamp,
    ) -> Option<DecisionId> {
        let Shard { sessions, round, timers, refused_pending, .. } = self;
        let session = sessions.get_mut(place)?;
        let connection = session.connection.as_deref_mut()?;
        let lately = connection.refused.get_or_insert_default();
        let is_it =
            |it: &&mut Entry| it.action == action && *it.topic == *topic && it.reason == reason;
        let decision = if let Some(entry) = lately.entries.iter_mut().find(is_it) {
            entry.untold += 1;
            Some(entry.decision)
        } else if lately.admits(now) {
            let decision = round.refuse(&session.client, action, topic, reason.clone());
            if topic.len() <= TOPIC_BYTES_MAX {
                if lately.entries.len() >= REMEMBERED_MAX {
                    lately.entries.remove(0).tell(&session.client, round);
                }
                let topic = topic.into();
                lately.entries.push(Entry { action, topic, reason, decision, untold: 0 });
            }
            return Some(decision);
        } else {
            lately.left_out += 1;
            None
        };
        if !std::mem::replace(&mut lately.is_pending, true) {
            if refused_pending.is_empty() {
                timers.arm(now.plus_ms(SECOND_MS), Timer::Refusals);
            }
            refused_pending.push(place);
        }
        decision
    }

    /// Reports what was counted since the last time.
    pub(crate) fn tell_refusals(&mut self) {
        let Shard { sessions, round, refused_pending, .. } = self;
        for place in std::mem::take(refused_pending) {
            let Some(session) = sessions.get_mut(place) else { continue };
            let client = Arc::clone(&session.client);
            let Some(connection) = session.connection.as_deref_mut() else { continue };
            if let Some(lately) = &mut connection.refused {
                lately.tell(&client, round);
            }
        }
    }
}

/// Different refusals that a connection remembers. Full: the oldest is forgotten, and made anew when
/// it comes again.
const REMEMBERED_MAX: usize = 8;
/// Longer topics are not remembered: each refusal is one of its own.
const TOPIC_BYTES_MAX: usize = 512;
/// Different decisions on one connection in one second. More are counted, and have no number.
const DECISIONS_A_SECOND_MAX: u32 = 16;
const SECOND_MS: u64 = 1000;
