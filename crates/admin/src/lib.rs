//! Use cases: log in, users, roles, passwords, certificates; the compiled policy and its changes.
//!
//! [`Admin`] is all of it. Reading and logging in work on memory; a change is on disk first, then in memory, then it is
//! told. The path of a login: `attempt` decides the way, `proof` confirms what was proven before, `flight` gathers those
//! who wait for the same hash, `pool` queues it fairly, `hash` makes it.

mod admin;
mod attempt;
mod audit;
pub mod audit_model;
mod budget_model;
mod caller;
mod certificate_book;
mod certificate_model;
mod certificates;
mod credentials;
pub mod decision_model;
mod decisions;
mod directory;
mod error;
mod escalation;
mod explain;
mod filled;
mod first_password;
mod first_start;
mod flight;
mod hash;
mod lock_model;
mod locks;
mod login;
pub mod model;
mod passwords;
mod permissions;
mod policy;
mod policy_file;
pub mod policy_model;
mod pool;
mod preview;
mod proof;
mod protection;
mod refusal;
mod refused_logins;
mod registry;
mod registry_model;
mod revoked;
mod roles;
mod secret;
mod settings;
#[cfg(test)]
mod tests;
mod time;
mod token_book;
mod token_model;
mod tokens;
mod users;
mod uses;
mod view;
mod whole;

pub use admin::{Admin, Opened};
pub use attempt::{LoginAttempt, PeerAddress, ProvenCertificate};
pub use caller::{Caller, UserCaller};
pub use certificates::{CertificateLapse, IssuedCertificate, Pkcs12};
pub use decisions::RefusalSink;
pub use decisions::record::{DecisionId, DecisionOrigin, NotADecision, RefusedRequest};
pub use error::{AdminError, Kind};
pub use filled::Filled;
pub use first_password::{NotBase64, decode_base64_password};
pub use hash::{HashError, check_password_hash};
pub use policy::{PasswordPolicy, PolicyError};
pub use policy_file::PolicyDraft;
pub use pool::HashingView;
pub use preview::Preview;
pub use refusal::{LoginRefused, RefusalKind, RefusalReason};
pub use refused_logins::RefusedLogin;
pub use registry::{ClientLabel, RegistrationRefused};
pub use revoked::RevokedCertificates;
pub use roles::RoleRemoval;
pub use secret::Secret;
pub use settings::{
    AuthenticationMode, CertificateSettings, FirstAdmin, HashCost, HashPoolLimits,
    ProtectionSettings, RefusalSettings, RegistrySettings, Settings, TokenSettings,
};
pub use tokens::TokenRefused;
pub use users::USERS_PER_BATCH_MAX;
