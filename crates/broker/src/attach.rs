//! CONNECT, once its sender has proven who it is: from here on sessions are touched.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use access::{Authenticated, Denial, Lapse, Rights};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{
    ConnAck, ConnAckProperties, Connect, Inbound, KeepAlive, Outbound, OutboundAliases, Packet,
    ProtocolVersion, ReasonCode, Timestamp, Will,
};
use thiserror::Error;

use crate::client_view::Traffic;
use crate::connection::{Connection, PermitCache};
use crate::detach::{Ending, WillFate};
use crate::engine::{Engine, Shard};
use crate::gate;
use crate::held_will::HeldWill;
use crate::hub::{BUDGET, limit_reason};
use crate::identity::{
    ClientName, ConnectionId, Peer, SessionIdentity, SessionKey, SessionKeyRef, SessionRef,
};
use crate::limits::{Limits, PayloadFormat};
use crate::memory::{MEMORY, Memory};
use crate::outbox::Outbox;
use crate::pressure::FutileRun;
use crate::queue::Queue;
use crate::report::{DisconnectCause, Report};
use crate::session::Session;
use crate::timers::Timer;

/// What a proven client asks for.
#[derive(Debug)]
pub struct Attach {
    /// The CONNECT. Its user name and password are not looked at any more.
    pub connect: Box<Connect>,
    /// A fresh client id for a client that gave none; the caller draws the randomness.
    pub assigned_client_id: Option<String>,
    /// Where the connection came from.
    pub peer: Peer,
}

/// A CONNECT that is refused: `reason` is for the CONNACK, `why` for the log.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{why} ({reason})")]
pub struct AttachRefused {
    /// What the client is told (3.1.1: by `ReasonCode::to_v3_connect_return`).
    pub reason: ReasonCode,
    /// What is logged.
    pub why: AttachRefusal,
}

/// Why a CONNECT was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AttachRefusal {
    /// The client must name itself, or its name is too long.
    #[error("client id is missing or too long")]
    ClientId,
    /// The proof of identity is not good any more.
    #[error("proof of identity has lapsed: {0}")]
    Lapsed(Lapse),
    /// The will may not be published.
    #[error("will on `{topic}` refused: {denial}")]
    Will {
        /// The topic as sent.
        topic: Box<str>,
        /// Why not.
        denial: Denial,
    },
    /// A limit with this name is reached.
    #[error("limit `{0}` is reached")]
    Limit(&'static str),
    /// The client wants an authentication method that there is not.
    #[error("enhanced authentication is not offered")]
    AuthenticationMethod,
    /// The will's payload is not the text it is said to be.
    #[error("payload of the will is not UTF-8 as it says")]
    WillFormat,
    /// The client takes no packet as large as the answer it must have.
    #[error("maximum packet size of the client is too small for a CONNACK")]
    AnswerTooLarge,
}

impl Engine {
    /// Makes a connection for a client that has proven who it is. CONNACK goes to its outbox.
    ///
    /// # Errors
    /// The CONNACK to refuse with; nothing has happened to any session then.
    pub fn attach(
        &mut self,
        proof: Authenticated,
        mut attach: Attach,
        now: Timestamp,
    ) -> Result<ConnectionId, AttachRefused> {
        self.take_policy(now);
        self.shard.round.begin_packet();
        let limits = self.shard.hub.limits().clone();
        let client_id = client_id(&attach, &limits)?;
        let expiry_s = attach.connect.session_expiry_s().min(limits.session_expiry_s_max);
        if expiry_s > 0
            && let Some(limit) = self.shard.hub.storage_limit()
        {
            return Err(refused_by_limit(limit));
        }
        let rights = self.judge_attach(&proof, &attach.connect, &client_id, now)?;
        let connack = answer(&attach, &proof, &client_id, &limits, now)?;
        let key = SessionKey { user: proof.user_id(), client_id };
        let former =
            self.shard.sessions.find(&SessionKeyRef { user: key.user, client_id: &key.client_id });
        let will = self.hold_will(attach.connect.will.take(), key.user, former)?;
        self.enter(key.user, former)?;
        let client = Arc::new(ClientName {
            user: key.user,
            user_name: proof.name().clone(),
            client_id: key.client_id,
            peer: attach.peer.clone(),
        });
        let (clean_start, version) = (attach.connect.clean_start, attach.connect.version);
        let opening = Opening { proof, rights, client, clean_start, version };
        let (place, session_present) = self.open_session(former, opening, now);
        let Some(place) = place else {
            self.shard.hub.leave_connection();
            return Err(refused_by_limit("sessions_max"));
        };
        self.shard.note_judged(place);
        let connack = ConnAck { session_present, ..connack };
        let promised = Promised { connack, will };
        Ok(self.connect(place, &attach.connect, promised, now))
    }

