//! One shard: the entry points, and who does what for each packet.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{Lapse, Policy, UserId};
use mqtt::{
    AckProperties, DecodeError, DecodeLimits, Decoded, Packet, PlainAck, ProtocolVersion,
    ReasonCode, Timestamp,
};
use topic::TopicName;

use crate::client_view::ClientView;
use crate::detach::{Ending, ProofEnd, WillFate};
use crate::effect::Effect;
use crate::hub::Hub;
use crate::identity::{
    ConnectionId, SessionIdentity, SessionKey, SessionKeyRef, SessionRef, ShardId,
};
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::pressure::Futile;
use crate::publishers::{HOUR_MS, Publishers};
use crate::rejudge::Withdrawn;
use crate::report::{DecisionId, DisconnectCause, SessionEnd};
use crate::round::Round;
use crate::routes::RouteCache;
use crate::sessions::Sessions;
use crate::shard_message::{Body, ShardMessage};
use crate::spares::Spares;
use crate::timers::{Timer, Timers};

/// One shard of the broker: the sessions that [`crate::shard_of`] gives it, and their connections.
///
/// Call in what happened, then take all effects by [`Engine::poll_effect`] until there is none: that
/// is one round. Several connections' input may go into one round.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shard: Shard,
    pub(crate) routes: RouteCache,
    pub(crate) scratch: Vec<u8>,
    /// The packet that is looked at now is more than its user may publish, and is to be refused for that.
    pub(crate) is_over_budget: bool,
    /// Something may be in the way of the packet that is looked at now.
    pub(crate) is_careful: bool,
}

/// The engine without its routes, so that a route can be read while its messages are delivered.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) hub: Arc<Hub>,
    pub(crate) policy: Arc<Policy>,
    /// From these subscriptions on, what `policy` does not allow the sessions of this shard is out of them.
    pub(crate) judged_at_table_generation: u64,
    /// Subscriptions withdrawn and still in the hub's table, while sessions are judged.
    pub(crate) withdrawn: Withdrawn,
    pub(crate) sessions: Sessions,
    pub(crate) round: Round,
    pub(crate) timers: Timers,
    pub(crate) frames: Vec<u8>,
    pub(crate) spares: Spares,
    /// Permits given in another epoch are not good any more: it changes with the policy, and every hour.
    pub(crate) permit_epoch: u64,
    pub(crate) publishers: Publishers,
    /// Sessions with messages behind their heads that wait for a commit, in its order.
    pub(crate) unsettled: VecDeque<(u64, SessionRef)>,
    /// Sessions with refusals that are only counted yet, each once.
    pub(crate) refused_pending: Vec<SessionRef>,
    /// What the publisher whose turn it is has sent in vain.
    pub(crate) futile: Futile,
}

impl Engine {
    /// The engine of one shard, without sessions.
    #[must_use]
    pub fn new(shard: ShardId, hub: Arc<Hub>) -> Engine {
        let policy = hub.policy();
        let seed = hub.hash_seed();
        let mut round = Round::new(shard, hub.shards(), hub.run());
        round.policy_generation = policy.generation();
        Engine {
            routes: RouteCache::new(hub.limits().route_cache_targets_max, seed),
            scratch: Vec::new(),
            is_over_budget: false,
            is_careful: false,
            shard: Shard {
                id: shard,
                policy,
                judged_at_table_generation: 0,
                withdrawn: Withdrawn::default(),
                sessions: Sessions::new(shard, seed),
                round,
                timers: Timers::default(),
                frames: Vec::new(),
                spares: Spares::default(),
                permit_epoch: 1,
                publishers: Publishers::new(seed),
                unsettled: VecDeque::new(),
                refused_pending: Vec::new(),
                futile: Futile::default(),
                hub,
            },
        }
    }

