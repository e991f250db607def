//! Messages to sessions: straight into the outbox, into flight, or into the queue.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mqtt::{AliasedTopic, OutgoingPublish, PacketId, PlainAck, Qos, Timestamp};
use topic::TopicName;

use crate::connection::Connection;
use crate::engine::Shard;
use crate::gate;
use crate::hub::Hub;
use crate::identity::{SessionKey, SessionRef, ShardId};
use crate::limits::{Limits, Persistence};
use crate::message::{Delivery, Message, Publication, expiry_left_s};
use crate::pressure::{count_dropped, is_behind};
use crate::queue::{Arrival, NEVER};
use crate::record::{Record, StoredDelivery, Way};
use crate::report::DropRule;
use crate::round::Round;
use crate::routes::{Route, RouteStamp, Target, TargetOptions};
use crate::session::Session;
use crate::shard_message::PublishBatch;
use crate::spares::Spares;

/// What the receivers of one message share: made when the first needs it.
#[derive(Default)]
struct Copies {
    message: Option<Arc<Message>>,
    /// There is one receiver, which may have the message for itself.
    is_single: bool,
    /// Whether frames are worth keeping: there is more than one receiver.
    is_fan_out: bool,
    /// QoS 0 frames without identifiers in `Shard::frames`, by [`frame_kind`].
    frames: [Option<Range<usize>>; 4],
}

impl Copies {
    fn message(&mut self, publication: &Publication<'_>, spares: &mut Spares) -> Arc<Message> {
        if self.is_single {
            return self.message.take().unwrap_or_else(|| spares.make(publication));
        }
        Arc::clone(self.message.get_or_insert_with(|| spares.make(publication)))
    }
}

impl Shard {
    /// Delivers a permitted message to everybody on its route.
    pub(crate) fn deliver_all(
        &mut self,
        route: &Route,
        publication: &Publication<'_>,
        message: Option<Arc<Message>>,
        now: Timestamp,
    ) {
        let source = publication.source.map(|id| (self.id, id));
        let is_fan_out = route.local.len() > 1;
        let is_single = route.local.len() + route.remote.len() + route.shared.len() == 1;
        self.frames.clear();
        let mut copies = Copies { message, is_single, is_fan_out, ..Copies::default() };
        for target in &route.local {
            self.deliver(target, publication, &mut copies, source, now);
        }
        for (shard, targets) in &route.remote {
            self.forward(*shard, route.stamp, targets, publication, &mut copies);
        }
        for group in &route.shared {
            let Some(targets) = group.choose() else { continue };
            let Some(target) = targets.first() else { continue };
            if target.place.shard == self.id {
                self.deliver(target, publication, &mut copies, source, now);
            } else {
                let stamp = RouteStamp { serial: 0, ..route.stamp };
                self.forward(target.place.shard, stamp, targets, publication, &mut copies);
            }
        }
        if self.futile.is_any() {
            self.count_futile(route);
        }
    }

    /// Delivers what another shard has routed to sessions of this one.
    pub(crate) fn deliver_batch(&mut self, batch: &PublishBatch, now: Timestamp) {
        // The routes may be older than the policy that rules here, or made by it before this shard had
        // taken out of the subscriptions what it does not allow.
        let is_current = batch.policy_generation == self.policy.generation()
            && batch.table_generation >= self.judged_at_table_generation;
        batch.for_each(|group, publication, message, way| {
            let source = group.source.map(|id| (batch.origin, id));
            self.frames.clear();
            let mut copies = Copies {
                message: message.map(Arc::clone),
                is_single: group.targets.len() == 1,
                is_fan_out: group.targets.len() > 1,
                ..Copies::default()
            };
            for target in group.targets.iter() {
                if is_current || self.may_receive(target.place, publication) {
                    self.deliver(target, publication, &mut copies, source, now);
                }
            }
            if let Some(way) = way {
                self.round.persist(Record::ForwardRemove(way));
            }
        });
        // Its publishers wait for half of the window.
        let least = self.hub.limits().shard_window_bytes / 4;
        self.round.tell_delivered(batch.origin, batch.window_bytes(), least);
    }

    /// Puts a message at the end of the session's queue, by the rules of a full one.
    pub(crate) fn enqueue(&mut self, place: SessionRef, delivery: Delivery) {
        let Shard { sessions, round, hub, unsettled, .. } = self;
        if let Some(session) = sessions.get_mut(place) {
            let delivery = session.place_last(delivery);
            session.enqueue(delivery, round, hub, unsettled);
        }
    }

