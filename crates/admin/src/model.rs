//! The shapes that REST and the command line exchange, with their JSON names.
//!
//! Input shapes refuse unknown fields, so that a misspelt field is an error and never a right that silently was not
//! set. Output shapes hold no secret: a password goes in and never comes out.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use crate::budget_model::PublishBudgetModel;
pub use crate::certificate_model::{
    CertificateFilter, CertificateOriginModel, CertificateStatus, CertificateView, NewCertificate,
    RevocationReasonModel, UserCertificateView,
};
pub use crate::lock_model::{LockView, LocksView};
pub use crate::registry_model::{
    Registration, RegistrationView, RegistryFilter, RegistryGrant, RegistryOriginModel,
    RegistryPasswordModel, RegistryRequestView, RegistryStatus, RegistryUnlock, RegistryView,
};
use crate::secret::Secret;
pub use crate::time::Time;
pub use crate::token_model::{LoginView, NewLogin, TokenView, WhoView};

/// A user, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Given by the server.
    pub id: Uuid,
    /// Unique, case-sensitive; never changes.
    pub username: String,
    /// Always `local`.
    pub identity_provider: IdentityProvider,
    /// How the user may prove itself.
    pub grant_types: Vec<GrantTypeModel>,
    /// Put before each topic the user publishes to.
    pub mqtt_publish_prefix: Option<String>,
    /// Ids of the user's roles.
    pub roles: Vec<Uuid>,
    /// The user's own permissions.
    pub permissions: Vec<PermissionView>,
    /// How much the user may publish, before its roles narrow that; null is no bound of its own.
    pub publish_budget: Option<PublishBudgetModel>,
    /// A disabled user has no rights and cannot log in.
    pub enabled: bool,
    /// The passwords in store, without anything secret.
    pub passwords: Vec<PasswordView>,
    /// The certificates that were issued for the user, the oldest first.
    pub certificates: Vec<UserCertificateView>,
    /// The bearer tokens that the user has, the oldest first, without anything secret.
    pub tokens: Vec<TokenView>,
    /// When the user was made.
    pub created_at: Time,
    /// When the user was changed last.
    pub updated_at: Time,
    /// Counts the changes; the `ETag`.
    #[serde(skip)]
    pub version: u64,
}

/// What is known of a password that is in store.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordView {
    /// Whether it is the first password or the second one of a rotation.
    pub slot: PasswordSlotModel,
    /// When it was set.
    pub created_at: Time,
    /// When it ends, if ever.
    pub expires_at: Option<Time>,
    /// When a login used it last, if ever; a crash may forget the last minute.
    pub last_used_at: Option<Time>,
}

/// Which of a user's two passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PasswordSlotModel {
    /// The password.
    First,
    /// The second one, valid beside it while rotating.
    Second,
}

/// Where a user is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum IdentityProvider {
    /// In this broker's own store.
    #[default]
    Local,
}

/// A way of proving oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantTypeModel {
    /// The way.
    pub method: GrantMethod,
    /// If any grant type of a user is required, all required ones must be proven.
    #[serde(default)]
    pub is_required: bool,
}

/// The ways of proving oneself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GrantMethod {
    /// By user name and password.
    Password,
    /// By an x.509 client certificate.
    Certificate,
}

/// A permission, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionView {
    /// Given by the server.
    pub id: Uuid,
    /// Topic filter, or REST path in the same wildcard language.
    pub resource: String,
    /// What it is about.
    pub operation: OperationModel,
    /// Topics or REST paths.
    pub context: ContextModel,
    /// Whether it grants or forbids.
    pub effect: EffectModel,
}

/// A permission, as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPermission {
    /// The id of one the owner already has, to keep it; absent for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Topic filter, or REST path in the same wildcard language.
    #[schema(min_length = 1)]
    pub resource: String,
    /// What it is about.
    pub operation: OperationModel,
    /// Topics or REST paths; topics if absent.
    #[serde(default)]
    pub context: ContextModel,
    /// Whether it grants or forbids; grants if absent.
    #[serde(default)]
    pub effect: EffectModel,
}

