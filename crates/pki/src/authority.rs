//! The built-in certificate authority: its key, its certificate, and what it signs.
//!
//! A new authority is made in an order that survives a crash at any point: the key under a waiting name, then the
//! certificate in the bundle, then the key's final name. So a key in place always has had its certificate in
//! the bundle, and a bundle without it says that the operator took it out.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::certificate::Facts;
use crate::error::{IssueError, PkiError};
use crate::files::{self, Readers};
use crate::fingerprint::Fingerprint;
use crate::layout::Files;
use crate::note::Note;
use crate::pem;
use crate::private_key::PrivateKeyPem;
use crate::serial::Serial;
use crate::trust::{self, Anchor};

/// A certificate that was just issued, with its key if the key was made here.
pub struct Issued {
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// Its private key; `None` if a request was signed.
    pub key_pem: Option<PrivateKeyPem>,
    /// Its serial number: 128 random bits, positive.
    pub serial: Serial,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// First second of its validity, since the Unix epoch.
    pub not_before_s: u64,
    /// Last second of its validity, since the Unix epoch.
    pub not_after_s: u64,
    pub(crate) der: CertificateDer<'static>,
}

/// A key that may sign, with the certificate that goes with it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) facts: Facts,
    pub(crate) der: CertificateDer<'static>,
    /// Whether its certificate is in the trust bundle. If not, it signs the server's certificate but issues no other.
    pub(crate) is_trusted: bool,
}

impl Authority {
    /// Makes what is missing in the directory; never touches a key that is there, nor one that the operator named.
    pub(crate) fn prepare(
        files: &Files,
        now: UnixTime,
        notes: &mut Vec<Note>,
    ) -> Result<(), PkiError> {
        if files.authority_key.is_some() {
            return Ok(());
        }
        settle_new_key(files)?;
        let path = files.own_bundle();
        let bytes = files::read(&path)?;
        let bundle = bytes.as_ref().map(|bytes| trust::read_bundle(&path, bytes)).transpose()?;
        match files::read(&files.authority_key())? {
            Some(key) if bundle.is_none() => {
                // The name is made from the key, so what was issued leads to the restored certificate too.
                let key = key_pair(files, &key)?;
                let certificate = make_certificate(&key, now)?;
                files::replace(&path, certificate.pem.as_bytes(), Readers::Everybody)?;
                notes.push(Note::AuthorityRestored { subject: certificate.subject });
            }
            Some(_) => {}
            None => {
                refuse_lost_key(files, bundle.as_deref().unwrap_or_default())?;
                let present = bytes.map(|bytes| bytes.to_vec()).unwrap_or_default();
                notes.push(make(files, present, now)?);
            }
        }
        Ok(())
    }

    /// Reads key and certificate. `bundle` is the trust bundle in force.
    pub(crate) fn load(files: &Files, bundle: &[Anchor], now: UnixTime) -> Result<Self, PkiError> {
        let path = files.authority_key();
        let Some(bytes) = files::read(&path)? else {
            return Err(PkiError::unusable(&path, "there is no such file", REMEDY_LOST_KEY));
        };
        let key = key_pair(files, &bytes)?;
        let is_of_key = |anchor: &&Anchor| anchor.facts.public_key == key.der_bytes();
        let trusted = bundle.iter().find(is_of_key).cloned();
        let is_trusted = trusted.is_some();
        let anchor = match trusted {
            Some(anchor) => anchor,
            None => own_certificate(files, &key, now)?,
        };
        let issuer = Issuer::from_ca_cert_der(&anchor.der, key)
            .map_err(|error| PkiError::crypto("use the authority's certificate", error))?;
        Ok(Self { issuer, facts: anchor.facts, der: anchor.der, is_trusted })
    }

    /// Signs a client's certificate over this public key. Nothing but the key comes from outside.
    pub(crate) fn sign_client(
        &self,
        user: &str,
        key: &impl PublicKeyData,
        days: u32,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        self.may_issue(now)?;
        let (not_before_s, not_after_s) = self.validity(days, now)?;
        let mut name = DistinguishedName::new();
        // rcgen writes a str as UTF8String.
        name.push(DnType::CommonName, user);
        let mut parameters = leaf_parameters(name, not_before_s, not_after_s)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters
            .signed_by(key, &self.issuer)
            .map_err(|error| IssueError::crypto("sign a certificate", error))?;
        let der = CertificateDer::from(certificate);
        let facts = Facts::of(&der)
            .ok_or_else(|| IssueError::crypto("read back a certificate", "it is malformed"))?;
        Ok(Issued {
            certificate_pem: pem::encode("CERTIFICATE", &der).to_string(),
            key_pem: None,
            serial: facts.serial,
            fingerprint: facts.fingerprint,
            not_before_s: facts.not_before_s,
            not_after_s: facts.not_after_s,
            der,
        })
    }

