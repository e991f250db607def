//! Who asks for an administrative call.

use std::fmt;

use access::{UserId, UserName};
use uuid::Uuid;

use crate::attempt::PeerAddress;

/// Who asks. Every call that changes or shows something takes one, so that none can forget who it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever may open the admin socket: the owner of the data directory, who could edit its files just as well.
    LocalOwner,
    /// The broker itself, in what it does unasked: a hash that is renewed, a token that was used.
    Broker,
    /// A user that has shown a bearer token. It can give nobody a right that it does not have.
    User(UserCaller),
}

/// A user that has shown a bearer token. Made by [`crate::Admin::authenticate`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCaller {
    pub(crate) id: UserId,
    pub(crate) name: UserName,
    pub(crate) token: Uuid,
    pub(crate) peer: PeerAddress,
}

impl UserCaller {
    /// The user.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.id
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// Id of the token it has shown.
    #[must_use]
    pub fn token(&self) -> Uuid {
        self.token
    }

    /// Where the request comes from.
    #[must_use]
    pub fn peer(&self) -> PeerAddress {
        self.peer
    }
}

impl Caller {
    /// The user that asks, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<&UserCaller> {
        match self {
            Caller::User(user) => Some(user),
            Caller::LocalOwner | Caller::Broker => None,
        }
    }

    /// Whether it is this user that asks, about itself.
    pub(crate) fn is(&self, user: UserId) -> bool {
        self.user().is_some_and(|caller| caller.id == user)
    }
}

impl Caller {
    /// Who it is for the audit log: the name of the user, or a word that no user can have for a name.
    pub(crate) fn audit_name(&self) -> String {
        match self {
            Caller::LocalOwner => "local owner".to_owned(),
            Caller::Broker => "the broker".to_owned(),
            Caller::User(user) => user.name.as_str().to_owned(),
        }
    }

    /// Where the call comes from, if not from the machine's own owner.
    pub(crate) fn audit_address(&self) -> Option<String> {
        self.user().map(|user| user.peer.to_string())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::LocalOwner => f.write_str("local owner"),
            Caller::Broker => f.write_str("broker"),
            Caller::User(user) => write!(f, "user `{}` at {}", user.name, user.peer),
        }
    }
}
