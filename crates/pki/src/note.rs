//! What is not wrong enough to refuse, but what the operator should read in the log.

use std::fmt;
use std::path::PathBuf;

/// Something noteworthy about the files that were just taken into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The built-in authority was made.
    AuthorityMade {
        /// Its name.
        subject: String,
    },
    /// The built-in authority's certificate was lost and made again from its key.
    AuthorityRestored {
        /// Its name.
        subject: String,
    },
    /// The server's own certificate was made or renewed.
    ServerCertificateMade {
        /// Why.
        reason: &'static str,
    },
    /// An authority of the bundle is expired or not valid yet, so it is not trusted now.
    AuthorityOutsideValidity {
        /// Its name.
        subject: String,
    },
    /// An authority of the bundle is revoked by its issuer, so it is not trusted.
    AuthorityRevoked {
        /// Its name.
        subject: String,
    },
    /// The built-in authority is not in the trust bundle: what it issued is refused, and it issues nothing.
    AuthorityNotTrusted {
        /// Its name.
        subject: String,
    },
    /// A revocation list is past its `nextUpdate`; what it revokes stays revoked, what came later is not known.
    RevocationListOutdated {
        /// The file.
        path: PathBuf,
        /// Its authority.
        issuer: String,
    },
    /// A revocation list file could not be read when the own list was renewed; it was moved aside.
    RevocationListMovedAside {
        /// Where it is now.
        path: PathBuf,
    },
    /// A private key can be read by others.
    KeyOpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the broker's own files expires soon, or has expired.
    Expiring(Expiring),
}

/// A certificate or list of the broker's own files that is near its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// The file it stands in.
    pub path: PathBuf,
    /// Whose it is, for people.
    pub subject: String,
    /// Its last second, since the Unix epoch.
    pub not_after_s: u64,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthorityMade { subject } => {
                write!(f, "made the certificate authority `{subject}`")
            }
            Self::AuthorityRestored { subject } => {
                write!(f, "made the certificate of `{subject}` again from its key")
            }
            Self::ServerCertificateMade { reason } => {
                write!(f, "made the server certificate: {reason}")
            }
            Self::AuthorityOutsideValidity { subject } => {
                write!(f, "the authority `{subject}` is outside its validity and not trusted")
            }
            Self::AuthorityRevoked { subject } => {
                write!(f, "the authority `{subject}` is revoked and not trusted")
            }
            Self::AuthorityNotTrusted { subject } => write!(
                f,
                "the authority `{subject}` is not in the trust bundle: certificates it issued are refused"
            ),
            Self::RevocationListOutdated { path, issuer } => write!(
                f,
                "the revocation list of `{issuer}` in `{}` is past its nextUpdate; it stays in force",
                path.display()
            ),
            Self::RevocationListMovedAside { path } => {
                write!(f, "an unusable revocation list was moved to `{}`", path.display())
            }
            Self::KeyOpenToOthers { path } => {
                write!(f, "the key `{}` can be read by others: chmod 600", path.display())
            }
            Self::Expiring(expiring) => write!(
                f,
                "`{}` in `{}` ends at {} (Unix seconds)",
                expiring.subject,
                expiring.path.display(),
                expiring.not_after_s
            ),
        }
    }
}
