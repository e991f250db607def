//! Setting passwords: the first, which ends everything logged in with the one before; the second, which is valid beside
//! the first while the machines of a user are moved over; and the quiet renewal of a weak hash.

use std::sync::Arc;

use access::AuthMethod;
use store::{Change, PasswordHash, PasswordRecord, PasswordSlot, RenewedHash};

use crate::admin::{Admin, hash_on};
use crate::caller::Caller;
use crate::directory::{Account, Directory};
use crate::error::AdminError;
use crate::hash::{HashError, Hasher, ParsedHash};
use crate::model::{PasswordChange, UserView};
use crate::protection::Gate;
use crate::secret::Secret;
use crate::users;

impl Admin {
    /// Sets a password of a user. A first password takes the place of all there are, and ends what was logged in by
    /// them. A second one leaves the first and what was logged in by it, and takes the place of the second there was, with
    /// which ends what that has proven.
    ///
    /// # Errors
    /// If there is no such user or it may not use a password, the password does not fit the policy, `current` is wrong,
    /// or there is no first password that a second one could stand beside.
    pub async fn set_password(
        &self,
        caller: &Caller,
        key: &str,
        change: PasswordChange,
    ) -> Result<UserView, AdminError> {
        self.set_password_of(caller, key, change, None).await
    }

    /// The same, if the user is still of the version that was seen.
    ///
    /// # Errors
    /// As [`Admin::set_password`], and if the user is of another version.
    pub async fn set_password_of(
        &self,
        caller: &Caller,
        key: &str,
        change: PasswordChange,
        if_match: Option<u64>,
    ) -> Result<UserView, AdminError> {
        let account = Arc::clone(users::seen(&self.shared.directory.read(), key, if_match)?);
        if !account.user().grants.allows(AuthMethod::Password) {
            let reason = "cannot be used: the user has no grant type `password`";
            return Err(AdminError::invalid("password", reason));
        }
        if change.expires_in_hours.is_some() && !change.second {
            return Err(AdminError::invalid("expiresInHours", "is for a second password only"));
        }
        if change.expires_in_hours == Some(0) {
            return Err(AdminError::invalid("expiresInHours", "must be at least 1"));
        }
        self.check_new_password(&change.password, account.user().name.as_str())?;
        match change.current {
            Some(current) => self.check_current(caller, &account, current).await?,
            None if caller.is(account.user().id) => {
                return Err(AdminError::invalid("current", "must be given for one's own password"));
            }
            None => {}
        }
        let plan = if change.second {
            self.plan_second(account, change.password, change.expires_in_hours).await?
        } else {
            let hash = self.hash_password(change.password).await?;
            let password = self.record(PasswordSlot::First, hash, None);
            Plan { account, passwords: vec![password], epoch: Epoch::Next }
        };
        let now_ms = self.now_ms();
        self.change_user(caller, move |directory| plan.changes(directory, if_match, now_ms)).await
    }

    /// Judges a new password by the policy and the limit of length.
    pub(crate) fn check_new_password(
        &self,
        password: &Secret,
        username: &str,
    ) -> Result<(), AdminError> {
        let settings = &self.shared.settings;
        let bytes_max = settings.password_bytes_max;
        if password.expose().len() > bytes_max {
            return Err(AdminError::invalid(
                "password",
                format!("has more than {bytes_max} bytes"),
            ));
        }
        let judged = settings.password_policy.check(password, username);
        judged.map_err(|reason| AdminError::invalid("password", reason))
    }

    /// Stores a stronger hash of a password that was just proven, unless the password was changed meanwhile. In the
    /// background: a login waits for no disk.
    pub(crate) fn renew(&self, account: &Arc<Account>, slot: PasswordSlot, hash: PasswordHash) {
        let (admin, account) = (self.clone(), Arc::clone(account));
        tokio::spawn(async move {
            let id = account.user().id;
            let plan = move |directory: &Directory| {
                let present = directory.user(id).map(|present| &present.credentials);
                let present = present.filter(|it| Arc::ptr_eq(it, &account.credentials));
                let Some(weak) = present.and_then(|present| present.password(slot)) else {
                    return Ok((Vec::new(), ()));
                };
                // A policy file knows the hash that was set, however often it was renewed since.
                let renewed = RenewedHash { hash, renewed_from: weak.set_as() };
                Ok((vec![Change::RenewPassword(id, slot, renewed)], ()))
            };
            if let Err(error) = admin.change(&Caller::Broker, plan, |_, ()| ()).await {
                tracing::warn!(%error, user = %id, "a weak password hash could not be renewed");
            }
        });
    }

