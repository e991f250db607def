//! Why a handshake or a chain is refused: a kind for metrics, a sentence for the log, and a remedy if
//! there is one.

use std::error::Error as StdError;
use std::fmt;

use rustls::{CertificateError, OtherError};

use crate::certificate::Facts;
use crate::fingerprint::Fingerprint;
use crate::revocation::Revoked;
use crate::serial::Serial;

/// Why a client's handshake failed, or why its certificate is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    detail: String,
}

/// The kinds of refusal: a closed set, so that it can be a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A certificate is demanded and none was sent.
    NoCertificate,
    /// The chain does not lead to an authority of the trust bundle.
    UnknownIssuer,
    /// A certificate of the chain is past its validity.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// A certificate of the chain is on a revocation list.
    Revoked,
    /// Its extended key usage does not include client authentication.
    WrongUsage,
    /// It is x.509 version 1, which the TLS library does not verify.
    VersionOne,
    /// It is an authority's certificate, which nobody logs in with.
    AuthorityAsClient,
    /// A signature in the chain does not fit.
    BadSignature,
    /// A key or signature algorithm that is not supported, or a key that is too short.
    UnsupportedAlgorithm,
    /// A name, path length or critical extension forbids the chain.
    Constraint,
    /// It is not a well-formed certificate.
    Malformed,
    /// The revocation list that counts for it cannot be used.
    RevocationList,
    /// The handshake failed for a reason that has nothing to do with certificates.
    Handshake,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What webpki said of the chain that begins with this leaf.
    pub(crate) fn of_chain(error: &webpki::Error, leaf: Option<&Facts>) -> Self {
        let kind = kind_of(error, leaf);
        let whose = leaf.map_or_else(
            || "the certificate".to_owned(),
            |facts| describe(&facts.subject, &facts.serial, &facts.fingerprint),
        );
        let issuer = leaf.map_or("its issuer", |facts| facts.issuer.as_str());
        let detail = match kind {
            RefusalKind::UnknownIssuer => {
                format!("{whose} was issued by `{issuer}`, which the trust bundle does not lead to")
            }
            RefusalKind::VersionOne => format!("{whose} is x.509 version 1"),
            RefusalKind::AuthorityAsClient => format!("{whose} is an authority's certificate"),
            _ => format!("{whose}: {error}"),
        };
        Self { kind, detail }
    }

    /// A certificate that is on a revocation list.
    pub(crate) fn revoked(revoked: &Revoked, description: &str) -> Self {
        let reason = revoked.reason;
        Self::new(RefusalKind::Revoked, format!("{description} is revoked: {reason}"))
    }

    /// From the error with which a handshake ended, which may be wrapped in others.
    pub(crate) fn of_handshake(error: &(dyn StdError + 'static)) -> Self {
        let mut current = Some(error);
        while let Some(error) = current {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                // An io::Error does not name the error inside it as its source but as its own text.
                if let Some(inner) = io.get_ref() {
                    return Self::of_handshake(inner);
                }
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::of_tls(tls);
            }
            current = error.source();
        }
        Self::new(RefusalKind::Handshake, crate::certificate::clean(&error.to_string()))
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let kind = match error {
            rustls::Error::NoCertificatesPresented => RefusalKind::NoCertificate,
            rustls::Error::InvalidCertificate(_) => RefusalKind::Malformed,
            _ => RefusalKind::Handshake,
        };
        Self::new(kind, crate::certificate::clean(&error.to_string()))
    }

    /// The kind, for metrics.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// What exactly is wrong, with the certificate's subject, serial and fingerprint where there is one.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What its owner can do about it, where something is known to help.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        self.kind.remedy()
    }

    /// As the TLS library wants it, which picks the alert from it.
    pub(crate) fn to_tls(&self) -> rustls::Error {
        let error = match self.kind {
            RefusalKind::UnknownIssuer => CertificateError::UnknownIssuer,
            RefusalKind::Expired => CertificateError::Expired,
            RefusalKind::NotYetValid => CertificateError::NotValidYet,
            RefusalKind::Revoked => CertificateError::Revoked,
            RefusalKind::WrongUsage => CertificateError::InvalidPurpose,
            RefusalKind::Malformed => CertificateError::BadEncoding,
            RefusalKind::BadSignature => CertificateError::BadSignature,
            RefusalKind::RevocationList => CertificateError::UnknownRevocationStatus,
            RefusalKind::NoCertificate
            | RefusalKind::VersionOne
            | RefusalKind::AuthorityAsClient
            | RefusalKind::UnsupportedAlgorithm
            | RefusalKind::Constraint
            | RefusalKind::Handshake => {
                CertificateError::Other(OtherError(std::sync::Arc::new(self.clone())))
            }
        };
        error.into()
    }
}

