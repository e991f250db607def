//! What is kept in store, and the changes that may be made to it.

use access::{Role, RoleId, User, UserId};

use crate::audit::AuditEntry;
use crate::certificate::{CertificateRecord, RevokedRecord};
use crate::registry::{RegistryChange, RegistryRecord};
use crate::secret::PasswordHash;
use crate::token::{TokenChange, TokenRecord};

/// A user in store, without its passwords.
#[derive(Clone, Debug)]
pub struct UserRecord {
    /// What authorization knows of it.
    pub user: User,
    /// The row's history.
    pub stamp: Stamp,
}

/// A role in store.
#[derive(Clone, Debug)]
pub struct RoleRecord {
    /// What authorization knows of it.
    pub role: Role,
    /// Whether it comes with the broker.
    pub built_in: bool,
    /// The row's history.
    pub stamp: Stamp,
}

/// When a row was made and changed. Times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was changed last.
    pub updated_at_ms: u64,
    /// Counts the changes, from 1.
    pub version: u64,
}

impl Stamp {
    /// The stamp of a new row.
    pub fn new(now_ms: u64) -> Stamp {
        Stamp { created_at_ms: now_ms, updated_at_ms: now_ms, version: 1 }
    }

    /// The stamp after one more change.
    pub fn changed(self, now_ms: u64) -> Stamp {
        Stamp { updated_at_ms: now_ms, version: self.version.saturating_add(1), ..self }
    }
}

/// A password in store.
#[derive(Clone, Debug)]
pub struct PasswordRecord {
    /// Which of the user's two.
    pub slot: PasswordSlot,
    /// Its hash.
    pub hash: PasswordHash,
    /// SHA-256 of the hash that was set, if `hash` is a stronger one of the same password, made at a login since.
    pub renewed_from: Option<Box<[u8; 32]>>,
    /// When it was set, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it ends, if ever.
    pub expires_at_ms: Option<u64>,
    /// When a login used it last, as far as that was written down.
    pub last_used_at_ms: Option<u64>,
}

impl PasswordRecord {
    /// A password that was set just now.
    pub fn new(slot: PasswordSlot, hash: PasswordHash, now_ms: u64) -> PasswordRecord {
        PasswordRecord {
            slot,
            hash,
            renewed_from: None,
            created_at_ms: now_ms,
            expires_at_ms: None,
            last_used_at_ms: None,
        }
    }
}

/// A stronger hash of a password, in the place of the one in store.
#[derive(Clone, Debug)]
pub struct RenewedHash {
    /// The new hash.
    pub hash: PasswordHash,
    /// SHA-256 of the hash that was set.
    pub renewed_from: [u8; 32],
}

/// That a login has used a password. Times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordUse {
    /// Whose it is.
    pub user: UserId,
    /// Which of the two.
    pub slot: PasswordSlot,
    /// When it was set: another one that took its place meanwhile was not used.
    pub created_at_ms: u64,
    /// When it was used last.
    pub used_at_ms: u64,
}

/// Which of a user's two passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PasswordSlot {
    /// The password.
    First,
    /// The second one, valid beside it while rotating.
    Second,
}

/// Everything in store.
#[derive(Debug, Default)]
pub struct Contents {
    /// Users, by id, with their passwords, by slot.
    pub users: Vec<(UserRecord, Vec<PasswordRecord>)>,
    /// All roles, by id.
    pub roles: Vec<RoleRecord>,
    /// All certificates that were ever issued, by fingerprint.
    pub certificates: Vec<CertificateRecord>,
    /// All bearer tokens, by id.
    pub tokens: Vec<TokenRecord>,
    /// All requests of clients to be let in, by id.
    pub registry: Vec<RegistryRecord>,
    /// Whether the first start is over: the built-in roles and the first administrator were made, if wanted.
    pub is_initialized: bool,
}

/// A change of the store. Several are made all or not at all, in their order.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes a user or replaces it, its roles and permissions; its passwords stay.
    PutUser(UserRecord),
    /// Removes a user with all it has but its certificates, whose records stay.
    RemoveUser(UserId),
    /// Makes a role or replaces it and its permissions.
    PutRole(RoleRecord),
    /// Removes a role that no user has.
    RemoveRole(RoleId),
    /// Replaces all passwords of a user.
    PutPasswords(UserId, Vec<PasswordRecord>),
    /// Replaces the hash of a password by another hash of the same password.
    RenewPassword(UserId, PasswordSlot, RenewedHash),
    /// Writes down when passwords were used last; those that are gone meanwhile are left out.
    PasswordsUsed(Vec<PasswordUse>),
    /// Records a new certificate.
    PutCertificate(CertificateRecord),
    /// Revokes the certificate with this fingerprint; one that is revoked already stays as it is.
    RevokeCertificate([u8; 32], RevokedRecord),
    /// Makes, removes or marks a bearer token.
    Token(TokenChange),
    /// Files, decides or removes a client's request to be let in.
    Registry(RegistryChange),
    /// Adds to the audit log.
    Record(AuditEntry),
    /// Remembers that the first start is over.
    Initialized,
}
