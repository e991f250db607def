//! Names of things inside the engine: shards, connections, sessions.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use access::{UserId, UserName};
use foldhash::fast::FixedState;

/// One shard of the broker: an index below the number of shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// One network connection of one shard. Never used again once the connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// Where a session lives. The serial tells a session from an earlier one in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionRef {
    pub(crate) shard: ShardId,
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// What a session is known by: nobody reaches another user's session by its client id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The user the session belongs to.
    pub user: UserId,
    /// The client id, unique within the user.
    pub client_id: Arc<str>,
}

impl SessionKey {
    pub(crate) fn by_ref(&self) -> SessionKeyRef<'_> {
        SessionKeyRef { user: self.user, client_id: &self.client_id }
    }
}

/// A [`SessionKey`] to look up by, without owning the client id.
#[derive(Hash)]
pub(crate) struct SessionKeyRef<'a> {
    pub(crate) user: UserId,
    pub(crate) client_id: &'a str,
}

impl hashbrown::Equivalent<SessionKey> for SessionKeyRef<'_> {
    fn equivalent(&self, key: &SessionKey) -> bool {
        self.user == key.user && *self.client_id == *key.client_id
    }
}

/// The part of a session that every shard may read: who it is, where it is, whether it is online.
#[derive(Debug)]
pub(crate) struct SessionIdentity {
    pub(crate) key: SessionKey,
    pub(crate) place: SessionRef,
    pub(crate) is_online: AtomicBool,
    /// What it holds is recorded.
    pub(crate) is_durable: AtomicBool,
    /// The generation of the policy that its subscriptions were last judged under.
    pub(crate) judged: AtomicU64,
}

impl SessionIdentity {
    pub(crate) fn new(key: SessionKey, place: SessionRef) -> SessionIdentity {
        let (is_online, is_durable) = (AtomicBool::new(false), AtomicBool::new(false));
        SessionIdentity { key, place, is_online, is_durable, judged: AtomicU64::new(0) }
    }
}

/// Where a connection came from, for log, audit and `client list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The listener's name: `mqtt`, `mqtts`, `ws`, `https`.
    pub listener: Arc<str>,
    /// How the connection is protected; `None` if it crosses the network in clear.
    pub security: Option<Arc<Security>>,
}

/// What the TLS handshake of a connection settled, for log, audit and `client list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The protocol: `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite, by the name that IANA or the TLS library gives it.
    pub cipher: &'static str,
    /// The client's certificate, if one was asked for and given.
    pub certificate: Option<CertificateName>,
}

/// What a client's certificate is called, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    /// SHA-256 of its DER.
    pub fingerprint: [u8; 32],
    /// Its last second, since the Unix epoch.
    pub not_after_s: u64,
}

/// Who a client is, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientName {
    /// The user's id.
    pub user: UserId,
    /// The user's name at login.
    pub user_name: UserName,
    /// The client id.
    pub client_id: Arc<str>,
    /// Where the (last) connection came from.
    pub peer: Peer,
}

/// The shard that owns the session of this user and client id, the same for every caller.
#[must_use]
pub fn shard_of(user: UserId, client_id: &str, shards: usize) -> ShardId {
    let mut hasher = FixedState::with_seed(SHARD_SEED).build_hasher();
    user.hash(&mut hasher);
    client_id.hash(&mut hasher);
    let shards = u64::try_from(shards.max(1)).unwrap_or(1);
    ShardId(u16::try_from(hasher.finish() % shards).unwrap_or(0))
}

const SHARD_SEED: u64 = 0x636f_756e_7465_7273;
