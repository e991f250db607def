//! Whom the broker trusts at this moment: trust anchors and revocation lists, as one immutable value.
//!
//! What may be an anchor is decided here, because webpki takes an anchor as given: a certificate that is no authority's, an
//! expired one and a revoked one are none. Otherwise a device's certificate in the bundle could issue others.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::DistinguishedName;
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::certificate::{Facts, Standing};
use crate::error::PkiError;
use crate::fingerprint::Fingerprint;
use crate::identity::{self, Lapse, Link, PeerIdentity};
use crate::note::Note;
use crate::pem;
use crate::refusal::{Refusal, RefusalKind};
use crate::revocation::{Crl, CrlSet};
use crate::tls;

/// A certificate of the trust bundle.
#[derive(Clone)]
pub(crate) struct Anchor {
    pub(crate) facts: Facts,
    pub(crate) der: CertificateDer<'static>,
}

/// The anchors in force, and which chains were found to lead to them.
pub(crate) struct Anchors {
    list: Vec<Anchor>,
    trust_anchors: Vec<TrustAnchor<'static>>,
    hints: Vec<DistinguishedName>,
    /// Chains that verified against these anchors.
    verified: Mutex<HashMap<Fingerprint, Verified>>,
}

/// The seconds between which a chain that was verified is known to be good, but for revocation.
#[derive(Clone, Copy)]
struct Verified {
    /// When it was verified: all its parts were valid by then.
    at_s: u64,
    /// The last second at which all its parts are valid.
    until_s: u64,
}

/// Anchors and revocation lists of one moment.
pub(crate) struct Trust {
    anchors: Arc<Anchors>,
    /// Asked by issuer and serial for every certificate of a chain.
    crls: CrlSet,
    /// Those of `crls` whose authority is not in the bundle, so that their signature waits for a chain with that authority:
    /// webpki checks it then. The others' was checked when they were read, not again in every handshake.
    unproven: Vec<CertRevocationList<'static>>,
}

impl Anchors {
    /// Those of the bundle that may be anchors now; each that may not is noted.
    pub(crate) fn admit(
        bundle: Vec<Anchor>,
        crls: &CrlSet,
        now: UnixTime,
        notes: &mut Vec<Note>,
    ) -> Result<Self, PkiError> {
        let mut list: Vec<Anchor> = Vec::new();
        for anchor in bundle {
            let subject = anchor.facts.subject.clone();
            if list.iter().any(|present| present.der == anchor.der) {
                continue;
            }
            if !anchor.facts.is_valid_at(now.as_secs()) {
                notes.push(Note::AuthorityOutsideValidity { subject });
            } else if crls.find(&Link::of(&anchor.facts)).is_some() {
                notes.push(Note::AuthorityRevoked { subject });
            } else {
                list.push(anchor);
            }
        }
        let hints =
            list.iter().map(|anchor| DistinguishedName::from(anchor.facts.subject_der.clone()));
        let hints = hints.collect();
        let trust_anchors =
            list.iter().map(|anchor| trust_anchor(&anchor.der)).collect::<Result<_, _>>()?;
        Ok(Self { list, trust_anchors, hints, verified: Mutex::default() })
    }

    fn digest(&self) -> Fingerprint {
        Fingerprint::of_sequence(self.list.iter().map(|anchor| anchor.der.as_ref()))
    }

    fn remember(&self, chain: Fingerprint, times: Verified) {
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_CHAINS_MAX {
            verified.clear();
        }
        verified.insert(chain, times);
    }

    fn remembers(&self, chain: Fingerprint, now_s: u64) -> bool {
        let known = self.verified.lock().get(&chain).copied();
        known.is_some_and(|times| (times.at_s..=times.until_s).contains(&now_s))
    }
}

impl Trust {
    /// Takes over what `previous` remembers if the anchors are the same.
    pub(crate) fn new(
        anchors: Anchors,
        crls: CrlSet,
        previous: Option<&Self>,
    ) -> Result<Self, PkiError> {
        let anchors = match previous {
            Some(previous) if previous.anchors.digest() == anchors.digest() => {
                Arc::clone(&previous.anchors)
            }
            _ => Arc::new(anchors),
        };
        let unproven = crls.crls.iter().filter(|crl| !crl.is_proven);
        let unproven = unproven.map(|crl| parsed_crl(crl)).collect::<Result<_, _>>()?;
        Ok(Self { anchors, crls, unproven })
    }

