//! Granting and denying.
//!
//! A grant is one change: the user, its password, its certificate and the end of the request are on disk together, and
//! pass the guard against giving away more than one has like any other change.

use std::sync::Arc;

use access::{GrantTypes, User, UserId};
use pki::Issued;
use store::{
    Change, PasswordRecord, PasswordSlot, RegistryChange, RegistryPassword, RegistryRecord,
    RegistryState, Stamp, UserRecord,
};
use uuid::Uuid;

use super::{book, view};
use crate::admin::Admin;
use crate::caller::Caller;
use crate::certificates;
use crate::directory::Directory;
use crate::error::AdminError;
use crate::model::{RegistryGrant, RegistryRequestView};
use crate::permissions::{self, new_uuid};
use crate::users;

impl Admin {
    /// Makes the user of a request, with these roles and permissions and no others, and signs its certificate if it asked
    /// for one. A request that was denied may be granted after all.
    ///
    /// # Errors
    /// If there is no such request, it was granted before, there is a user of this name, something that is to be given is
    /// not right or not the caller's to give, or the certificate cannot be signed.
    pub async fn grant_registry_request(
        &self,
        caller: &Caller,
        id: Uuid,
        grant: RegistryGrant,
    ) -> Result<RegistryRequestView, AdminError> {
        let now_ms = self.now_ms();
        let registry = Arc::clone(&self.shared.registry);
        let record = {
            let directory = self.shared.directory.read();
            let record = view::found(&registry, &directory, id, now_ms)?;
            must_not_be_granted(record)?;
            record.clone()
        };
        let user = UserId(new_uuid()?);
        let issued = match &record.csr {
            Some(csr) => Some(self.sign_request(csr.to_string(), &record, now_ms).await?),
            None => None,
        };
        let limits = {
            let settings = &self.shared.settings;
            (settings.roles_per_user_max, settings.permissions_per_owner_max)
        };
        let (planning, name) = (Arc::clone(&registry), record.username.clone());
        let plan = move |directory: &Directory| {
            must_not_be_granted(view::found(&planning, directory, id, now_ms)?)?;
            let made = NewUser { id: user, record: &record, issued: issued.as_ref(), now_ms };
            let mut changes = made.changes(directory, &grant, limits)?;
            changes.extend(surplus(directory, planning.settings.pending_max));
            Ok((changes, ()))
        };
        let shown = move |directory: &Directory, ()| {
            directory.registry.get(id).map(|record| view::request(&registry, directory, record))
        };
        let shown = self.change(caller, plan, shown).await?;
        // It has failed to log in until now, and has not earned a lock by that.
        self.shared.protection.unlock_user(name.as_str());
        tracing::info!(%caller, user = %name, request = %id, "a client was let in");
        shown.ok_or_else(|| AdminError::Internal("a request is gone".to_owned()))
    }

    /// Refuses a request. Refusing it again changes nothing.
    ///
    /// # Errors
    /// If there is no such request, or it was granted.
    pub async fn deny_registry_request(
        &self,
        caller: &Caller,
        id: Uuid,
    ) -> Result<RegistryRequestView, AdminError> {
        let now_ms = self.now_ms();
        let registry = Arc::clone(&self.shared.registry);
        let planning = Arc::clone(&registry);
        let plan = move |directory: &Directory| {
            let record = view::found(&planning, directory, id, now_ms)?;
            must_not_be_granted(record)?;
            if !book::is_pending(record) {
                return Ok((Vec::new(), ()));
            }
            let state = RegistryState::Denied { at_ms: now_ms };
            let denied = RegistryRecord { state, ..record.clone() };
            let mut changes = vec![Change::Registry(RegistryChange::Decide(Box::new(denied)))];
            changes.extend(surplus(directory, planning.settings.pending_max));
            Ok((changes, ()))
        };
        let shown = move |directory: &Directory, ()| {
            directory.registry.get(id).map(|record| view::request(&registry, directory, record))
        };
        let shown = self.change(caller, plan, shown).await?;
        tracing::info!(%caller, request = %id, "a client was not let in");
        shown.ok_or_else(|| AdminError::Internal("a request is gone".to_owned()))
    }