    /// Sends what waits, as far as the client's window and the outbox allow.
    pub(crate) fn pump(&mut self, place: SessionRef, now: Timestamp) {
        if self.sessions.get(place).is_none_or(|session| !session.has_waiting()) {
            return;
        }
        self.resend(place, now);
        self.pump_backlog(place, now);
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        let limits = hub.limits();
        while session.may_send(limits) {
            let Some(delivery) = session.queue.pop() else { break };
            let sequence = delivery.sequence;
            let is_sent = !delivery.message.is_expired(now)
                && send_acknowledged(session, round, limits, delivery, now);
            if !is_sent && session.is_durable(limits) {
                let key = session.identity.key.clone();
                round.persist(Record::MessageRemove { key, sequence });
            }
        }
        if session.queue.is_spilled() {
            self.fetch(place);
        }
    }

    /// Retained messages wait here for their turn; one that is not its topic's last any more has been
    /// followed by a live one, which must stay the later.
    fn pump_backlog(&mut self, place: SessionRef, now: Timestamp) {
        loop {
            let Shard { sessions, hub, .. } = self;
            let limits = hub.limits();
            let Some(session) = sessions.get_mut(place) else { return };
            let Some(connection) = session.connection.as_deref_mut() else { return };
            if connection.outbox.len() > limits.outbox_pressure_bytes / 2 {
                return;
            }
            let Some(delivery) = connection.backlog.pop_front() else { return };
            if connection.backlog.is_empty() {
                connection.backlog.shrink_to_fit();
            }
            if delivery.message.is_expired(now)
                || !hub.store_of(delivery.message.topic()).is_current(&delivery.message)
            {
                continue;
            }
            // Flaw 12: kept with its writer, who must still be allowed to write it.
            if gate::retained_writer(&self.policy, &delivery.message).is_ok() {
                self.send_retained(place, delivery, now);
            } else {
                self.round.counters.withheld += 1;
            }
        }
    }

    fn send_retained(&mut self, place: SessionRef, delivery: Delivery, now: Timestamp) {
        if delivery.qos > Qos::AtMostOnce {
            let Shard { sessions, round, hub, unsettled, .. } = self;
            if let Some(session) = sessions.get_mut(place) {
                let delivery = session.place_last(delivery);
                session.send_or_enqueue(delivery, round, hub, unsettled, now);
            }
            return;
        }
        let publication = Publication { retain: true, ..delivery.message.as_publication() };
        let options = TargetOptions {
            qos: Qos::AtMostOnce,
            retain_as_published: true,
            identifiers: delivery.identifiers.clone(),
        };
        self.deliver_at_most_once(place, &publication, &options, &mut Copies::default(), now);
    }

    fn deliver(
        &mut self,
        target: &Target,
        publication: &Publication<'_>,
        copies: &mut Copies,
        source: Option<(ShardId, crate::ConnectionId)>,
        now: Timestamp,
    ) {
        let Some(options) = target.options_for(publication.writer_place()) else { return };
        let qos = publication.qos.min(options.qos);
        if qos == Qos::AtMostOnce {
            if self.deliver_at_most_once(target.place, publication, options, copies, now) {
                self.press(target.place, source, now);
            }
            return;
        }
        let Shard { sessions, round, hub, spares, unsettled, .. } = self;
        let Some(session) = sessions.get_mut(target.place) else { return };
        session.next_sequence += 1;
        let delivery = Delivery {
            message: copies.message(publication, spares),
            qos,
            retain: publication.retain && options.retain_as_published,
            identifiers: options.identifiers.clone(),
            sequence: session.next_sequence,
        };
        session.send_or_enqueue(delivery, round, hub, unsettled, now);
        if is_behind(session, hub.limits()) {
            self.press(target.place, source, now);
        }
    }

