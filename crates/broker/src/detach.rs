//! How connections and sessions end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mqtt::{Disconnect, Packet, Qos, ReasonCode, Timestamp};

use crate::connection::Connection;
use crate::engine::{Engine, Shard};
use crate::held_will::HeldWill;
use crate::identity::{ConnectionId, SessionRef};
use crate::record::Record;
use crate::report::{DisconnectCause, DropRule, Report, SessionEnd};
use crate::sessions::Closing;
use crate::timers::Timer;

/// Why the caller detaches a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionLost {
    /// The client closed the connection.
    ByPeer,
    /// The connection failed, or timed out while writing.
    Failed,
}

/// What becomes of the will when a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WillFate {
    /// It is published, at once or after its delay.
    Publish,
    /// [MQTT-3.14.4-3] It is dropped.
    Drop,
}

/// Why what has proven a client is not good any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofEnd {
    /// Its time is over: of a certificate, or of a second password.
    Over,
    /// Somebody has taken it away, such as by revoking a certificate.
    Withdrawn,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    cause: DisconnectCause,
    /// What an MQTT 5 client is told; `None`: nothing, as it is the one who went.
    told: Option<ReasonCode>,
    will: WillFate,
}

impl Ending {
    /// The broker ends it and says why.
    pub(crate) fn told(cause: DisconnectCause, reason: ReasonCode, will: WillFate) -> Ending {
        Ending { cause, told: Some(reason), will }
    }

    /// The broker ends it because the user's standing is lost. Its will speaks for somebody who is not known any more.
    pub(crate) fn standing_lost(reason: ReasonCode) -> Ending {
        Ending::told(DisconnectCause::StandingLost(reason), reason, WillFate::Drop)
    }

    /// The broker ends it because the time of what has proven the user is over. Nobody has withdrawn it: the will is sent, as whoever
    /// watches the client expects of one that goes without a word [MQTT-3.1.2-8].
    pub(crate) fn proof_over(reason: ReasonCode) -> Ending {
        Ending::told(DisconnectCause::StandingLost(reason), reason, WillFate::Publish)
    }

    /// A publish without right ends it, where the configuration says so.
    pub(crate) fn denied_publish() -> Ending {
        Ending::told(DisconnectCause::DeniedPublish, ReasonCode::NotAuthorized, WillFate::Publish)
    }

    /// A publish beyond the budget ends it, where the configuration says so.
    pub(crate) fn over_budget() -> Ending {
        let reason = ReasonCode::QuotaExceeded;
        Ending::told(DisconnectCause::OverBudget, reason, WillFate::Publish)
    }

    /// What the client waits for cannot be made durable.
    pub(crate) fn storage(reason: ReasonCode) -> Ending {
        Ending::told(DisconnectCause::Storage, reason, WillFate::Publish)
    }

    fn untold(cause: DisconnectCause, will: WillFate) -> Ending {
        Ending { cause, told: None, will }
    }
}

impl Engine {
    /// Says that the connection's socket is gone. Call it for every connection in the end, also after
    /// `Effect::Close`.
    pub fn detach(&mut self, id: ConnectionId, lost: ConnectionLost, now: Timestamp) {
        self.take_policy(now);
        self.shard.forget_closing(id);
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let cause = DisconnectCause::ConnectionLost(lost);
        self.end_connection(place, Ending::untold(cause, WillFate::Publish), now);
    }

    pub(crate) fn receive_disconnect(
        &mut self,
        id: ConnectionId,
        disconnect: &Disconnect,
        now: Timestamp,
    ) {
        let limit_s = self.shard.hub.limits().session_expiry_s_max;
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let place = session.identity.place;
        match disconnect.session_expiry_s(session.expiry_s) {
            Ok(expiry_s) => session.expiry_s = expiry_s.min(limit_s),
            Err(error) => return self.end_by_protocol(id, error.reason, error.detail, now),
        }
        // [MQTT-3.14.4-3] A normal end drops the will; every other code, 0x04 among them, sends it.
        let will = match disconnect.reason {
            ReasonCode::Success => WillFate::Drop,
            _ => WillFate::Publish,
        };
        let ending = Ending::untold(DisconnectCause::ByClient(disconnect.reason), will);
        self.end_connection(place, ending, now);
    }

    pub(crate) fn end_by_protocol(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        detail: &'static str,
        now: Timestamp,
    ) {
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let cause = DisconnectCause::Protocol(reason, detail);
        self.end_connection(place, Ending::told(cause, reason, WillFate::Publish), now);
    }

    /// Ends the session's connection, if it has one: tells the client, sees to the will, and to the
    /// session if it does not outlive its connection.
    pub(crate) fn end_connection(&mut self, place: SessionRef, ending: Ending, now: Timestamp) {
        let Some(session) = self.shard.sessions.get_mut(place) else { return };
        let Some(mut connection) = session.connection.take() else { return };
        if let Some(mut refused) = connection.refused.take() {
            refused.close(&session.client, &mut self.shard.round);
        }
        session.identity.is_online.store(false, Ordering::Relaxed);
        session.disconnected_at = Some(now);
        let is_will_dropped = ending.will == WillFate::Drop && session.will.take().is_some();
        let client = Arc::clone(&session.client);
        let ends_now = session.expiry_s == 0;
        self.shard.close(*connection, place, ending, now);
        self.shard.round.report(Report::Disconnected { client, why: ending.cause });
        if ends_now {
            return self.end_session_silently(place, now);
        }
        self.shard.arm_session_expiry(place, now);
        self.hold_or_fire_will(place, now);
        self.shard.persist_session(place);
        if is_will_dropped {
            self.shard.persist_will(place);
        }
    }