    /// Whether this chain, leaf first, is good for a client at this moment, by webpki's full verification. One that these
    /// anchors have verified before is only looked up in the revocation lists, but for a leaf that has `departed`.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        departed: &HashSet<Fingerprint>,
    ) -> Result<(), Refusal> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(Refusal::new(RefusalKind::NoCertificate, "no certificate was presented"));
        };
        let facts: Vec<Option<Facts>> = chain.iter().map(Facts::of).collect();
        let leaf_facts = facts.first().and_then(Option::as_ref);
        let end_entity =
            EndEntityCert::try_from(leaf).map_err(|error| Refusal::of_chain(&error, leaf_facts))?;
        if leaf_facts.is_none() {
            return Err(Refusal::of_chain(&webpki::Error::BadDer, None));
        }
        let links: Vec<Link> = facts.iter().flatten().map(Link::of).collect();
        let listed = match links.split_first() {
            Some((leaf, others)) if departed.contains(&leaf.fingerprint) => others,
            _ => links.as_slice(),
        };
        self.check_revocation(listed)?;
        let digest = identity::chain_digest(chain);
        if self.anchors.remembers(digest, now.as_secs()) {
            return Ok(());
        }
        self.verify_path(&end_entity, intermediates, now)
            .map_err(|error| Refusal::of_chain(&error, leaf_facts))?;
        let until_s = links.iter().map(|link| link.not_after_s).min().unwrap_or(0);
        self.anchors.remember(digest, Verified { at_s: now.as_secs(), until_s });
        Ok(())
    }

    /// Whether an identity that was good is still good. Costs a look-up for a chain that these anchors have verified.
    pub(crate) fn still_good(&self, peer: &PeerIdentity, now: UnixTime) -> Result<(), Lapse> {
        peer.has_expired(now)?;
        self.check_revocation(peer.links()).map_err(Lapse::Revoked)?;
        if self.anchors.remembers(peer.digest(), now.as_secs()) {
            return Ok(());
        }
        self.verify(peer.certificates(), now, &HashSet::new()).map_err(|refusal| {
            match refusal.kind() {
                RefusalKind::Revoked => Lapse::Revoked(refusal),
                _ => Lapse::Untrusted(refusal),
            }
        })
    }

    pub(crate) fn hints(&self) -> &[DistinguishedName] {
        &self.anchors.hints
    }

    pub(crate) fn anchors(&self) -> &[Anchor] {
        &self.anchors.list
    }

    pub(crate) fn crls(&self) -> &CrlSet {
        &self.crls
    }

    pub(crate) fn has_the_anchors_of(&self, other: &Self) -> bool {
        self.anchors.digest() == other.anchors.digest()
    }

    fn check_revocation(&self, links: &[Link]) -> Result<(), Refusal> {
        links.iter().try_for_each(|link| match self.crls.find(link) {
            Some(revoked) => Err(Refusal::revoked(&revoked, &link.description())),
            None => Ok(()),
        })
    }

    fn verify_path(
        &self,
        end_entity: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let crls: Vec<&CertRevocationList<'_>> = self.unproven.iter().collect();
        // `new` fails for no lists at all, which means that there is nothing to check.
        let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        end_entity
            .verify_for_usage(
                tls::algorithms().all,
                &self.anchors.trust_anchors,
                intermediates,
                now,
                KeyUsage::client_auth(),
                revocation,
                None,
            )
            .map(drop)
    }
}

/// All certificates of a trust bundle; one that is no authority's makes the whole file unusable.
pub(crate) fn read_bundle(path: &Path, bytes: &[u8]) -> Result<Vec<Anchor>, PkiError> {
    let mut bundle = Vec::new();
    for block in pem::blocks_of(path, bytes, SectionKind::Certificate)? {
        let der = CertificateDer::from(block.der.to_vec());
        let Some(facts) = Facts::of(&der) else {
            return Err(PkiError::at_line(path, block.line, "not a certificate", REMEDY_REPLACE));
        };
        let what = match facts.standing {
            Standing::Authority | Standing::VersionOneRoot => None,
            Standing::EndEntity => {
                Some("is not an authority's certificate (no basicConstraints CA:TRUE)")
            }
            Standing::MayNotSign => {
                Some("may not sign certificates (its keyUsage lacks keyCertSign)")
            }
        };
        if let Some(what) = what {
            let text = format!("the certificate `{}` {what}", facts.subject);
            return Err(PkiError::at_line(path, block.line, text, REMEDY_AUTHORITY));
        }
        if let Err(error) = webpki::anchor_from_trusted_cert(&der) {
            let text = format!("the certificate `{}` cannot be an anchor ({error})", facts.subject);
            return Err(PkiError::at_line(path, block.line, text, REMEDY_REPLACE));
        }
        bundle.push(Anchor { facts, der });
    }
    Ok(bundle)
}

/// Checks the list of an authority in the bundle against that authority's key. One that claims to be of such an authority but
/// is not signed by it is refused; one of an unknown authority stays unproven.
pub(crate) fn prove(crl: &mut Crl, bundle: &[Anchor]) -> Result<(), PkiError> {
    let mut namesakes =
        bundle.iter().filter(|anchor| anchor.facts.subject_der == crl.issuer_der).peekable();
    if namesakes.peek().is_none() {
        return Ok(());
    }
    let signer = namesakes.find(|anchor| crl.is_signed_by(&anchor.facts.public_key));
    let what = match signer {
        Some(anchor) if anchor.facts.may_sign_lists => {
            crl.is_proven = true;
            return Ok(());
        }
        Some(_) => "is signed by a key that may not sign lists (its keyUsage lacks cRLSign)",
        None => "is not signed by that authority",
    };
    let text = format!("the revocation list of `{}` {what}", crl.issuer);
    Err(PkiError::at_line(
        &crl.path,
        crl.line,
        text,
        "put the list that the authority signed there",
    ))
}

fn trust_anchor(der: &CertificateDer<'static>) -> Result<TrustAnchor<'static>, PkiError> {
    webpki::anchor_from_trusted_cert(der)
        .map(|anchor| anchor.to_owned())
        .map_err(|error| PkiError::crypto("use an authority's certificate", error))
}

fn parsed_crl(crl: &Crl) -> Result<CertRevocationList<'static>, PkiError> {
    OwnedCertRevocationList::from_der(&crl.der)
        .map(CertRevocationList::from)
        .map_err(|error| PkiError::crypto("use a revocation list", error))
}

/// A look-up entry is 40 bytes, so this is some megabytes at most; when it is full it starts anew, which costs time only.
const VERIFIED_CHAINS_MAX: usize = 65_536;
const REMEDY_REPLACE: &str = "replace or remove that block";
const REMEDY_AUTHORITY: &str = "the bundle holds authorities only: remove that block; \
     make an authority with `openssl req -x509 -addext basicConstraints=critical,CA:TRUE`";