    /// Writes a QoS 0 message into the receiver's outbox. True if the receiver is behind.
    fn deliver_at_most_once(
        &mut self,
        place: SessionRef,
        publication: &Publication<'_>,
        options: &TargetOptions,
        copies: &mut Copies,
        now: Timestamp,
    ) -> bool {
        let Shard { sessions, round, hub, frames, .. } = self;
        let limits = hub.limits();
        let Some(session) = sessions.get_mut(place) else { return false };
        let Some(connection) = session.connection.as_deref_mut() else { return false };
        let size_max = publication.topic.as_str().len()
            + publication.payload.len()
            + publication.forwardable.len()
            + FRAME_OVERHEAD_MAX
            + options.identifiers.as_ref().map_or(0, |ids| ids.len() * 5);
        let outbox_max = hub.outbox_bytes_max();
        if connection.outbox.len() + size_max > outbox_max {
            let (dropped, has_room) = connection.make_room(size_max, outbox_max);
            count_dropped(session, round, DropRule::OutboxFull, dropped + u64::from(!has_room));
            if !has_room {
                return true;
            }
        }
        let Some(connection) = session.connection.as_deref_mut() else { return false };
        let retain = publication.retain && options.retain_as_published;
        let kind = frame_kind(connection, retain);
        let is_shared =
            copies.is_fan_out && options.identifiers.is_none() && connection.aliases_out.is_none();
        let outgoing = OutgoingPublish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain,
            topic: publication.topic.as_str(),
            topic_alias: None,
            packet_id: None,
            message_expiry_interval_s: expiry_left_s(publication.expires_at, now),
            subscription_identifiers: options.identifiers.as_deref().unwrap_or_default(),
            forwardable: publication.forwardable,
            payload: publication.payload,
        };
        if is_shared && let Some(range) = copies.frames.get_mut(kind) {
            let range = range.get_or_insert_with(|| {
                let start = frames.len();
                mqtt::encode_publish(&outgoing, connection.version, frames);
                start..frames.len()
            });
            let frame = frames.get(range.clone()).unwrap_or_default();
            connection.put_frame(frame, outgoing.payload.len(), round);
        } else if connection.takes(&outgoing) {
            connection.put_publish(outgoing, publication.topic, round);
        }
        connection.outbox.len() > limits.outbox_pressure_bytes
    }

    fn forward(
        &mut self,
        shard: ShardId,
        route: RouteStamp,
        targets: &Arc<[Target]>,
        publication: &Publication<'_>,
        copies: &mut Copies,
    ) {
        let way = self.record_forward(shard, targets, publication, copies);
        // What nobody keeps here is copied: the other shard makes and frees its own message.
        let message = copies.message.as_ref().filter(|_| publication.qos > Qos::AtMostOnce);
        let on_way = self.round.forward(shard, route, targets, publication, message, way);
        if on_way > self.hub.limits().shard_window_bytes
            && let Some(id) = publication.source
            && self.round.wait_for(shard, id)
        {
            self.hold_connection(id);
        }
    }

    /// A message for durable sessions of another shard is recorded here, with all else that its
    /// packet brings about, until that shard has recorded what it made of it: then it is neither
    /// lost nor there twice, whichever of the two is durable first.
    fn record_forward(
        &mut self,
        shard: ShardId,
        targets: &[Target],
        publication: &Publication<'_>,
        copies: &mut Copies,
    ) -> Option<Way> {
        if publication.qos == Qos::AtMostOnce || self.hub.limits().persistence == Persistence::Off {
            return None;
        }
        let stored = |target: &Target| {
            let options = target.options_for(publication.writer_place())?;
            let qos = publication.qos.min(options.qos);
            if qos == Qos::AtMostOnce || !target.session.is_durable.load(Ordering::Relaxed) {
                return None;
            }
            let message = copies.message.get_or_insert_with(|| publication.to_message());
            let delivery = StoredDelivery {
                qos,
                retain: publication.retain && options.retain_as_published,
                identifiers: options.identifiers.clone(),
                message: Arc::clone(message),
            };
            Some((target.session.key.clone(), delivery))
        };
        let targets: Vec<_> = targets.iter().filter_map(stored).collect();
        if targets.is_empty() {
            return None;
        }
        let way = self.round.next_way(shard);
        self.round.persist(Record::ForwardPut { way, targets });
        Some(way)
    }

    /// The deliver gate, for a route that was made under another policy: the subscription may have been withdrawn since.
    fn may_receive(&mut self, place: SessionRef, publication: &Publication<'_>) -> bool {
        let Some(session) = self.sessions.get(place) else { return false };
        if !session.subscriptions.keys().any(|it| it.filter.matches(publication.topic)) {
            return false;
        }
        let is_allowed = session
            .rights
            .as_ref()
            .is_some_and(|rights| gate::delivery(rights, publication.topic).is_ok());
        self.round.counters.withheld += u64::from(!is_allowed);
        is_allowed
    }
}