    /// Takes in what a client sent and returns how many bytes of it are used up; the caller keeps the
    /// rest and puts what comes next behind it. All whole packets are used, unless the connection
    /// is paused on the way. Errors become effects.
    pub fn receive(&mut self, id: ConnectionId, input: &[u8], now: Timestamp) -> usize {
        self.take_policy(now);
        let Some((session, connection)) = self.shard.sessions.online(id) else {
            return input.len();
        };
        let writer = Arc::clone(&session.identity);
        let version = connection.version;
        let memory = self.shard.hub.memory();
        let records = self.shard.round.records();
        let messages_before = connection.traffic.messages_in;
        self.is_careful = self.shard.hub.is_strained();
        let (mut used, mut known, mut packets) = (0, None, 0_u64);
        while let Some((_, connection)) = self.shard.sessions.online(id) {
            if connection.holds > 0 {
                break;
            }
            let is_free = memory == Memory::Ample && connection.allowance.is_none();
            let rest = input.get(used..).unwrap_or_default();
            if let Some(ack) = PlainAck::read(rest) {
                used += PlainAck::BYTES;
                packets += 1;
                self.receive_plain_ack(id, ack, now);
                continue;
            }
            let taken = if mqtt::is_publish(rest) {
                connection.permits.recall(&mut known);
                let bytes = (rest, known.as_ref());
                if is_free {
                    self.receive_publish_bytes(id, &writer, bytes, version, now)
                } else {
                    self.receive_publish_bounded(id, &writer, bytes, version, now)
                }
            } else {
                self.receive_other_bytes(id, rest, version, now)
            };
            match taken {
                Ok(0) => break,
                Ok(length) => {
                    used += length;
                    packets += 1;
                }
                Err(error) => self.end_by_protocol(id, error.reason, error.detail, now),
            }
        }
        self.shard.round.counters.packets_in += packets;
        if memory != Memory::Ample {
            self.rest(id, messages_before, now);
        }
        if self.shard.futile.messages > 0 {
            self.shard.rest_futile(id, messages_before, now);
        }
        let Some(session) = self.shard.sessions.online_mut(id) else { return input.len() };
        if let Some(connection) = session.connection.as_mut() {
            if packets > 0 {
                connection.keep_alive.received(now);
            } else {
                connection.keep_alive.received_part(input.len(), now);
            }
            if self.shard.round.records() != records {
                connection.owes_until = self.shard.round.commit();
            }
            let bytes = u64::try_from(used).unwrap_or(u64::MAX);
            connection.traffic.bytes_in += bytes;
            self.shard.round.counters.bytes_in += bytes;
        }
        used
    }

