//! Records on disk: users, roles, permissions and certificates in SQL, with migrations; the state of sessions in a log.
//!
//! Invariants: a change is on disk before [`Store::commit`] returns, or nothing of it is; one process has the store
//! open; what cannot be understood stops the start and is never skipped.

#[cfg(test)]
mod age_tests;
mod audit;
mod certificate;
mod column;
mod commit;
mod confirmed;
mod digest;
mod error;
mod load;
mod open;
mod record;
mod refusals;
mod registry;
mod secret;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod writing;

pub use audit::{
    AuditAnchor, AuditChain, AuditEntry, AuditFault, AuditHead, AuditOrder, AuditPage, AuditQuery,
    AuditRow, ChainVerdict,
};
pub use certificate::{CertificateOrigin, CertificateRecord, RevokedReason, RevokedRecord};
pub use error::StoreError;
pub use load::Reading;
pub use open::Store;
pub use record::{
    Change, Contents, PasswordRecord, PasswordSlot, PasswordUse, RenewedHash, RoleRecord, Stamp,
    UserRecord,
};
pub use refusals::RefusalRow;
pub use registry::{
    RegistryChange, RegistryOrigin, RegistryPassword, RegistryRecord, RegistryState,
};
pub use secret::PasswordHash;
pub use state::{Damage, Safety, StateLog, StateReader, StateSyncer, Synced};
pub use token::{TokenChange, TokenRecord};