impl Session {
    /// [MQTT-4.6.0-6] Straight into flight only if nothing waits before it.
    fn send_or_enqueue(
        &mut self,
        delivery: Delivery,
        round: &mut Round,
        hub: &Hub,
        unsettled: &mut VecDeque<(u64, SessionRef)>,
        now: Timestamp,
    ) {
        let limits = hub.limits();
        if !self.queue.is_empty() || !self.may_send(limits) {
            return self.enqueue(delivery, round, hub, unsettled);
        }
        let is_durable = self.is_durable(limits);
        if is_durable {
            round.persist(delivery.record(&self.identity.key));
        }
        let sequence = delivery.sequence;
        let is_sent = send_acknowledged(self, round, limits, delivery, now);
        if !is_sent && is_durable {
            let key = self.identity.key.clone();
            round.persist(Record::MessageRemove { key, sequence });
        }
    }

    #[inline(never)]
    fn enqueue(
        &mut self,
        delivery: Delivery,
        round: &mut Round,
        hub: &Hub,
        unsettled: &mut VecDeque<(u64, SessionRef)>,
    ) {
        let is_durable = self.is_durable(hub.limits());
        if is_durable {
            round.persist(delivery.record(&self.identity.key));
        }
        // What ends with its connection is not to lie on disk only, even if it is recorded for now.
        let commit = if is_durable && self.expiry_s > 0 { round.commit() } else { NEVER };
        let is_online = self.connection.is_some();
        let user = self.client.user;
        let arrived = self.queue.push(Arrival { delivery, commit, is_online, user }, hub);
        if arrived.waits_for_commit && commit != NEVER {
            unsettled.push_back((commit, self.identity.place));
        }
        if is_durable {
            for sequence in &arrived.dropped {
                let (key, sequence) = (self.identity.key.clone(), *sequence);
                round.persist(Record::MessageRemove { key, sequence });
            }
        }
        let count = u64::try_from(arrived.dropped.len()).unwrap_or(u64::MAX);
        count_dropped(self, round, arrived.rule, count);
    }

    /// Gives what has waited elsewhere a place behind all that the session has.
    fn place_last(&mut self, delivery: Delivery) -> Delivery {
        self.next_sequence += 1;
        Delivery { sequence: self.next_sequence, ..delivery }
    }

    /// Whether there is anything that might go out now: for most acknowledgements there is not.
    pub(crate) fn has_waiting(&self) -> bool {
        let has_backlog = |connection: &Connection| !connection.backlog.is_empty();
        !self.queue.is_empty()
            || self.outbound.is_resend_due()
            || self.connection.as_deref().is_some_and(has_backlog)
    }

    /// Whether a QoS 1 or 2 message could go out now.
    fn may_send(&self, limits: &Limits) -> bool {
        let Some(connection) = self.connection.as_deref() else { return false };
        self.outbound.has_room() && connection.outbox.len() < limits.outbox_bytes_max / 2
    }
}

impl Connection {
    /// Writes four bytes.
    pub(crate) fn put_plain_ack(&mut self, ack: PlainAck, round: &mut Round) {
        // [MQTT-3.1.2-24] Nothing larger than the client takes is ever sent.
        if usize::try_from(self.packet_size_max).is_ok_and(|most| most < PlainAck::BYTES) {
            return;
        }
        ack.put(self.outbox.writer(&mut round.pool));
        round.flush(self.id, &mut self.flush_mark);
    }

    /// Frees room for a QoS 0 message by the rule for a full outbox. Returns how many older ones were
    /// dropped, and whether there is room now.
    fn make_room(&mut self, bytes: usize, outbox_max: usize) -> (u64, bool) {
        // A good part at once, so that a walk over the outbox pays for many messages.
        let wanted = bytes.max(outbox_max / 4);
        let dropped = self.outbox.drop_oldest(wanted, self.aliases_out.is_some());
        (dropped, self.outbox.len() + bytes <= outbox_max)
    }

    /// Writes a PUBLISH that is encoded already, if the client takes one as large [MQTT-3.1.2-25].
    fn put_frame(&mut self, frame: &[u8], payload: usize, round: &mut Round) {
        if u32::try_from(frame.len()).is_ok_and(|length| length <= self.packet_size_max) {
            self.outbox.writer(&mut round.pool).extend_from_slice(frame);
            self.traffic.messages_out += 1;
            round.count_message_out(payload);
            round.flush(self.id, &mut self.flush_mark);
        }
    }

    /// [MQTT-3.1.2-24] Whether the client takes a packet as large as this.
    pub(crate) fn takes(&self, outgoing: &OutgoingPublish<'_>) -> bool {
        if self.packet_size_max == u32::MAX && outgoing.topic_alias.is_none() {
            return true;
        }
        let size = mqtt::publish_size(outgoing, self.version);
        size <= mqtt::PACKET_SIZE_MAX
            && u32::try_from(size).is_ok_and(|size| size <= self.packet_size_max)
    }