    /// Ends the session and says so.
    pub(crate) fn end_session(&mut self, place: SessionRef, why: SessionEnd, now: Timestamp) {
        if let Some(session) = self.shard.sessions.get(place) {
            let client = Arc::clone(&session.client);
            self.shard.round.report(Report::SessionEnded { client, why });
        }
        self.end_session_silently(place, now);
    }

    /// Ends the session: its subscriptions, its messages, and its will at the latest now.
    pub(crate) fn end_session_silently(&mut self, place: SessionRef, now: Timestamp) {
        // [MQTT-3.1.3-9] A will that waits is sent when the session ends.
        self.fire_will(place, now);
        let Some(session) = self.shard.sessions.remove(place) else { return };
        self.shard.timers.disarm(session.expires_at, Timer::SessionExpiry(place));
        self.shard.timers.disarm(session.will_due, Timer::Will(place));
        for filter in session.subscriptions.keys() {
            self.shard.hub.table.remove(filter, place);
        }
        self.shard.hub.leave_session(session.client.user);
        if session.is_recorded {
            let key = session.identity.key.clone();
            self.shard.round.persist(Record::SessionRemove(key));
        }
    }
}

impl Shard {
    /// Takes the connection apart; its last bytes stay until they are written.
    fn close(
        &mut self,
        mut connection: Connection,
        place: SessionRef,
        ending: Ending,
        now: Timestamp,
    ) {
        let id = connection.id;
        self.timers.disarm(connection.keep_alive_armed, Timer::KeepAlive(id));
        self.timers.disarm(connection.waits, Timer::Wait(id));
        self.drop_pressure(&mut connection, now);
        self.hub.leave_connection();
        self.round.counters.connections = self.round.counters.connections.saturating_sub(1);
        for delivery in std::mem::take(&mut connection.backlog) {
            if delivery.qos > Qos::AtMostOnce {
                self.enqueue(place, delivery);
            }
        }
        self.shorten_queue(place, self.round.last_committed());
        if let Some(dropped) = connection.slow.filter(|dropped| *dropped > 0)
            && let Some(session) = self.sessions.get(place)
        {
            let (client, rule) = (Arc::clone(&session.client), DropRule::OutboxFull);
            self.round.report(Report::SlowConsumer { client, rule, dropped });
        }
        match ending.cause {
            // There is no socket any more.
            DisconnectCause::ConnectionLost(_) => return,
            DisconnectCause::ShuttingDown => {}
            // Deliveries that wait are not for a connection that ends, some are not for this user any
            // more, and nobody must be able to leave full outboxes behind by connecting anew.
            DisconnectCause::ByClient(_)
            | DisconnectCause::KeepAlive
            | DisconnectCause::TakenOver
            | DisconnectCause::Protocol(..)
            | DisconnectCause::StandingLost(_)
            | DisconnectCause::DeniedPublish
            | DisconnectCause::Storage
            | DisconnectCause::OverBudget
            | DisconnectCause::Kicked(_) => connection.outbox.retain(|_| false),
        }
        // [MQTT-3.14.0-1] Before 5.0 a server sends no DISCONNECT.
        // [MQTT-3.2.0-1] And nothing comes before CONNACK, which is still to be written if anything is.
        let is_answered = connection.traffic.bytes_out > 0 || !connection.outbox.is_empty();
        if let Some(reason) = ending.told.filter(|_| connection.version.is_v5() && is_answered) {
            let packet = Packet::Disconnect(Disconnect::new(reason));
            self.round.counters.answers_out += 1;
            mqtt::encode(
                &packet,
                connection.version,
                connection.outbox.writer(&mut self.round.pool),
            );
        }
        self.round.flush(id, &mut connection.flush_mark);
        self.round.close(id);
        let linger = now.plus_ms(self.hub.limits().close_linger_ms);
        if !connection.outbox.is_empty() {
            self.timers.arm(linger, Timer::Linger(id));
            self.sessions.put_closing(id, Closing { outbox: connection.outbox, linger });
        }
    }

    pub(crate) fn forget_closing(&mut self, id: ConnectionId) {
        if let Some(closing) = self.sessions.remove_closing(id) {
            self.timers.disarm(Some(closing.linger), Timer::Linger(id));
        }
    }

    pub(crate) fn arm_session_expiry(&mut self, place: SessionRef, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        if session.expiry_s != u32::MAX {
            let at = now.plus_s(u64::from(session.expiry_s));
            session.expires_at = Some(at);
            self.timers.arm(at, Timer::SessionExpiry(place));
        }
    }

    pub(crate) fn persist_session(&mut self, place: SessionRef) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let is_durable = session.is_durable(self.hub.limits());
        session.identity.is_durable.store(is_durable, Ordering::Relaxed);
        if is_durable {
            session.is_recorded = true;
            self.round.persist(Record::SessionPut {
                key: session.identity.key.clone(),
                expiry_s: session.expiry_s,
                offline_since: session.disconnected_at,
                client: Arc::clone(&session.client),
                version: session.version,
                connected_at: session.connected_at,
                clean_start: session.clean_start,
                methods: session.methods,
            });
        } else if std::mem::take(&mut session.is_recorded) {
            // It is not to outlive its connection any more, nor a restart.
            self.round.persist(Record::SessionRemove(session.identity.key.clone()));
        }
    }

    /// Records the session's will, or that it has none any more.
    pub(crate) fn persist_will(&mut self, place: SessionRef) {
        let Some(session) = self.sessions.get(place) else { return };
        if !session.is_durable(self.hub.limits()) {
            return;
        }
        let key = session.identity.key.clone();
        self.round.persist(match session.will.as_ref().map(HeldWill::share) {
            Some(will) => Record::WillPut { key, will, due: session.will_due },
            None => Record::WillRemove(key),
        });
    }
}
