//! Whether a PUBLISH is taken in now: budgets and memory, before anything is judged or routed.
//!
//! What has to wait stays where it is, in the input that the caller keeps: the connection is held back
//! and not read, so that the client feels it. Connections without a budget come here only while memory
//! is short.

use std::sync::Arc;

use mqtt::{DecodeError, ProtocolVersion, Publish, Qos, Timestamp};
use topic::TopicName;

use crate::budget::{Allowance, Cost};
use crate::connection::Connection;
use crate::detach::Ending;
use crate::engine::{Engine, Shard};
use crate::hub::BUDGET;
use crate::identity::{ConnectionId, SessionIdentity, SessionRef};
use crate::limits::OverBudget;
use crate::memory::{MEMORY, Memory, SLOW_MS};
use crate::report::{DropRule, Report};
use crate::timers::Timer;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    /// It is looked at now.
    Now,
    /// It stays in the input; its connection is held back, or at its end.
    NotNow,
}

impl Engine {
    /// Takes a PUBLISH in, if it may be taken in now. Returns its length, or 0 if there is nothing to be taken yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn receive_publish_bounded(
        &mut self,
        id: ConnectionId,
        writer: &Arc<SessionIdentity>,
        (bytes, known): (&[u8], Option<&TopicName>),
        version: ProtocolVersion,
        now: Timestamp,
    ) -> Result<usize, DecodeError> {
        let limits = self.shard.decode_limits();
        let Some((publish, length)) = mqtt::decode_publish(bytes, version, &limits, known)? else {
            return Ok(0);
        };
        if self.admit(id, &publish, length, now) == Admission::NotNow {
            return Ok(0);
        }
        self.receive_publish(id, writer, &publish, now);
        Ok(length)
    }

    /// Whether this message is looked at now.
    fn admit(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        size: usize,
        now: Timestamp,
    ) -> Admission {
        self.is_over_budget = false;
        self.is_careful = self.shard.hub.is_strained();
        let memory = self.shard.hub.memory();
        let Some(session) = self.shard.sessions.online_mut(id) else { return Admission::Now };
        let (place, client) = (session.identity.place, &session.client);
        let Some(connection) = session.connection.as_deref_mut() else { return Admission::Now };
        // Before 5.0 a refusal cannot be told, and what is acknowledged must be kept: so it waits.
        let can_wait_only = publish.qos > Qos::AtMostOnce && !connection.version.is_v5();
        if memory == Memory::Full && can_wait_only {
            self.shard.wait_until(id, now.plus_ms(SLOW_MS));
            return Admission::NotNow;
        }
        let Some(allowance) = connection.allowance.as_deref_mut() else { return Admission::Now };
        if allowance.reserved.take().is_some() {
            return Admission::Now;
        }
        let cost = cost(size);
        let rule = match self.shard.hub.limits().over_budget {
            OverBudget::Refuse if can_wait_only => OverBudget::Wait,
            rule => rule,
        };
        if rule != OverBudget::Wait {
            if allowance.bucket.try_take(cost, now) {
                return Admission::Now;
            }
        } else {
            let at = allowance.bucket.take(cost, now);
            if at <= now {
                return Admission::Now;
            }
            allowance.reserved = Some(cost);
            self.shard.round.counters.budget_waits += 1;
            if allowance.is_to_be_told(now) {
                self.shard.round.report(Report::OverBudget { client: client.clone(), rule });
            }
            self.shard.wait_until(id, at);
            return Admission::NotNow;
        }
        if allowance.is_to_be_told(now) {
            self.shard.round.report(Report::OverBudget { client: client.clone(), rule });
        }
        if rule == OverBudget::Close {
            self.shard.round.counters.refused_publishes.budget += 1;
            self.end_connection(place, Ending::over_budget(), now);
            return Admission::NotNow;
        }
        self.is_over_budget = true;
        self.is_careful = true;
        Admission::Now
    }

    /// While memory is short a publisher rests after each turn.
    #[cold]
    #[inline(never)]
    pub(crate) fn rest(&mut self, id: ConnectionId, messages_before: u64, now: Timestamp) {
        let Some((_, connection)) = self.shard.sessions.online(id) else { return };
        if connection.traffic.messages_in != messages_before && connection.waits.is_none() {
            self.shard.wait_until(id, now.plus_ms(SLOW_MS));
        }
    }

    /// The limit in whose way a message is that would be recorded or kept, if any.
    #[cold]
    #[inline(never)]
    pub(crate) fn limit_in_the_way(
        &self,
        id: ConnectionId,
        publish: &Publish<'_>,
        route: crate::routes::RouteIndex,
    ) -> Option<&'static str> {
        let hub = &self.shard.hub;
        if self.is_over_budget {
            return Some(BUDGET);
        }
        if let Some(limit) = hub.storage_limit()
            && self.needs_disk(id, publish, route)
        {
            return Some(limit);
        }
        let is_kept = publish.qos > Qos::AtMostOnce
            && (publish.retain || self.routes.get(route).is_some_and(|it| !it.is_empty()));
        (is_kept && hub.memory() == Memory::Full).then_some(MEMORY)
    }

    /// Says that there is less memory than before, or more again. The hub knows it already.
    pub fn memory_changed(&mut self, now: Timestamp) {
        self.take_policy(now);
        if self.shard.hub.memory() == Memory::Full {
            for place in self.shard.sessions.places() {
                self.shard.cut_outbox(place);
            }
        }
    }
}

impl Shard {
    /// Holds a connection back until then.
    pub(crate) fn wait_until(&mut self, id: ConnectionId, at: Timestamp) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_deref_mut() else { return };
        if connection.waits.is_none() {
            connection.waits = Some(at);
            self.timers.arm(at, Timer::Wait(id));
            self.hold_connection(id);
        }
    }

    /// The wait of a connection is over.
    pub(crate) fn end_wait(&mut self, id: ConnectionId, now: Timestamp) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_deref_mut() else { return };
        let Some(at) = connection.waits.take() else { return };
        self.timers.disarm(Some(at), Timer::Wait(id));
        self.release_connection(id, now);
    }

    /// Gives a session's connection the part in its user's budget that it has by now.
    pub(crate) fn set_allowance(&mut self, place: SessionRef, now: Timestamp) {
        let Shard { sessions, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        let Some(connection) = session.connection.as_deref_mut() else { return };
        let budget = session.rights.as_ref().map(access::Rights::publish_budget);
        let bucket = hub.budgets.of(session.client.user, budget.unwrap_or_default(), now);
        // What was reserved is given back: the message is asked about again.
        connection.allowance = bucket.map(|bucket| Box::new(Allowance::new(bucket)));
        let id = connection.id;
        self.end_wait(id, now);
    }

    fn cut_outbox(&mut self, place: SessionRef) {
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        let Some(connection) = session.connection.as_deref_mut() else { return };
        let dropped = connection.cut_outbox(hub.outbox_bytes_max());
        crate::pressure::count_dropped(session, round, DropRule::MemoryFull, dropped);
    }
}

impl Connection {
    /// Drops the oldest QoS 0 messages beyond `bytes_max`, and lets go of the room they had.
    fn cut_outbox(&mut self, bytes_max: usize) -> u64 {
        let excess = self.outbox.len().saturating_sub(bytes_max);
        if excess == 0 {
            return 0;
        }
        let dropped = self.outbox.drop_oldest(excess, self.aliases_out.is_some());
        self.outbox.shrink();
        dropped
    }
}

/// What an alias stands for is added once it is known.
fn cost(size: usize) -> Cost {
    Cost { messages: 1, bytes: u64::try_from(size).unwrap_or(u64::MAX) }
}
