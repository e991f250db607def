//! Roles: make, show, change, remove. The built-in ones are neither changed nor removed, so that an administrator's
//! rights and a later version's idea of them cannot drift apart.

use std::sync::Arc;

use access::{Permission, Role, RoleId, RoleName};
use store::{Change, RoleRecord, Stamp, UserRecord};
use uuid::Uuid;

use crate::admin::Admin;
use crate::budget_model;
use crate::caller::Caller;
use crate::directory::Directory;
use crate::error::{AdminError, Kind};
use crate::model::{NewRole, Page, PageRequest, RoleFilter, RolePatch, RoleView};
use crate::permissions;
use crate::settings::Settings;
use crate::view;

/// What to do with a role that users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleRemoval {
    /// Refuse.
    IfUnused,
    /// Take it from them.
    Force,
}

impl Admin {
    /// Makes a role.
    ///
    /// # Errors
    /// If a field is not valid or the name is taken.
    pub async fn create_role(&self, caller: &Caller, new: NewRole) -> Result<RoleView, AdminError> {
        let name = role_name(&new.name)?;
        let count_max = self.shared.settings.permissions_per_owner_max;
        let permissions = permissions::parse(&new.permissions, &[], count_max)?;
        let id = RoleId(permissions::new_uuid()?);
        let stamp = Stamp::new(self.now_ms());
        let publish_budget = budget_model::parse(new.publish_budget.as_ref())?;
        let role = Role { id, name, permissions, publish_budget };
        let record = RoleRecord { role, built_in: false, stamp };
        self.change_role(caller, move |directory| {
            must_be_free(directory, &record.role.name)?;
            Ok((vec![Change::PutRole(record)], id))
        })
        .await
    }

    /// Shows the roles, by name.
    ///
    /// # Errors
    /// If the page is none.
    pub fn list_roles(
        &self,
        _: &Caller,
        filter: &RoleFilter,
        page: PageRequest,
    ) -> Result<Page<RoleView>, AdminError> {
        let directory = self.shared.directory.read();
        if let Some(name) = &filter.name {
            let found: Vec<_> = directory.role_named(name).into_iter().collect();
            return view::page(found.into_iter(), page, |role| Some(view::role(role)));
        }
        view::page(directory.roles(), page, |id| directory.role(*id).map(|role| view::role(role)))
    }

    /// Shows the role with this id or name.
    ///
    /// # Errors
    /// If there is none.
    pub fn show_role(&self, _: &Caller, key: &str) -> Result<RoleView, AdminError> {
        let directory = self.shared.directory.read();
        found(&directory, key).map(|role| view::role(role))
    }

    /// Changes a role, if it is still of the version that was seen.
    ///
    /// # Errors
    /// If there is none, it is built in or of another version, a field is not valid or the name is taken.
    pub async fn update_role(
        &self,
        caller: &Caller,
        key: &str,
        patch: RolePatch,
        if_match: Option<u64>,
    ) -> Result<RoleView, AdminError> {
        let plan = update(&self.shared.settings, key, patch, if_match, self.now_ms());
        self.change_role(caller, plan).await
    }

    /// Removes a role.
    ///
    /// # Errors
    /// If there is none, it is built in or of another version, or users have it and it is not to be taken from them.
    pub async fn remove_role(
        &self,
        caller: &Caller,
        key: &str,
        if_match: Option<u64>,
        removal: RoleRemoval,
    ) -> Result<(), AdminError> {
        let plan = self::removal(key, if_match, removal, self.now_ms());
        self.change(caller, plan, |_, ()| ()).await
    }

    async fn change_role(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, RoleId), AdminError> + Send + 'static,
    ) -> Result<RoleView, AdminError> {
        let shown = |directory: &Directory, id| directory.role(id).map(|role| view::role(role));
        let shown = self.change(caller, plan, shown).await?;
        shown.ok_or_else(|| AdminError::Internal("a changed role is not there".to_owned()))
    }
}

