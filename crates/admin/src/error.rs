//! Why an administrative call was refused, by whose fault it is.

use store::StoreError;

use crate::hash::HashError;

/// A refusal of an administrative call. Nothing has changed when one is returned.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such user, role or certificate.
    #[error("no {kind} `{key}`")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// The name or id that was asked for.
        key: String,
    },
    /// The name is taken.
    #[error("a {kind} `{value}` exists already")]
    Duplicate {
        /// What was to be made.
        kind: Kind,
        /// The field that must be unique.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A field holds what it may not.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, such as `permissions[2].resource`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The role is assigned to users.
    #[error("role `{role}` is assigned to {users} users")]
    InUse {
        /// Name of the role.
        role: String,
        /// How many users hold it.
        users: usize,
    },
    /// The change would leave no enabled administrator, or none who can log in by password.
    #[error(
        "the last enabled administrator who can log in by password cannot be removed, disabled or stripped of its rights, or \
         of that"
    )]
    LastAdministrator,
    /// The role comes with the broker.
    #[error("role `{role}` is built in: it can be neither changed nor removed")]
    BuiltIn {
        /// Name of the role.
        role: String,
    },
    /// Of several things asked for at once some are refused, and so all are.
    #[error("{} of the items are refused, and none was made", .0.len())]
    Batch(Vec<(usize, AdminError)>),
    /// The caller asks for more than its own rights.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// `If-Match` names another version than the present one.
    #[error("the {kind} was changed meanwhile: its version is {version}")]
    Stale {
        /// What was to be changed.
        kind: Kind,
        /// The present version.
        version: u64,
    },
    /// A certificate would be of no use to the user.
    #[error(
        "user `{user}` has no grant type `certificate`: give it that first, `countersign user set {user} {grants}--grant-type certificate`"
    )]
    NoCertificateGrant {
        /// Name of the user.
        user: String,
        /// The grant types that it has, as the command line writes them: to set them is to set all.
        grants: String,
    },
    /// The request of a client was granted before.
    #[error("the request of `{user}` was granted already")]
    AlreadyGranted {
        /// Name of the user that was made.
        user: String,
    },
    /// The authority cannot issue now, or no more for this user.
    #[error("no certificate can be issued: {0}")]
    CannotIssue(String),
    /// Too many wrong passwords were given.
    #[error("too many failed logins")]
    Locked {
        /// How long the lock lasts, in milliseconds.
        retry_after_ms: u64,
    },
    /// Passwords cannot be hashed now: too many are waiting.
    #[error("too busy to hash a password, try again later")]
    Busy,
    /// The change could not be written, or the store not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password cannot be hashed.
    #[error("cannot hash the password: {0}")]
    Hash(#[from] HashError),
    /// The certificate files cannot be written, or the cryptography failed.
    #[error("certificates: {0}")]
    Pki(String),
    /// The broker's own state cannot be trusted: a thread or task cannot run.
    #[error("internal: {0}")]
    Internal(String),
}

impl AdminError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl ToString) -> AdminError {
        AdminError::Invalid { field: field.into(), reason: reason.to_string() }
    }
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A user.
    User,
    /// A role.
    Role,
    /// A certificate that was issued here.
    Certificate,
    /// A bearer token.
    Token,
    /// A user name that failed logins have locked.
    LockedUser,
    /// An address that failed logins have locked.
    LockedSource,
    /// A client's request to be let in.
    RegistryRequest,
    /// A refusal that is kept.
    Decision,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::User => "user",
            Kind::Role => "role",
            Kind::Certificate => "certificate",
            Kind::Token => "token",
            Kind::LockedUser => "failed login as user",
            Kind::LockedSource => "failed login from",
            Kind::RegistryRequest => "request",
            Kind::Decision => "record of decision",
        })
    }
}
