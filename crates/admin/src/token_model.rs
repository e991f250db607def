//! Logging in over HTTP and bearer tokens, as REST and the command line see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::Time;
use crate::secret::Secret;

/// What is given to log in over HTTP.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewLogin {
    /// Name of the user.
    pub username: String,
    /// Its password.
    #[schema(value_type = String)]
    pub password: Secret,
    /// Hours until the token ends; a default if absent.
    #[serde(default, deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 1)]
    pub expire_time_in_hours: Option<u32>,
    /// What the token is for, shown in lists.
    #[serde(default)]
    pub label: Option<String>,
}

/// A login over HTTP: the only time that the token is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginView {
    /// The bearer token.
    pub token: String,
    /// When it ends.
    pub expires_at: Time,
}

/// Who a token makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoView {
    /// The user; absent for the local owner.
    pub user_id: Option<Uuid>,
    /// The user's name; absent for the local owner.
    pub username: Option<String>,
    /// The token; absent for the local owner.
    pub token: Option<TokenView>,
}

/// A bearer token, without what its holder shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// Its id.
    pub id: Uuid,
    /// What it is for; may be empty.
    pub label: String,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// When it was used last, if ever.
    pub last_used_at: Option<Time>,
}