    /// What is to be written to the connection now.
    #[must_use]
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        self.shard.outbox(id).map(Outbox::bytes).unwrap_or_default()
    }

    /// Says that the first `bytes` of [`Engine::output`] are written. More may follow.
    pub fn advance_output(&mut self, id: ConnectionId, bytes: usize, now: Timestamp) {
        self.shard.advance_output(id, bytes, now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.take_policy(now);
        if self.shard.id == ShardId(0) {
            let expired = self.shard.hub.retained.remove_expired(now);
            self.shard.forget_retained(expired);
        }
        while let Some(timer) = self.shard.timers.pop_due(now) {
            match timer {
                Timer::KeepAlive(id) => self.check_keep_alive(id, now),
                Timer::Pressure(id) => self.shard.give_up_pressure(id, now),
                Timer::Wait(id) => self.shard.end_wait(id, now),
                Timer::Linger(id) => self.shard.forget_closing(id),
                Timer::Will(place) => self.fire_due_will(place, now),
                Timer::SessionExpiry(place) => self.expire_session(place, now),
                Timer::Fetch(place) => self.shard.fetch_again(place, now),
                Timer::Refusals => self.shard.tell_refusals(),
                Timer::Publishers => self.shard.begin_hour(now),
            }
        }
    }

    /// When [`Engine::handle_timeout`] is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let retained =
            (self.shard.id == ShardId(0)).then(|| self.shard.hub.retained.next_expiry()).flatten();
        [self.shard.timers.next(), retained].into_iter().flatten().min()
    }

    /// Takes in what another shard forwarded.
    pub fn handle_message(&mut self, message: ShardMessage, now: Timestamp) {
        self.take_policy(now);
        match message.0 {
            Body::Publishes(batch) => self.shard.deliver_batch(&batch, now),
            Body::Delivered(shard, bytes) => self.shard.open_window(shard, bytes, now),
            Body::Hold(id) => self.shard.hold_connection(id),
            Body::Release(id) => self.shard.release_connection(id, now),
        }
    }

    /// Everything up to the [`Effect::Commit`] with this number is durable: output that relied on it
    /// may go out.
    pub fn committed(&mut self, number: u64) {
        let Shard { sessions, round, .. } = &mut self.shard;
        for id in round.committed(number) {
            if let Some(outbox) = sessions.outbox_mut(id) {
                outbox.release(number);
            }
        }
        self.shard.settle_queues(number);
    }

    /// Records cannot be made durable at the moment; they stay where they are until they can.
    /// Clients that wait for an answer that relies on one are told 0x97 or 0x83, as the hub's [`crate::Storage`] is, and
    /// closed, for it may take long.
    pub fn storage_failed(&mut self, now: Timestamp) {
        self.take_policy(now);
        let limit = self.shard.hub.storage_limit().unwrap_or(crate::hub::STORAGE);
        let reason = crate::hub::limit_reason(limit);
        for id in self.shard.round.held() {
            let Some(session) = self.shard.sessions.online_mut(id) else { continue };
            let place = session.identity.place;
            let Some(connection) = session.connection.as_mut() else { continue };
            if connection.outbox.is_held() {
                connection.outbox.cut_held();
                self.end_connection(place, Ending::storage(reason), now);
            }
        }
    }

    /// Whether output of this connection waits for a commit.
    #[must_use]
    pub fn is_held(&self, id: ConnectionId) -> bool {
        self.shard.outbox(id).is_some_and(Outbox::is_held)
    }

    /// Whether there are as many connections as there may be, in all shards.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shard.hub.connections() >= self.shard.hub.limits().connections_max
    }

    /// Whether records that this connection's packets made are not durable yet.
    #[must_use]
    pub fn awaits_commit(&self, id: ConnectionId) -> bool {
        let committed = self.shard.round.last_committed();
        self.shard.sessions.online(id).is_some_and(|(_, it)| it.owes_until > committed)
    }

    /// Tells the engine that the hub's policy was swapped: every session is judged again. Without
    /// this call the engine does it before the next packet it looks at.
    pub fn policy_changed(&mut self, now: Timestamp) {
        self.take_policy(now);
    }

    /// Ends the connection of this session, with `reason` for an MQTT 5 client, and the session with
    /// it; an offline one as well. False if there is no such session.
    pub fn kick(
        &mut self,
        user: UserId,
        client_id: &str,
        reason: ReasonCode,
        now: Timestamp,
    ) -> bool {
        self.take_policy(now);
        let Some(place) = self.shard.sessions.find(&SessionKeyRef { user, client_id }) else {
            return false;
        };
        let cause = DisconnectCause::Kicked(reason);
        self.end_connection(place, Ending::told(cause, reason, WillFate::Publish), now);
        self.end_session(place, SessionEnd::Kicked, now);
        true
    }

    /// Ends a connection whose proof of identity is not good any more: with `reason` for an MQTT 5 client, and without what waits
    /// to be written. Its will is sent only if nobody has withdrawn the proof. The session stays for whoever proves the user again.
    pub fn end_lapsed(
        &mut self,
        id: ConnectionId,
        end: ProofEnd,
        reason: ReasonCode,
        now: Timestamp,
    ) {
        self.take_policy(now);
        let Some((session, _)) = self.shard.sessions.online(id) else { return };
        let place = session.identity.place;
        let ending = match end {
            ProofEnd::Over => Ending::proof_over(reason),
            ProofEnd::Withdrawn => {
                self.shard.withdraw_will_of_lapsed(place, Lapse::CredentialsChanged);
                Ending::standing_lost(reason)
            }
        };
        self.end_connection(place, ending, now);
    }

    /// When the password that has proven this connection ends, in milliseconds since the Unix epoch, which the caller has to
    /// watch; as [`Policy::proof_ends_at_ms`].
    #[must_use]
    pub fn proof_ends_at_ms(&self, id: ConnectionId) -> Option<u64> {
        let (session, _) = self.shard.sessions.online(id)?;
        self.shard.policy.proof_ends_at_ms(session.proof.as_ref()?)
    }

    /// Which session this connection is of.
    #[must_use]
    pub fn session_of(&self, id: ConnectionId) -> Option<SessionKey> {
        self.shard.sessions.online(id).map(|(session, _)| session.identity.key.clone())
    }

    /// The policy that this shard judges by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.shard.policy
    }

    /// Ends every connection, with 0x8B for MQTT 5 clients. Wills are published as the standard says;
    /// sessions stay.
    pub fn shut_down(&mut self, now: Timestamp) {
        self.take_policy(now);
        let ending = Ending::told(
            DisconnectCause::ShuttingDown,
            ReasonCode::ServerShuttingDown,
            WillFate::Publish,
        );
        for place in self.shard.sessions.places() {
            self.end_connection(place, ending, now);
        }
    }

    /// Every session of this shard, online and offline.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientView> {
        self.shard.sessions.iter().map(crate::session::Session::view).collect()
    }

    /// Whether this session is there and has a connection.
    #[must_use]
    pub fn is_connected(&self, user: UserId, client_id: &str) -> bool {
        let place = self.shard.sessions.find(&SessionKeyRef { user, client_id });
        let session = place.and_then(|place| self.shard.sessions.get(place));
        session.is_some_and(|session| session.connection.is_some())
    }

    /// One session of this shard, if there is such.
    #[must_use]
    pub fn client(&self, user: UserId, client_id: &str) -> Option<ClientView> {
        let place = self.shard.sessions.find(&SessionKeyRef { user, client_id })?;
        self.shard.sessions.get(place).map(crate::session::Session::view)
    }

    /// A number of its own for a decision that was made on this shard, such as a refused CONNECT.
    pub fn decide(&mut self) -> DecisionId {
        self.shard.round.decide()
    }

    /// The next thing to do, in order; `None` ends the round.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.shard.round.poll()
    }

    /// A packet that begins with these bytes, in which the topic may be one that is known. Returns its length, 0 as
    /// long as it is not whole.
    fn receive_publish_bytes(
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
        self.receive_publish(id, writer, &publish, now);
        Ok(length)
    }

    pub(crate) fn receive_other_bytes(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        version: ProtocolVersion,
        now: Timestamp,
    ) -> Result<usize, DecodeError> {
        match mqtt::decode(bytes, version, &self.shard.decode_limits())? {
            Decoded::Incomplete => Ok(0),
            Decoded::Packet { packet, length } => {
                self.receive_packet(id, packet, now);
                Ok(length)
            }
        }
    }

    fn receive_packet(&mut self, id: ConnectionId, packet: Packet<'_>, now: Timestamp) {
        self.shard.round.begin_packet();
        if let Err(error) = packet.check_from_client() {
            return self.end_by_protocol(id, error.reason, error.detail, now);
        }
        match packet {
            Packet::PubAck(ack) => self.receive_puback(id, ack.packet_id, now),
            Packet::PubRec(ack) => self.receive_pubrec(id, ack.packet_id, ack.reason, now),
            Packet::PubRel(ack) => self.receive_pubrel(id, ack.packet_id),
            Packet::PubComp(ack) => self.receive_pubcomp(id, ack.packet_id, now),
            Packet::Subscribe(subscribe) => self.receive_subscribe(id, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.receive_unsubscribe(id, &unsubscribe),
            Packet::PingReq => self.receive_pingreq(id),
            Packet::Disconnect(disconnect) => self.receive_disconnect(id, &disconnect, now),
            // PUBLISH is taken before, `check_from_client` has refused the others; were one to come here, it ends.
            Packet::Publish(_)
            | Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => {
                self.end_by_protocol(
                    id,
                    ReasonCode::ProtocolError,
                    "packet is not for a server",
                    now,
                );
            }
        }
    }

    /// Only who has nothing else to say says that it is there: what it has needed for its messages others may need now.
    fn receive_pingreq(&mut self, id: ConnectionId) {
        if let Some(session) = self.shard.sessions.online_mut(id) {
            session.give_back();
        }
        self.shard.reply(id, &Packet::PingResp);
    }

    fn check_keep_alive(&mut self, id: ConnectionId, now: Timestamp) {
        let Some(session) = self.shard.sessions.online_mut(id) else { return };
        let place = session.identity.place;
        let Some(connection) = session.connection.as_mut() else { return };
        if connection.holds > 0 {
            // It is the broker that does not read.
            connection.keep_alive.received(now);
        }
        connection.keep_alive_armed = connection.keep_alive.deadline().filter(|due| *due > now);
        if let Some(due) = connection.keep_alive_armed {
            return self.shard.timers.arm(due, Timer::KeepAlive(id));
        }
        // [MQTT-3.1.2-22] One and a half times the keep-alive without a packet.
        let ending = Ending::told(
            DisconnectCause::KeepAlive,
            ReasonCode::KeepAliveTimeout,
            WillFate::Publish,
        );
        self.end_connection(place, ending, now);
    }

    fn expire_session(&mut self, place: SessionRef, now: Timestamp) {
        if let Some(session) = self.shard.sessions.get_mut(place) {
            session.expires_at = None;
            self.end_session(place, SessionEnd::Expired, now);
        }
    }
}

