//! What a client gives to log in, and which way of proving itself that is. Pure: nothing is looked up here.

use std::fmt;
use std::net::SocketAddr;

use crate::pool::Source;
use crate::refusal::RefusalKind;
use crate::settings::AuthenticationMode;

/// What a client gives to log in. Absent is not empty.
#[derive(Clone)]
pub struct LoginAttempt<'a> {
    /// The user name of CONNECT.
    pub username: Option<&'a str>,
    /// The password of CONNECT.
    pub password: Option<&'a [u8]>,
    /// The certificate that the TLS handshake has proven, chain, validity and revocation included.
    pub certificate: Option<ProvenCertificate>,
    /// Where it comes from.
    pub peer: PeerAddress,
}

/// A client certificate whose holder has proven to have its key, and whose chain has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenCertificate {
    /// Every Common Name of the subject, as the bytes that stand in it. There must be exactly one.
    pub common_names: Vec<Vec<u8>>,
    /// SHA-256 of the DER.
    pub fingerprint: [u8; 32],
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// This machine, by a Unix socket.
    Local,
    /// The network.
    Network(SocketAddr),
}

impl PeerAddress {
    pub(crate) fn source(self) -> Source {
        match self {
            PeerAddress::Local => Source::Local,
            PeerAddress::Network(address) => Source::of(address.ip()),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Local => f.write_str("local"),
            PeerAddress::Network(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for LoginAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginAttempt")
            .field("username", &self.username)
            .field("password", &self.password.map(|_| ".."))
            .field("certificate", &self.certificate)
            .field("peer", &self.peer)
            .finish()
    }
}

/// The way an attempt goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// By neither name nor password.
    Anonymous,
    /// By both.
    Password { username: &'a str, password: &'a [u8] },
    /// By certificate; name and password count only where the user's password is required besides.
    Certificate(&'a ProvenCertificate),
}

/// Decides the way. What is refused here is refused for what the client itself has sent, and at once.
pub(crate) fn way<'a>(
    mode: AuthenticationMode,
    attempt: &'a LoginAttempt<'_>,
    password_bytes_max: usize,
) -> Result<Way<'a>, RefusalKind> {
    match (mode, &attempt.certificate) {
        (AuthenticationMode::Password, _) | (AuthenticationMode::Either, None) => {
            way_by_name(attempt, password_bytes_max)
        }
        (AuthenticationMode::MutualTls, None) => Err(RefusalKind::NoCertificate),
        (AuthenticationMode::MutualTls | AuthenticationMode::Either, Some(certificate)) => {
            Ok(Way::Certificate(certificate))
        }
    }
}

pub(crate) fn way_by_name<'a>(
    attempt: &LoginAttempt<'a>,
    password_bytes_max: usize,
) -> Result<Way<'a>, RefusalKind> {
    match (attempt.username, attempt.password) {
        (None, None) => Ok(Way::Anonymous),
        (None, Some(_)) => Err(RefusalKind::UsernameAbsent),
        (Some(""), _) => Err(RefusalKind::UsernameEmpty),
        (Some(_), None) => Err(RefusalKind::PasswordAbsent),
        (Some(_), Some(b"")) => Err(RefusalKind::PasswordEmpty),
        (Some(_), Some(password)) if password.len() > password_bytes_max => {
            Err(RefusalKind::PasswordTooLong)
        }
        (Some(username), Some(password)) => Ok(Way::Password { username, password }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthenticationMode::{Either, MutualTls, Password};
    use RefusalKind::{
        NoCertificate, PasswordAbsent, PasswordEmpty, PasswordTooLong, UsernameAbsent,
        UsernameEmpty,
    };

    fn attempt<'a>(
        username: Option<&'a str>,
        password: Option<&'a [u8]>,
        certificate: Option<ProvenCertificate>,
    ) -> LoginAttempt<'a> {
        LoginAttempt { username, password, certificate, peer: PeerAddress::Local }
    }

    #[test]
    fn flaw_4_absent_empty_and_given_differ_in_all_nine_combinations() {
        let check = |username, password: Option<&[u8]>, expected| {
            let attempt = attempt(username, password, None);
            for mode in [Password, Either] {
                assert_eq!(way(mode, &attempt, 8), expected, "{username:?} {password:?}");
            }
        };
        let given = Way::Password { username: "bob", password: b"secret" };
        check(None, None, Ok(Way::Anonymous));
        check(None, Some(b""), Err(UsernameAbsent));
        check(None, Some(b"secret"), Err(UsernameAbsent));
        check(Some(""), None, Err(UsernameEmpty));
        check(Some(""), Some(b""), Err(UsernameEmpty));
        check(Some(""), Some(b"secret"), Err(UsernameEmpty));
        check(Some("bob"), None, Err(PasswordAbsent));
        check(Some("bob"), Some(b""), Err(PasswordEmpty));
        check(Some("bob"), Some(b"secret"), Ok(given));
        check(Some("bob"), Some(b"123456789"), Err(PasswordTooLong));
    }

    #[test]
    fn the_mode_decides_whether_the_certificate_or_the_password_counts() {
        let certificate = ProvenCertificate { common_names: vec![], fingerprint: [0; 32] };
        let check = |mode, has_certificate: bool, expected| {
            let certificate = has_certificate.then(|| certificate.clone());
            let attempt = attempt(Some("bob"), Some(b"secret"), certificate);
            assert_eq!(way(mode, &attempt, 8), expected, "{mode:?} {has_certificate}");
        };
        let by_password = || Ok(Way::Password { username: "bob", password: b"secret" });
        check(Password, false, by_password());
        check(Password, true, by_password());
        check(MutualTls, false, Err(NoCertificate));
        check(MutualTls, true, Ok(Way::Certificate(&certificate)));
        check(Either, false, by_password());
        check(Either, true, Ok(Way::Certificate(&certificate)));
    }

    #[test]
    fn flaw_31_an_attempt_does_not_show_its_password() {
        let shown = format!("{:?}", attempt(Some("bob"), Some(b"secret"), None));
        assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
    }
}