    /// Flaws 10 and 11: all that can refuse a CONNECT comes before anything happens to a session.
    fn judge_attach(
        &self,
        proof: &Authenticated,
        connect: &Connect,
        client_id: &Arc<str>,
        now: Timestamp,
    ) -> Result<Rights, AttachRefused> {
        let lapsed = |lapse| AttachRefused {
            reason: ReasonCode::NotAuthorized,
            why: AttachRefusal::Lapsed(lapse),
        };
        self.shard.policy.standing(proof).map_err(lapsed)?;
        let rights = self
            .shard
            .policy
            .rights(proof.user_id(), Arc::clone(client_id))
            .ok_or_else(|| lapsed(Lapse::UserRemoved))?;
        if connect.properties.authentication_method.is_some() {
            let why = AttachRefusal::AuthenticationMethod;
            return Err(AttachRefused { reason: ReasonCode::BadAuthenticationMethod, why });
        }
        if let Some(will) = &connect.will {
            gate::publish(&rights, will.topic.as_str()).map_err(|denial| AttachRefused {
                reason: ReasonCode::NotAuthorized,
                why: AttachRefusal::Will { topic: will.topic.as_str().into(), denial },
            })?;
            let is_checked = self.shard.hub.limits().payload_format == PayloadFormat::Check;
            if is_checked && is_wrong_format(will) {
                let (reason, why) = (ReasonCode::PayloadFormatInvalid, AttachRefusal::WillFormat);
                return Err(AttachRefused { reason, why });
            }
            // A will cannot wait for its turn: those of a user that owes much already must not add up.
            let bucket = self.shard.hub.budgets.of(rights.user_id(), rights.publish_budget(), now);
            if bucket.is_some_and(|it| it.backlog_ms(now) > WILL_BACKLOG_MS_MAX) {
                return Err(refused_by_limit(BUDGET));
            }
        }
        Ok(rights)
    }

    /// Takes the room that the will needs; that of the session's former will is as good as free.
    fn hold_will(
        &self,
        will: Option<Will>,
        user: access::UserId,
        former: Option<SessionRef>,
    ) -> Result<Option<HeldWill>, AttachRefused> {
        let Some(will) = will else { return Ok(None) };
        let former = former.and_then(|place| self.shard.sessions.get(place)?.will.as_ref());
        HeldWill::new(will, user, former, &self.shard.hub).map(Some).map_err(refused_by_limit)
    }

    /// Takes the places the connection and, if it is new, its session need.
    fn enter(&self, user: access::UserId, former: Option<SessionRef>) -> Result<(), AttachRefused> {
        let hub = &self.shard.hub;
        let is_online = former
            .and_then(|place| self.shard.sessions.get(place))
            .is_some_and(|session| session.connection.is_some());
        // A takeover gives its place back only afterwards: it must not fail for want of one.
        if !is_online && hub.memory() == Memory::Full {
            return Err(refused_by_limit(MEMORY));
        }
        hub.enter_connection(is_online).map_err(refused_by_limit)?;
        if former.is_none() {
            hub.enter_session(user).map_err(|limit| {
                hub.leave_connection();
                refused_by_limit(limit)
            })?;
        }
        Ok(())
    }

    /// The session of this connection: the former one, resumed, or a new one in its place. Says
    /// whether it was resumed.
    fn open_session(
        &mut self,
        former: Option<SessionRef>,
        opening: Opening,
        now: Timestamp,
    ) -> (Option<SessionRef>, bool) {
        if let Some(place) = former {
            if self.resume_or_end(place, opening.clean_start, now) {
                if let Some(session) = self.shard.sessions.get_mut(place) {
                    session.methods = opening.proof.methods();
                    session.proof = Some(opening.proof);
                    session.rights = Some(opening.rights);
                    session.client = opening.client;
                }
                return (Some(place), true);
            }
            self.shard.hub.enter_session_again(opening.client.user);
        }
        let client_id = Arc::clone(&opening.client.client_id);
        let user = opening.client.user;
        let place = self.shard.sessions.insert(|place| opening.into_session(place, now));
        if place.is_none() {
            self.shard.hub.leave_session(user);
        }
        debug_assert_eq!(
            self.shard.sessions.find(&SessionKeyRef { user, client_id: &client_id }),
            place
        );
        (place, false)
    }

