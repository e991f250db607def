//! The shape of a policy file: users and roles by name, with the field names of REST.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{GrantTypeModel, IdentityProvider, NewPermission, NewRole, PublishBudgetModel};
use crate::secret::Secret;

/// Users and roles as they are to be.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDocument {
    /// Roles.
    #[serde(default)]
    pub roles: Vec<NewRole>,
    /// Users.
    #[serde(default)]
    pub users: Vec<PolicyUser>,
}

/// A user as it is to be. What is absent is as for a new user, but for the password, which stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyUser {
    /// 3 to 255 characters of `A-Z a-z 0-9 _ . - @`, first a letter, digit or `_`.
    #[schema(min_length = 3, max_length = 255, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]
    pub username: String,
    /// A hash of the password: Argon2 or PBKDF2-SHA512 in PHC format, or `$7$` or `$6$` of Mosquitto.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password_hash: Option<Secret>,
    /// The password.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    /// `local` if absent.
    #[serde(default)]
    pub identity_provider: IdentityProvider,
    /// Absent: as they are; for a new user `password` if it has one, else `certificate`.
    #[serde(default)]
    #[schema(min_items = 1)]
    pub grant_types: Option<Vec<GrantTypeModel>>,
    /// Put before each topic the user publishes to.
    #[serde(default)]
    pub mqtt_publish_prefix: Option<String>,
    /// Roles, by name.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The user's own permissions.
    #[serde(default)]
    pub permissions: Vec<NewPermission>,
    /// How much it may publish; absent or null is no bound of its own.
    #[serde(default)]
    pub publish_budget: Option<PublishBudgetModel>,
    /// True if absent.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
}

/// How a policy file is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Only say what would change.
    pub dry_run: bool,
    /// Remove the users and roles that the file does not name.
    pub prune: bool,
    /// Refuse to change users and roles that are there already.
    pub only_new: bool,
}

/// What a policy file has changed, or would change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyOutcome {
    /// Whether it was only asked for.
    pub dry_run: bool,
    /// One by one, in the words of the audit log.
    pub changes: Vec<PolicyStep>,
}

/// One change of a policy file.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStep {
    /// What is done: `user.update`.
    pub action: String,
    /// What it is done to, before and after, without anything secret.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// All users, and all roles that are not built in, such that applying them changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExport {
    /// Roles, by name.
    pub roles: Vec<NewRole>,
    /// Users, by name.
    pub users: Vec<PolicyUserView>,
}

/// A user of an export.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyUserView {
    /// Its name.
    pub username: String,
    /// How it may prove itself.
    pub grant_types: Vec<GrantTypeModel>,
    /// Put before each topic it publishes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt_publish_prefix: Option<String>,
    /// Names of its roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Its own permissions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<NewPermission>,
    /// How much it may publish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_budget: Option<PublishBudgetModel>,
    /// Whether it is enabled.
    pub enabled: bool,
}

fn enabled_by_default() -> bool {
    true
}