    async fn sign_request(
        &self,
        csr: String,
        record: &RegistryRecord,
        now_ms: u64,
    ) -> Result<Issued, AdminError> {
        let (shared, name) = (Arc::clone(&self.shared), record.username.as_str().to_owned());
        let days = shared.settings.certificates.days_default;
        certificates::off_thread(move || {
            Ok(shared.pki.sign_csr(&csr, &name, days, certificates::unix_time(now_ms))?)
        })
        .await
    }
}

/// The user that a request is to become.
struct NewUser<'r> {
    id: UserId,
    record: &'r RegistryRecord,
    issued: Option<&'r Issued>,
    now_ms: u64,
}

impl NewUser<'_> {
    fn changes(
        &self,
        directory: &Directory,
        grant: &RegistryGrant,
        (roles_max, permissions_max): (usize, usize),
    ) -> Result<Vec<Change>, AdminError> {
        let NewUser { id, record, issued, now_ms } = *self;
        users::must_be_free(directory, &record.username)?;
        let user = User {
            id,
            name: record.username.clone(),
            grants: grant_types(record),
            publish_prefix: None,
            roles: users::roles(directory, &grant.roles, roles_max)?,
            permissions: permissions::parse(&grant.permissions, &[], permissions_max)?,
            enabled: true,
            publish_budget: access::PublishBudget::default(),
            credential_epoch: 1,
        };
        let mut changes = vec![Change::PutUser(UserRecord { user, stamp: Stamp::new(now_ms) })];
        if let RegistryPassword::Kept(hash) = &record.password {
            let (slot, hash) = (PasswordSlot::First, hash.clone());
            let password = PasswordRecord::new(slot, hash, now_ms);
            changes.push(Change::PutPasswords(id, vec![password]));
        }
        if let Some(issued) = issued {
            let certificate = certificates::record((id, &record.username), issued, now_ms);
            changes.push(Change::PutCertificate(certificate));
        }
        let certificate = issued.map(|issued| issued.certificate_pem.as_str().into());
        let state = RegistryState::Granted { at_ms: now_ms, user: id, certificate };
        let granted = RegistryRecord { state, ..record.clone() };
        changes.push(Change::Registry(RegistryChange::Decide(Box::new(granted))));
        Ok(changes)
    }
}

/// The ways that the request has brought; by certificate where it has brought none, so that one can be issued.
fn grant_types(record: &RegistryRecord) -> GrantTypes {
    let has_password = matches!(record.password, RegistryPassword::Kept(_));
    match (has_password, record.csr.is_some()) {
        (true, false) => GrantTypes::PASSWORD,
        (false, _) => GrantTypes::CERTIFICATE,
        (true, true) => GrantTypes::PASSWORD.iter().chain(GrantTypes::CERTIFICATE.iter()).collect(),
    }
}

fn must_not_be_granted(record: &RegistryRecord) -> Result<(), AdminError> {
    match record.state {
        RegistryState::Granted { .. } => {
            Err(AdminError::AlreadyGranted { user: record.username.as_str().to_owned() })
        }
        RegistryState::Pending | RegistryState::Denied { .. } => Ok(()),
    }
}

/// Of requests that were decided before, the oldest make room for one more.
fn surplus(directory: &Directory, kept_max: usize) -> Vec<Change> {
    let mut decided: Vec<_> =
        directory.registry.all().filter(|record| !book::is_pending(record)).collect();
    decided.sort_by_key(|record| book::counted_from_ms(record));
    let over = (decided.len() + 1).saturating_sub(kept_max.max(1));
    let oldest = decided.into_iter().take(over);
    oldest.map(|record| Change::Registry(RegistryChange::Remove(record.id))).collect()
}
