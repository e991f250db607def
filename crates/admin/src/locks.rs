//! Showing and ending the locks that failed logins have brought about.

use std::net::IpAddr;

use crate::admin::Admin;
use crate::caller::Caller;
use crate::error::{AdminError, Kind};
use crate::model::{LockView, LocksView, Time};
use crate::protection::Lock;

impl Admin {
    /// Shows the locks of now.
    #[must_use]
    pub fn locks(&self, _: &Caller) -> LocksView {
        let (protection, now_ms) = (&self.shared.protection, self.now_ms());
        let shown = |locks: Vec<Lock>| locks.into_iter().map(view).collect();
        LocksView {
            users: shown(protection.locked_users(now_ms)),
            sources: shown(protection.locked_sources(now_ms)),
        }
    }

    /// Lets a user log in again, and forgets its failures.
    ///
    /// # Errors
    /// If there are none.
    pub fn unlock_user(&self, caller: &Caller, username: &str) -> Result<(), AdminError> {
        let found = self.shared.protection.unlock_user(username);
        unlocked(found, Kind::LockedUser, username)?;
        tracing::info!(%caller, user = ?username, "a user was unlocked");
        Ok(())
    }

    /// Lets a source log in again, and forgets its failures.
    ///
    /// # Errors
    /// If there are none, or it is no address: then it cannot be locked.
    pub fn unlock_source(&self, caller: &Caller, source: &str) -> Result<(), AdminError> {
        let address = source.strip_suffix("/64").unwrap_or(source).parse::<IpAddr>();
        let found = address.is_ok_and(|address| self.shared.protection.unlock_source(address));
        unlocked(found, Kind::LockedSource, source)?;
        tracing::info!(%caller, source, "a source was unlocked");
        Ok(())
    }
}

fn unlocked(found: bool, kind: Kind, key: &str) -> Result<(), AdminError> {
    let not_found = || AdminError::NotFound { kind, key: key.to_owned() };
    found.then_some(()).ok_or_else(not_found)
}

fn view(lock: Lock) -> LockView {
    let Lock { name, until_ms, repetitions } = lock;
    LockView { name, until: Time(until_ms), repetitions }
}
