//! The shapes of the client registry, with their JSON names.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{NewPermission, Time};
use crate::secret::Secret;

/// A client that asks to be let in. The same call again asks what has become of it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// The user that it wants to be; the same rule as for any user.
    #[schema(min_length = 3, max_length = 255, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]
    pub username: String,
    /// The password that it wants to log in by. Kept as a hash; by it the client is known when it asks again.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    /// Names of roles that it would like to have. A wish, and no more.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Permissions that it would like to have. A wish, and no more.
    #[serde(default)]
    pub permissions: Vec<NewPermission>,
    /// A certificate signing request as PEM, whose common name is the user name. It is signed when the request is granted.
    #[serde(default)]
    pub csr: Option<String>,
    /// Whatever the client says of itself for whoever decides: text or any other JSON of up to 4,096 bytes.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    pub context: Option<Value>,
}

/// What has become of a client's request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationView {
    /// Pending or granted; what is denied is answered with 403.
    pub status: RegistryStatus,
    /// The user that the client asked to be.
    pub username: String,
    /// The certificate that was signed, as PEM, if the request was granted and had a signing request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The authority's certificate as PEM, with the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RegistryStatus {
    /// It waits for an administrator.
    Pending,
    /// There is such a user now.
    Granted,
    /// It was refused.
    Denied,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RegistryOriginModel {
    /// An MQTT client tried to log in with an unknown user name.
    Mqtt,
    /// An MQTT client has shown a valid certificate whose common name is no user's.
    MqttCertificate,
    /// By `POST /api/client-registry/register`.
    Rest,
}

/// What is known of the password of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RegistryPasswordModel {
    /// None was given: the user could log in by certificate only.
    Absent,
    /// One was given that does not fit the policy, and was not kept: like none.
    Unfit,
    /// Its hash is kept: the user will have this password.
    Kept,
}

/// A client's request, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryRequestView {
    /// Given by the server.
    pub id: Uuid,
    /// The user that the client wants to be.
    pub username: String,
    /// What has become of it.
    pub status: RegistryStatus,
    /// Whether there is a user of this name already, so that it cannot be granted.
    pub user_exists: bool,
    /// How it came.
    pub origin: RegistryOriginModel,
    /// Whether it has a password.
    pub password: RegistryPasswordModel,
    /// Whether it has a certificate signing request.
    pub has_csr: bool,
    /// Roles that the client would like to have.
    pub roles: Vec<String>,
    /// Permissions that the client would like to have.
    pub permissions: Vec<NewPermission>,
    /// What the client says of itself.
    #[schema(value_type = Option<Value>)]
    pub context: Option<Value>,
    /// The client id of an MQTT client.
    pub client_id: Option<String>,
    /// Where it came from.
    pub address: String,
    /// The listener it came to.
    pub listener: String,
    /// When it came.
    pub created_at: Time,
    /// When it ends by itself.
    pub expires_at: Time,
    /// When it was decided.
    pub decided_at: Option<Time>,
    /// The user that was made.
    pub user_id: Option<Uuid>,
    /// How often the client has come back since the server's start: with the same password, or the same call over REST.
    pub attempts: u64,
    /// How often somebody has come with this name and another password since the server's start.
    pub other_passwords: u64,
    /// Where somebody with this name came from last.
    #[schema(value_type = Option<String>)]
    pub last_address: Option<IpAddr>,
    /// When that was.
    pub last_seen_at: Option<Time>,
}

/// Which requests a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryFilter {
    /// Only those of this state; all if absent.
    pub status: Option<RegistryStatus>,
}

/// What the new user of a granted request gets. Nothing is taken from the wishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryGrant {
    /// Roles, each by id or by name.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The user's own permissions.
    #[serde(default)]
    pub permissions: Vec<NewPermission>,
}

/// For how long the registry is to be unlocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryUnlock {
    /// In milliseconds; `registry.unlock_time` of the configuration if absent.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub duration_ms: Option<u64>,
}

/// Whether the registry takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryView {
    /// Whether it does.
    pub unlocked: bool,
    /// When it locks itself again.
    pub unlocked_until: Option<Time>,
    /// Requests that wait for a decision.
    pub pending: u64,
}
