//! PUBLISH from a client: resolve the alias, add the prefix, judge, and route exactly that topic.

use std::sync::Arc;

use access::{Denial, Policy};
use mqtt::{
    Ack, Arrival, InboundAliases, Packet, PlainAck, ProtocolError, Publish, Qos, ReasonCode,
    Timestamp,
};
use topic::TopicName;

use crate::detach::Ending;
use crate::engine::{Engine, Shard};
use crate::gate;
use crate::hub::{BUDGET, Hub, limit_reason};
use crate::identity::{ConnectionId, SessionIdentity, ShardId};
use crate::limits::{DeniedPublish, Limits, PayloadFormat};
use crate::memory::Memory;
use crate::message::{Message, Publication};
use crate::publishers::{HOUR_MS, Publishers};
use crate::record::Record;
use crate::report::{RefusalReason, RefusedAction, Report};
use crate::round::Round;
use crate::routes::{RouteCache, RouteIndex};
use crate::session::Session;
use crate::timers::{Timer, Timers};

/// How routing a PUBLISH began.
enum Judged {
    Route(RouteIndex),
    Denied(Box<str>, Denial),
    Broken(ProtocolError),
}

impl Engine {
    pub(crate) fn receive_publish(
        &mut self,
        id: ConnectionId,
        writer: &Arc<SessionIdentity>,
        publish: &Publish<'_>,
        now: Timestamp,
    ) {
        let counters = &mut self.shard.round.counters;
        counters.messages_in += 1;
        counters.payload_bytes_in += u64::try_from(publish.payload.len()).unwrap_or(u64::MAX);
        if publish.properties.has_subscription_identifier() {
            // [MQTT-3.3.4-6]
            let detail = "subscription identifier from a client";
            return self.end_by_protocol(id, ReasonCode::ProtocolError, detail, now);
        }
        if publish.packet_id.is_some() {
            self.shard.round.begin_packet();
            self.shard.round.counters.acknowledged_in.count(publish.qos);
        }
        let (arrival, judged) = self.judge_publish(id, publish, now);
        let is_first = arrival == Arrival::First;
        let route = match judged {
            Judged::Route(route) => route,
            Judged::Broken(error) => {
                return self.end_by_protocol(id, error.reason, error.detail, now);
            }
            Judged::Denied(topic, denial) => {
                let is_new = arrival != Arrival::Repeated;
                return self.refuse_publish(id, publish, is_new, (&topic, denial), now);
            }
        };
        if arrival == Arrival::InUse {
            return self.refuse_identifier(id, publish);
        }
        if is_first && self.shard.has_wrong_format(publish) {
            return self.refuse_format(id, publish, now);
        }
        if is_first
            && self.is_careful
            && let Some(limit) = self.limit_in_the_way(id, publish, route)
        {
            return self.refuse_for_limit(id, publish, limit, now);
        }
        if is_first {
            self.publish_permitted(id, writer, publish, route, now);
        }
        let Some(packet_id) = publish.packet_id else { return };
        if is_first && self.routes.get(route).is_some_and(crate::routes::Route::is_empty) {
            let ack = Ack::new(packet_id, ReasonCode::NoMatchingSubscribers);
            return self.acknowledge_publish(id, publish.qos, ack);
        }
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.shard.answer(id, PlainAck::PubAck(packet_id)),
            Qos::ExactlyOnce => self.shard.answer(id, PlainAck::PubRec(packet_id)),
        }
    }

    /// Where a message on this permitted topic goes. Takes the topic out of the permit.
    pub(crate) fn find_route(&mut self, topic: &TopicName) -> RouteIndex {
        self.routes.refresh(&self.shard.hub, &self.shard.policy);
        self.routes.find(topic, self.shard.id, &self.shard.hub, &self.shard.policy)
    }

    /// Hands a permitted message to the retained store and to all receivers.
    pub(crate) fn route(
        &mut self,
        route: RouteIndex,
        publication: &Publication<'_>,
        now: Timestamp,
    ) {
        let message = publication.retain.then(|| self.shard.retain(publication, now)).flatten();
        if let Some(route) = self.routes.get(route) {
            self.shard.deliver_all(route, publication, message, now);
        }
    }

    fn publish_permitted(
        &mut self,
        id: ConnectionId,
        writer: &Arc<SessionIdentity>,
        publish: &Publish<'_>,
        route: RouteIndex,
        now: Timestamp,
    ) {
        let properties = &publish.properties;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        if !properties.is_empty() {
            properties.forwardable(&mut scratch);
        }
        let Some(found) = self.routes.get(route) else { return };
        let publication = Publication {
            topic: &found.topic,
            qos: publish.qos,
            retain: publish.retain,
            forwardable: &scratch,
            payload: publish.payload,
            writer,
            source: Some(id),
            expires_at: properties
                .message_expiry_interval_s()
                .map(|seconds| now.plus_s(u64::from(seconds))),
        };
        let message = publish.retain.then(|| self.shard.retain(&publication, now)).flatten();
        self.shard.deliver_all(found, &publication, message, now);
        self.scratch = scratch;
    }

    /// Whether the message would be recorded, and its sender waits for an answer that says so.
    pub(crate) fn needs_disk(
        &self,
        id: ConnectionId,
        publish: &Publish<'_>,
        route: RouteIndex,
    ) -> bool {
        let limits = self.shard.hub.limits();
        let Some((session, _)) = self.shard.sessions.online(id) else { return false };
        publish.qos > Qos::AtMostOnce
            && (publish.retain
                || (publish.qos == Qos::ExactlyOnce && session.is_durable(limits))
                || self.routes.get(route).is_some_and(crate::routes::Route::has_durable))
    }

    /// The message is not taken. Before 5.0 that cannot be told: the client is cut off and sends it
    /// again.
    fn refuse_for_limit(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        limit: &'static str,
        now: Timestamp,
    ) {
        *self.shard.round.counters.refused_publishes.of(limit) += 1;
        if limit == BUDGET && publish.packet_id.is_none() {
            // Told once a minute: a line for each would be a flood of its own.
            return;
        }
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let (place, is_v5) = (session.identity.place, session.version.is_v5());
        let is_durable = session.is_durable(self.shard.hub.limits());
        let (action, reason) = (RefusedAction::Publish, RefusalReason::Limit(limit));
        self.shard.refuse(place, (action, publish.topic), reason, now);
        let Some(packet_id) = publish.packet_id else { return };
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        // [MQTT-4.3.3-9] The exchange is over, whether it is told by a PUBREC or by the end.
        session.inbound.refused(packet_id);
        if is_durable && publish.qos == Qos::ExactlyOnce {
            let key = session.identity.key.clone();
            self.shard.round.persist(Record::ReceivedRemove { key, packet_id });
        }
        let reason = limit_reason(limit);
        let ack = Ack::new(packet_id, reason);
        match publish.qos {
            _ if !is_v5 => self.end_connection(place, Ending::storage(reason), now),
            Qos::ExactlyOnce => self.shard.write(id, &Packet::PubRec(ack)),
            Qos::AtLeastOnce | Qos::AtMostOnce => self.shard.write(id, &Packet::PubAck(ack)),
        }
    }

    /// The exchange, then the publish gate by way of the connection's cache: one look-up for a repeated topic.
    fn judge_publish(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        now: Timestamp,
    ) -> (Arrival, Judged) {
        let Engine { shard, routes, .. } = self;
        let Shard { sessions, round, hub, policy, publishers, timers, .. } = shard;
        let limits = hub.limits();
        routes.refresh(hub, policy);
        let Some(session) = sessions.online_mut(id) else {
            return (Arrival::First, denied("", Denial::Gone));
        };
        let arrival = match session.begin_inbound(publish, round, limits) {
            Ok(Arrival::InUse) if !session.version.is_v5() => {
                return (Arrival::InUse, Judged::Broken(IDENTIFIER_IN_USE));
            }
            Ok(arrival) => arrival,
            Err(error) => return (Arrival::First, Judged::Broken(error)),
        };
        // The alias is set by a repeated message too, and before anything is judged (flaw 17).
        let scene = Scene { shard: shard.id, hub, policy, epoch: shard.permit_epoch, now };
        (arrival, judge_topic(session, routes, publish, &scene, (publishers, timers)))
    }

    fn acknowledge_publish(&mut self, id: ConnectionId, qos: Qos, ack: Ack) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let packet_id = ack.packet_id;
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.shard.reply(id, &Packet::PubAck(ack));
            }
            Qos::ExactlyOnce => {
                // [MQTT-4.3.3-9] A PUBREC with an error ends the exchange.
                if ack.reason.is_error() {
                    session.inbound.refused(packet_id);
                    if session.is_durable(self.shard.hub.limits()) {
                        let key = session.identity.key.clone();
                        self.shard.round.persist(Record::ReceivedRemove { key, packet_id });
                    }
                }
                self.shard.reply(id, &Packet::PubRec(ack));
            }
        }
    }

    /// Section 3.3.2.3.2: answered with 0x99; a message that has no answer ends the connection with it.
    fn refuse_format(&mut self, id: ConnectionId, publish: &Publish<'_>, now: Timestamp) {
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        self.shard.round.counters.refused_publishes.format += 1;
        let (action, reason) = (RefusedAction::Publish, RefusalReason::PayloadFormat);
        self.shard.refuse(place, (action, publish.topic), reason, now);
        let code = ReasonCode::PayloadFormatInvalid;
        match publish.packet_id {
            Some(packet_id) => {
                self.acknowledge_publish(id, publish.qos, Ack::new(packet_id, code));
            }
            None => self.end_by_protocol(id, code, "payload is not UTF-8 as it says", now),
        }
    }

    /// [MQTT-2.2.1-3] A QoS 1 message with the identifier of one of QoS 2 that is not released. Nothing has become of it,
    /// and its sender may send it again with another identifier; the exchange of the other one goes on.
    fn refuse_identifier(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        let Some(packet_id) = publish.packet_id else { return };
        let ack = Ack::new(packet_id, ReasonCode::PacketIdentifierInUse);
        self.acknowledge_publish(id, publish.qos, ack);
    }

    /// Not routed; MQTT 5 is told, 3.1.1 cannot be.
    fn refuse_publish(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        is_new: bool,
        (topic, denial): (&str, Denial),
        now: Timestamp,
    ) {
        let Some((session, connection)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let is_v5 = connection.version.is_v5();
        self.shard.round.counters.refused_publishes.denied += 1;
        let code = match &denial {
            // Well-formed, and not accepted: of so many levels, with the prefix perhaps.
            Denial::InvalidTopic(_) => ReasonCode::TopicNameInvalid,
            Denial::NoRule
            | Denial::DenyRule(_)
            | Denial::DollarTopic
            | Denial::Gone
            | Denial::Lapsed(_) => ReasonCode::NotAuthorized,
        };
        // Nobody may publish under `$`: there is no right to ask after.
        let is_for_all = matches!(denial, Denial::DollarTopic);
        let (action, reason) = (RefusedAction::Publish, RefusalReason::Denied(denial));
        let decision = self.shard.refuse(place, (action, topic), reason, now);
        let told = decision.filter(|_| !is_for_all);
        let rule = self.shard.hub.limits().denied_publish;
        if rule == DeniedPublish::Close && !(is_v5 && publish.packet_id.is_some()) {
            return self.end_connection(place, Ending::denied_publish(), now);
        }
        let Some(packet_id) = publish.packet_id else { return };
        // A repeated QoS 2 message was accepted before: its exchange goes on to its end.
        let ack = if is_v5 && is_new {
            let properties = self.shard.refusal_properties(id, told.as_slice());
            Ack { packet_id, reason: code, properties }
        } else {
            Ack::new(packet_id, ReasonCode::Success)
        };
        self.acknowledge_publish(id, publish.qos, ack);
    }
}

