//! From an accepted connection to a client that has proven who it is, on the main runtime.
//!
//! Nothing here touches a session: before the proof there is only a connection, a small buffer and a deadline. The
//! same code serves every transport (flaw 7).

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use admin::{
    Admin, ClientLabel, LoginAttempt, LoginRefused, PeerAddress, ProvenCertificate, RefusedLogin,
};
use broker::{Attach, Hub, Memory, Peer, shard_of};
use mqtt::{Connect, DecodeError, DecodeLimits, ReasonCode};
use pki::Pki;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::door::Door;
use super::handshake::Secured;
use super::inbox::{Inbox, Newcomer, Order};
use super::intake::{Intake, Ticket};
use super::metrics::{ACCEPTED, LOGIN, Metrics, NO_CONNECT};
use super::repeats::Repeats;
use super::transport::Transport;
use super::{enhanced, farewell, refusal, report};

/// What every login needs.
pub(crate) struct Front {
    /// Bounds on connections that are not logged in.
    pub(crate) intake: Arc<Intake>,
    /// Who there is.
    pub(crate) admin: Admin,
    /// Who is trusted.
    pub(crate) pki: Arc<Pki>,
    /// The shared part of the broker.
    pub(crate) hub: Arc<Hub>,
    /// The shards.
    pub(crate) inboxes: Arc<[Inbox]>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What the log does not need one by one.
    pub(crate) repeats: Arc<Repeats>,
}

/// Who is behind an accepted connection, as far as is known.
pub(crate) struct Visitor {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// The listener it came to.
    pub(crate) listener: Arc<str>,
    /// Its place.
    pub(crate) ticket: Ticket,
    /// What the TLS handshake has settled, if there was one.
    pub(crate) secured: Option<Secured>,
}

/// Why a CONNECT never came.
enum NoConnect {
    /// The client closed or the connection failed.
    Lost(std::io::Error),
    /// The time was up.
    TooSlow,
    /// It is not a CONNECT that can be accepted.
    Refused(DecodeError),
}

