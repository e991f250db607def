//! Why a login was refused: a code for the peer, and a reason for the log.

use std::fmt;
use std::time::Duration;

use access::Lapse;

use crate::certificates::CertificateLapse;

/// A refused login. The variant decides the code; nothing else of it may reach the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// User name or password is bad: CONNACK 4, or 0x86.
    #[error("bad user name or password")]
    BadCredentials(RefusalReason),
    /// The certificate is good, but lets nobody in: CONNACK 5, or 0x87.
    #[error("not authorized")]
    NotAuthorized(RefusalReason),
    /// Too many failures, by this client or others: CONNACK 3, or 0x8A.
    #[error("too many failed logins")]
    Locked {
        /// For the log.
        reason: RefusalReason,
        /// How long it lasts.
        retry_after: Duration,
    },
    /// Too many passwords wait to be compared: CONNACK 3, or 0x89.
    #[error("server busy")]
    Busy(RefusalReason),
}

impl LoginRefused {
    pub(crate) fn new(kind: RefusalKind, username: Option<&str>) -> LoginRefused {
        let reason = RefusalReason { kind, username: username.map(shown) };
        match kind {
            RefusalKind::NothingGiven
            | RefusalKind::UsernameAbsent
            | RefusalKind::UsernameEmpty
            | RefusalKind::PasswordAbsent
            | RefusalKind::PasswordEmpty
            | RefusalKind::PasswordTooLong
            | RefusalKind::UnknownUser
            | RefusalKind::WrongPassword
            | RefusalKind::UserDisabled
            | RefusalKind::NoPasswordGrant
            | RefusalKind::NoPassword
            | RefusalKind::ProofMissing
            | RefusalKind::Lapsed(_) => LoginRefused::BadCredentials(reason),
            RefusalKind::NoCertificate
            | RefusalKind::NotOneCommonName
            | RefusalKind::CertificateUserUnknown
            | RefusalKind::CertificateUserDisabled
            | RefusalKind::NoCertificateGrant
            | RefusalKind::CertificateLapsed(_) => LoginRefused::NotAuthorized(reason),
            RefusalKind::UserLocked | RefusalKind::SourceLocked => {
                LoginRefused::Locked { reason, retry_after: Duration::ZERO }
            }
            RefusalKind::Busy => LoginRefused::Busy(reason),
        }
    }

    pub(crate) fn locked(kind: RefusalKind, username: &str, retry_after_ms: u64) -> LoginRefused {
        let reason = RefusalReason { kind, username: Some(shown(username)) };
        LoginRefused::Locked { reason, retry_after: Duration::from_millis(retry_after_ms) }
    }

    /// For the log, metrics and audit; never for the peer.
    pub fn reason(&self) -> &RefusalReason {
        match self {
            LoginRefused::BadCredentials(reason)
            | LoginRefused::NotAuthorized(reason)
            | LoginRefused::Locked { reason, .. }
            | LoginRefused::Busy(reason) => reason,
        }
    }
}

/// Why a login was refused, with the user name as it was given, made safe for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReason {
    /// Why.
    pub kind: RefusalKind,
    username: Option<String>,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.username {
            Some(username) => write!(f, "user `{username}`: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

/// Why a login was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusalKind {
    /// Neither user name nor password, and no user stands for that.
    #[error("no user name and no password given")]
    NothingGiven,
    /// A password without a user name.
    #[error("no user name given")]
    UsernameAbsent,
    /// An empty user name.
    #[error("empty user name")]
    UsernameEmpty,
    /// A user name without a password.
    #[error("no password given")]
    PasswordAbsent,
    /// An empty password.
    #[error("empty password")]
    PasswordEmpty,
    /// A password longer than any may be.
    #[error("password too long")]
    PasswordTooLong,
    /// There is no such user.
    #[error("unknown user")]
    UnknownUser,
    /// The password is another.
    #[error("wrong password")]
    WrongPassword,
    /// The user is disabled.
    #[error("user is disabled")]
    UserDisabled,
    /// The user has no grant type `password`.
    #[error("no grant type `password`")]
    NoPasswordGrant,
    /// The user has no password.
    #[error("user has no password")]
    NoPassword,
    /// Something that the user's grant types require was not given.
    #[error("a required proof is missing")]
    ProofMissing,
    /// The user was changed while the password was compared.
    #[error("the user was changed meanwhile: {0}")]
    Lapsed(Lapse),
    /// A certificate is demanded.
    #[error("no client certificate")]
    NoCertificate,
    /// The certificate's subject has no Common Name, or several.
    #[error("the certificate has not exactly one common name")]
    NotOneCommonName,
    /// No user has the certificate's Common Name.
    #[error("no user has the certificate's common name")]
    CertificateUserUnknown,
    /// The certificate's user is disabled.
    #[error("the certificate's user is disabled")]
    CertificateUserDisabled,
    /// The user has no grant type `certificate`.
    #[error("no grant type `certificate`")]
    NoCertificateGrant,
    /// The certificate is on record here as one that proves nothing any more.
    #[error("{0}")]
    CertificateLapsed(CertificateLapse),
    /// Too many failed logins as this user.
    #[error("the user is locked: too many failed logins")]
    UserLocked,
    /// Too many failed logins from this source.
    #[error("the source is locked: too many failed logins")]
    SourceLocked,
    /// Too many passwords wait to be compared.
    #[error("too many logins wait for their password to be compared")]
    Busy,
}

impl RefusalKind {
    /// What a lapse means to the holder of a certificate.
    pub(crate) fn of_certificate(lapse: Lapse) -> RefusalKind {
        match lapse {
            Lapse::UserRemoved => RefusalKind::CertificateUserUnknown,
            Lapse::UserDisabled => RefusalKind::CertificateUserDisabled,
            Lapse::CredentialsChanged | Lapse::GrantsUnsatisfied => RefusalKind::Lapsed(lapse),
        }
    }
}

/// Nothing of a name can end a log line, start another or fill the log.
fn shown(username: &str) -> String {
    let mut shown: String =
        username.chars().take(SHOWN_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if username.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Characters of a user name that a log line shows.
const SHOWN_CHARACTERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_cannot_forge_a_log_line() {
        let check = |username: &str, text: &str| {
            let refused = LoginRefused::new(RefusalKind::UnknownUser, Some(username));
            assert_eq!(refused.reason().to_string(), text);
        };
        check("bob", "user `bob`: unknown user");
        check("a\nb\u{1b}[2J", "user `a\\nb\\u{1b}[2J`: unknown user");
        check(&"x".repeat(65), &format!("user `{}…`: unknown user", "x".repeat(64)));
    }

    #[test]
    fn the_peers_text_is_the_same_for_an_unknown_user_and_a_wrong_password() {
        let text = |kind| LoginRefused::new(kind, Some("bob")).to_string();
        assert_eq!(text(RefusalKind::UnknownUser), text(RefusalKind::WrongPassword));
        assert_eq!(text(RefusalKind::UserDisabled), text(RefusalKind::WrongPassword));
    }
}
