//! PUBACK, PUBREC, PUBREL and PUBCOMP, and what goes out again when a session is resumed.

use mqtt::{
    Ack, AckError, Outbound, Packet, PacketId, PlainAck, Qos, ReasonCode, Received, Resend,
    Timestamp,
};

use crate::deliver::Resent;
use crate::engine::{Engine, Shard};
use crate::gate;
use crate::identity::{ConnectionId, SessionRef};
use crate::message::Delivery;
use crate::record::Record;
use crate::round::Round;
use crate::session::Session;

impl Engine {
    /// An acknowledgement that says nothing but success.
    pub(crate) fn receive_plain_ack(&mut self, id: ConnectionId, ack: PlainAck, now: Timestamp) {
        self.shard.round.begin_packet();
        match ack {
            PlainAck::PubAck(packet_id) => self.receive_puback(id, packet_id, now),
            PlainAck::PubRec(packet_id) => {
                self.receive_pubrec(id, packet_id, ReasonCode::Success, now);
            }
            PlainAck::PubRel(packet_id) => self.receive_pubrel(id, packet_id),
            PlainAck::PubComp(packet_id) => self.receive_pubcomp(id, packet_id, now),
        }
    }

    pub(crate) fn receive_puback(&mut self, id: ConnectionId, packet_id: PacketId, now: Timestamp) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let place = session.identity.place;
        match session.outbound.puback(packet_id) {
            Ok(delivery) => self.shard.delivered(place, packet_id, delivery, now),
            Err(error) => self.end_by_wrong_ack(id, error, now),
        }
    }

    pub(crate) fn receive_pubrec(
        &mut self,
        id: ConnectionId,
        packet_id: PacketId,
        reason: ReasonCode,
        now: Timestamp,
    ) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let place = session.identity.place;
        match session.outbound.pubrec(packet_id, reason) {
            // [MQTT-4.3.3-4] From PUBREC on the message itself is done with.
            Ok(Received::Release(delivery)) => {
                self.shard.released(place, packet_id, delivery);
                self.shard.answer(id, PlainAck::PubRel(packet_id));
            }
            Ok(Received::ReleaseAgain) => self.shard.answer(id, PlainAck::PubRel(packet_id)),
            Ok(Received::Refused(delivery)) => {
                self.shard.delivered(place, packet_id, delivery, now)
            }
            Err(AckError::Unknown) => {
                // The client may have kept it longer than the server: it is told, not cut off.
                self.shard.reply(id, &pubrel(packet_id, ReasonCode::PacketIdentifierNotFound));
            }
            Err(error @ AckError::WrongStage) => self.end_by_wrong_ack(id, error, now),
        }
    }

    pub(crate) fn receive_pubrel(&mut self, id: ConnectionId, packet_id: PacketId) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        if !session.inbound.release(packet_id) {
            let ack = Ack::new(packet_id, ReasonCode::PacketIdentifierNotFound);
            return self.shard.reply(id, &Packet::PubComp(ack));
        }
        if session.is_durable(self.shard.hub.limits()) {
            let key = session.identity.key.clone();
            self.shard.round.persist(Record::ReceivedRemove { key, packet_id });
        }
        // [MQTT-4.3.3-11]
        self.shard.answer(id, PlainAck::PubComp(packet_id));
    }

    pub(crate) fn receive_pubcomp(
        &mut self,
        id: ConnectionId,
        packet_id: PacketId,
        now: Timestamp,
    ) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let place = session.identity.place;
        match session.outbound.pubcomp(packet_id) {
            Ok(()) => self.shard.delivered(place, packet_id, None, now),
            Err(error) => self.end_by_wrong_ack(id, error, now),
        }
    }

    /// An acknowledgement for nothing does no harm; one of the wrong kind is a protocol error.
    fn end_by_wrong_ack(&mut self, id: ConnectionId, error: AckError, now: Timestamp) {
        match error {
            AckError::Unknown => {}
            AckError::WrongStage => {
                let detail = "acknowledgement does not belong to the exchange";
                self.end_by_protocol(id, error.reason(), detail, now);
            }
        }
    }
}