impl Shard {
    /// Whether the payload is not what it says, and somebody looks.
    fn has_wrong_format(&self, publish: &Publish<'_>) -> bool {
        self.hub.limits().payload_format == PayloadFormat::Check
            && !publish.is_payload_as_declared()
    }

    /// [MQTT-3.3.1-5], [MQTT-3.3.1-6] Keeps the message as its topic's last one, or removes that.
    /// Gives the message back if it was made for that.
    fn retain(&mut self, publication: &Publication<'_>, now: Timestamp) -> Option<Arc<Message>> {
        let is_durable = self.hub.limits().persistence == crate::Persistence::On;
        if publication.payload.is_empty() {
            if self.hub.retained.remove(publication.topic) && is_durable {
                self.round.persist(Record::RetainedRemove(publication.topic.clone()));
            }
            return None;
        }
        let message = publication.to_message();
        let mut gone = Vec::new();
        let is_kept = if self.hub.memory() == Memory::Full {
            // As with a full store, the old one is gone all the same.
            self.hub.retained.remove(publication.topic);
            false
        } else {
            self.hub.retained.put(Arc::clone(&message), now, &mut gone).is_ok()
        };
        // Before the new one is recorded: an old one of the same topic may have expired just now.
        self.forget_retained(gone);
        if !is_kept {
            self.round.counters.not_retained += 1;
            self.round.report(Report::RetainedFull { topic: publication.topic.as_str().into() });
        }
        if is_durable {
            self.round.persist(match is_kept {
                true => Record::RetainedPut(Arc::clone(&message)),
                // Or it would be back after a restart.
                false => Record::RetainedRemove(publication.topic.clone()),
            });
        }
        Some(message)
    }

