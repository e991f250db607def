//! From an accepted connection to a client that has proven who it is, on the main runtime.
//!
//! Nothing here touches a session: before the proof there is only a socket, a small buffer and a deadline.

use std::net::SocketAddr;
use std::sync::Arc;

use admin::{Admin, LoginAttempt, LoginRefused, PeerAddress};
use broker::{Attach, Hub, Peer, shard_of};
use mqtt::{Connect, DecodeError, DecodeLimits, ReasonCode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::inbox::{Inbox, Newcomer, Order};
use super::intake::{Intake, Ticket};
use super::transport::Transport;
use super::{farewell, refusal, report};

/// What every login needs.
pub(crate) struct Front {
    /// Bounds on connections that are not logged in.
    pub(crate) intake: Arc<Intake>,
    /// Who there is.
    pub(crate) admin: Admin,
    /// The shared part of the broker.
    pub(crate) hub: Arc<Hub>,
    /// The shards.
    pub(crate) inboxes: Arc<[Inbox]>,
}

/// An accepted connection.
pub(crate) struct Visitor {
    /// Its socket.
    pub(crate) stream: TcpStream,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// The listener it came to.
    pub(crate) listener: Arc<str>,
    /// Its place.
    pub(crate) ticket: Ticket,
}

/// Why a CONNECT never came.
enum NoConnect {
    /// The client closed or the socket failed.
    Lost,
    /// The time was up.
    TooSlow,
    /// It is not a CONNECT that can be accepted.
    Refused(DecodeError),
}

/// Logs a connection in and hands it to its shard, or refuses it.
pub(crate) async fn admit(mut visitor: Visitor, front: Arc<Front>) {
    let limits = front.intake.limits();
    let reading = read_connect(&mut visitor.stream, limits.connect_packet_size_max);
    let read = match tokio::time::timeout(limits.connect_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(NoConnect::TooSlow),
    };
    visitor.ticket.spoke();
    match read {
        Ok((connect, rest)) => log_in(visitor, connect, rest, &front).await,
        Err(NoConnect::Lost) => {
            tracing::debug!(address = %visitor.address, "connection closed before CONNECT");
        }
        Err(NoConnect::TooSlow) => report::no_connect(&visitor, "no CONNECT in time"),
        Err(NoConnect::Refused(error)) => {
            report::no_connect(&visitor, error.detail);
            let last = error.connack_version.map(|version| refusal::connack(version, error.reason));
            farewell::say(Transport::Tcp(visitor.stream), &last.unwrap_or_default()).await;
        }
    }
}

/// Reads the CONNECT. Also gives what came behind it.
async fn read_connect(
    stream: &mut TcpStream,
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
        // The decoder refuses what is too long as soon as the length is in, so this cannot grow without bound.
        match stream.read_buf(&mut *input).await {
            Ok(0) | Err(_) => return Err(NoConnect::Lost),
            Ok(_) => {}
        }
    }
}

async fn log_in(visitor: Visitor, connect: Box<Connect>, rest: Vec<u8>, front: &Front) {
    let judged = judge(&visitor, &connect, front).await;
    let authenticated = match judged {
        Ok(authenticated) => authenticated,
        Err((code, reason)) => {
            report::login_refused(&visitor, &connect, code, &reason);
            let last = refusal::connack(connect.version, code);
            return farewell::say(Transport::Tcp(visitor.stream), &last).await;
        }
    };
    let Visitor { stream, address, listener, mut ticket } = visitor;
    let assigned = connect.client_id.is_empty().then(|| uuid::Uuid::new_v4().simple().to_string());
    let client_id = assigned.as_deref().unwrap_or(&connect.client_id);
    let shard = shard_of(authenticated.user_id(), client_id, front.hub.shards());
    let Ok(detached) = Transport::Tcp(stream).detach() else {
        tracing::warn!(%address, "a connection was lost: its runtime cannot let go of it");
        return;
    };
    ticket.logged_in();
    let attach = Attach { connect, assigned_client_id: assigned, peer: Peer { address, listener } };
    let newcomer = Newcomer { detached, rest, authenticated, attach, ticket };
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
    // A full broker says so before it pays for a password hash.
    if front.hub.connections() >= front.hub.limits().connections_max {
        return Err((ReasonCode::QuotaExceeded, "connections_max is reached".to_owned()));
    }
    let attempt = LoginAttempt {
        username: connect.username.as_deref(),
        password: connect.password.as_ref().map(mqtt::Secret::as_bytes),
        certificate: None,
        peer: PeerAddress::Network(visitor.address),
    };
    let login = front.admin.login(attempt).await;
    login.map_err(|refused| (code(&refused), refused.reason().to_string()))
}

fn code(refused: &LoginRefused) -> ReasonCode {
    match refused {
        LoginRefused::BadCredentials(_) => ReasonCode::BadUserNameOrPassword,
        LoginRefused::NotAuthorized(_) => ReasonCode::NotAuthorized,
        LoginRefused::Busy(_) => ReasonCode::ServerBusy,
    }
}

/// Most CONNECT packets fit.
const FIRST_READ_BYTES: usize = 512;
