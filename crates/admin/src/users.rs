//! Users: make, show, change, remove. A name is an identity, which certificates and sessions are bound to: it never
//! changes.

use std::collections::HashSet;
use std::sync::Arc;

use access::{AuthMethod, GrantTypes, PublishPrefix, RoleIds, User, UserId, UserName};
use store::{Change, PasswordRecord, PasswordSlot, Stamp, UserRecord};

use crate::admin::Admin;
use crate::budget_model;
use crate::caller::Caller;
use crate::certificates;
use crate::directory::{Account, Directory};
use crate::error::{AdminError, Kind};
use crate::filled::tell_near;
use crate::model::{GrantTypeModel, NewUser, Page, PageRequest, UserFilter, UserPatch, UserView};
use crate::permissions;
use crate::settings::Settings;
use crate::view;

impl Admin {
    /// Makes a user.
    ///
    /// # Errors
    /// If a field is not valid, the password does not fit the policy, a role does not exist or the name is taken.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<UserView, AdminError> {
        let draft = self.draft(new).await?;
        let roles_max = self.shared.settings.roles_per_user_max;
        self.change_user(caller, move |directory| {
            let id = draft.user.id;
            Ok((draft.changes(directory, roles_max)?, id))
        })
        .await
    }

    /// Makes several users, or none of them.
    ///
    /// # Errors
    /// [`AdminError::Batch`] with everything that is wrong, item by item; or what is wrong with all of them together.
    pub async fn create_users(
        &self,
        caller: &Caller,
        new: Vec<NewUser>,
    ) -> Result<Vec<UserView>, AdminError> {
        if new.is_empty() || new.len() > USERS_PER_BATCH_MAX {
            let reason = format!("the list must have 1 to {USERS_PER_BATCH_MAX} users");
            return Err(AdminError::invalid("users", reason));
        }
        let (mut drafts, mut refused) = (Vec::with_capacity(new.len()), Vec::new());
        let mut names = HashSet::new();
        for (index, new) in new.into_iter().enumerate() {
            match self.draft(new).await {
                Ok(draft) if !names.insert(draft.user.name.clone()) => {
                    refused.push((index, duplicate(&draft.user.name)));
                }
                Ok(draft) => drafts.push((index, draft)),
                // It is not the item's fault, and the next one would fare no better.
                Err(error @ (AdminError::Busy | AdminError::Internal(_))) => return Err(error),
                Err(error) => refused.push((index, error)),
            }
        }
        let roles_max = self.shared.settings.roles_per_user_max;
        let plan = move |directory: &Directory| {
            let (mut changes, mut ids) = (Vec::new(), Vec::new());
            for (index, draft) in drafts {
                ids.push(draft.user.id);
                match draft.changes(directory, roles_max) {
                    Ok(made) => changes.extend(made),
                    Err(error) => refused.push((index, error)),
                }
            }
            refused.sort_by_key(|(index, _)| *index);
            if refused.is_empty() { Ok((changes, ids)) } else { Err(AdminError::Batch(refused)) }
        };
        let shown = |directory: &Directory, ids: Vec<UserId>| {
            let accounts = ids.into_iter().filter_map(|id| directory.user(id));
            accounts.map(|account| view::user(directory, account)).collect()
        };
        self.change(caller, plan, shown).await
    }

    /// Judges and hashes all that needs no look at the others.
    async fn draft(&self, new: NewUser) -> Result<Draft, AdminError> {
        let settings = &self.shared.settings;
        let created_at_ms = self.now_ms();
        let name = user_name(&new.username)?;
        // Before the work of hashing, and again when the change is made.
        must_be_free(&self.shared.directory.read(), &name)?;
        let user = User {
            id: UserId(permissions::new_uuid()?),
            name,
            grants: new_grants(&new)?,
            publish_prefix: publish_prefix(new.mqtt_publish_prefix.as_deref())?,
            roles: RoleIds::new(),
            permissions: permissions::parse(
                &new.permissions,
                &[],
                settings.permissions_per_owner_max,
            )?,
            enabled: new.enabled,
            publish_budget: budget_model::parse(new.publish_budget.as_ref())?,
            credential_epoch: 1,
        };
        let passwords = match new.password {
            None => Vec::new(),
            Some(password) => {
                self.check_new_password(&password, user.name.as_str())?;
                let hash = self.hash_password(password).await?;
                vec![PasswordRecord::new(PasswordSlot::First, hash, created_at_ms)]
            }
        };
        Ok(Draft { user, passwords, roles: new.roles, created_at_ms })
    }

    /// Shows the users, by name.
    ///
    /// # Errors
    /// If the page is none.
    pub fn list_users(
        &self,
        _: &Caller,
        filter: &UserFilter,
        page: PageRequest,
    ) -> Result<Page<UserView>, AdminError> {
        let directory = self.shared.directory.read();
        if let Some(name) = &filter.username {
            let found: Vec<_> = directory.user_named(name).into_iter().collect();
            return view::page(found.into_iter(), page, |account| {
                Some(view::user(&directory, account))
            });
        }
        view::page(directory.users(), page, |id| {
            directory.user(id).map(|account| view::user(&directory, account))
        })
    }

    /// Shows the user with this id or name.
    ///
    /// # Errors
    /// If there is none.
    pub fn show_user(&self, _: &Caller, key: &str) -> Result<UserView, AdminError> {
        let directory = self.shared.directory.read();
        found(&directory, key).map(|account| view::user(&directory, account))
    }

    /// Changes a user, if it is still of the version that was seen.
    ///
    /// # Errors
    /// If there is none or it is of another version, a field is not valid, a role does not exist, or no enabled
    /// administrator would be left.
    pub async fn update_user(
        &self,
        caller: &Caller,
        key: &str,
        patch: UserPatch,
        if_match: Option<u64>,
    ) -> Result<UserView, AdminError> {
        let plan = update(&self.shared.settings, key, patch, if_match, self.now_ms());
        self.change_user(caller, plan).await
    }

    /// Removes a user and revokes its certificates: nobody may come back by one as a later user of the same name.
    ///
    /// # Errors
    /// If there is none or it is of another version, no enabled administrator would be left, or the revocation list
    /// cannot be written (the user is gone then, and its certificates let nobody in).
    pub async fn remove_user(
        &self,
        caller: &Caller,
        key: &str,
        if_match: Option<u64>,
    ) -> Result<(), AdminError> {
        let plan = removal(key, if_match, self.now_ms());
        self.change_and_revoke(caller, plan, |_, ()| ()).await
    }

    pub(crate) async fn change_user(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, UserId), AdminError> + Send + 'static,
    ) -> Result<UserView, AdminError> {
        let shown =
            |directory: &Directory, id| directory.user(id).map(|it| view::user(directory, it));
        let shown = self.change(caller, plan, shown).await?;
        shown.ok_or_else(|| AdminError::Internal("a changed user is not there".to_owned()))
    }
}

