//! A policy as one document: applied all or nothing, and read back. What is the same already is not touched, so that
//! applying a document twice changes nothing and ends no login.

use std::collections::{HashMap, HashSet};

use access::{GrantTypes, Permission, Role, RoleId, RoleIds, User, UserId};
use store::{Change, PasswordHash, PasswordRecord, PasswordSlot, RoleRecord, Stamp, UserRecord};
use uuid::Uuid;

use crate::admin::{Admin, hash_on};
use crate::audit;
use crate::budget_model;
use crate::caller::Caller;
use crate::certificates;
use crate::credentials::Password;
use crate::directory::{Account, Directory};
use crate::error::{AdminError, Kind};
use crate::hash::{ParsedHash, sha256};
use crate::model::{GrantTypeModel, NewPermission, NewRole};
use crate::permissions;
use crate::policy_model::{
    PolicyDocument, PolicyExport, PolicyOptions, PolicyOutcome, PolicyStep, PolicyUser,
    PolicyUserView,
};
use crate::roles::role_name;
use crate::users::{grant_types, publish_prefix, user_name};

impl Admin {
    /// Makes users and roles what a document says, in one change, or says what that would change.
    ///
    /// # Errors
    /// If anything in it is not valid, the caller may not grant it, or no enabled administrator would be left. Nothing is
    /// changed then.
    pub async fn apply_policy(
        &self,
        caller: &Caller,
        document: PolicyDocument,
        options: PolicyOptions,
    ) -> Result<PolicyOutcome, AdminError> {
        let dry_run = options.dry_run;
        let draft = self.draft_policy(document, options).await?;
        if dry_run {
            let changes = self.preview_policy(caller, &draft)?.changes;
            return Ok(PolicyOutcome { dry_run, changes });
        }
        let plan = move |directory: &Directory| {
            let changes = draft.changes(directory)?;
            let steps = steps(directory, &changes);
            Ok((changes, steps))
        };
        let changes = self.change_and_revoke(caller, plan, |_, steps| steps).await?;
        Ok(PolicyOutcome { dry_run, changes })
    }

    /// Reads all users and all roles that are not built in. Nothing of their passwords is in it.
    pub fn export_policy(&self, _: &Caller) -> PolicyExport {
        let directory = self.shared.directory.read();
        let roles = directory.roles().filter_map(|id| directory.role(*id));
        let roles = roles.filter(|role| !role.built_in).map(|role| NewRole {
            name: role.role.name.as_str().to_owned(),
            permissions: shown(&role.role.permissions),
            publish_budget: budget_model::shown(role.role.publish_budget),
        });
        let users = directory.users().filter_map(|id| directory.user(id));
        let users = users.map(|account| user_view(&directory, account.user()));
        PolicyExport { roles: roles.collect(), users: users.collect() }
    }

    /// Does what takes time: everything is checked again when the change is made.
    ///
    /// # Errors
    /// If a password in it is not valid.
    pub async fn draft_policy(
        &self,
        document: PolicyDocument,
        options: PolicyOptions,
    ) -> Result<PolicyDraft, AdminError> {
        if options.only_new && options.prune {
            return Err(AdminError::invalid("onlyNew", "cannot go with `prune`"));
        }
        let settings = &self.shared.settings;
        let mut passwords = HashMap::new();
        for (index, user) in document.users.iter().enumerate() {
            if let Some(hash) = self.password(index, user).await? {
                passwords.insert(user.username.clone(), hash);
            }
        }
        Ok(PolicyDraft {
            document,
            passwords,
            prune: options.prune,
            only_new: options.only_new,
            now_ms: self.now_ms(),
            permissions_max: settings.permissions_per_owner_max,
            roles_max: settings.roles_per_user_max,
        })
    }