/// What a permission is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum OperationModel {
    /// Subscribe, or GET and HEAD.
    Read,
    /// Publish, or the other methods.
    Write,
    /// Both.
    ReadWrite,
}

/// Where a permission holds.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ContextModel {
    /// MQTT topics.
    #[default]
    Mqtt,
    /// REST paths.
    Http,
}

/// What a permission does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum EffectModel {
    /// Grants.
    #[default]
    Allow,
    /// Forbids, and beats any allow.
    Deny,
}

/// A role, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleView {
    /// Given by the server.
    pub id: Uuid,
    /// Unique, case-sensitive.
    pub name: String,
    /// What holders of the role may and may not do.
    pub permissions: Vec<PermissionView>,
    /// How much each holder may publish; null is no bound by this role.
    pub publish_budget: Option<PublishBudgetModel>,
    /// One of the roles that come with the broker: it can be neither changed nor removed.
    pub built_in: bool,
    /// When the role was made.
    pub created_at: Time,
    /// When the role was changed last.
    pub updated_at: Time,
    /// Counts the changes; the `ETag`.
    #[serde(skip)]
    pub version: u64,
}

/// A user to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUser {
    /// 3 to 255 characters of `A-Z a-z 0-9 _ . - @`, first a letter, digit or `_`.
    #[schema(min_length = 3, max_length = 255, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]
    pub username: String,
    /// Absent for a user that proves itself by certificate only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
    /// `local` if absent.
    #[serde(default)]
    pub identity_provider: IdentityProvider,
    /// Absent: `password` if a password is given, else `certificate`.
    #[serde(default)]
    #[schema(min_items = 1)]
    pub grant_types: Option<Vec<GrantTypeModel>>,
    /// Put before each topic the user publishes to.
    #[serde(default)]
    pub mqtt_publish_prefix: Option<String>,
    /// Roles, each by id or by name.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The user's own permissions.
    #[serde(default)]
    pub permissions: Vec<NewPermission>,
    /// How much the user may publish, before its roles narrow that; absent or null is no bound of its own.
    #[serde(default)]
    pub publish_budget: Option<PublishBudgetModel>,
    /// True if absent.
    #[serde(default = "enabled_by_default")]
    pub enabled: bool,
}

/// A change of a user: what is absent stays, a list given replaces the whole list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserPatch {
    /// All grant types.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1)]
    pub grant_types: Option<Vec<GrantTypeModel>>,
    /// The publish prefix; `null` takes it away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mqtt_publish_prefix: Option<Option<String>>,
    /// All roles, each by id or by name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub roles: Option<Vec<String>>,
    /// All own permissions.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub permissions: Option<Vec<NewPermission>>,
    /// How much the user may publish; `null` takes the bound away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PublishBudgetModel>)]
    pub publish_budget: Option<Option<PublishBudgetModel>>,
    /// Enable or disable.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

/// A role to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRole {
    /// The same rule as for user names, but that one character is enough.
    #[schema(min_length = 1, max_length = 255, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]*$")]
    pub name: String,
    /// What holders of the role may and may not do.
    #[serde(default)]
    pub permissions: Vec<NewPermission>,
    /// How much each holder may publish; absent or null is no bound by this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_budget: Option<PublishBudgetModel>,
}

/// A change of a role: what is absent stays, a list given replaces the whole list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolePatch {
    /// A new name.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9_.@-]*$"
    )]
    pub name: Option<String>,
    /// All permissions.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub permissions: Option<Vec<NewPermission>>,
    /// How much each holder may publish; `null` takes the bound away.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PublishBudgetModel>)]
    pub publish_budget: Option<Option<PublishBudgetModel>>,
}

/// A new password for a user.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordChange {
    /// The new password.
    #[schema(value_type = String)]
    pub password: Secret,
    /// The present one, which a caller must give for its own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub current: Option<Secret>,
    /// Set the second password and leave the first valid.
    #[serde(default)]
    pub second: bool,
    /// Hours until the second password ends; absent: it does not end by itself.
    #[serde(default, deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 1)]
    pub expires_in_hours: Option<u32>,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only the user of exactly this name.
    pub username: Option<String>,
}