    /// The signing half, for the server's certificate and the revocation list.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    fn may_issue(&self, now: UnixTime) -> Result<(), IssueError> {
        let subject = &self.facts.subject;
        if !self.is_trusted {
            let reason = format!(
                "its certificate `{subject}` is not in the trust bundle; append it there to issue again"
            );
            return Err(IssueError::Authority { reason });
        }
        if !self.facts.is_valid_at(now.as_secs()) {
            let reason = format!("its certificate `{subject}` is outside its validity");
            return Err(IssueError::Authority { reason });
        }
        Ok(())
    }

    /// From a little before now (clocks differ) for so many days, but never beyond the authority's own end.
    fn validity(&self, days: u32, now: UnixTime) -> Result<(u64, u64), IssueError> {
        if days == 0 {
            return Err(IssueError::Validity { days, reason: "it must be at least one day" });
        }
        if days > VALIDITY_DAYS_MAX {
            return Err(IssueError::Validity { days, reason: "it must be at most 100 years" });
        }
        let now_s = now.as_secs();
        let not_before_s = now_s.saturating_sub(CLOCK_SKEW_S).max(self.facts.not_before_s);
        let not_after_s = now_s.saturating_add(u64::from(days) * DAY_S).min(self.facts.not_after_s);
        Ok((not_before_s, not_after_s))
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("serial", &self.serial)
            .field("fingerprint", &self.fingerprint)
            .field("not_before_s", &self.not_before_s)
            .field("not_after_s", &self.not_after_s)
            .finish_non_exhaustive()
    }
}

/// What every end entity's certificate of this authority has.
pub(crate) fn leaf_parameters(
    name: DistinguishedName,
    not_before_s: u64,
    not_after_s: u64,
) -> Result<CertificateParams, IssueError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.serial_number =
        Some(random_serial().map_err(|error| IssueError::crypto("draw a serial number", error))?);
    parameters.not_before = date(not_before_s);
    parameters.not_after = date(not_after_s);
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// A new P-256 key.
pub(crate) fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

/// A key as PKCS#8 PEM.
pub(crate) fn key_pem(key: &KeyPair) -> Zeroizing<String> {
    pem::encode("PRIVATE KEY", key.serialized_der())
}