    /// Writes a PUBLISH that the client takes, with a topic alias where it wants them and it fits with one.
    fn put_publish(&mut self, outgoing: OutgoingPublish<'_>, topic: &TopicName, round: &mut Round) {
        // Once given, an alias must be written for certain: topic and alias have to fit together.
        let with_alias = OutgoingPublish { topic_alias: Some(1), ..outgoing };
        let has_aliases = self.aliases_out.is_some() && self.takes(&with_alias);
        let aliased = match self.aliases_out.as_deref_mut().filter(|_| has_aliases) {
            Some(aliases) => aliases.assign(topic),
            None => AliasedTopic { topic: outgoing.topic, alias: None },
        };
        let outgoing =
            OutgoingPublish { topic: aliased.topic, topic_alias: aliased.alias, ..outgoing };
        mqtt::encode_publish(&outgoing, self.version, self.outbox.writer(&mut round.pool));
        self.traffic.messages_out += 1;
        round.count_message_out(outgoing.payload.len());
        round.flush(self.id, &mut self.flush_mark);
    }

    /// Writes a QoS 1 or 2 delivery.
    pub(crate) fn put_delivery(
        &mut self,
        delivery: &Delivery,
        packet_id: PacketId,
        resent: Resent,
        round: &mut Round,
        now: Timestamp,
    ) {
        round.counters.acknowledged_out.count(delivery.qos);
        let outgoing = OutgoingPublish {
            // [MQTT-3.3.1-1]
            dup: resent == Resent::Yes,
            ..delivery.outgoing(packet_id, now)
        };
        self.put_publish(outgoing, delivery.message.topic(), round);
    }
}

impl Delivery {
    /// As it was recorded.
    pub(crate) fn restored(stored: StoredDelivery, sequence: u64) -> Delivery {
        let StoredDelivery { qos, retain, identifiers, message } = stored;
        Delivery { message, qos, retain, identifiers, sequence }
    }

    fn record(&self, key: &SessionKey) -> Record {
        let delivery = StoredDelivery {
            qos: self.qos,
            retain: self.retain,
            identifiers: self.identifiers.clone(),
            message: Arc::clone(&self.message),
        };
        Record::QueuedPut { key: key.clone(), sequence: self.sequence, delivery }
    }

    pub(crate) fn outgoing(&self, packet_id: PacketId, now: Timestamp) -> OutgoingPublish<'_> {
        OutgoingPublish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.message.topic().as_str(),
            topic_alias: None,
            packet_id: Some(packet_id),
            message_expiry_interval_s: self.message.expiry_left_s(now),
            subscription_identifiers: self.identifiers.as_deref().unwrap_or_default(),
            forwardable: self.message.forwardable(),
            payload: self.message.payload(),
        }
    }
}

/// Puts a QoS 1 or 2 message into flight. False if the client cannot take it: it is given up then.
fn send_acknowledged(
    session: &mut Session,
    round: &mut Round,
    limits: &Limits,
    delivery: Delivery,
    now: Timestamp,
) -> bool {
    let is_durable = session.is_durable(limits);
    let Some(connection) = session.connection.as_deref_mut() else { return false };
    if !connection.takes(&delivery.outgoing(PacketId::MIN, now)) {
        // [MQTT-3.1.2-25] As if it had been delivered.
        return false;
    }
    let (sequence, qos) = (delivery.sequence, delivery.qos);
    let Ok(packet_id) = session.outbound.send(qos, delivery) else { return false };
    let Some(delivery) = session.outbound.newest() else { return false };
    if is_durable {
        let key = session.identity.key.clone();
        round.persist(Record::InflightPut { key, sequence, packet_id, qos });
        if qos == Qos::ExactlyOnce {
            // [MQTT-4.3.3-2] The packet id must be known after a restart, or it would be used for
            // another message while the client takes it for this one.
            round.hold(connection);
        }
    }
    connection.put_delivery(delivery, packet_id, Resent::No, round, now);
    true
}

/// Whether a message goes out for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resent {
    No,
    Yes,
}

/// Frames of one kind are the same bytes.
fn frame_kind(connection: &Connection, retain: bool) -> usize {
    usize::from(connection.version.is_v5()) * 2 + usize::from(retain)
}

/// More than what a frame has besides topic, payload, forwarded properties and identifiers.
const FRAME_OVERHEAD_MAX: usize = 32;