/// The plan of a change of a user.
pub(crate) fn update(
    settings: &Settings,
    key: &str,
    patch: UserPatch,
    if_match: Option<u64>,
    now_ms: u64,
) -> impl FnOnce(&Directory) -> Result<(Vec<Change>, UserId), AdminError> + Send + use<> {
    let key = key.to_owned();
    let (roles_max, permissions_max) =
        (settings.roles_per_user_max, settings.permissions_per_owner_max);
    move |directory| {
        let present = seen(directory, &key, if_match)?;
        let mut user = present.user().clone();
        if let Some(grants) = &patch.grant_types {
            user.grants = grant_types(grants)?;
        }
        if let Some(prefix) = &patch.mqtt_publish_prefix {
            user.publish_prefix = publish_prefix(prefix.as_deref())?;
        }
        if let Some(asked) = &patch.roles {
            user.roles = roles(directory, asked, roles_max)?;
        }
        if let Some(asked) = &patch.permissions {
            user.permissions = permissions::parse(asked, &user.permissions, permissions_max)?;
        }
        if let Some(asked) = &patch.publish_budget {
            user.publish_budget = budget_model::parse(asked.as_ref())?;
        }
        if let Some(enabled) = patch.enabled {
            user.enabled = enabled;
        }
        let id = user.id;
        if user == *present.user() {
            return Ok((Vec::new(), id));
        }
        let stamp = present.stamp.changed(now_ms);
        Ok((vec![Change::PutUser(UserRecord { user, stamp })], id))
    }
}

/// The plan of a user's end.
pub(crate) fn removal(
    key: &str,
    if_match: Option<u64>,
    now_ms: u64,
) -> impl FnOnce(&Directory) -> Result<(Vec<Change>, ()), AdminError> + Send + use<> {
    let key = key.to_owned();
    move |directory| {
        let id = seen(directory, &key, if_match)?.user().id;
        let mut changes = certificates::revoke_all(directory, id, now_ms);
        changes.push(Change::RemoveUser(id));
        Ok((changes, ()))
    }
}

