//! SUBSCRIBE and UNSUBSCRIBE: each filter is judged by itself and has its own result.

use std::sync::Arc;

use access::Denial;
use mqtt::{
    AckProperties, Packet, Qos, ReasonCode, RequestedFilter, RetainHandling, SubAck, Subscribe,
    SubscribeOptions, Timestamp, UnsubAck, Unsubscribe,
};
use topic::SubscriptionFilter;

use crate::engine::{Engine, Shard};
use crate::gate;
use crate::hub::limit_reason;
use crate::identity::{ConnectionId, SessionRef};
use crate::memory::{MEMORY, Memory};
use crate::message::Delivery;
use crate::pressure::count_dropped;
use crate::record::Record;
use crate::report::{DecisionId, DropRule, RefusalReason, RefusedAction};
use crate::session::Subscription;
use crate::subscription_table::Member;

impl Engine {
    pub(crate) fn receive_subscribe(
        &mut self,
        id: ConnectionId,
        subscribe: Subscribe,
        now: Timestamp,
    ) {
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut granted = Vec::new();
        let mut decisions = Vec::new();
        for (requested, options) in subscribe.filters {
            let filter = match requested {
                RequestedFilter::Accepted(filter) => filter,
                RequestedFilter::NotAccepted { text, error } => {
                    reasons.push(ReasonCode::TopicFilterInvalid);
                    let reason = RefusalReason::Denied(Denial::InvalidTopic(error));
                    decisions.extend(self.shard.refuse_filter(place, &text, reason, now));
                    continue;
                }
            };
            // Flaw 18: a refusal says nothing about the other filters.
            match self.shard.subscribe(place, &filter, options, subscribe.subscription_identifier) {
                Ok(is_new) => {
                    reasons.push(granted_code(options.qos));
                    granted.push((filter, options, is_new));
                }
                Err((code, reason)) => {
                    reasons.push(code);
                    let text = filter.to_string();
                    decisions.extend(self.shard.refuse_filter(place, &text, reason, now));
                }
            }
        }
        let properties = self.shard.refusal_properties(id, &decisions);
        let suback = SubAck { packet_id: subscribe.packet_id, reasons, properties };
        self.shard.reply(id, &Packet::SubAck(suback));
        // Flaw 19: only what was granted brings retained messages.
        for (filter, options, is_new) in granted {
            let is_wanted = match options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::IfNew => is_new,
                RetainHandling::Never => false,
            };
            // Retained messages do not go to share groups (4.8.2).
            if is_wanted && filter.share.is_none() {
                let identifier = subscribe.subscription_identifier;
                self.shard.send_all_retained(place, &filter, options.qos, identifier, now);
            }
        }
    }

    pub(crate) fn receive_unsubscribe(&mut self, id: ConnectionId, unsubscribe: &Unsubscribe) {
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let reasons = unsubscribe
            .filters
            .iter()
            .map(|requested| match requested {
                RequestedFilter::Accepted(filter) if self.shard.unsubscribe(place, filter) => {
                    ReasonCode::Success
                }
                RequestedFilter::Accepted(_) | RequestedFilter::NotAccepted { .. } => {
                    ReasonCode::NoSubscriptionExisted
                }
            })
            .collect();
        let properties = AckProperties::default();
        let unsuback = UnsubAck { packet_id: unsubscribe.packet_id, reasons, properties };
        self.shard.reply(id, &Packet::UnsubAck(unsuback));
    }
}