impl RefusalKind {
    /// A short name for a metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::WrongUsage => "wrong_usage",
            Self::VersionOne => "x509_v1",
            Self::AuthorityAsClient => "authority_as_client",
            Self::BadSignature => "bad_signature",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::Constraint => "constraint",
            Self::Malformed => "malformed",
            Self::RevocationList => "revocation_list",
            Self::Handshake => "handshake",
        }
    }

    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::VersionOne => Some(REMEDY_VERSION_ONE),
            Self::AuthorityAsClient => Some(REMEDY_AUTHORITY),
            Self::UnknownIssuer => Some(REMEDY_UNKNOWN_ISSUER),
            Self::WrongUsage => Some(REMEDY_USAGE),
            Self::UnsupportedAlgorithm => Some(REMEDY_ALGORITHM),
            Self::RevocationList => Some("replace the revocation list by one its authority signed"),
            Self::NotYetValid => {
                Some("compare the clocks of the server and of the issuing machine")
            }
            Self::NoCertificate
            | Self::Expired
            | Self::Revoked
            | Self::BadSignature
            | Self::Constraint
            | Self::Malformed
            | Self::Handshake => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; remedy: {remedy}"))
    }
}

impl StdError for Refusal {}

/// How a certificate is called in a log.
pub(crate) fn describe(subject: &str, serial: &Serial, fingerprint: &Fingerprint) -> String {
    format!("the certificate `{subject}` (serial {serial}, SHA-256 {fingerprint})")
}

fn kind_of(error: &webpki::Error, leaf: Option<&Facts>) -> RefusalKind {
    use webpki::Error as E;
    match error {
        // webpki may stumble over a v1 leaf at the field that it lacks, before it sees the version.
        _ if leaf.is_some_and(|facts| facts.is_version_one) => RefusalKind::VersionOne,
        E::UnsupportedCertVersion => RefusalKind::VersionOne,
        E::CaUsedAsEndEntity => RefusalKind::AuthorityAsClient,
        E::UnknownIssuer => RefusalKind::UnknownIssuer,
        E::CertExpired { .. } | E::InvalidCertValidity => RefusalKind::Expired,
        E::CertNotValidYet { .. } => RefusalKind::NotYetValid,
        E::CertRevoked => RefusalKind::Revoked,
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => RefusalKind::WrongUsage,
        E::InvalidSignatureForPublicKey | E::SignatureAlgorithmMismatch => {
            RefusalKind::BadSignature
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            RefusalKind::UnsupportedAlgorithm
        }
        E::InvalidCrlSignatureForPublicKey
        | E::IssuerNotCrlSigner
        | E::CrlExpired { .. }
        | E::UnknownRevocationStatus
        | E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => RefusalKind::RevocationList,
        E::NameConstraintViolation
        | E::PathLenConstraintViolated
        | E::EndEntityUsedAsCa
        | E::UnsupportedCriticalExtension
        | E::CertDistrusted
        | E::MaximumNameConstraintComparisonsExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded => RefusalKind::Constraint,
        // The library's enum is open; what it may add later concerns the shape of a certificate.
        _ => RefusalKind::Malformed,
    }
}

const REMEDY_VERSION_ONE: &str = "issue it again as version 3 by naming any extension, for example: \
     printf 'extendedKeyUsage=clientAuth\\n' > client.ext && \
     openssl x509 -req -in CLIENT.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 \
     -extfile client.ext -out CLIENT.crt";
const REMEDY_AUTHORITY: &str = "log in with a certificate of its own for each client: make a request with \
     `openssl req -new` and sign it with `openssl x509 -req … -extfile` and `extendedKeyUsage=clientAuth`; \
     `openssl req -x509` makes an authority";
const REMEDY_UNKNOWN_ISSUER: &str = "append the issuing authority's certificate to the trust bundle \
     (ca.crt), or let the client send the intermediate certificates too";
const REMEDY_USAGE: &str = "issue it again with extendedKeyUsage=clientAuth";
const REMEDY_ALGORITHM: &str = "use an RSA key of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519, signed with SHA-256 \
     or stronger";
