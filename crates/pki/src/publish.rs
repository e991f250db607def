//! The built-in authority's own revocation list: signed anew with each change, foreign lists in the same file kept.

use std::collections::BTreeMap;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::SectionKind;

use crate::authority::{self, Authority, DAY_S};
use crate::error::PkiError;
use crate::files::{self, Readers};
use crate::layout::Files;
use crate::note::Note;
use crate::pem;
use crate::revocation::{Crl, Revocation, Revoked};
use crate::serial::Serial;

/// What `crl.pem` holds.
#[derive(Default)]
pub(crate) struct CrlFile {
    pub(crate) own: Option<Crl>,
    pub(crate) foreign: Vec<Crl>,
}

impl CrlFile {
    pub(crate) fn read(files: &Files, authority: &Authority) -> Result<Self, PkiError> {
        let path = files.crl();
        let Some(bytes) = files::read(&path)? else { return Ok(Self::default()) };
        let mut found = Self::default();
        for block in pem::blocks_of(&path, &bytes, SectionKind::Crl)? {
            let crl = Crl::parse(&path, block.line, &block.der)?;
            let is_own = crl.issuer_der == authority.facts.subject_der
                && crl.is_signed_by(&authority.facts.public_key);
            match (&found.own, is_own) {
                (None, true) => found.own = Some(crl),
                (Some(_), true) => {
                    let what = "a second list of the built-in authority";
                    return Err(PkiError::at_line(
                        &path,
                        block.line,
                        what,
                        "remove one of the two",
                    ));
                }
                (_, false) => found.foreign.push(crl),
            }
        }
        Ok(found)
    }

    /// Whether the own list is missing or should be signed anew.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        let next_update_s = self.own.as_ref().and_then(|own| own.next_update_s).unwrap_or(0);
        next_update_s < now.as_secs().saturating_add(RENEW_BEFORE_S)
    }
}

impl CrlFile {
    /// Adds what the list in force has and the file has not, be it that somebody put an old file there.
    pub(crate) fn merge(&mut self, in_force: Self) {
        let Some(theirs) = in_force.own else { return };
        match &mut self.own {
            None => {
                self.own = Some(theirs);
                self.foreign = in_force.foreign;
            }
            Some(own) => {
                let rank = |crl: &Crl| crl.number.as_ref().map(Serial::rank);
                if rank(own) < rank(&theirs) {
                    own.number = theirs.number;
                }
                for (serial, revoked) in theirs.revoked {
                    own.revoked.entry(serial).or_insert(revoked);
                }
            }
        }
    }
}

/// Signs and writes the own list: what it held before stays in it, `revocations` are added.
///
/// An entry is never dropped: a database restored from an old backup must not bring a revoked certificate back.
pub(crate) fn write(
    files: &Files,
    authority: &Authority,
    present: &CrlFile,
    revocations: &[Revocation],
    now: UnixTime,
) -> Result<(), PkiError> {
    let mut entries: BTreeMap<&Serial, Revoked> = BTreeMap::new();
    if let Some(own) = &present.own {
        entries.extend(own.revoked.iter().map(|(serial, revoked)| (serial, *revoked)));
    }
    for revocation in revocations {
        let revoked = Revoked { at_s: revocation.revoked_at_s, reason: revocation.reason };
        entries.entry(&revocation.serial).or_insert(revoked);
    }
    let number = next_number(present.own.as_ref(), now);
    let der = sign(authority, &entries, number, now)?;
    let mut text = pem::encode("X509 CRL", &der).to_string();
    for crl in &present.foreign {
        text.push_str(&format!("\n# {}\n", crl.issuer));
        text.push_str(&pem::encode("X509 CRL", &crl.der));
    }
    files::replace(&files.crl(), text.as_bytes(), Readers::Everybody)
}

/// Moves a file that cannot be read out of the way: a revocation must not wait for its repair.
pub(crate) fn move_aside(files: &Files) -> Result<Note, PkiError> {
    let aside = files.directory().join("crl.pem.unusable");
    files::rename(&files.crl(), &aside)?;
    Ok(Note::RevocationListMovedAside { path: aside })
}

fn sign(
    authority: &Authority,
    entries: &BTreeMap<&Serial, Revoked>,
    number: u64,
    now: UnixTime,
) -> Result<Vec<u8>, PkiError> {
    let key_identifier_method = match &authority.facts.subject_key {
        Some(key) => KeyIdMethod::PreSpecified(key.clone()),
        None => KeyIdMethod::Sha256,
    };
    let revoked_certs = entries.iter().map(|(serial, revoked)| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial.as_bytes()),
        revocation_time: authority::date(revoked.at_s),
        reason_code: Some(revoked.reason.to_rcgen()),
        invalidity_date: None,
    });
    let parameters = CertificateRevocationListParams {
        this_update: authority::date(now.as_secs().saturating_sub(CLOCK_SKEW_S)),
        next_update: authority::date(now.as_secs().saturating_add(VALIDITY_S)),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method,
    };
    parameters
        .signed_by(authority.issuer())
        .map(|list| list.der().to_vec())
        .map_err(|error| PkiError::crypto("sign the revocation list", error))
}

/// Above the last one, and above any that was lost with the file: the clock only goes forward.
fn next_number(own: Option<&Crl>, now: UnixTime) -> u64 {
    let last = own.and_then(|own| own.number.as_ref()).map_or(0, |number| {
        number.as_bytes().iter().fold(0_u64, |value, byte| {
            value.checked_mul(256).map_or(u64::MAX, |shifted| shifted | u64::from(*byte))
        })
    });
    last.saturating_add(1).max(now.as_secs())
}

const VALIDITY_S: u64 = 7 * DAY_S;
const RENEW_BEFORE_S: u64 = 6 * DAY_S;
const CLOCK_SKEW_S: u64 = 300;