impl Shard {
    /// Puts a subscription into the session and the table of all shards. Says whether it is new.
    fn subscribe(
        &mut self,
        place: SessionRef,
        filter: &SubscriptionFilter,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Result<bool, (ReasonCode, RefusalReason)> {
        let denied = |denial| (ReasonCode::NotAuthorized, RefusalReason::Denied(denial));
        let Shard { sessions, round, hub, .. } = self;
        let limits = hub.limits();
        let session = sessions.get_mut(place).ok_or_else(|| denied(Denial::Gone))?;
        let rights = session.rights.as_ref().ok_or_else(|| denied(Denial::Gone))?;
        let permit = gate::subscription(rights, filter).map_err(denied)?;
        if session.is_durable(limits)
            && let Some(limit) = hub.storage_limit()
        {
            round.counters.storage_refused_subscriptions += 1;
            return Err((limit_reason(limit), RefusalReason::Limit(limit)));
        }
        let is_new = !session.subscriptions.contains_key(filter);
        if is_new && session.subscriptions.len() >= limits.subscriptions_per_session_max {
            let reason = RefusalReason::Limit("subscriptions_per_session_max");
            return Err((ReasonCode::QuotaExceeded, reason));
        }
        if is_new && hub.memory() == Memory::Full {
            return Err((ReasonCode::QuotaExceeded, RefusalReason::Limit(MEMORY)));
        }
        let is_filtered = permit.is_filtered();
        let subscription = Subscription { options, identifier, is_filtered };
        session.subscriptions.insert(permit.filter().clone(), subscription);
        let member =
            Member { session: Arc::clone(&session.identity), options, identifier, is_filtered };
        hub.table.put(permit.filter(), member);
        if session.is_durable(limits) {
            let (key, filter) = (session.identity.key.clone(), filter.clone());
            round.persist(Record::SubscriptionPut { key, filter, options, identifier });
        }
        Ok(is_new)
    }

    /// Takes a subscription out. Says whether there was one.
    pub(crate) fn unsubscribe(&mut self, place: SessionRef, filter: &SubscriptionFilter) -> bool {
        let was_there = self.forget_subscription(place, filter);
        if was_there {
            self.hub.table.remove(filter, place);
        }
        was_there
    }

    /// Takes a subscription out of its session and of the records, but not out of the hub's table.
    pub(crate) fn forget_subscription(
        &mut self,
        place: SessionRef,
        filter: &SubscriptionFilter,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(place) else { return false };
        if session.subscriptions.remove(filter).is_none() {
            return false;
        }
        if session.is_durable(self.hub.limits()) {
            let (key, filter) = (session.identity.key.clone(), filter.clone());
            self.round.persist(Record::SubscriptionRemove { key, filter });
        }
        true
    }

    fn refuse_filter(
        &mut self,
        place: SessionRef,
        filter: &str,
        reason: RefusalReason,
        now: Timestamp,
    ) -> Option<DecisionId> {
        self.round.counters.refused_subscriptions += 1;
        self.refuse(place, (RefusedAction::Subscribe, filter), reason, now)
    }

    /// The retained messages a new subscription brings, as far as the reader has the right. They go out
    /// as the outbox takes them; the writer is judged then.
    fn send_all_retained(
        &mut self,
        place: SessionRef,
        filter: &SubscriptionFilter,
        qos: Qos,
        identifier: Option<u32>,
        now: Timestamp,
    ) {
        let max = self.hub.limits().retained_backlog_max;
        let found = self.hub.retained_matching(&filter.filter, now);
        let identifiers = identifier.map(|identifier| Arc::from([identifier]));
        let mut left_over = 0;
        for message in found {
            let Some(session) = self.sessions.get_mut(place) else { return };
            let Some(rights) = session.rights.as_ref() else { return };
            // Flaw 14: the same gate as for live messages.
            if gate::delivery(rights, message.topic()).is_err() {
                self.round.counters.withheld += 1;
                continue;
            }
            session.next_sequence += 1;
            let sequence = session.next_sequence;
            let qos = qos.min(message.qos());
            let identifiers = identifiers.clone();
            let Some(connection) = session.connection.as_mut() else { return };
            if connection.backlog.len() >= max {
                left_over += 1;
                continue;
            }
            let retain = true;
            connection.backlog.push_back(Delivery { message, qos, retain, identifiers, sequence });
        }
        if let Some(session) = self.sessions.get_mut(place) {
            count_dropped(session, &mut self.round, DropRule::RetainedBacklogFull, left_over);
        }
        self.pump(place, now);
    }
}

fn granted_code(qos: Qos) -> ReasonCode {
    match qos {
        Qos::AtMostOnce => ReasonCode::Success,
        Qos::AtLeastOnce => ReasonCode::GrantedQos1,
        Qos::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}