    /// The hash that the user is to have; none if its password stays.
    async fn password(
        &self,
        index: usize,
        user: &PolicyUser,
    ) -> Result<Option<PasswordHash>, AdminError> {
        let field = |name: &str| format!("users[{index}].{name}");
        if let Some(hash) = &user.password_hash {
            if user.password.is_some() {
                let reason = "is given beside the password itself";
                return Err(AdminError::invalid(field("passwordHash"), reason));
            }
            let text = hash.expose_text().unwrap_or_default().to_owned();
            let hash = PasswordHash::new(text);
            let parsed = ParsedHash::parse(&hash);
            let parsed =
                parsed.map_err(|error| AdminError::invalid(field("passwordHash"), error))?;
            let bearable = parsed.check_bearable();
            bearable.map_err(|reason| AdminError::invalid(field("passwordHash"), reason))?;
            return Ok(Some(hash));
        }
        let Some(password) = &user.password else { return Ok(None) };
        let stored: Vec<ParsedHash> = {
            let directory = self.shared.directory.read();
            let account = directory.user_named(&user.username);
            let first = account.and_then(|account| first(account));
            first.iter().filter_map(|first| ParsedHash::parse(&first.hash).ok()).collect()
        };
        if !stored.is_empty() {
            let given = password.clone();
            let found =
                hash_on(
                    &self.shared.pool,
                    move |hasher| Ok(hasher.verify(given.expose(), &stored)),
                );
            if found.await?.is_some() {
                return Ok(None);
            }
        }
        self.check_new_password(password, &user.username)?;
        self.hash_password(password.clone()).await.map(Some)
    }
}

/// A document with all that takes time done.
pub struct PolicyDraft {
    document: PolicyDocument,
    passwords: HashMap<String, PasswordHash>,
    prune: bool,
    only_new: bool,
    now_ms: u64,
    permissions_max: usize,
    roles_max: usize,
}

impl PolicyDraft {
    pub(crate) fn changes(&self, directory: &Directory) -> Result<Vec<Change>, AdminError> {
        let mut changes = Vec::new();
        let mut role_ids = HashMap::new();
        for (index, role) in self.document.roles.iter().enumerate() {
            let at = format!("roles[{index}]");
            let (id, change) = self.role(directory, role).map_err(|error| within(&at, error))?;
            if role_ids.insert(role.name.as_str(), id).is_some() {
                return Err(AdminError::invalid(format!("{at}.name"), "is given twice"));
            }
            changes.extend(change);
        }
        let mut names = HashSet::new();
        for (index, user) in self.document.users.iter().enumerate() {
            let at = format!("users[{index}]");
            if !names.insert(user.username.as_str()) {
                return Err(AdminError::invalid(format!("{at}.username"), "is given twice"));
            }
            let of_user = self.user(directory, user, &role_ids);
            changes.extend(of_user.map_err(|error| within(&at, error))?);
        }
        if self.prune {
            changes.extend(self.pruned(directory, &names, &role_ids));
        }
        Ok(changes)
    }

    fn role(
        &self,
        directory: &Directory,
        asked: &NewRole,
    ) -> Result<(RoleId, Option<Change>), AdminError> {
        let name = role_name(&asked.name)?;
        let present = directory.role_named(&asked.name);
        let had = present.map_or(&[][..], |present| &present.role.permissions);
        let permissions = merged(&asked.permissions, had, self.permissions_max)?;
        let publish_budget = budget_model::parse(asked.publish_budget.as_ref())?;
        let Some(present) = present else {
            let id = RoleId(permissions::new_uuid()?);
            let role = Role { id, name, permissions, publish_budget };
            let stamp = Stamp::new(self.now_ms);
            return Ok((id, Some(Change::PutRole(RoleRecord { role, built_in: false, stamp }))));
        };
        let id = present.role.id;
        let before = (&present.role.permissions, present.role.publish_budget);
        if (&permissions, publish_budget) == before {
            return Ok((id, None));
        }
        self.may_change(Kind::Role, "name", &asked.name)?;
        if present.built_in {
            return Err(AdminError::BuiltIn { role: asked.name.clone() });
        }
        let role = Role { id, name, permissions, publish_budget };
        let stamp = present.stamp.changed(self.now_ms);
        Ok((id, Some(Change::PutRole(RoleRecord { role, built_in: false, stamp }))))
    }

