//! Between rows and parsed words. Whatever does not parse is corrupt: a rule that is skipped could be a deny.

use access::{
    AuthMethod, BudgetError, Grant, GrantTypes, Permission, PermissionId, PublishBudget,
    PublishPrefix, Resource, Role, RoleId, RoleIds, RoleName, User, UserId, UserName,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::digest;
use crate::record::{PasswordRecord, PasswordSlot, RoleRecord, Stamp, UserRecord};
use crate::secret::PasswordHash;

/// A row that does not hold what it must; becomes [`crate::StoreError::Corrupt`].
#[derive(Debug)]
pub(crate) struct BadRow(pub(crate) String);

/// A row of `users`. Rows are read from JSON arrays, field by field in this order.
#[derive(Deserialize)]
pub(crate) struct UserRow {
    id: Uuid,
    name: String,
    grants: String,
    publish_prefix: Option<String>,
    enabled: u8,
    credential_epoch: u64,
    publish_budget: Option<String>,
    stamp: StampRow,
}

/// A row of `roles`.
#[derive(Deserialize)]
pub(crate) struct RoleRow {
    id: Uuid,
    name: String,
    built_in: u8,
    publish_budget: Option<String>,
    stamp: StampRow,
}

/// Creation, last change and version of a row.
#[derive(Deserialize)]
struct StampRow {
    created_at: u64,
    updated_at: u64,
    version: u64,
}

/// A row of `user_passwords`.
#[derive(Deserialize)]
pub(crate) struct PasswordRow {
    pub(crate) owner: Uuid,
    pub(crate) slot: u8,
    hash: String,
    created_at: u64,
    expires_at: Option<u64>,
    renewed_from: Option<String>,
    last_used_at: Option<u64>,
}

/// A row of `user_roles`.
#[derive(Deserialize)]
pub(crate) struct UserRoleRow {
    pub(crate) owner: Uuid,
    pub(crate) role: Uuid,
    pub(crate) position: i64,
}

/// A row of `user_permissions` or `role_permissions`.
#[derive(Deserialize)]
pub(crate) struct PermissionRow {
    pub(crate) owner: Uuid,
    pub(crate) position: i64,
    id: Uuid,
    resource: String,
    operation: String,
    context: String,
    effect: String,
}

impl UserRow {
    pub(crate) fn parse(self) -> Result<UserRecord, BadRow> {
        let name = &self.name;
        let prefix = self.publish_prefix.as_deref().map(PublishPrefix::parse).transpose();
        let user = User {
            id: UserId(self.id),
            name: UserName::parse(name).map_err(|error| bad(name, error))?,
            grants: grants(&self.grants)?,
            publish_prefix: prefix.map_err(|error| bad(name, error))?,
            roles: RoleIds::new(),
            permissions: Vec::new(),
            enabled: self.enabled != 0,
            publish_budget: budget(self.publish_budget.as_deref())?,
            credential_epoch: self.credential_epoch,
        };
        Ok(UserRecord { user, stamp: self.stamp.into() })
    }
}

impl RoleRow {
    pub(crate) fn parse(self) -> Result<RoleRecord, BadRow> {
        let role = Role {
            id: RoleId(self.id),
            name: RoleName::parse(&self.name).map_err(|error| bad(&self.name, error))?,
            permissions: Vec::new(),
            publish_budget: budget(self.publish_budget.as_deref())?,
        };
        Ok(RoleRecord { role, built_in: self.built_in != 0, stamp: self.stamp.into() })
    }
}

impl PasswordRow {
    pub(crate) fn parse(self) -> Result<PasswordRecord, BadRow> {
        let renewed_from = self.renewed_from.map(|text| {
            digest::parse(&text).ok_or_else(|| BadRow(format!("`renewed_from` is `{text}`")))
        });
        Ok(PasswordRecord {
            slot: slot(u64::from(self.slot))?,
            hash: PasswordHash::new(self.hash),
            renewed_from: renewed_from.transpose()?.map(Box::new),
            created_at_ms: self.created_at,
            expires_at_ms: self.expires_at,
            last_used_at_ms: self.last_used_at,
        })
    }
}

impl PermissionRow {
    pub(crate) fn parse(self) -> Result<Permission, BadRow> {
        let context = self.context.parse().map_err(|error| bad(&self.context, error))?;
        let resource = Resource::parse(&self.resource, context);
        Ok(Permission {
            id: PermissionId(self.id),
            resource: resource.map_err(|error| bad(&self.resource, error))?,
            operation: self.operation.parse().map_err(|error| bad(&self.operation, error))?,
            context,
            effect: self.effect.parse().map_err(|error| bad(&self.effect, error))?,
        })
    }
}

impl From<StampRow> for Stamp {
    fn from(row: StampRow) -> Self {
        let StampRow { created_at, updated_at, version } = row;
        Stamp { created_at_ms: created_at, updated_at_ms: updated_at, version }
    }
}

pub(crate) fn slot(number: u64) -> Result<PasswordSlot, BadRow> {
    match number {
        1 => Ok(PasswordSlot::First),
        2 => Ok(PasswordSlot::Second),
        other => Err(BadRow(format!("a password's slot is {other}"))),
    }
}

pub(crate) fn slot_number(slot: PasswordSlot) -> i64 {
    match slot {
        PasswordSlot::First => 1,
        PasswordSlot::Second => 2,
    }
}

/// Numbers of the store are below 2^63; a time or counter beyond is cut off there.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn grants_text(grants: GrantTypes) -> String {
    let word = |grant: Grant| {
        let suffix = if grant.is_required { REQUIRED } else { "" };
        format!("{}{suffix}", grant.method)
    };
    grants.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub(crate) fn budget_text(budget: PublishBudget) -> Option<String> {
    (!budget.is_unbounded()).then(|| budget.to_string())
}

fn budget(text: Option<&str>) -> Result<PublishBudget, BadRow> {
    let parse = |text: &str| text.parse().map_err(|error: BudgetError| bad(text, error));
    text.map_or(Ok(PublishBudget::default()), parse)
}

fn grants(text: &str) -> Result<GrantTypes, BadRow> {
    let grant = |word: &str| {
        let (method, is_required) = match word.strip_suffix(REQUIRED) {
            Some(method) => (method, true),
            None => (word, false),
        };
        let method = method.parse::<AuthMethod>().map_err(|error| bad(word, error))?;
        Ok(Grant { method, is_required })
    };
    text.split_ascii_whitespace().map(grant).collect()
}

fn bad(text: &str, error: impl std::fmt::Display) -> BadRow {
    BadRow(format!("`{}` {error}", text.escape_debug()))
}

const REQUIRED: &str = ":required";