/// Which roles a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFilter {
    /// Only the role of exactly this name.
    pub name: Option<String>,
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Counts from 1.
    pub page_number: u32,
    /// 1 to [`ROWS_PER_PAGE_MAX`].
    pub rows_per_page: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest { page_number: 1, rows_per_page: ROWS_PER_PAGE_DEFAULT }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// The rows of all pages.
    pub total: u64,
    /// Counts from 1.
    pub page_number: u32,
    /// The most rows a page has.
    pub rows_per_page: u32,
}

/// Who has a permission.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionIndexEntry {
    /// Topic filter or REST path.
    pub resource: String,
    /// What it is about.
    pub operation: OperationModel,
    /// Topics or REST paths.
    pub context: ContextModel,
    /// Whether it grants or forbids.
    pub effect: EffectModel,
    /// Users that have it as their own, by name.
    pub users: Vec<OwnerRef>,
    /// Roles that have it, by name.
    pub roles: Vec<OwnerRef>,
}

/// A user or role that has a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerRef {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// The question whether a user may do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainQuery {
    /// Name or id of the user.
    pub user: String,
    /// `read` or `write`; `readWrite` asks for both.
    pub operation: OperationModel,
    /// For `write` the topic as the client would send it, for `read` the topic filter.
    pub resource: String,
    /// The client id that `${clientId}` stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// The answer, the same the broker gives.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainView {
    /// Allowed or not.
    pub decision: EffectModel,
    /// Name of the user.
    pub user: String,
    /// What was asked for.
    pub operation: OperationModel,
    /// As it was asked for.
    pub resource: String,
    /// What was judged: for `write` the topic with the publish prefix.
    pub effective_resource: String,
    /// The decision in words.
    pub reason: String,
    /// The rules that decided.
    pub because: Vec<ExplainRule>,
}

/// A rule that took part in a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainRule {
    /// Whether the rule is the user's own or a role's.
    pub owner_type: OwnerType,
    /// Name of the user or role.
    pub owner: String,
    /// Topic filter of the rule, as it was written.
    pub resource: String,
    /// What the rule is about.
    pub operation: OperationModel,
    /// Whether it grants or forbids.
    pub effect: EffectModel,
}

/// Who a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OwnerType {
    /// A user.
    User,
    /// A role.
    Role,
}

fn enabled_by_default() -> bool {
    true
}

/// Tells `null` (take it away) from absent (leave it).
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// What may be absent (leave it) but not `null`, which would look like taking it away and do nothing.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Rows on a page when none are asked for.
pub const ROWS_PER_PAGE_DEFAULT: u32 = 50;

/// The most rows on a page.
pub const ROWS_PER_PAGE_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_utc_calendar_time() {
        let check = |ms: u64, shown: &str| assert_eq!(Time(ms).to_string(), shown);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_795_399_382_123, "2026-11-23T02:03:02.123Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(1_735_689_599_999, "2024-12-31T23:59:59.999Z");
    }

    #[test]
    fn null_prefix_is_not_an_absent_prefix() {
        let check = |json: &str, prefix: Option<Option<String>>| {
            let patch: UserPatch = serde_json::from_str(json).unwrap();
            assert_eq!(patch.mqtt_publish_prefix, prefix);
            assert_eq!(serde_json::to_string(&patch).unwrap(), json);
        };
        check("{}", None);
        check(r#"{"mqttPublishPrefix":null}"#, Some(None));
        check(r#"{"mqttPublishPrefix":"a/"}"#, Some(Some("a/".to_owned())));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<UserPatch>(r#"{"enable":false}"#).is_err());
        assert!(serde_json::from_str::<NewUser>(r#"{"username":"bob","role":[]}"#).is_err());
        assert!(serde_json::from_str::<NewUser>(r#"{"username":"bob"}"#).is_ok());
    }
}