    fn user(
        &self,
        directory: &Directory,
        asked: &PolicyUser,
        role_ids: &HashMap<&str, RoleId>,
    ) -> Result<Vec<Change>, AdminError> {
        let name = user_name(&asked.username)?;
        let present = directory.user_named(&asked.username);
        let before = present.map(|account| account.user());
        let had = before.map_or(&[][..], |user| &user.permissions);
        let id = match before {
            Some(user) => user.id,
            None => UserId(permissions::new_uuid()?),
        };
        let hash = self.passwords.get(&asked.username);
        let first = present.and_then(|account| first(account));
        let hash = hash.filter(|hash| !first.is_some_and(|first| was_set_as(first, hash)));
        let mut user = User {
            id,
            name,
            grants: grants(asked, before, hash.is_some())?,
            publish_prefix: publish_prefix(asked.mqtt_publish_prefix.as_deref())?,
            roles: self.roles(directory, asked, role_ids)?,
            permissions: merged(&asked.permissions, had, self.permissions_max)?,
            enabled: asked.enabled,
            publish_budget: budget_model::parse(asked.publish_budget.as_ref())?,
            credential_epoch: before.map_or(1, |user| user.credential_epoch),
        };
        if hash.is_some() && !user.grants.allows(access::AuthMethod::Password) {
            let reason = "is given, but the grant types do not have `password`";
            return Err(AdminError::invalid("passwordHash", reason));
        }
        if hash.is_some() && before.is_some() {
            user.credential_epoch = user.credential_epoch.saturating_add(1);
        }
        let mut changes = Vec::new();
        if before != Some(&user) {
            let stamp = present.map(|account| account.stamp.changed(self.now_ms));
            let stamp = stamp.unwrap_or_else(|| Stamp::new(self.now_ms));
            changes.push(Change::PutUser(UserRecord { user, stamp }));
        }
        if let Some(hash) = hash {
            let first = PasswordRecord::new(PasswordSlot::First, hash.clone(), self.now_ms);
            changes.push(Change::PutPasswords(id, vec![first]));
        }
        if present.is_some() && !changes.is_empty() {
            self.may_change(Kind::User, "username", &asked.username)?;
        }
        Ok(changes)
    }

    fn may_change(&self, kind: Kind, field: &'static str, name: &str) -> Result<(), AdminError> {
        let taken = AdminError::Duplicate { kind, field, value: name.to_owned() };
        if self.only_new { Err(taken) } else { Ok(()) }
    }

    fn roles(
        &self,
        directory: &Directory,
        asked: &PolicyUser,
        role_ids: &HashMap<&str, RoleId>,
    ) -> Result<RoleIds, AdminError> {
        if asked.roles.len() > self.roles_max {
            return Err(AdminError::invalid("roles", format!("more than {}", self.roles_max)));
        }
        let mut roles = RoleIds::new();
        for (index, name) in asked.roles.iter().enumerate() {
            // With `prune`, a role that the file does not name is about to go.
            let present = directory.role_named(name);
            let present = present.filter(|role| role.built_in || !self.prune);
            let id = role_ids.get(name.as_str()).copied().or(present.map(|role| role.role.id));
            let Some(id) = id else {
                let reason = format!("there is no role `{name}`");
                return Err(AdminError::invalid(format!("roles[{index}]"), reason));
            };
            if !roles.contains(&id) {
                roles.push(id);
            }
        }
        Ok(roles)
    }

