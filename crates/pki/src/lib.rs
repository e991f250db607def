//! The built-in certificate authority, identities from certificates, and TLS configurations.
//!
//! [`Pki`] owns the files in `certs/`: it makes what is missing, reads what is there, and keeps the last
//! good state in memory. Handshakes borrow that state ([`Pki::handshake`]); after every handshake, resumed
//! ones as well, [`Pki::identify`] says who the peer is, and [`Pki::still_good`] says whether that
//! still holds. The crate reads no clock: time is an argument, and TLS gets the server's one clock.
//!
//! Chains are verified by `webpki` and by nothing else; this crate adds what webpki leaves open
//! (which certificates may be trust anchors, which revocation list is meant) and never less than it asks.

mod authority;
mod certificate;
mod common_name;
mod error;
mod export;
mod files;
mod fingerprint;
mod identity;
mod layout;
mod load;
mod note;
mod pem;
mod pki;
mod private_key;
mod publish;
mod refusal;
mod request;
mod revocation;
mod serial;
mod server_certificate;
mod tls;
mod trust;
mod verifier;
mod watch;

pub use authority::Issued;
pub use error::{IssueError, PkiError};
pub use export::PKCS12_PASSWORD_LENGTH_MIN;
pub use fingerprint::Fingerprint;
pub use identity::{IdentityError, Lapse, PeerIdentity};
pub use layout::{Files, Settings};
pub use note::{Expiring, Note};
pub use pki::{Changed, Opened, Pki};
pub use private_key::PrivateKeyPem;
pub use refusal::{Refusal, RefusalKind};
pub use request::RequestFault;
pub use revocation::{Revocation, RevocationReason};
pub use rustls::time_provider::TimeProvider;
pub use rustls_pki_types::{CertificateDer, UnixTime};
pub use serial::Serial;
pub use server_certificate::HostNames;
pub use tls::{ClientCertificate, Handshake, Listener};
