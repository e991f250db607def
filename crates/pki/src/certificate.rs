//! What a certificate says of itself, read once. Nothing here decides whether to believe it.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{KeyUsage, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{X509Name, X509Version};

use crate::common_name::{self, CommonNameFault};
use crate::fingerprint::Fingerprint;
use crate::serial::Serial;

/// The parts of a certificate that this crate looks at.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) is_version_one: bool,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    /// For people: bounded, without control characters.
    pub(crate) subject: String,
    /// For people: bounded, without control characters.
    pub(crate) issuer: String,
    pub(crate) common_name: Result<String, CommonNameFault>,
    pub(crate) serial: Serial,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_before_s: u64,
    pub(crate) not_after_s: u64,
    pub(crate) authority_key: Option<Vec<u8>>,
    pub(crate) subject_key: Option<Vec<u8>>,
    /// The subject's public key, bare.
    pub(crate) public_key: Vec<u8>,
    pub(crate) standing: Standing,
    /// Whether its key usage, if there is one, includes signing revocation lists.
    pub(crate) may_sign_lists: bool,
}

/// Whether a certificate may issue others, by its own extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// basicConstraints says so, and a key usage, if there is one, allows it.
    Authority,
    /// basicConstraints says that it is not, or there are none, or they are malformed.
    EndEntity,
    /// basicConstraints says so, but its key usage does not include signing certificates.
    MayNotSign,
    /// x.509 v1 has no extensions to say it in; self-issued, as an old root is.
    VersionOneRoot,
}

impl Facts {
    /// Of these DER bytes; `None` if they are not one whole certificate. Never panics.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let tbs = &parsed.tbs_certificate;
        // A set without an element is no name (X.501), and not every library survives one.
        let names = [&tbs.subject, &tbs.issuer];
        if names.iter().any(|name| name.iter_rdn().any(|part| part.iter().next().is_none())) {
            return None;
        }
        let subject_der = tbs.subject.as_raw().to_vec();
        let issuer_der = tbs.issuer.as_raw().to_vec();
        Some(Self {
            is_version_one: tbs.version == X509Version::V1,
            subject: name_for_people(&tbs.subject),
            issuer: name_for_people(&tbs.issuer),
            common_name: common_name::common_name(&tbs.subject),
            serial: Serial::from_bytes(parsed.raw_serial()),
            fingerprint: Fingerprint::of(der),
            not_before_s: seconds(tbs.validity.not_before),
            not_after_s: seconds(tbs.validity.not_after),
            authority_key: authority_key(&parsed),
            subject_key: subject_key(&parsed),
            public_key: tbs.subject_pki.subject_public_key.data.to_vec(),
            may_sign_lists: may(&parsed, KeyUsage::crl_sign),
            standing: standing(&parsed, subject_der == issuer_der),
            subject_der,
            issuer_der,
        })
    }

    /// Whether the two are within their validity at this second, ends included (RFC 5280 4.1.2.5).
    pub(crate) fn is_valid_at(&self, now_s: u64) -> bool {
        (self.not_before_s..=self.not_after_s).contains(&now_s)
    }
}

/// A distinguished name as text that may go to a log: bounded, and without control characters.
pub(crate) fn name_for_people(name: &X509Name<'_>) -> String {
    clean(&name.to_string())
}

/// Text from a peer, made fit for a log line.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String = text
        .chars()
        .take(NAME_CHARACTERS_MAX)
        .map(
            |character| {
                if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
            },
        )
        .collect();
    if text.chars().nth(NAME_CHARACTERS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// Seconds since the Unix epoch; what lies before it counts as the epoch.
pub(crate) fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}

fn standing(parsed: &X509Certificate<'_>, is_self_issued: bool) -> Standing {
    if parsed.tbs_certificate.version == X509Version::V1 {
        return if is_self_issued { Standing::VersionOneRoot } else { Standing::EndEntity };
    }
    let says_authority = matches!(parsed.basic_constraints(), Ok(Some(found)) if found.value.ca);
    let may_sign = may(parsed, KeyUsage::key_cert_sign);
    match (says_authority, may_sign) {
        (true, true) => Standing::Authority,
        (true, false) => Standing::MayNotSign,
        (false, _) => Standing::EndEntity,
    }
}

/// Without a key usage a key may be used for everything (RFC 5280 4.2.1.3).
fn may(parsed: &X509Certificate<'_>, usage: fn(&KeyUsage) -> bool) -> bool {
    match parsed.key_usage() {
        Ok(Some(found)) => usage(found.value),
        Ok(None) => true,
        Err(_) => false,
    }
}

fn authority_key(parsed: &X509Certificate<'_>) -> Option<Vec<u8>> {
    parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => {
            found.key_identifier.as_ref().map(|key| key.0.to_vec())
        }
        _ => None,
    })
}

fn subject_key(parsed: &X509Certificate<'_>) -> Option<Vec<u8>> {
    parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
        _ => None,
    })
}

/// Enough for any honest name; a peer chooses it, so it does not get to fill the log.
const NAME_CHARACTERS_MAX: usize = 200;
