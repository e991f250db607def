//! What `client list` shows of a connection or an offline session.

use std::net::SocketAddr;
use std::sync::Arc;

use access::{AuthMethod, UserId, UserName};
use mqtt::{ProtocolVersion, Qos, Timestamp};

use crate::identity::Security;

/// One session, online or offline.
#[derive(Debug, Clone)]
pub struct ClientView {
    /// The user's id.
    pub user: UserId,
    /// The user's name at login.
    pub user_name: UserName,
    /// The client id.
    pub client_id: Arc<str>,
    /// Address of the (last) connection.
    pub address: SocketAddr,
    /// Listener of the (last) connection.
    pub listener: Arc<str>,
    /// How the (last) connection was protected, if it was.
    pub security: Option<Arc<Security>>,
    /// Whether there is a connection now.
    pub connected: bool,
    /// How the user proved itself.
    pub auth_methods: Vec<AuthMethod>,
    /// Protocol version of the (last) connection.
    pub version: ProtocolVersion,
    /// Clean start (3.1.1: clean session) of the (last) connection.
    pub clean_start: bool,
    /// Seconds the session outlives its connection.
    pub session_expiry_s: u32,
    /// Filters and their granted QoS.
    pub subscriptions: Vec<SubscriptionView>,
    /// Messages that wait in the session's queue.
    pub queued: usize,
    /// Messages sent and not acknowledged.
    pub in_flight: usize,
    /// When the (last) connection was made.
    pub connected_at: Timestamp,
    /// When the session went offline.
    pub disconnected_at: Option<Timestamp>,
    /// Traffic of the live connection.
    pub traffic: Traffic,
}

/// One subscription of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionView {
    /// The filter as subscribed, with its `$share` part.
    pub filter: String,
    /// The QoS granted.
    pub qos: Qos,
    /// Whether a deny rule overlaps the filter, so that each delivery is judged.
    pub is_filtered: bool,
}

/// Traffic of one connection since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes taken from the outbox.
    pub bytes_out: u64,
    /// PUBLISH packets from the client.
    pub messages_in: u64,
    /// PUBLISH packets put into the outbox.
    pub messages_out: u64,
    /// Messages for the client that were dropped.
    pub dropped: u64,
}
