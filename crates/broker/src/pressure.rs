//! Back-pressure: a publisher that is faster than a receiver is held back until the receiver has
//! caught up, or its patience with the receiver is over.

use mqtt::Timestamp;

use crate::connection::{Connection, Pressure};
use crate::engine::Shard;
use crate::identity::{ConnectionId, SessionRef, ShardId};
use crate::limits::Limits;
use crate::report::{DropRule, Report};
use crate::round::Round;
use crate::routes::Route;
use crate::session::Session;
use crate::shard_message::Body;
use crate::timers::{Timer, Timers};

impl Connection {
    /// Notes that this receiver is behind and `source` has more for it. True if the source is to
    /// be held back.
    fn press(
        &mut self,
        source: (ShardId, ConnectionId),
        patience_ms: u64,
        timers: &mut Timers,
        now: Timestamp,
    ) -> bool {
        let id = self.id;
        let pressure = self.pressure.get_or_insert_with(|| {
            let due = now.plus_ms(patience_ms);
            timers.arm(due, Timer::Pressure(id));
            Box::new(Pressure {
                waiters: Vec::new(),
                due,
                has_sent: false,
                renewals: 0,
                is_given_up: false,
            })
        });
        if pressure.is_given_up || pressure.waiters.contains(&source) {
            return false;
        }
        pressure.waiters.push(source);
        true
    }
}

/// What the messages of one turn came to, as far as it was nothing.
#[derive(Debug, Default)]
pub(crate) struct Futile {
    /// Of the message under way: receivers that nobody waits for any more.
    targets: usize,
    /// Messages that had no other receivers.
    pub(crate) messages: u64,
}

impl Futile {
    pub(crate) fn is_any(&self) -> bool {
        self.targets > 0
    }
}

/// Messages in succession that a publisher has sent in vain.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct FutileRun {
    /// The connection's number of messages after the last of them.
    until: u64,
    count: u32,
}

/// Whether messages pile up for this session's client.
pub(crate) fn is_behind(session: &Session, limits: &Limits) -> bool {
    let Some(connection) = session.connection.as_ref() else { return false };
    connection.outbox.len() > limits.outbox_pressure_bytes
        || session.queue.len() > limits.queue_messages_max / 4
        || session.queue.bytes() > limits.queue_bytes_max / 4
}

impl Shard {
    /// Holds the source back if the receiver is behind.
    pub(crate) fn press(
        &mut self,
        place: SessionRef,
        source: Option<(ShardId, ConnectionId)>,
        now: Timestamp,
    ) {
        let Some(source) = source else { return };
        let Shard { sessions, timers, hub, .. } = self;
        let limits = hub.limits();
        let Some(session) = sessions.get_mut(place) else { return };
        if !is_behind(session, limits) {
            return;
        }
        let Some(connection) = session.connection.as_mut() else { return };
        if source.0 == self.id && connection.pressure.as_ref().is_some_and(|it| it.is_given_up) {
            self.futile.targets += 1;
            return;
        }
        if connection.press(source, limits.slow_consumer_patience_ms, timers, now) {
            if source.0 == self.id {
                self.hold_connection(source.1);
            } else {
                self.round.send(source.0, Body::Hold(source.1));
            }
        }
    }

    /// A message has been delivered, some of it to receivers that nobody waits for any more.
    #[cold]
    #[inline(never)]
    pub(crate) fn count_futile(&mut self, route: &Route) {
        let targets = std::mem::take(&mut self.futile.targets);
        if targets == route.local.len() + route.shared.len() && route.remote.is_empty() {
            self.futile.messages += 1;
        }
    }

    /// Lets a publisher rest that serves nobody. One useful message between them, and it goes on.
    #[cold]
    #[inline(never)]
    pub(crate) fn rest_futile(&mut self, id: ConnectionId, messages_before: u64, now: Timestamp) {
        let messages = std::mem::take(&mut self.futile.messages);
        let pause_ms = self.hub.limits().slow_consumer_pause_ms;
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        let sent = connection.traffic.messages_in;
        let former = std::mem::take(&mut connection.futile);
        let count = if former.until == messages_before { former.count } else { 0 };
        let count = count.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
        let is_useful = sent.saturating_sub(messages_before) != messages;
        let may_rest = pause_ms > 0 && connection.waits.is_none();
        if is_useful {
            return;
        }
        if count >= FUTILE_MESSAGES_MAX && may_rest {
            self.round.counters.futile_pauses += 1;
            return self.wait_until(id, now.plus_ms(pause_ms));
        }
        connection.futile = FutileRun { until: sent, count };
    }

