//! When passwords were used last: noted in memory at each login, and written down once a minute, for all users at once. A
//! storm of logins so costs the disk no more than a single one; a crash forgets the last minute.

use std::sync::{Arc, Weak};
use std::time::Duration;

use store::{Change, PasswordSlot, PasswordUse};

use crate::admin::{Admin, Shared};
use crate::directory::Account;

impl Admin {
    pub(crate) fn note_use(&self, account: &Account, slot: PasswordSlot) {
        if account.credentials.touch(slot, self.now_ms()) {
            self.shared.used.lock().push(account.user().id);
        }
    }

    /// Writes down when passwords were used last. Also for the end of the process, so that nothing is forgotten.
    pub async fn write_down_uses(&self) {
        self.shared.write_down_uses().await;
    }
}

impl Shared {
    async fn write_down_uses(&self) {
        let users = std::mem::take(&mut *self.used.lock());
        for chunk in users.chunks(USERS_AT_ONCE) {
            let mut uses = Vec::new();
            {
                let directory = self.directory.read();
                for account in chunk.iter().filter_map(|id| directory.user(*id)) {
                    // First, so that a use from here on is told again.
                    account.credentials.settle();
                    let records = account.credentials.records().into_iter();
                    uses.extend(records.filter_map(|record| {
                        Some(PasswordUse {
                            user: account.user().id,
                            slot: record.slot,
                            created_at_ms: record.created_at_ms,
                            used_at_ms: record.last_used_at_ms?,
                        })
                    }));
                }
            }
            if let Err(error) = self.store.commit(&[Change::PasswordsUsed(uses)]).await {
                tracing::warn!(%error, "the last use of passwords could not be written down");
            }
        }
    }
}

/// Writes until nobody uses the administration any more.
pub(crate) async fn write_down(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(WRITTEN_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.write_down_uses().await;
        drop::<Arc<Shared>>(shared);
    }
}

const WRITTEN_EVERY: Duration = Duration::from_secs(60);
/// Users in one transaction: a logged change waits behind it.
const USERS_AT_ONCE: usize = 1000;
