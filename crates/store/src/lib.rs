//! Records on disk: users, roles and permissions in SQL, with migrations; the state of sessions in a log.
//!
//! Invariants: a change is on disk before [`Store::commit`] returns, or nothing of it is; one process has the store
//! open; what cannot be understood stops the start and is never skipped.

mod commit;
mod error;
mod load;
mod open;
mod record;
mod secret;
mod state;
#[cfg(test)]
mod tests;
mod text;

pub use error::StoreError;
pub use open::Store;
pub use record::{Change, Contents, PasswordRecord, PasswordSlot, RoleRecord, Stamp, UserRecord};
pub use secret::PasswordHash;
pub use state::{Changes, Damage, Safety, StateLog};