    /// Ends the former connection, and the session if it does not outlive that or a clean start is
    /// asked for. True if the session is there to be resumed.
    fn resume_or_end(&mut self, place: SessionRef, clean_start: bool, now: Timestamp) -> bool {
        // [MQTT-3.1.4-3] The existing client is told and cut off. Its will follows the usual rules:
        // sent at once if it has no delay, else held until its session ends or goes on.
        let reason = ReasonCode::SessionTakenOver;
        let ending = Ending::told(DisconnectCause::TakenOver, reason, WillFate::Publish);
        self.end_connection(place, ending, now);
        if clean_start {
            // [MQTT-3.1.2-4]
            self.end_session_silently(place, now);
        }
        self.shard.sessions.get(place).is_some()
    }

    /// Puts a connection on the session and answers the CONNECT.
    fn connect(
        &mut self,
        place: SessionRef,
        connect: &Connect,
        promised: Promised,
        now: Timestamp,
    ) -> ConnectionId {
        let Promised { connack, will } = promised;
        let session_present = connack.session_present;
        let limits = self.shard.hub.limits().clone();
        let id = self.shard.sessions.next_connection_id(place);
        let connection = open_connection(id, connect, &limits, now);
        let version = connect.version;
        let Shard { sessions, round, timers, .. } = &mut self.shard;
        let Some(session) = sessions.get_mut(place) else { return id };
        timers.disarm(session.expires_at.take(), Timer::SessionExpiry(place));
        // [MQTT-3.1.3-9] The session goes on in time: the will it left is not sent.
        timers.disarm(session.will_due.take(), Timer::Will(place));
        session.version = version;
        session.clean_start = connect.clean_start;
        session.expiry_s = connect.session_expiry_s().min(limits.session_expiry_s_max);
        session.connected_at = now;
        session.disconnected_at = None;
        session.is_overflow_reported = false;
        let had_will = session.will.is_some();
        session.will = will;
        let has_will = session.will.is_some();
        // Before 5.0 there is no Receive Maximum to keep to.
        let receive_max = if version.is_v5() { limits.receive_max.get() } else { u16::MAX };
        session.inbound.reconnected(receive_max);
        let in_flight_max =
            connect.properties.receive_maximum_or_default().min(limits.in_flight_max.get());
        session.outbound.reconnected(in_flight_max);
        if let Some(at) = connection.keep_alive_armed {
            timers.arm(at, Timer::KeepAlive(id));
        }
        session.connection = Some(Box::new(connection));
        session.identity.is_online.store(true, Ordering::Relaxed);
        round.counters.connections += 1;
        round.report(Report::Connected { client: Arc::clone(&session.client), session_present });
        self.shard.set_allowance(place, now);
        self.shard.persist_session(place);
        if had_will || has_will {
            self.shard.persist_will(place);
        }
        self.shard.reply(id, &Packet::ConnAck(Box::new(connack)));
        self.shard.resume_deliveries(place, now);
        id
    }
}

/// What the connection is told, and what is kept for its end.
struct Promised {
    connack: ConnAck,
    will: Option<HeldWill>,
}

/// What a new session is made of.
struct Opening {
    proof: Authenticated,
    rights: Rights,
    client: Arc<ClientName>,
    clean_start: bool,
    version: ProtocolVersion,
}

impl Opening {
    fn into_session(self, place: SessionRef, now: Timestamp) -> Session {
        let client_id = Arc::clone(&self.client.client_id);
        let key = SessionKey { user: self.client.user, client_id };
        Session {
            identity: Arc::new(SessionIdentity::new(key, place)),
            client: self.client,
            methods: self.proof.methods(),
            proof: Some(self.proof),
            rights: Some(self.rights),
            version: self.version,
            clean_start: self.clean_start,
            expiry_s: 0,
            connected_at: now,
            disconnected_at: None,
            expires_at: None,
            will: None,
            will_due: None,
            subscriptions: HashMap::with_hasher(FixedState::default()),
            outbound: Outbound::new(0),
            inbound: Inbound::new(0),
            queue: Queue::default(),
            next_sequence: 0,
            is_recorded: false,
            is_overflow_reported: false,
            connection: None,
        }
    }
}