/// The plan of a change of a role.
pub(crate) fn update(
    settings: &Settings,
    key: &str,
    patch: RolePatch,
    if_match: Option<u64>,
    now_ms: u64,
) -> impl FnOnce(&Directory) -> Result<(Vec<Change>, RoleId), AdminError> + Send + use<> {
    let key = key.to_owned();
    let count_max = settings.permissions_per_owner_max;
    move |directory| {
        let present = changeable(directory, &key, if_match)?;
        let mut role = present.role.clone();
        if let Some(name) = &patch.name {
            role.name = role_name(name)?;
            if role.name != present.role.name {
                must_be_free(directory, &role.name)?;
            }
        }
        if let Some(asked) = &patch.permissions {
            role.permissions = permissions::parse(asked, &present.role.permissions, count_max)?;
        }
        if let Some(asked) = &patch.publish_budget {
            role.publish_budget = budget_model::parse(asked.as_ref())?;
        }
        let id = role.id;
        if role == present.role {
            return Ok((Vec::new(), id));
        }
        let stamp = present.stamp.changed(now_ms);
        let record = RoleRecord { role, built_in: false, stamp };
        Ok((vec![Change::PutRole(record)], id))
    }
}

/// The plan of a role's end.
pub(crate) fn removal(
    key: &str,
    if_match: Option<u64>,
    removal: RoleRemoval,
    now_ms: u64,
) -> impl FnOnce(&Directory) -> Result<(Vec<Change>, ()), AdminError> + Send + use<> {
    let key = key.to_owned();
    move |directory| {
        let present = changeable(directory, &key, if_match)?;
        let id = present.role.id;
        let holders = directory.holders(id).map(|account| account.record());
        let mut changes: Vec<_> = holders.map(|user| without_role(user, id, now_ms)).collect();
        if removal == RoleRemoval::IfUnused && !changes.is_empty() {
            let role = present.role.name.as_str().to_owned();
            return Err(AdminError::InUse { role, users: changes.len() });
        }
        changes.push(Change::RemoveRole(id));
        Ok((changes, ()))
    }
}

fn found<'d>(directory: &'d Directory, key: &str) -> Result<&'d Arc<RoleRecord>, AdminError> {
    let not_found = || AdminError::NotFound { kind: Kind::Role, key: key.to_owned() };
    directory.find_role(key).ok_or_else(not_found)
}

fn changeable<'d>(
    directory: &'d Directory,
    key: &str,
    if_match: Option<u64>,
) -> Result<&'d Arc<RoleRecord>, AdminError> {
    let present = found(directory, key)?;
    let version = present.stamp.version;
    if if_match.is_some_and(|seen| seen != version) {
        return Err(AdminError::Stale { kind: Kind::Role, version });
    }
    if present.built_in {
        return Err(AdminError::BuiltIn { role: present.role.name.as_str().to_owned() });
    }
    Ok(present)
}

fn must_be_free(directory: &Directory, name: &RoleName) -> Result<(), AdminError> {
    match directory.role_named(name.as_str()) {
        None => Ok(()),
        Some(_) => Err(AdminError::Duplicate {
            kind: Kind::Role,
            field: "name",
            value: name.as_str().to_owned(),
        }),
    }
}

pub(crate) fn role_name(text: &str) -> Result<RoleName, AdminError> {
    RoleName::parse(text).map_err(|error| AdminError::invalid("name", error))
}

fn without_role(record: UserRecord, role: RoleId, now_ms: u64) -> Change {
    let mut user = record.user;
    user.roles.retain(|id| *id != role);
    Change::PutUser(UserRecord { user, stamp: record.stamp.changed(now_ms) })
}

/// The permissions of a role that the broker brings.
pub(crate) fn built_in(role: &access::DefaultRole, now_ms: u64) -> Result<RoleRecord, AdminError> {
    let mut permissions: Vec<Permission> =
        role.permissions(|| access::PermissionId(Uuid::nil()))
            .map_err(|error| AdminError::Internal(error.to_string()))?;
    for permission in &mut permissions {
        permission.id = access::PermissionId(permissions::new_uuid()?);
    }
    let id = RoleId(permissions::new_uuid()?);
    let publish_budget = access::PublishBudget::default();
    let role = Role { id, name: role_name(role.name)?, permissions, publish_budget };
    Ok(RoleRecord { role, built_in: true, stamp: Stamp::new(now_ms) })
}
