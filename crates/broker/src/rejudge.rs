//! A changed policy reaches every session, online and offline: what it no longer may have is taken
//! from it, the rest stays untouched.
//!
//! A session whose user and roles are the same compiled objects as before is not looked into, so a
//! change costs what it concerns, plus a pointer comparison for everybody else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use access::{AuthMethod, Denial, Lapse, Policy, ProvenMethods, Rights, SubscribePermit};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{Ack, Packet, PacketId, Qos, ReasonCode, Timestamp, Will};
use topic::{SubscriptionFilter, TopicName};

use crate::acknowledge::give_up;
use crate::detach::Ending;
use crate::engine::{Engine, Shard};
use crate::gate;
use crate::identity::SessionRef;
use crate::message::Delivery;
use crate::outbox::WaitingPublish;
use crate::record::Record;
use crate::report::{RefusalReason, RefusedAction, SessionEnd};
use crate::session::Session;
use crate::subscription_table::Member;

impl Engine {
    /// Takes the newest policy if there is a newer one, and judges every session by it.
    pub(crate) fn take_policy(&mut self, now: Timestamp) {
        if self.shard.hub.is_policy(&self.shard.policy) {
            return;
        }
        self.shard.policy = self.shard.hub.policy();
        self.shard.permit_epoch += 1;
        self.shard.round.policy_generation = self.shard.policy.generation();
        let changed = self.shard.sessions_changed();
        for place in &changed {
            self.shard.rejudge(*place, now);
        }
        // Of all sessions, before any connection ends: whatever its end may bring others is judged by what is left.
        self.shard.take_out_withdrawn();
        for place in self.shard.sessions.places() {
            self.shard.note_judged(place);
        }
        for place in changed {
            self.end_without_standing(place, now);
        }
    }

    fn end_without_standing(&mut self, place: SessionRef, now: Timestamp) {
        let Some(session) = self.shard.sessions.get(place) else { return };
        let user = session.identity.key.user;
        let standing = match &session.proof {
            Some(proof) => self.shard.policy.standing(proof),
            None => Ok(()),
        };
        if let Err(lapse) = standing
            && session.connection.is_some()
        {
            self.end_connection(place, Ending::standing_lost(lapse_code(lapse)), now);
        }
        if self.shard.policy.user(user).is_none() {
            self.end_session(place, SessionEnd::UserRemoved, now);
        }
    }
}

/// The sessions that are to be taken out of the hub's table, by filter: a crowd that shares one is taken out in one go.
pub(crate) type Withdrawn = HashMap<SubscriptionFilter, Vec<SessionRef>, FixedState>;

impl Shard {
    /// The sessions whose user or roles are not the same compiled objects any more.
    fn sessions_changed(&self) -> Vec<SessionRef> {
        let mut places = self.sessions.places();
        places.retain(|place| {
            let rights = self.sessions.get(*place).map(|session| session.rights.as_ref());
            rights.is_some_and(|it| it.is_none_or(|it| !it.are_current_in(&self.policy)))
        });
        places
    }

    fn rejudge(&mut self, place: SessionRef, now: Timestamp) {
        let Shard { sessions, round, policy, .. } = &mut *self;
        let Some(session) = sessions.get_mut(place) else { return };
        let key = &session.identity.key;
        let before = session.rights.take();
        session.rights = policy.rights(key.user, Arc::clone(&key.client_id));
        let lapse = lapse_of(session, before.as_ref(), policy);
        if let Some(refused) = session.connection.as_mut().and_then(|it| it.refused.as_mut()) {
            refused.close(&session.client, round);
        }
        self.withdraw(place, now);
        if let Some(lapse) = lapse {
            self.withdraw_will_of_lapsed(place, lapse);
        }
        self.set_allowance(place, now);
    }

    /// Takes what was withdrawn out of the hub's table. Routes made from it before are not trusted from here on.
    pub(crate) fn take_out_withdrawn(&mut self) {
        for (filter, mut places) in std::mem::take(&mut self.withdrawn) {
            places.sort_unstable();
            self.hub.table.remove_all(&filter, &places);
        }
        self.judged_at_table_generation = self.hub.table.generation();
    }

    /// All that the session has subscribed to is judged by the policy that rules here.
    pub(crate) fn note_judged(&self, place: SessionRef) {
        if let Some(session) = self.sessions.get(place) {
            session.identity.judged.store(self.policy.generation(), Ordering::Release);
        }
    }