    /// A guess here is one like at a login, and counted like one.
    async fn check_current(
        &self,
        caller: &Caller,
        account: &Account,
        current: Secret,
    ) -> Result<(), AdminError> {
        let name = account.user().name.as_str();
        let source = caller.user().map(|user| user.peer().source());
        let (protection, now_ms) = (&self.shared.protection, self.now_ms());
        if let Some(source) = source
            && let Gate::Locked { until_ms, .. } = protection.gate(name, source, now_ms)
        {
            return Err(AdminError::Locked { retry_after_ms: until_ms.saturating_sub(now_ms) });
        }
        let valid = account.credentials.valid(self.now_ms());
        let candidates = parsed(valid.map(|password| &password.hash))?;
        let found = hash_on(&self.shared.pool, move |hasher| {
            Ok(hasher.verify(current.expose(), &candidates))
        });
        match found.await? {
            Some(_) => Ok(()),
            None => {
                if let Some(source) = source {
                    let delay = protection.failed(Some(name), source, now_ms);
                    self.hold_back(delay).await;
                }
                Err(AdminError::invalid("current", "is wrong"))
            }
        }
    }

    async fn plan_second(
        &self,
        account: Arc<Account>,
        password: Secret,
        expires_in_hours: Option<u32>,
    ) -> Result<Plan, AdminError> {
        let stored = account.credentials.records();
        let Some(first) = stored.iter().find(|stored| stored.slot == PasswordSlot::First) else {
            let reason = "there is no first password that it could stand beside";
            return Err(AdminError::invalid("second", reason));
        };
        let first = first.clone();
        let beside = parsed(std::iter::once(&first.hash))?;
        let made =
            hash_on(&self.shared.pool, move |hasher| beside_first(hasher, &password, &beside));
        let Some(hash) = made.await? else {
            return Err(AdminError::invalid("password", "is the first password"));
        };
        let lifetime_ms = expires_in_hours.map(|hours| u64::from(hours) * HOUR_MS);
        let expires_at_ms = lifetime_ms.map(|lifetime| self.now_ms().saturating_add(lifetime));
        let second = self.record(PasswordSlot::Second, hash, expires_at_ms);
        Ok(Plan { account, passwords: vec![first, second], epoch: Epoch::Same })
    }

    fn record(
        &self,
        slot: PasswordSlot,
        hash: PasswordHash,
        expires_at_ms: Option<u64>,
    ) -> PasswordRecord {
        PasswordRecord { expires_at_ms, ..PasswordRecord::new(slot, hash, self.now_ms()) }
    }
}

/// Passwords to be set for a user as it was seen.
struct Plan {
    account: Arc<Account>,
    passwords: Vec<PasswordRecord>,
    epoch: Epoch,
}

/// Whether what was logged in before must end.
#[derive(Clone, Copy)]
enum Epoch {
    Next,
    Same,
}

impl Plan {
    fn changes(
        self,
        directory: &Directory,
        if_match: Option<u64>,
        now_ms: u64,
    ) -> Result<(Vec<Change>, access::UserId), AdminError> {
        let id = self.account.user().id;
        let present = users::seen(directory, &id.to_string(), if_match)?;
        let mut record = present.record();
        match self.epoch {
            Epoch::Next => record.user.credential_epoch += 1,
            Epoch::Same => {
                // Made to stand beside a password that is not there any more.
                if !Arc::ptr_eq(&present.credentials, &self.account.credentials) {
                    let version = present.stamp.version;
                    return Err(AdminError::Stale { kind: crate::Kind::User, version });
                }
            }
        }
        record.stamp = record.stamp.changed(now_ms);
        Ok((vec![Change::PutUser(record), Change::PutPasswords(id, self.passwords)], id))
    }
}

fn parsed<'p>(
    stored: impl Iterator<Item = &'p PasswordHash>,
) -> Result<Vec<ParsedHash>, HashError> {
    stored.map(ParsedHash::parse).collect()
}

/// The hash of a second password; none if it is the first one.
fn beside_first(
    hasher: &mut Hasher,
    password: &Secret,
    first: &[ParsedHash],
) -> Result<Option<PasswordHash>, HashError> {
    if hasher.verify(password.expose(), first).is_some() {
        return Ok(None);
    }
    let Some(first) = first.first() else { return Ok(None) };
    hasher.make_beside(password.expose(), first).map(Some)
}

const HOUR_MS: u64 = 3_600_000;
