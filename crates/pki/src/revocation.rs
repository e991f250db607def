//! Revocation lists: read strictly, checked against the authority they name, looked up by issuer and serial.
//!
//! The look-up answers in a hash table's time, for handshakes and for connections that are already there; webpki would check
//! a list's signature in every handshake, at a fifth of its cost, where once when it is read is enough. A list past its `nextUpdate` stays in force (what is revoked stays
//! revoked) and is warned about.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use webpki::OwnedCertRevocationList;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::{name_for_people, seconds};
use crate::error::PkiError;
use crate::fingerprint::Fingerprint;
use crate::identity::Link;
use crate::serial::Serial;
use crate::tls;

/// A certificate to be put on the built-in authority's revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number.
    pub serial: Serial,
    /// When it was revoked, in seconds since the Unix epoch.
    pub revoked_at_s: u64,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a certificate was revoked (RFC 5280 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// No reason given.
    #[default]
    Unspecified,
    /// Somebody else may have its key.
    KeyCompromise,
    /// Somebody else may have its issuer's key.
    AuthorityCompromise,
    /// The subject's name or affiliation changed.
    AffiliationChanged,
    /// A newer certificate took its place.
    Superseded,
    /// Not needed any more.
    CessationOfOperation,
    /// On hold.
    Hold,
    /// A privilege was withdrawn.
    PrivilegeWithdrawn,
}

/// An entry of a list in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) at_s: u64,
    pub(crate) reason: RevocationReason,
}

/// One revocation list.
pub(crate) struct Crl {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) issuer: String,
    pub(crate) authority_key: Option<Vec<u8>>,
    /// Big-endian, without leading zeros.
    pub(crate) number: Option<Serial>,
    pub(crate) this_update_s: u64,
    pub(crate) next_update_s: Option<u64>,
    pub(crate) revoked: HashMap<Serial, Revoked>,
    /// Whether its signature was checked against an authority of the trust bundle.
    pub(crate) is_proven: bool,
    distribution_point: Option<Vec<u8>>,
    signed_part: Vec<u8>,
    signature: Vec<u8>,
}

/// All lists in force.
#[derive(Default)]
pub(crate) struct CrlSet {
    pub(crate) crls: Vec<Arc<Crl>>,
    by_issuer: HashMap<Vec<u8>, Vec<Arc<Crl>>>,
}

impl Crl {
    /// Reads one list; what webpki could not use later is refused now.
    pub(crate) fn parse(path: &Path, line: usize, der: &[u8]) -> Result<Self, PkiError> {
        let bad = |what: String| PkiError::at_line(path, line, what, REMEDY);
        OwnedCertRevocationList::from_der(der)
            .map_err(|error| bad(format!("not a usable revocation list ({error})")))?;
        let (rest, parsed) = CertificateRevocationList::from_der(der)
            .map_err(|_| bad("not a well-formed revocation list".to_owned()))?;
        if !rest.is_empty() {
            return Err(bad("bytes follow the revocation list".to_owned()));
        }
        let tbs = &parsed.tbs_cert_list;
        let (authority_key, number, distribution_point) = extensions(&parsed);
        Ok(Self {
            path: path.to_owned(),
            line,
            der: der.to_vec(),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            issuer: name_for_people(&tbs.issuer),
            authority_key,
            number,
            this_update_s: seconds(tbs.this_update),
            next_update_s: tbs.next_update.map(seconds),
            revoked: entries(&parsed),
            is_proven: false,
            distribution_point,
            signed_part: tbs.as_ref().to_vec(),
            signature: parsed.signature_value.data.to_vec(),
        })
    }

    /// Whether this bare public key made the signature, by an algorithm that TLS here accepts.
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        tls::is_signed_by(public_key, &self.signed_part, &self.signature)
    }

    /// Whether the two cover the same ground, so that the newer makes the other's age unimportant.
    fn covers_the_same(&self, other: &Self) -> bool {
        self.issuer_der == other.issuer_der
            && self.authority_key == other.authority_key
            && self.distribution_point == other.distribution_point
    }

    /// Orders lists of one issuer by age.
    fn rank(&self) -> (Option<(usize, Vec<u8>)>, u64) {
        let number = self.number.as_ref().map(Serial::rank);
        (number, self.this_update_s)
    }
}

