//! Locks after too many failed logins, as REST and the command line see them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Time;

/// What is locked after too many failed logins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocksView {
    /// Users, by the name that was given: there need not be such a user.
    pub users: Vec<LockView>,
    /// Source addresses; of IPv6 networks of 64 bits.
    pub sources: Vec<LockView>,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockView {
    /// The user name or address.
    pub name: String,
    /// When it ends by itself.
    pub until: Time,
    /// How many locks in a row it is.
    pub repetitions: u32,
}