    pub(crate) fn hold_connection(&mut self, id: ConnectionId) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        connection.holds += 1;
        if connection.holds == 1 {
            self.round.pause(id);
        }
    }

    pub(crate) fn release_connection(&mut self, id: ConnectionId, now: Timestamp) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        let before = connection.holds;
        connection.holds = before.saturating_sub(1);
        if before == 1 {
            connection.keep_alive.received(now);
            self.round.resume(id);
        }
    }

    /// The connection's outbox has room again.
    pub(crate) fn caught_up(&mut self, place: SessionRef, now: Timestamp) {
        self.pump(place, now);
        let Shard { sessions, round, timers, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        if is_behind(session, hub.limits()) {
            return;
        }
        let client = &session.client;
        let Some(connection) = session.connection.as_mut() else { return };
        if let Some(dropped) = connection.slow.take().filter(|dropped| *dropped > 0) {
            let (client, rule) = (client.clone(), DropRule::OutboxFull);
            round.report(Report::SlowConsumer { client, rule, dropped });
        }
        if let Some(pressure) = connection.pressure.take() {
            timers.disarm(Some(pressure.due), Timer::Pressure(connection.id));
            self.release_waiters(&pressure.waiters, now);
        }
    }

    /// Patience is over, and begins anew with a receiver that is held back itself and has sent something meanwhile: its
    /// acknowledgements may be behind that. With others, and with those some time, messages are dropped by rule from now on.
    pub(crate) fn give_up_pressure(&mut self, id: ConnectionId, now: Timestamp) {
        let Shard { sessions, timers, hub, .. } = self;
        let Some(session) = sessions.online_mut(id) else { return };
        let client = session.client.clone();
        let Some(connection) = session.connection.as_mut() else { return };
        let Some(pressure) = connection.pressure.as_mut() else { return };
        let has_sent = std::mem::take(&mut pressure.has_sent);
        if has_sent && pressure.renewals < RENEWALS_MAX && !pressure.waiters.is_empty() {
            pressure.renewals += 1;
            pressure.due = now.plus_ms(hub.limits().slow_consumer_patience_ms);
            return timers.arm(pressure.due, Timer::Pressure(id));
        }
        pressure.is_given_up = true;
        self.round.counters.patience_over += 1;
        let waiters = std::mem::take(&mut pressure.waiters);
        self.round.report(Report::SlowConsumer {
            client,
            rule: DropRule::PatienceOver,
            dropped: 0,
        });
        self.release_waiters(&waiters, now);
    }

    /// Lets go of everybody who waits for a connection that has ended.
    pub(crate) fn drop_pressure(&mut self, connection: &mut Connection, now: Timestamp) {
        if let Some(pressure) = connection.pressure.take() {
            self.timers.disarm(Some(pressure.due), Timer::Pressure(connection.id));
            self.release_waiters(&pressure.waiters, now);
        }
    }

    /// Another shard has taken in what was on its way.
    pub(crate) fn open_window(&mut self, shard: ShardId, bytes: usize, now: Timestamp) {
        let window = self.hub.limits().shard_window_bytes;
        for id in self.round.delivered(shard, bytes, window / 2) {
            self.release_connection(id, now);
        }
    }

    fn release_waiters(&mut self, waiters: &[(ShardId, ConnectionId)], now: Timestamp) {
        for (shard, id) in waiters {
            if *shard == self.id {
                self.release_connection(*id, now);
            } else {
                self.round.send(*shard, Body::Release(*id));
            }
        }
    }
}

/// Counts messages that were dropped because the receiver is slow, and reports the first.
pub(crate) fn count_dropped(session: &mut Session, round: &mut Round, rule: DropRule, count: u64) {
    if count == 0 {
        return;
    }
    *round.counters.dropped.of(rule) += count;
    let client = session.client.clone();
    let is_first = match session.connection.as_mut() {
        Some(connection) => {
            connection.traffic.dropped += count;
            let is_first = connection.slow.is_none();
            *connection.slow.get_or_insert(0) += if is_first { 0 } else { count };
            is_first
        }
        None => !std::mem::replace(&mut session.is_overflow_reported, true),
    };
    if is_first {
        round.report(Report::SlowConsumer { client, rule, dropped: count });
    }
}

/// How often patience begins anew with a receiver that is held back itself, until it has caught up.
const RENEWALS_MAX: u8 = 11;
/// A publisher with fewer than these in succession is not worth a pause.
const FUTILE_MESSAGES_MAX: u32 = 64;