    fn pruned(
        &self,
        directory: &Directory,
        names: &HashSet<&str>,
        role_ids: &HashMap<&str, RoleId>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for account in directory.users().filter_map(|id| directory.user(id)) {
            let user = account.user();
            if !names.contains(user.name.as_str()) {
                changes.extend(certificates::revoke_all(directory, user.id, self.now_ms));
                changes.push(Change::RemoveUser(user.id));
            }
        }
        for role in directory.roles().filter_map(|id| directory.role(*id)) {
            if !role.built_in && !role_ids.contains_key(role.role.name.as_str()) {
                changes.push(Change::RemoveRole(role.role.id));
            }
        }
        changes
    }
}

fn grants(
    asked: &PolicyUser,
    before: Option<&User>,
    has_new_password: bool,
) -> Result<GrantTypes, AdminError> {
    match (&asked.grant_types, before) {
        (Some(asked), _) => grant_types(asked),
        (None, Some(before)) => Ok(before.grants),
        (None, None) if has_new_password => Ok(GrantTypes::PASSWORD),
        (None, None) => Ok(GrantTypes::CERTIFICATE),
    }
}

/// The permissions asked for. If they are those that are there, in whatever order, these stay as they are.
fn merged(
    asked: &[NewPermission],
    present: &[Permission],
    count_max: usize,
) -> Result<Vec<Permission>, AdminError> {
    let asked: Vec<_> =
        asked.iter().map(|asked| NewPermission { id: None, ..asked.clone() }).collect();
    let mut parsed = permissions::parse(&asked, &[], count_max)?;
    let rule = |it: &Permission| (it.resource.clone(), it.operation, it.context, it.effect);
    let ids: HashMap<_, _> = present.iter().map(|it| (rule(it), it.id)).collect();
    for permission in &mut parsed {
        if let Some(id) = ids.get(&rule(permission)) {
            permission.id = *id;
        }
    }
    let mut of_parsed: Vec<Uuid> = parsed.iter().map(|it| it.id.0).collect();
    let mut of_present: Vec<Uuid> = present.iter().map(|it| it.id.0).collect();
    of_parsed.sort_unstable();
    of_present.sort_unstable();
    Ok(if of_parsed == of_present { present.to_vec() } else { parsed })
}

fn first(account: &Account) -> Option<&Password> {
    account.credentials.password(PasswordSlot::First)
}

/// Whether a hash is the one that the password was set by, even if a login has renewed it since.
fn was_set_as(password: &Password, hash: &PasswordHash) -> bool {
    password.hash.expose() == hash.expose()
        || password.renewed_from() == Some(&sha256(hash.expose().as_bytes()))
}

fn shown(permissions: &[Permission]) -> Vec<NewPermission> {
    let shown = permissions.iter().map(|permission| NewPermission {
        id: None,
        resource: permission.resource.as_str().to_owned(),
        operation: permission.operation.into(),
        context: permission.context.into(),
        effect: permission.effect.into(),
    });
    shown.collect()
}

fn user_view(directory: &Directory, user: &User) -> PolicyUserView {
    let roles = user.roles.iter().filter_map(|id| directory.role(*id));
    PolicyUserView {
        username: user.name.as_str().to_owned(),
        grant_types: user.grants.iter().map(GrantTypeModel::from).collect(),
        mqtt_publish_prefix: user.publish_prefix.as_ref().map(|it| it.as_str().to_owned()),
        roles: roles.map(|role| role.role.name.as_str().to_owned()).collect(),
        permissions: shown(&user.permissions),
        publish_budget: budget_model::shown(user.publish_budget),
        enabled: user.enabled,
    }
}

pub(crate) fn steps(directory: &Directory, changes: &[Change]) -> Vec<PolicyStep> {
    let facts = audit::facts(directory, changes).into_iter();
    facts.map(|(action, details)| PolicyStep { action: action.to_owned(), details }).collect()
}

/// Names the place in the document.
fn within(at: &str, error: AdminError) -> AdminError {
    match error {
        AdminError::Invalid { field, reason } => {
            AdminError::Invalid { field: format!("{at}.{field}"), reason }
        }
        other => other,
    }
}