    /// Takes from the session all that its rights do not cover any more.
    pub(crate) fn withdraw(&mut self, place: SessionRef, now: Timestamp) {
        self.withdraw_subscriptions(place);
        self.withdraw_will(place);
        let Some(session) = self.sessions.get(place) else { return };
        let rights = session.rights.clone();
        let client = Arc::clone(&session.client);
        let mut judged = LastJudged::new(rights);
        let dropped = self.drop_held(place, |delivery| judged.may_read(delivery.message.topic()));
        if let Some((topic, count)) = dropped {
            let reason = judged.refusal(&topic);
            self.round.refuse_all(&client, RefusedAction::Delivery, topic.as_str(), reason, count);
        }
        self.caught_up(place, now);
    }

    fn withdraw_subscriptions(&mut self, place: SessionRef) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let mut lost: Vec<(SubscriptionFilter, Denial)> = Vec::new();
        for (filter, subscription) in &mut session.subscriptions {
            match judge_subscription(session.rights.as_ref(), filter) {
                Err(denial) => lost.push((filter.clone(), denial)),
                Ok(permit) if permit.is_filtered() == subscription.is_filtered => {}
                Ok(permit) => {
                    subscription.is_filtered = permit.is_filtered();
                    let member = Member {
                        session: Arc::clone(&session.identity),
                        options: subscription.options,
                        identifier: subscription.identifier,
                        is_filtered: subscription.is_filtered,
                    };
                    self.hub.table.put(filter, member);
                }
            }
        }
        let client = Arc::clone(&session.client);
        for (filter, denial) in lost {
            self.forget_subscription(place, &filter);
            self.withdrawn.entry(filter.clone()).or_default().push(place);
            let reason = RefusalReason::Denied(denial);
            self.round.refuse(&client, RefusedAction::Held, &filter.to_string(), reason);
        }
    }

    /// Flaw 11: a will that may not be sent any more is dropped now, and would be refused then.
    fn withdraw_will(&mut self, place: SessionRef) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(will) = session.will.as_ref() else { return };
        let Err(denial) = judge_will(session.rights.as_ref(), will) else { return };
        self.drop_will(place, denial);
    }

    /// Whoever left this will has not proven to be the user by what counts now, be its connection still there or not: it does
    /// not speak for the user any more.
    pub(crate) fn withdraw_will_of_lapsed(&mut self, place: SessionRef, lapse: Lapse) {
        self.drop_will(place, Denial::Lapsed(lapse));
    }

    fn drop_will(&mut self, place: SessionRef, denial: Denial) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(will) = session.will.take() else { return };
        let reason = RefusalReason::Denied(denial);
        self.round.refuse(&session.client, RefusedAction::Will, will.topic.as_str(), reason);
        let due = session.will_due.take();
        self.timers.disarm(due, crate::timers::Timer::Will(place));
        self.persist_will(place);
    }

    /// Drops from all that the session holds in memory what `is_allowed` does not want: the queue, retained
    /// messages not yet sent, messages in flight, and frames in the outbox of which nothing is
    /// written. What the client has got on this connection keeps its packet id until it is
    /// acknowledged, and is never sent again.
    pub(crate) fn drop_held(
        &mut self,
        place: SessionRef,
        mut is_allowed: impl FnMut(&Delivery) -> bool,
    ) -> Option<(TopicName, u64)> {
        let Shard { sessions, round, hub, .. } = self;
        let session = sessions.get_mut(place)?;
        let mut dropped = session.queue.retain(&mut is_allowed);
        dropped.extend(session.outbound.remove_where(|delivery| !is_allowed(delivery)));
        let count = u64::try_from(dropped.len()).unwrap_or(u64::MAX);
        round.counters.withheld += count;
        let first = dropped.first().map(|first| (first.message.topic().clone(), count));
        if session.is_durable(hub.limits()) {
            for delivery in dropped {
                let (key, sequence) = (session.identity.key.clone(), delivery.sequence);
                round.persist(Record::MessageRemove { key, sequence });
            }
        }
        self.drop_unwritten(place, is_allowed);
        first
    }

    /// The part of `drop_held` that a connection holds.
    fn drop_unwritten(&mut self, place: SessionRef, is_allowed: impl FnMut(&Delivery) -> bool) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let rights = session.rights.clone();
        let Some(connection) = session.connection.as_deref_mut() else { return };
        connection.backlog.retain(is_allowed);
        let mut judged = LastJudged::new(rights);
        let before = connection.outbox.len();
        let mut unsent = Vec::new();
        let outbound = &session.outbound;
        connection.outbox.retain(|publish| {
            let is_allowed = match publish.packet_id {
                // Judged above, by its topic, though only an alias may be written for that.
                Some(packet_id) => outbound.message(packet_id).is_some(),
                None => judged.may_write(publish),
            };
            unsent.extend(publish.packet_id.filter(|_| !is_allowed).map(|id| (id, publish.dup)));
            is_allowed
        });
        if connection.outbox.len() != before {
            connection.forget_aliases();
        }
        for (packet_id, is_repeated) in unsent {
            self.end_unsent(place, packet_id, is_repeated);
        }
    }

    /// The PUBLISH of this exchange was taken out of the outbox: nobody will acknowledge it. If it was
    /// sent on a former connection, the client may hold the packet id of a QoS 2 message: that
    /// goes on with PUBREL.
    fn end_unsent(&mut self, place: SessionRef, packet_id: PacketId, is_repeated: bool) {
        let Some(session) = self.sessions.get_mut(place) else { return };
        let Some(connection) = session.connection.as_ref() else { return };
        let id = connection.id;
        let is_released = session.outbound.puback(packet_id).is_err()
            && is_repeated
            && session.outbound.pubrec(packet_id, ReasonCode::Success).is_ok();
        if is_released {
            self.released(place, packet_id, None);
            let packet = Packet::PubRel(Ack::new(packet_id, ReasonCode::Success));
            return self.reply(id, &packet);
        }
        give_up(&mut session.outbound, packet_id, Qos::ExactlyOnce);
        if session.is_durable(self.hub.limits()) {
            let key = session.identity.key.clone();
            self.round.persist(Record::InflightRemove { key, packet_id });
        }
    }
}