/// For rcgen.
pub(crate) fn date(seconds: u64) -> OffsetDateTime {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Reads a private key of any kind that PEM knows.
pub(crate) fn read_key(
    path: &std::path::Path,
    bytes: &[u8],
) -> Result<PrivateKeyDer<'static>, PkiError> {
    for block in pem::known_blocks(path, bytes)? {
        let der = block.der.to_vec();
        match block.kind {
            SectionKind::PrivateKey => return Ok(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::EcPrivateKey => return Ok(PrivateKeyDer::Sec1(der.into())),
            SectionKind::RsaPrivateKey => return Ok(PrivateKeyDer::Pkcs1(der.into())),
            _ => {}
        }
    }
    Err(PkiError::unusable(path, "holds no private key", "put an unencrypted PEM key there"))
}

/// A name by which an authority of this make is known again, even when its key is gone.
fn is_of_this_make(subject: &str) -> bool {
    subject.starts_with(&format!("O={ORGANIZATION}, CN={NAME_PREFIX} "))
}

struct OwnCertificate {
    pem: Zeroizing<String>,
    der: CertificateDer<'static>,
    subject: String,
}

/// Ends what a crash has interrupted: the waiting key gets its name if its certificate is in place, else it goes.
fn settle_new_key(files: &Files) -> Result<(), PkiError> {
    let waiting = files.new_authority_key();
    let Some(bytes) = files::read(&waiting)? else { return Ok(()) };
    let is_taken = files::read(&files.authority_key())?.is_some();
    let Some(key) = key_pair(files, &bytes).ok().filter(|_| !is_taken) else {
        return files::remove(&waiting);
    };
    let path = files.own_bundle();
    let bundle = match files::read(&path)? {
        Some(bytes) => trust::read_bundle(&path, &bytes)?,
        None => Vec::new(),
    };
    if bundle.iter().any(|anchor| anchor.facts.public_key == key.der_bytes()) {
        files::rename(&waiting, &files.authority_key())
    } else {
        files::remove(&waiting)
    }
}

/// An authority of this make in the bundle whose key is gone: a new one would not be what its clients trust.
fn refuse_lost_key(files: &Files, bundle: &[Anchor]) -> Result<(), PkiError> {
    match bundle.iter().find(|anchor| is_of_this_make(&anchor.facts.subject)) {
        None => Ok(()),
        Some(anchor) => {
            let what = format!(
                "missing, although its certificate `{}` is in `{}`",
                anchor.facts.subject,
                files.own_bundle().display()
            );
            Err(PkiError::unusable(&files.authority_key(), what, REMEDY_LOST_KEY))
        }
    }
}

fn make(files: &Files, mut bundle: Vec<u8>, now: UnixTime) -> Result<Note, PkiError> {
    let key = new_key().map_err(|error| PkiError::crypto("make the authority's key", error))?;
    let certificate = make_certificate(&key, now)?;
    files::create(&files.new_authority_key(), key_pem(&key).as_bytes(), Readers::Owner)?;
    if !bundle.is_empty() && !bundle.ends_with(b"\n") {
        bundle.push(b'\n');
    }
    bundle.extend_from_slice(certificate.pem.as_bytes());
    files::replace(&files.own_bundle(), &bundle, Readers::Everybody)?;
    files::rename(&files.new_authority_key(), &files.authority_key())?;
    Ok(Note::AuthorityMade { subject: certificate.subject })
}

/// The certificate of a key whose certificate is not in the bundle: from `ca.crt`, else made anew for this run.
fn own_certificate(files: &Files, key: &KeyPair, now: UnixTime) -> Result<Anchor, PkiError> {
    let path = files.own_bundle();
    let bundle = match files::read(&path)? {
        Some(bytes) => trust::read_bundle(&path, &bytes)?,
        None => Vec::new(),
    };
    let found = bundle.into_iter().find(|anchor| anchor.facts.public_key == key.der_bytes());
    if let Some(anchor) = found {
        return Ok(anchor);
    }
    if files.authority_key.is_some() {
        let what = "no certificate in the trust bundle belongs to this key";
        let remedy = "append the authority's certificate to the trust bundle";
        return Err(PkiError::unusable(&files.authority_key(), what, remedy));
    }
    let der = make_certificate(key, now)?.der;
    let facts = Facts::of(&der)
        .ok_or_else(|| PkiError::crypto("read back the authority's certificate", "malformed"))?;
    Ok(Anchor { facts, der })
}

fn make_certificate(key: &KeyPair, now: UnixTime) -> Result<OwnCertificate, PkiError> {
    let mark: String = Fingerprint::of(key.der_bytes()).to_string().chars().take(8).collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANIZATION);
    // A name of its own for each key: lists and chains of two authorities are never mixed up.
    name.push(DnType::CommonName, format!("{NAME_PREFIX} {mark}"));
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name;
    parameters.serial_number =
        Some(random_serial().map_err(|error| PkiError::crypto("draw a serial number", error))?);
    parameters.not_before = date(now.as_secs().saturating_sub(DAY_S));
    parameters.not_after = date(now.as_secs().saturating_add(AUTHORITY_DAYS * DAY_S));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = parameters
        .self_signed(key)
        .map_err(|error| PkiError::crypto("sign the authority's certificate", error))?;
    let der = CertificateDer::from(certificate);
    let subject = Facts::of(&der).map(|facts| facts.subject).unwrap_or_default();
    Ok(OwnCertificate { pem: pem::encode("CERTIFICATE", &der), der, subject })
}

fn key_pair(files: &Files, bytes: &[u8]) -> Result<KeyPair, PkiError> {
    let path = files.authority_key();
    let der = read_key(&path, bytes)?;
    KeyPair::try_from(&der).map_err(|_| {
        PkiError::unusable(&path, "not a key this broker can sign with", REMEDY_KEY_KIND)
    })
}

/// 128 bits, the highest of them fixed so that the number is positive and always of one length.
fn random_serial() -> Result<SerialNumber, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

pub(crate) const DAY_S: u64 = 86_400;
const AUTHORITY_DAYS: u64 = 7_300;
const VALIDITY_DAYS_MAX: u32 = 36_500;
const CLOCK_SKEW_S: u64 = 300;
pub(crate) const ORGANIZATION: &str = "Countersign";
const NAME_PREFIX: &str = "Countersign CA";
const REMEDY_LOST_KEY: &str = "restore it from a backup; or remove that certificate from the bundle to have a new authority \
     made (whatever the old one issued must be issued again)";
const REMEDY_KEY_KIND: &str = "use an unencrypted RSA, P-256, P-384 or Ed25519 key";