impl CrlSet {
    /// All lists, the newest first: webpki asks the first of an issuer only.
    pub(crate) fn new(all: impl IntoIterator<Item = Crl>) -> Self {
        let mut crls: Vec<Arc<Crl>> = all.into_iter().map(Arc::new).collect();
        crls.sort_by_key(|crl| std::cmp::Reverse(crl.rank()));
        let mut by_issuer: HashMap<Vec<u8>, Vec<Arc<Crl>>> = HashMap::new();
        for crl in &crls {
            by_issuer.entry(crl.issuer_der.clone()).or_default().push(Arc::clone(crl));
        }
        Self { crls, by_issuer }
    }

    /// The newest lists of their kind that are past their `nextUpdate`.
    pub(crate) fn outdated(&self, now_s: u64) -> impl Iterator<Item = &Crl> {
        let newest = self.crls.iter().enumerate().filter(|(index, crl)| {
            !self.crls.iter().take(*index).any(|newer| newer.covers_the_same(crl))
        });
        newest
            .map(|(_, crl)| crl.as_ref())
            .filter(move |crl| crl.next_update_s.is_some_and(|next_update_s| next_update_s < now_s))
    }

    /// Whether any list of its issuer names this certificate: an older list counts as long as it lies there, since
    /// dropping a revocation is the worse mistake. Two authorities of one name are told apart by their keys' identifiers.
    pub(crate) fn find(&self, link: &Link) -> Option<Revoked> {
        self.by_issuer.get(&link.issuer_der)?.iter().find_map(|crl| {
            let is_other_key = matches!(
                (&crl.authority_key, &link.authority_key),
                (Some(of_list), Some(of_certificate)) if of_list != of_certificate
            );
            if is_other_key { None } else { crl.revoked.get(&link.serial).copied() }
        })
    }

    /// Stands for who is revoked by whom: a list signed anew without a change keeps it.
    pub(crate) fn digest(&self) -> Fingerprint {
        let mut parts: Vec<Vec<u8>> = self.crls.iter().map(|crl| crl.content()).collect();
        parts.sort();
        Fingerprint::of_sequence(parts.iter().map(Vec::as_slice))
    }
}

impl Crl {
    fn content(&self) -> Vec<u8> {
        let mut serials: Vec<&Serial> = self.revoked.keys().collect();
        serials.sort();
        let key: &[u8] = self.authority_key.as_deref().unwrap_or_default();
        let point: &[u8] = self.distribution_point.as_deref().unwrap_or_default();
        let named = [self.issuer_der.as_slice(), key, point];
        let parts = named.into_iter().chain(serials.into_iter().map(Serial::as_bytes));
        Fingerprint::of_sequence(parts).as_bytes().to_vec()
    }
}

impl RevocationReason {
    /// As RFC 5280 numbers them.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::KeyCompromise,
            2 | 10 => Self::AuthorityCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::Hold,
            9 => Self::PrivilegeWithdrawn,
            _ => Self::Unspecified,
        }
    }

    pub(crate) fn to_rcgen(self) -> rcgen::RevocationReason {
        match self {
            Self::Unspecified => rcgen::RevocationReason::Unspecified,
            Self::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
            Self::AuthorityCompromise => rcgen::RevocationReason::CaCompromise,
            Self::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
            Self::Superseded => rcgen::RevocationReason::Superseded,
            Self::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
            Self::Hold => rcgen::RevocationReason::CertificateHold,
            Self::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "no reason given",
            Self::KeyCompromise => "key compromise",
            Self::AuthorityCompromise => "authority compromise",
            Self::AffiliationChanged => "affiliation changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation of operation",
            Self::Hold => "on hold",
            Self::PrivilegeWithdrawn => "privilege withdrawn",
        })
    }
}

type Extensions = (Option<Vec<u8>>, Option<Serial>, Option<Vec<u8>>);

fn extensions(parsed: &CertificateRevocationList<'_>) -> Extensions {
    let (mut key, mut number, mut point) = (None, None, None);
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => {
                key = found.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
            ParsedExtension::CRLNumber(found) => {
                number = Some(Serial::from_bytes(&found.to_bytes_be()));
            }
            ParsedExtension::IssuingDistributionPoint(_) => point = Some(extension.value.to_vec()),
            _ => {}
        }
    }
    (key, number, point)
}

fn entries(parsed: &CertificateRevocationList<'_>) -> HashMap<Serial, Revoked> {
    parsed
        .iter_revoked_certificates()
        .map(|entry| {
            let code = entry.reason_code().map_or(0, |(_, code)| code.0);
            let at_s = seconds(entry.revocation_date);
            let revoked = Revoked { at_s, reason: RevocationReason::from_code(code) };
            (Serial::from_bytes(entry.raw_serial()), revoked)
        })
        .collect()
}

const REMEDY: &str = "put a complete version 2 list there, neither delta nor indirect, for example by `openssl ca -gencrl`";