/// What becomes of a subscription under these rights.
pub(crate) fn judge_subscription(
    rights: Option<&Rights>,
    filter: &SubscriptionFilter,
) -> Result<SubscribePermit, Denial> {
    gate::subscription(rights.ok_or_else(gate::gone)?, filter)
}

/// What becomes of a will under these rights.
pub(crate) fn judge_will(rights: Option<&Rights>, will: &Will) -> Result<(), Denial> {
    gate::publish(rights.ok_or_else(gate::gone)?, will.topic.as_str()).map(|_| ())
}

/// The deliver gate with a memory of one topic: what is held often comes in runs of the same.
pub(crate) struct LastJudged {
    rights: Option<Rights>,
    last: Option<(TopicName, bool)>,
}

impl LastJudged {
    pub(crate) fn new(rights: Option<Rights>) -> LastJudged {
        LastJudged { rights, last: None }
    }

    pub(crate) fn may_read(&mut self, topic: &TopicName) -> bool {
        if let Some((last, is_allowed)) = &self.last
            && last == topic
        {
            return *is_allowed;
        }
        let is_allowed =
            self.rights.as_ref().is_some_and(|rights| gate::delivery(rights, topic).is_ok());
        self.last = Some((topic.clone(), is_allowed));
        is_allowed
    }

    /// Why this topic may not be read.
    pub(crate) fn refusal(&self, topic: &TopicName) -> RefusalReason {
        let denial = match &self.rights {
            Some(rights) => gate::delivery(rights, topic).err().unwrap_or_else(gate::gone),
            None => gate::gone(),
        };
        RefusalReason::Denied(denial)
    }

    /// A QoS 0 frame in the outbox. One without topic, whose alias the walk does not know, is not let
    /// through: what cannot be judged is denied.
    fn may_write(&mut self, publish: &WaitingPublish<'_>) -> bool {
        let name = std::str::from_utf8(publish.topic).ok().and_then(|it| TopicName::parse(it).ok());
        name.is_some_and(|topic| self.may_read(&topic))
    }
}

/// Why what has proven the session's last client does not hold any more. Of one that was read from disk it is known how
/// it was proven, and that no password was changed before `before`.
pub(crate) fn lapse_of(
    session: &Session,
    before: Option<&Rights>,
    policy: &Policy,
) -> Option<Lapse> {
    if let Some(proof) = &session.proof {
        return policy.standing(proof).err();
    }
    let user = policy.user(session.identity.key.user)?;
    let is_by_password = session.methods.contains(AuthMethod::Password);
    if is_by_password && before.is_some_and(|it| it.credential_epoch() != user.credential_epoch()) {
        return Some(Lapse::CredentialsChanged);
    }
    let is_known = session.methods != ProvenMethods::default();
    let is_enough = user.grants().are_satisfied_by(session.methods);
    (is_known && !is_enough).then_some(Lapse::GrantsUnsatisfied)
}

fn lapse_code(lapse: Lapse) -> ReasonCode {
    match lapse {
        Lapse::UserRemoved | Lapse::UserDisabled | Lapse::GrantsUnsatisfied => {
            ReasonCode::NotAuthorized
        }
        Lapse::CredentialsChanged => ReasonCode::AdministrativeAction,
    }
}
