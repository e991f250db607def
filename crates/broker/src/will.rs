//! Wills: judged when the client connects, and again when they are sent.

use std::sync::Arc;

use access::Lapse;
use mqtt::{Timestamp, Will};

use crate::budget::Cost;
use crate::engine::Engine;
use crate::gate;
use crate::identity::{SessionKey, SessionRef};
use crate::message::Publication;
use crate::record::Record;
use crate::report::{RefusalReason, RefusedAction};
use crate::timers::Timer;

impl Engine {
    /// In how many milliseconds a session without a connection sends its will, if it has one to send yet.
    #[must_use]
    pub fn waiting_will_ms(&self, key: &SessionKey, now: Timestamp) -> Option<u64> {
        let place = self.shard.sessions.find(&key.by_ref())?;
        Some(self.shard.sessions.get(place)?.will_due?.since(now))
    }

    /// Takes that will from the session: what had proven its client was withdrawn.
    pub fn withdraw_waiting_will(&mut self, key: &SessionKey, now: Timestamp) {
        self.take_policy(now);
        let Some(place) = self.shard.sessions.find(&key.by_ref()) else { return };
        if self.shard.sessions.get(place).is_some_and(|session| session.will_due.is_some()) {
            self.shard.withdraw_will_of_lapsed(place, Lapse::CredentialsChanged);
        }
    }

    /// The connection is gone: the will is sent, or held for its delay.
    pub(crate) fn hold_or_fire_will(&mut self, place: SessionRef, now: Timestamp) {
        let Some(session) = self.shard.sessions.get_mut(place) else { return };
        let Some(delay_s) = session.will.as_ref().map(|will| will.properties.delay_s) else {
            return;
        };
        if delay_s == 0 {
            return self.fire_will(place, now);
        }
        // The end of the session, if it is earlier, sends it too [MQTT-3.1.3-9].
        let due = now.plus_s(u64::from(delay_s));
        session.will_due = Some(due);
        self.shard.timers.arm(due, Timer::Will(place));
        self.shard.persist_will(place);
    }

    pub(crate) fn fire_due_will(&mut self, place: SessionRef, now: Timestamp) {
        if let Some(session) = self.shard.sessions.get_mut(place) {
            session.will_due = None;
            self.fire_will(place, now);
        }
    }

    /// Sends the session's will, if it still has one and may.
    pub(crate) fn fire_will(&mut self, place: SessionRef, now: Timestamp) {
        let Some(session) = self.shard.sessions.get_mut(place) else { return };
        let Some(will) = session.will.take() else { return };
        let due = session.will_due.take();
        self.shard.timers.disarm(due, Timer::Will(place));
        if session.is_durable(self.shard.hub.limits()) {
            self.shard.round.persist(Record::WillRemove(session.identity.key.clone()));
        }
        let key = &session.identity.key;
        // Judged by the newest policy, not by the rights the session had when it connected.
        let permit = match self.shard.policy.rights(key.user, Arc::clone(&key.client_id)) {
            Some(rights) => {
                // It cannot wait, but it counts.
                if let Some(bucket) =
                    self.shard.hub.budgets.of(key.user, rights.publish_budget(), now)
                {
                    bucket.take(will_cost(&will), now);
                }
                gate::publish(&rights, will.topic.as_str())
            }
            None => Err(gate::gone()),
        };
        let writer = Arc::clone(&session.identity);
        let permit = match permit {
            Ok(permit) => permit,
            Err(denial) => {
                let reason = RefusalReason::Denied(denial);
                let (action, topic) = (RefusedAction::Will, will.topic.as_str());
                self.shard.round.counters.refused_publishes.denied += 1;
                self.shard.round.refuse(&session.client, action, topic, reason);
                return;
            }
        };
        let expiry_s = will.properties.message_expiry_interval_s;
        let publication = Publication {
            topic: permit.topic(),
            qos: will.qos,
            retain: will.retain,
            forwardable: &will.properties.forwardable,
            payload: &will.payload,
            writer: &writer,
            source: None,
            expires_at: expiry_s.map(|seconds| now.plus_s(u64::from(seconds))),
        };
        let route = self.find_route(permit.topic());
        self.route(route, &publication, now);
    }
}

fn will_cost(will: &Will) -> Cost {
    let size = will.topic.as_str().len() + will.properties.forwardable.len() + will.payload.len();
    Cost { messages: 1, bytes: u64::try_from(size).unwrap_or(u64::MAX) }
}