impl Shard {
    /// Writes an answer into the connection's outbox.
    pub(crate) fn reply(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let is_durable = session.is_durable(self.hub.limits());
        let Some(connection) = session.connection.as_mut() else { return };
        // What answers for something recorded waits until that is durable. A durable session's answers
        // may rely on earlier records as well: a repeated packet makes none of its own.
        let is_new = matches!(packet, Packet::PingResp | Packet::SubAck(_));
        if self.round.has_recorded() || is_durable && !is_new {
            self.round.hold(connection);
        }
        self.write(id, packet);
    }

    /// As [`Shard::reply`], for an acknowledgement of nothing but success: the hot path of QoS 1 and 2.
    pub(crate) fn answer(&mut self, id: ConnectionId, ack: PlainAck) {
        let Shard { sessions, round, hub, .. } = self;
        let Some(session) = sessions.online_mut(id) else { return };
        let is_durable = session.is_durable(hub.limits());
        let Some(connection) = session.connection.as_deref_mut() else { return };
        if round.has_recorded() || is_durable {
            round.hold(connection);
        }
        connection.put_plain_ack(ack, round);
    }

    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { packet_size_max: self.hub.limits().packet_size_max }
    }

    /// As [`Shard::reply`], for what relies on nothing recorded.
    pub(crate) fn write(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let Some(session) = self.sessions.online_mut(id) else { return };
        let Some(connection) = session.connection.as_mut() else { return };
        let out = connection.outbox.writer(&mut self.round.pool);
        let before = out.len();
        mqtt::encode(packet, connection.version, out);
        if u32::try_from(out.len() - before).is_ok_and(|size| size > connection.packet_size_max) {
            // [MQTT-3.1.2-24] Nothing larger than the client takes is ever sent.
            return out.truncate(before);
        }
        self.round.counters.answers_out += 1;
        self.round.flush(connection.id, &mut connection.flush_mark);
    }

    /// Has every topic judged anew at its next message, so that its publisher is noted again.
    fn begin_hour(&mut self, now: Timestamp) {
        self.permit_epoch += 1;
        self.publishers.sweep(now);
        if !self.publishers.is_empty() {
            self.timers.arm(now.plus_ms(HOUR_MS), Timer::Publishers);
        }
    }

    /// What an MQTT 5 client that wants to know is told of refusals: never why, but what to ask for.
    pub(crate) fn refusal_properties(
        &self,
        id: ConnectionId,
        decisions: &[DecisionId],
    ) -> AckProperties {
        let Some((_, connection)) = self.sessions.online(id) else {
            return AckProperties::default();
        };
        // [MQTT-3.1.2-29], [MQTT-3.4.2-2]
        let is_told = connection.wants_problem_information
            && connection.packet_size_max >= REASON_PACKET_SIZE_MIN
            && !decisions.is_empty();
        let ids = decisions.iter().take(DECISIONS_TOLD_MAX).map(DecisionId::to_string);
        let text =
            is_told.then(|| format!("refused, decision {}", ids.collect::<Vec<_>>().join(" ")));
        AckProperties { reason_string: text, user_properties: Vec::new() }
    }

    fn outbox(&self, id: ConnectionId) -> Option<&Outbox> {
        match self.sessions.online(id) {
            Some((_, connection)) => Some(&connection.outbox),
            None => self.sessions.closing(id).map(|closing| &closing.outbox),
        }
    }

    fn advance_output(&mut self, id: ConnectionId, bytes: usize, now: Timestamp) {
        let Shard { sessions, round, .. } = self;
        let Some(session) = sessions.online_mut(id) else {
            let Some(closing) = sessions.closing_mut(id) else { return };
            closing.outbox.advance(bytes, &mut round.pool);
            if closing.outbox.is_empty() {
                self.forget_closing(id);
            }
            return;
        };
        let place = session.identity.place;
        let Some(connection) = session.connection.as_mut() else { return };
        let count = u64::try_from(bytes.min(connection.outbox.len())).unwrap_or(u64::MAX);
        connection.outbox.advance(bytes, &mut round.pool);
        connection.traffic.bytes_out += count;
        round.counters.bytes_out += count;
        if connection.outbox.len() <= self.hub.limits().outbox_pressure_bytes / 2 {
            self.caught_up(place, now);
        }
    }
}

/// A client that takes only smaller packets is told no reasons.
const REASON_PACKET_SIZE_MIN: u32 = 4096;
/// Of many refused filters so many decisions are told.
const DECISIONS_TOLD_MAX: usize = 8;
