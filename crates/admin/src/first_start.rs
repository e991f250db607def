//! What a store begins with: the built-in roles and the first administrator.
//!
//! It is made once, in one transaction, and never again: an administrator that was removed later does not come back,
//! and neither a given first password nor `CYBUS_ADMIN_USER_ENABLED` means anything after the first start.

use access::{GrantTypes, User, UserId, UserName};
use store::{Change, PasswordRecord, PasswordSlot, Stamp, UserRecord};

use crate::admin::hash_on;
use crate::error::AdminError;
use crate::first_password::random_password;
use crate::permissions::new_uuid;
use crate::pool::HashPool;
use crate::roles;
use crate::secret::Secret;
use crate::settings::{FirstAdmin, Settings};

/// What is to be stored, and told once.
pub(crate) struct FirstStart {
    pub(crate) changes: Vec<Change>,
    pub(crate) random_password: Option<Secret>,
}

pub(crate) async fn plan(
    settings: &Settings,
    now_ms: u64,
    pool: &HashPool,
) -> Result<FirstStart, AdminError> {
    let roles = access::DEFAULT_ROLES.iter().map(|role| roles::built_in(role, now_ms));
    let roles = roles.collect::<Result<Vec<_>, _>>()?;
    let admin_role = roles.iter().find(|role| role.role.name.as_str() == access::CONNECTWARE_ADMIN);
    let admin_roles = admin_role.iter().map(|role| role.role.id).collect();
    let mut changes: Vec<_> = roles.iter().cloned().map(Change::PutRole).collect();
    let (password, random_password) = match &settings.first_admin {
        FirstAdmin::None => (None, None),
        FirstAdmin::Password(given) => {
            let judged = settings.password_policy.check(given, ADMIN_NAME);
            judged
                .map_err(|reason| AdminError::invalid("first administrator's password", reason))?;
            (Some(given.clone()), None)
        }
        FirstAdmin::RandomPassword => {
            let drawn = random_password()?;
            (Some(drawn.clone()), Some(drawn))
        }
    };
    if let Some(password) = password {
        let hash = hash_on(pool, move |hasher| hasher.make(password.expose())).await?;
        let name = UserName::parse(ADMIN_NAME);
        let name = name.map_err(|error| AdminError::Internal(error.to_string()))?;
        let id = UserId(new_uuid()?);
        let user = User {
            id,
            name,
            grants: GrantTypes::PASSWORD,
            publish_prefix: None,
            roles: admin_roles,
            permissions: Vec::new(),
            enabled: true,
            publish_budget: access::PublishBudget::default(),
            credential_epoch: 1,
        };
        let password = PasswordRecord::new(PasswordSlot::First, hash, now_ms);
        changes.push(Change::PutUser(UserRecord { user, stamp: Stamp::new(now_ms) }));
        changes.push(Change::PutPasswords(id, vec![password]));
    }
    changes.push(Change::Initialized);
    Ok(FirstStart { changes, random_password })
}

/// Name of the first administrator.
const ADMIN_NAME: &str = "admin";