impl Shard {
    /// A session goes on: what is in flight goes out again, then what waits. All of it is judged
    /// once more, for rights may have been changed while nobody looked (flaw 13).
    pub(crate) fn resume_deliveries(&mut self, place: SessionRef, now: Timestamp) {
        if let Some(session) = self.sessions.get_mut(place)
            && let Some(rights) = session.rights.clone()
        {
            let is_allowed =
                |delivery: &Delivery| gate::delivery(&rights, delivery.message.topic()).is_ok();
            self.drop_held(place, is_allowed);
        }
        self.pump(place, now);
    }

    /// Sends again what was in flight, in order [MQTT-4.6.0-1], as far as the outbox has room.
    pub(crate) fn resend(&mut self, place: SessionRef, now: Timestamp) {
        let Shard { sessions, round, hub, .. } = self;
        let limits = hub.limits();
        let Some(session) = sessions.get_mut(place) else { return };
        let is_durable = session.is_durable(limits);
        let Some(connection) = session.connection.as_deref_mut() else { return };
        while connection.outbox.len() < limits.outbox_bytes_max / 2 {
            let (packet_id, qos, sequence) = match session.outbound.resend() {
                None => return,
                Some(Resend::Publish(packet_id, qos, delivery)) => {
                    if connection.takes(&delivery.outgoing(packet_id, now)) {
                        connection.put_delivery(delivery, packet_id, Resent::Yes, round, now);
                        continue;
                    }
                    (packet_id, qos, delivery.sequence)
                }
                Some(Resend::PubRel(packet_id)) => {
                    let packet = pubrel(packet_id, ReasonCode::Success);
                    let out = connection.outbox.writer(&mut round.pool);
                    mqtt::encode(&packet, connection.version, out);
                    round.flush(connection.id, &mut connection.flush_mark);
                    continue;
                }
            };
            // [MQTT-3.1.2-25] The client takes less than it used to. At once, for what comes next may wait
            // for the place in the window.
            give_up(&mut session.outbound, packet_id, qos);
            if is_durable {
                let key = session.identity.key.clone();
                round.persist(Record::InflightRemove { key: key.clone(), packet_id });
                round.persist(Record::MessageRemove { key, sequence });
            }
        }
    }

    /// The exchange is over.
    fn delivered(
        &mut self,
        place: SessionRef,
        packet_id: PacketId,
        delivery: Option<Delivery>,
        now: Timestamp,
    ) {
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.get(place) else { return };
        if session.is_durable(hub.limits()) {
            let key = session.identity.key.clone();
            round.persist(Record::InflightRemove { key, packet_id });
            session.forget(delivery.as_ref(), round);
        }
        let has_waiting = session.has_waiting();
        self.spares.give(delivery.map(|delivery| delivery.message));
        if has_waiting {
            self.pump(place, now);
        }
    }

    /// The client has the message, or is not to have it: PUBREL is all that is left.
    pub(crate) fn released(
        &mut self,
        place: SessionRef,
        packet_id: PacketId,
        delivery: Option<Delivery>,
    ) {
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.get_mut(place) else { return };
        if session.is_durable(hub.limits()) {
            session.next_sequence += 1;
            let (key, sequence) = (session.identity.key.clone(), session.next_sequence);
            round.persist(Record::InflightReleased { key, sequence, packet_id });
            session.forget(delivery.as_ref(), round);
        }
        self.spares.give(delivery.map(|delivery| delivery.message));
    }
}

impl Session {
    /// The message of a durable session needs no record any more.
    fn forget(&self, delivery: Option<&Delivery>, round: &mut Round) {
        if let Some(Delivery { sequence, .. }) = delivery {
            let (key, sequence) = (self.identity.key.clone(), *sequence);
            round.persist(Record::MessageRemove { key, sequence });
        }
    }
}

/// Ends an exchange the client does not know of, as its acknowledgement would.
pub(crate) fn give_up(outbound: &mut Outbound<Delivery>, packet_id: PacketId, qos: Qos) {
    let _known = match qos {
        Qos::ExactlyOnce => outbound.pubrec(packet_id, ReasonCode::PacketTooLarge).is_ok(),
        Qos::AtLeastOnce | Qos::AtMostOnce => outbound.puback(packet_id).is_ok(),
    };
}

fn pubrel(packet_id: PacketId, reason: ReasonCode) -> Packet<'static> {
    Packet::PubRel(Ack::new(packet_id, reason))
}