/// Logs a connection in and hands it to its shard, or refuses it.
pub(crate) async fn admit(socket: TcpStream, visitor: Visitor, door: Arc<Door>, front: Arc<Front>) {
    let limits = front.intake.limits();
    let deadline = Instant::now() + limits.connect_timeout;
    let Some(entered) = door.pass(socket, visitor, &front, deadline).await else { return };
    let (mut transport, mut visitor) = (entered.transport, entered.visitor);
    let reading = read_connect(&mut transport, &mut visitor.ticket, limits.connect_packet_size_max);
    let read = match tokio::time::timeout_at(entered.deadline, reading).await {
        Ok(read) => read,
        Err(_) => Err(NoConnect::TooSlow),
    };
    visitor.ticket.spoke();
    match read {
        Ok((connect, rest)) => Box::pin(log_in(transport, visitor, connect, rest, &front)).await,
        Err(NoConnect::Lost(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            front.metrics.count(LOGIN, &visitor.listener, NO_CONNECT);
            tell_no_connect(&visitor, &front, &error.to_string());
            farewell::say(transport, &[]).await;
        }
        Err(NoConnect::Lost(error)) => {
            tracing::debug!(address = %visitor.address, %error, "connection closed before CONNECT");
        }
        Err(NoConnect::TooSlow) => {
            front.metrics.count(LOGIN, &visitor.listener, NO_CONNECT);
            tell_no_connect(&visitor, &front, "no CONNECT in time");
        }
        Err(NoConnect::Refused(error)) => {
            front.metrics.count(LOGIN, &visitor.listener, NO_CONNECT);
            if let Some(version) = error.connack_version {
                report::no_connect(&visitor, error.detail);
                farewell::say(transport, &refusal::connack(version, error.reason)).await;
                return;
            }
            tell_no_connect(&visitor, &front, error.detail);
            // Bare bytes that are no MQTT are answered by the end alone, and that may come as a reset.
            if !transport.is_bare() {
                farewell::say(transport, &[]).await;
            }
        }
    }
}

/// Tells of a connection of which nobody knows whose it is, unless its source has had enough lines.
fn tell_no_connect(visitor: &Visitor, front: &Front, reason: &str) {
    if front.repeats.is_to_be_told(visitor.address.ip()) {
        report::no_connect(visitor, reason);
    }
}

/// Reads the CONNECT. Also gives what came behind it.
async fn read_connect(
    transport: &mut Transport,
    ticket: &mut Ticket,
    packet_size_max: u32,
) -> Result<(Box<Connect>, Vec<u8>), NoConnect> {
    let limits = DecodeLimits { packet_size_max };
    let mut input = zeroize::Zeroizing::new(Vec::with_capacity(FIRST_READ_BYTES));
    loop {
        match mqtt::decode_connect(&input, &limits) {
            Ok(Some((connect, length))) => {
                return Ok((connect, input.get(length..).unwrap_or_default().to_vec()));
            }
            Ok(None) => {}
            Err(error) => return Err(NoConnect::Refused(error)),
        }
        // The decoder refuses what is too long as soon as the length is in, so this cannot grow without bound;
        // and what is large takes a part of what all such have together.
        let start = input.len();
        let missing = mqtt::announced_length(&input).unwrap_or_default().saturating_sub(start);
        if start.saturating_add(missing) > SMALL_CONNECT_BYTES {
            ticket.reserve(start.saturating_add(missing)).await;
        }
        let needed = start.saturating_add(missing.max(FIRST_READ_BYTES));
        if input.capacity() < needed {
            // What it grows out of is wiped: there may be half a password in it.
            let capacity = needed.saturating_add(FIRST_READ_BYTES);
            let mut larger = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&input);
            input = larger;
        }
        input.resize(start.saturating_add(missing.clamp(FIRST_READ_BYTES, READ_BYTES_MAX)), 0);
        let room = input.get_mut(start..).unwrap_or_default();
        match poll_fn(|context| transport.poll_read(context, room)).await {
            Ok(0) => return Err(NoConnect::Lost(std::io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(NoConnect::Lost(error)),
            Ok(count) => input.truncate(start.saturating_add(count)),
        }
    }
}

async fn log_in(
    transport: Transport,
    visitor: Visitor,
    connect: Box<Connect>,
    rest: Vec<u8>,
    front: &Front,
) {
    let judged = judge(&visitor, &connect, front).await;
    let authenticated = match judged {
        Ok(authenticated) => authenticated,
        Err((code, reason)) => {
            front.metrics.count(LOGIN, &visitor.listener, word(code));
            let decision = front.admin.record_refused_login(RefusedLogin {
                username: connect.username.as_deref(),
                client_id: Some(&connect.client_id),
                address: &visitor.address.to_string(),
                listener: &visitor.listener,
                reason: &reason,
            });
            report::login_refused(&visitor, &connect, code, &reason, decision);
            let last = refusal::Hearer::of(&connect).connack(code, &decision);
            return farewell::say(transport, &last).await;
        }
    };
    front.metrics.count(LOGIN, &visitor.listener, ACCEPTED);
    let Visitor { address, listener, ticket, secured } = visitor;
    let (security, identity) = match secured {
        Some(Secured { security, identity }) => (Some(security), identity.and_then(Result::ok)),
        None => (None, None),
    };
    let assigned = connect.client_id.is_empty().then(|| uuid::Uuid::new_v4().simple().to_string());
    let client_id = assigned.as_deref().unwrap_or(&connect.client_id);
    let shard = shard_of(authenticated.user_id(), client_id, front.hub.shards());
    let Ok(detached) = transport.detach() else {
        tracing::warn!(%address, "a connection was lost: its runtime cannot let go of it");
        return;
    };
    let seat = ticket.into_seat();
    let peer = Peer { address, listener, security };
    let attach = Attach { connect, assigned_client_id: assigned, peer };
    let newcomer = Newcomer { detached, rest, authenticated, attach, seat, identity };
    if let Some(inbox) = front.inboxes.get(usize::from(shard.0)) {
        // A shard that takes nothing has stopped, and the process with it.
        drop(inbox.send(Order::Adopt(Box::new(newcomer))));
    }
}

/// The proof of who it is, or the code to refuse with and the reason for the log.
async fn judge(
    visitor: &Visitor,
    connect: &Connect,
    front: &Front,
) -> Result<access::Authenticated, (ReasonCode, String)> {
    // [MQTT-3.1.3-8] 3.1.1 without a client id must ask for a clean session.
    if connect.is_client_id_missing() {
        let reason = "no client id, and no clean session";
        return Err((ReasonCode::ClientIdentifierNotValid, reason.to_owned()));
    }
    // [MQTT-4.12.0-1] Before any password: who wants another way to prove itself may have none.
    if let Some(name) = &connect.properties.authentication_method {
        let reason = "there is no such authentication method".to_owned();
        return enhanced::method(name)
            .map_or(Err((ReasonCode::BadAuthenticationMethod, reason)), |method| match method {});
    }
    // A broker without memory says so before it pays for a password hash. One that has all its connections cannot: this
    // may be one of them that comes anew, and who asks whether it is has to prove who it is first.
    if front.hub.memory() == Memory::Full {
        return Err((ReasonCode::QuotaExceeded, "memory_bytes_max is reached".to_owned()));
    }
    let identity = visitor.secured.as_ref().and_then(|secured| secured.identity.as_ref());
    let certificate = match identity {
        None => None,
        Some(Ok(peer)) => Some(ProvenCertificate {
            common_names: vec![peer.common_name().as_bytes().to_vec()],
            fingerprint: *peer.fingerprint().as_bytes(),
        }),
        // Flaw 6: no common name, or several.
        Some(Err(nobody)) => return Err((ReasonCode::NotAuthorized, nobody.to_string())),
    };
    let attempt = LoginAttempt {
        username: connect.username.as_deref(),
        password: connect.password.as_ref().map(mqtt::Secret::as_bytes),
        certificate,
        peer: PeerAddress::Network(visitor.address),
    };
    let client = ClientLabel { client_id: &connect.client_id, listener: &visitor.listener };
    let login = front.admin.login_client(attempt, client).await;
    login.map_err(|refused| (code(&refused), refused.reason().to_string()))
}

fn code(refused: &LoginRefused) -> ReasonCode {
    match refused {
        LoginRefused::BadCredentials(_) => ReasonCode::BadUserNameOrPassword,
        LoginRefused::NotAuthorized(_) => ReasonCode::NotAuthorized,
        LoginRefused::Locked { .. } => ReasonCode::Banned,
        LoginRefused::Busy(_) => ReasonCode::ServerBusy,
    }
}

/// A refusal in a word for metrics.
fn word(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::BadUserNameOrPassword => "bad_credentials",
        ReasonCode::NotAuthorized => "not_authorized",
        ReasonCode::Banned => "locked",
        ReasonCode::ServerBusy => "busy",
        ReasonCode::QuotaExceeded => "full",
        ReasonCode::ClientIdentifierNotValid => "client_id",
        ReasonCode::BadAuthenticationMethod => "method",
        _ => "other",
    }
}

/// Most CONNECT packets fit.
const FIRST_READ_BYTES: usize = 512;
/// Of a CONNECT whose length is known.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Every connection may take as much as this for its CONNECT.
const SMALL_CONNECT_BYTES: usize = 4 * 1024;
