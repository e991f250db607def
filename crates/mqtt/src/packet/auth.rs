//! AUTH: enhanced authentication (5.0).

use super::UserProperties;
use crate::{ReasonCode, Secret};

/// A step of an enhanced authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `Success` (server only), `ContinueAuthentication` or `ReAuthenticate` (client only).
    pub reason: ReasonCode,
    /// Name of the method; absent only in the two-byte AUTH that means success.
    pub authentication_method: Option<String>,
    /// What the method says it is.
    pub authentication_data: Option<Secret>,
    /// For people to read.
    pub reason_string: Option<String>,
    /// Name and value pairs.
    pub user_properties: UserProperties,
}
