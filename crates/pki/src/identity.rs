//! Who the peer of a handshake is, as its certificate says, and whether that still holds.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::certificate::Facts;
use crate::common_name::CommonNameFault;
use crate::fingerprint::Fingerprint;
use crate::refusal::{self, Refusal};
use crate::serial::Serial;

/// Whom a verified client certificate names, with all that is needed to judge it again later.
///
/// Made by [`Pki::identify`](crate::Pki::identify) only, which judges the chain, so holding one means that
/// it was good then.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    common_name: Arc<str>,
    not_before_s: u64,
    /// The chain as the client sent it, leaf first.
    chain: Arc<[CertificateDer<'static>]>,
    links: Arc<[Link]>,
    digest: Fingerprint,
}

/// One certificate of a chain, as revocation lists and people call it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) issuer: String,
    pub(crate) authority_key: Option<Vec<u8>>,
    pub(crate) serial: Serial,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_after_s: u64,
    pub(crate) subject: String,
}

/// The certificate names nobody, or is not good (any more).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The handshake went without a client certificate.
    #[error("no client certificate")]
    NoCertificate,
    /// A certificate of the chain cannot be read.
    #[error("certificate {0} of the chain cannot be read")]
    Malformed(usize),
    /// No common name.
    #[error("the certificate's subject has no common name")]
    NoCommonName,
    /// More than one common name, so it is not clear which is meant.
    #[error("the certificate's subject has {0} common names")]
    SeveralCommonNames(usize),
    /// The common name is neither a UTF8String nor a PrintableString.
    #[error("the certificate's common name is neither a UTF8String nor a PrintableString")]
    CommonNameEncoding,
    /// The common name holds a NUL or another control character, or is empty.
    #[error("the certificate's common name holds a control character or is empty")]
    CommonNameCharacters,
    /// It was good, and its user was removed since: whoever has the name now is another.
    #[error("the certificate was that of a user `{0}` who was removed")]
    UserRemoved(String),
    /// The certificate is not good, be it that the session was resumed.
    #[error(transparent)]
    Lapsed(#[from] Lapse),
}

/// Why a certificate that was good is not any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// Its validity is over.
    #[error("the certificate expired: notAfter was {not_after_s} (Unix seconds)")]
    Expired {
        /// Seconds since the Unix epoch.
        not_after_s: u64,
    },
    /// A certificate of the chain is on a revocation list.
    #[error("{0}")]
    Revoked(Refusal),
    /// The chain does not verify against the present trust bundle and revocation lists.
    #[error("{0}")]
    Untrusted(Refusal),
}

impl PeerIdentity {
    /// Reads a chain, leaf first, and believes it: judging is the caller's next step. Never panics.
    pub(crate) fn parse(chain: &[CertificateDer<'_>]) -> Result<Self, IdentityError> {
        let mut facts = Vec::with_capacity(chain.len());
        for (index, certificate) in chain.iter().enumerate() {
            facts.push(Facts::of(certificate).ok_or(IdentityError::Malformed(index + 1))?);
        }
        let leaf = facts.first().ok_or(IdentityError::NoCertificate)?;
        let common_name = leaf.common_name.clone().map_err(IdentityError::from)?;
        Ok(Self {
            common_name: common_name.into(),
            not_before_s: leaf.not_before_s,
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            digest: chain_digest(chain),
            links: facts.iter().map(Link::of).collect(),
        })
    }

    /// The certificate's one common name, byte for byte: the user that the peer claims to be.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.leaf().map_or_else(|| Fingerprint::of(&[]), |leaf| leaf.fingerprint)
    }

    /// The certificate's serial number.
    #[must_use]
    pub fn serial(&self) -> Serial {
        self.leaf().map_or_else(|| Serial::from_bytes(&[]), |leaf| leaf.serial.clone())
    }

    /// The issuer's name, for people: bounded, and without control characters.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.leaf().map_or("", |leaf| leaf.issuer.as_str())
    }

    /// First second of the validity, since the Unix epoch.
    #[must_use]
    pub fn not_before_s(&self) -> u64 {
        self.not_before_s
    }

    /// Last second of the validity, since the Unix epoch: the connection ends when it has passed.
    #[must_use]
    pub fn not_after_s(&self) -> u64 {
        self.leaf().map_or(0, |leaf| leaf.not_after_s)
    }

    /// When to ask [`Pki::still_good`](crate::Pki::still_good) again although no file has changed: the last second at which
    /// every certificate that the client sent is within its validity.
    #[must_use]
    pub fn judge_again_after_s(&self) -> u64 {
        self.links.iter().map(|link| link.not_after_s).min().unwrap_or(0)
    }

    /// Fingerprint and issuer of every certificate that the client sent, leaf first.
    pub fn chain(&self) -> impl Iterator<Item = (Fingerprint, &str)> {
        self.links.iter().map(|link| (link.fingerprint, link.issuer.as_str()))
    }

    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn digest(&self) -> Fingerprint {
        self.digest
    }

    pub(crate) fn has_expired(&self, now: UnixTime) -> Result<(), Lapse> {
        let not_after_s = self.not_after_s();
        if now.as_secs() > not_after_s { Err(Lapse::Expired { not_after_s }) } else { Ok(()) }
    }

    fn leaf(&self) -> Option<&Link> {
        self.links.first()
    }
}

impl Link {
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            issuer_der: facts.issuer_der.clone(),
            issuer: facts.issuer.clone(),
            authority_key: facts.authority_key.clone(),
            serial: facts.serial.clone(),
            fingerprint: facts.fingerprint,
            not_after_s: facts.not_after_s,
            subject: facts.subject.clone(),
        }
    }

    /// How it is called in a log.
    pub(crate) fn description(&self) -> String {
        refusal::describe(&self.subject, &self.serial, &self.fingerprint)
    }
}

impl From<CommonNameFault> for IdentityError {
    fn from(fault: CommonNameFault) -> Self {
        match fault {
            CommonNameFault::None => Self::NoCommonName,
            CommonNameFault::Several(count) => Self::SeveralCommonNames(count),
            CommonNameFault::Encoding => Self::CommonNameEncoding,
            CommonNameFault::Characters => Self::CommonNameCharacters,
        }
    }
}

/// What stands for a chain where its verification is remembered.
pub(crate) fn chain_digest(chain: &[CertificateDer<'_>]) -> Fingerprint {
    Fingerprint::of_sequence(chain.iter().map(AsRef::as_ref))
}