/// A user to be made, but for its roles.
struct Draft {
    user: User,
    passwords: Vec<PasswordRecord>,
    /// Ids or names.
    roles: Vec<String>,
    created_at_ms: u64,
}

impl Draft {
    fn changes(self, directory: &Directory, roles_max: usize) -> Result<Vec<Change>, AdminError> {
        must_be_free(directory, &self.user.name)?;
        let id = self.user.id;
        let roles = roles(directory, &self.roles, roles_max)?;
        let user = User { roles, ..self.user };
        let put = Change::PutUser(UserRecord { user, stamp: Stamp::new(self.created_at_ms) });
        Ok(vec![put, Change::PutPasswords(id, self.passwords)])
    }
}

pub(crate) fn found<'d>(
    directory: &'d Directory,
    key: &str,
) -> Result<&'d Arc<Account>, AdminError> {
    let not_found = || AdminError::NotFound { kind: Kind::User, key: key.to_owned() };
    directory.find_user(key).ok_or_else(not_found)
}

pub(crate) fn seen<'d>(
    directory: &'d Directory,
    key: &str,
    if_match: Option<u64>,
) -> Result<&'d Arc<Account>, AdminError> {
    let present = found(directory, key)?;
    let version = present.stamp.version;
    if if_match.is_some_and(|seen| seen != version) {
        return Err(AdminError::Stale { kind: Kind::User, version });
    }
    Ok(present)
}

pub(crate) fn must_be_free(directory: &Directory, name: &UserName) -> Result<(), AdminError> {
    match directory.user_named(name.as_str()) {
        None => Ok(()),
        Some(_) => Err(duplicate(name)),
    }
}

fn duplicate(name: &UserName) -> AdminError {
    let value = name.as_str().to_owned();
    AdminError::Duplicate { kind: Kind::User, field: "username", value }
}

pub(crate) fn user_name(text: &str) -> Result<UserName, AdminError> {
    UserName::parse(text).map_err(|error| AdminError::invalid("username", error))
}

pub(crate) fn publish_prefix(text: Option<&str>) -> Result<Option<PublishPrefix>, AdminError> {
    let parsed = text.map(PublishPrefix::parse).transpose();
    parsed.map_err(|error| AdminError::invalid("mqttPublishPrefix", error))
}

fn new_grants(new: &NewUser) -> Result<GrantTypes, AdminError> {
    let has_password = new.password.is_some();
    let Some(asked) = &new.grant_types else {
        return Ok(if has_password { GrantTypes::PASSWORD } else { GrantTypes::CERTIFICATE });
    };
    let grants = grant_types(asked)?;
    if has_password && !grants.allows(AuthMethod::Password) {
        let reason = "is given, but the grant types do not have `password`";
        return Err(AdminError::invalid("password", reason));
    }
    Ok(grants)
}

pub(crate) fn grant_types(asked: &[GrantTypeModel]) -> Result<GrantTypes, AdminError> {
    if asked.is_empty() {
        let reason = "is empty: the user could not prove itself (to keep it out, disable it)";
        return Err(AdminError::invalid("grantTypes", reason));
    }
    for (index, grant) in asked.iter().enumerate() {
        if asked.iter().take(index).any(|earlier| earlier.method == grant.method) {
            let field = format!("grantTypes[{index}].method");
            return Err(AdminError::invalid(field, "is given twice"));
        }
    }
    Ok(asked.iter().map(|grant| (*grant).into()).collect())
}

/// The roles with these ids or names, each once.
pub(crate) fn roles(
    directory: &Directory,
    asked: &[String],
    count_max: usize,
) -> Result<RoleIds, AdminError> {
    if asked.len() > count_max {
        return Err(AdminError::invalid("roles", format!("more than {count_max}")));
    }
    tell_near("users.roles_per_user_max", 0, asked.len(), count_max);
    let mut roles = RoleIds::with_capacity(asked.len());
    for (index, key) in asked.iter().enumerate() {
        let Some(role) = directory.find_role(key) else {
            let field = format!("roles[{index}]");
            return Err(AdminError::invalid(field, format!("there is no role `{key}`")));
        };
        if !roles.contains(&role.role.id) {
            roles.push(role.role.id);
        }
    }
    Ok(roles)
}

/// The most users that are made at once: each costs the hash of its password.
pub const USERS_PER_BATCH_MAX: usize = 1000;