/// The client id this session is known by.
fn client_id(attach: &Attach, limits: &Limits) -> Result<Arc<str>, AttachRefused> {
    let given = &attach.connect.client_id;
    let is_missing = attach.connect.is_client_id_missing();
    let assigned = attach.assigned_client_id.as_deref().filter(|_| given.is_empty() && !is_missing);
    let client_id = if given.is_empty() { assigned.unwrap_or_default() } else { given };
    if client_id.is_empty() || client_id.len() > limits.client_id_bytes_max {
        // [MQTT-3.1.3-8]
        let reason = ReasonCode::ClientIdentifierNotValid;
        return Err(AttachRefused { reason, why: AttachRefusal::ClientId });
    }
    Ok(client_id.into())
}

/// Section 3.1.3.2.3: what the will says of its payload is not so.
fn is_wrong_format(will: &Will) -> bool {
    mqtt::PublishProperties::parse(&will.properties.forwardable)
        .is_ok_and(|properties| properties.is_payload_utf8())
        && std::str::from_utf8(&will.payload).is_err()
}

/// Flaw 39: nobody who can be told holds a place in silence for longer than the server's limit.
fn keep_alive(connect: &Connect, limits: &Limits, now: Timestamp) -> KeepAlive {
    KeepAlive::new(connect.keep_alive_s, limits.keep_alive_s_max, connect.version, now)
}

/// The CONNACK, but for what the session says.
fn answer(
    attach: &Attach,
    proof: &Authenticated,
    client_id: &str,
    limits: &Limits,
    now: Timestamp,
) -> Result<ConnAck, AttachRefused> {
    let connect = &attach.connect;
    let expiry_s = connect.session_expiry_s();
    let connack = ConnAck {
        session_present: false,
        reason: ReasonCode::Success,
        properties: ConnAckProperties {
            session_expiry_interval_s: (expiry_s > limits.session_expiry_s_max)
                .then_some(limits.session_expiry_s_max),
            receive_maximum: Some(limits.receive_max.get()),
            maximum_packet_size: Some(limits.packet_size_max),
            // [MQTT-3.2.2-16]
            assigned_client_identifier: connect.client_id.is_empty().then(|| client_id.to_owned()),
            topic_alias_maximum: Some(limits.topic_alias_max).filter(|max| *max > 0),
            server_keep_alive_s: keep_alive(connect, limits, now).server_keep_alive_s(),
            // [MQTT-3.1.2-28] Only who asks is told.
            response_information: limits
                .response_information
                .as_ref()
                .filter(|_| connect.properties.request_response_information == Some(true))
                .and_then(|it| it.of_client(proof.name().as_str(), client_id)),
            ..ConnAckProperties::default()
        },
    };
    let mut bytes = Vec::new();
    mqtt::encode(&Packet::ConnAck(Box::new(connack.clone())), connect.version, &mut bytes);
    let size_max = connect.properties.maximum_packet_size_or_default();
    if u32::try_from(bytes.len()).is_ok_and(|size| size <= size_max) {
        return Ok(connack);
    }
    // [MQTT-3.1.2-24], [MQTT-3.2.0-1] It must come first and may not come: there is no connection to be had.
    Err(AttachRefused { reason: ReasonCode::PacketTooLarge, why: AttachRefusal::AnswerTooLarge })
}

fn open_connection(
    id: ConnectionId,
    connect: &Connect,
    limits: &Limits,
    now: Timestamp,
) -> Connection {
    let properties = &connect.properties;
    let keep_alive = keep_alive(connect, limits, now);
    let alias_max = properties.topic_alias_maximum_or_default().min(limits.topic_alias_max);
    Connection {
        id,
        version: connect.version,
        wants_problem_information: properties.wants_problem_information(),
        packet_size_max: properties.maximum_packet_size_or_default(),
        outbox: Outbox::default(),
        flush_mark: 0,
        owes_until: 0,
        keep_alive_armed: keep_alive.deadline(),
        keep_alive,
        holds: 0,
        waits: None,
        allowance: None,
        pressure: None,
        permits: PermitCache::new(),
        aliases_in: None,
        aliases_out: (alias_max > 0).then(|| Box::new(OutboundAliases::new(alias_max))),
        alias_out_max: alias_max,
        backlog: VecDeque::new(),
        traffic: Traffic::default(),
        slow: None,
        futile: FutileRun::default(),
        refused: None,
    }
}

/// How far behind its budget a user may be that connects with a will.
const WILL_BACKLOG_MS_MAX: u64 = 10_000;

fn refused_by_limit(limit: &'static str) -> AttachRefused {
    AttachRefused { reason: limit_reason(limit), why: AttachRefusal::Limit(limit) }
}