    /// Nothing is retained on these topics any more, on the disk neither.
    pub(crate) fn forget_retained(&mut self, topics: Vec<TopicName>) {
        if self.hub.limits().persistence == crate::Persistence::On {
            for topic in topics {
                self.round.persist(Record::RetainedRemove(topic));
            }
        }
    }
}

impl Session {
    fn begin_inbound(
        &mut self,
        publish: &Publish<'_>,
        round: &mut Round,
        limits: &Limits,
    ) -> Result<Arrival, ProtocolError> {
        let Some(packet_id) = publish.packet_id else { return Ok(Arrival::First) };
        if publish.qos == Qos::AtLeastOnce {
            // Its PUBACK is written before anything else is read.
            return self.inbound.pass(packet_id);
        }
        let arrival = self.inbound.begin(publish.qos, packet_id)?;
        if arrival == Arrival::First && self.is_durable(limits) {
            let key = self.identity.key.clone();
            round.persist(Record::ReceivedPut { key, packet_id });
        }
        Ok(arrival)
    }
}

/// What a topic is judged by.
struct Scene<'a> {
    shard: ShardId,
    hub: &'a Hub,
    policy: &'a Policy,
    /// Permits given in another one are not good any more.
    epoch: u64,
    now: Timestamp,
}

/// Resolves the topic, and judges it if that was not done before; then its publisher is noted.
fn judge_topic(
    session: &mut Session,
    routes: &mut RouteCache,
    publish: &Publish<'_>,
    scene: &Scene<'_>,
    (publishers, timers): (&mut Publishers, &mut Timers),
) -> Judged {
    let Scene { shard, hub, policy, epoch, now } = *scene;
    let limits = hub.limits();
    let Some(connection) = session.connection.as_deref_mut() else {
        return denied("", Denial::Gone);
    };
    connection.traffic.messages_in += 1;
    let topic = if publish.properties.topic_alias().is_some() {
        let aliases = connection
            .aliases_in
            .get_or_insert_with(|| Box::new(InboundAliases::new(limits.topic_alias_max)));
        match aliases.resolve(publish) {
            Ok(resolved) => {
                if let Some(allowance) = connection.allowance.as_deref()
                    && publish.topic.is_empty()
                {
                    allowance.pay_for_alias(resolved.topic, now);
                }
                resolved.topic
            }
            Err(error) => return Judged::Broken(error),
        }
    } else {
        publish.topic
    };
    if let Some(cached) = connection.permits.get(topic, epoch) {
        if routes.get(cached.route).is_none() {
            let permitted = cached.permit.topic();
            cached.route = routes.find(permitted, shard, hub, policy);
        }
        return Judged::Route(cached.route);
    }
    let permit = match session.rights.as_ref().map(|rights| gate::publish(rights, topic)) {
        Some(Ok(permit)) => permit,
        Some(Err(denial)) => return denied(topic, denial),
        None => return denied(topic, Denial::Gone),
    };
    let route = routes.find(permit.topic(), shard, hub, policy);
    let noted = connection.permits.put(topic, permit, route, limits.permit_cache_topics_max);
    if publishers.is_empty() {
        timers.arm(now.plus_ms(HOUR_MS), Timer::Publishers);
    }
    publishers.note(&session.identity.key, noted, now);
    Judged::Route(route)
}

fn denied(topic: &str, denial: Denial) -> Judged {
    Judged::Denied(topic.into(), denial)
}

/// What ends the connection where a refused message cannot be told.
const IDENTIFIER_IN_USE: ProtocolError = ProtocolError {
    reason: ReasonCode::ProtocolError,
    detail: "packet identifier belongs to a QoS 2 message",
};
