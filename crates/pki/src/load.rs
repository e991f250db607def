//! All files into one immutable state, or an error and nothing: the state in force is never half new.

use std::sync::Arc;

use rustls::sign::SingleCertAndKey;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::SectionKind;

use crate::authority::{Authority, DAY_S};
use crate::error::PkiError;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::layout::{Files, Settings};
use crate::note::{Expiring, Note};
use crate::pem;
use crate::publish::CrlFile;
use crate::revocation::{Crl, CrlSet};
use crate::serial::Serial;
use crate::server_certificate::ServerCertificate;
use crate::tls::Tickets;
use crate::trust::{self, Anchor, Anchors, Trust};

/// Everything in force at one moment.
pub(crate) struct State {
    pub(crate) generation: u64,
    pub(crate) authority: Authority,
    pub(crate) trust: Arc<Trust>,
    pub(crate) resolver: Arc<SingleCertAndKey>,
    pub(crate) server: Fingerprint,
    pub(crate) tickets: Tickets,
    pub(crate) crl_pem: String,
    pub(crate) revocations: Fingerprint,
    own_crl_number: Option<Serial>,
    pub(crate) lifetimes: Vec<Expiring>,
    /// The next second at which an anchor begins or ends to count or a list becomes outdated.
    pub(crate) boundary_s: u64,
}

/// Reads and checks every file. `previous` gives what need not change: tickets and remembered chains.
pub(crate) fn load(
    settings: &Settings,
    previous: Option<&State>,
    now: UnixTime,
    notes: &mut Vec<Note>,
) -> Result<State, PkiError> {
    let files = &settings.files;
    let bundle = bundle(files)?;
    let authority = Authority::load(files, &bundle, now)?;
    if !authority.is_trusted {
        notes.push(Note::AuthorityNotTrusted { subject: authority.facts.subject.clone() });
    }
    let CrlFile { own, foreign } = CrlFile::read(files, &authority)?;
    check_own_list(files, own.as_ref(), previous)?;
    let own_crl_number = own.as_ref().and_then(|own| own.number.clone());
    let crl_pem = own.as_ref().map(|own| pem::encode("X509 CRL", &own.der).to_string());
    let mut lists = Vec::from_iter(own);
    lists.extend(foreign);
    lists.extend(other_lists(files)?);
    lists.iter_mut().try_for_each(|crl| trust::prove(crl, &bundle))?;
    let crls = CrlSet::new(lists);
    note_outdated(&crls, now, notes);
    let boundary_s = boundary(&bundle, &crls, now);
    let revocations = crls.digest();
    let server = ServerCertificate::load(files)?;
    let lifetimes = lifetimes(files, &bundle, &server);
    let anchors = Anchors::admit(bundle, &crls, now, notes)?;
    let trust = Trust::new(anchors, crls, previous.map(|previous| previous.trust.as_ref()))?;
    note_keys(files, notes);
    let tickets = match previous {
        Some(previous)
            if previous.revocations == revocations && previous.trust.has_the_anchors_of(&trust) =>
        {
            previous.tickets.clone()
        }
        _ => Tickets::new()?,
    };
    Ok(State {
        generation: previous.map_or(1, |previous| previous.generation + 1),
        authority,
        trust: Arc::new(trust),
        server: server.facts.fingerprint,
        resolver: Arc::new(SingleCertAndKey::from(server.key)),
        tickets,
        crl_pem: crl_pem.unwrap_or_default(),
        revocations,
        own_crl_number,
        lifetimes,
        boundary_s,
    })
}

pub(crate) fn bundle(files: &Files) -> Result<Vec<Anchor>, PkiError> {
    let path = files.bundle();
    let Some(bytes) = files::read(&path)? else {
        return Err(PkiError::unusable(&path, "there is no such file", REMEDY_BUNDLE));
    };
    let bundle = trust::read_bundle(&path, &bytes)?;
    // An empty file is more likely half written than meant.
    if bundle.is_empty() {
        return Err(PkiError::unusable(&path, "holds no certificate", REMEDY_BUNDLE));
    }
    Ok(bundle)
}

fn other_lists(files: &Files) -> Result<Vec<Crl>, PkiError> {
    let mut lists = Vec::new();
    for path in &files.crls {
        let Some(bytes) = files::read(path)? else {
            return Err(PkiError::unusable(path, "there is no such file", REMEDY_LIST));
        };
        let blocks = pem::blocks_of(path, &bytes, SectionKind::Crl)?;
        if blocks.is_empty() {
            return Err(PkiError::unusable(path, "holds no revocation list", REMEDY_LIST));
        }
        for block in blocks {
            lists.push(Crl::parse(path, block.line, &block.der)?);
        }
    }
    Ok(lists)
}

/// The own list may not vanish or go back: that would bring revoked certificates back to life.
fn check_own_list(
    files: &Files,
    own: Option<&Crl>,
    previous: Option<&State>,
) -> Result<(), PkiError> {
    let Some(in_force) = previous.and_then(|previous| previous.own_crl_number.as_ref()) else {
        return Ok(());
    };
    match own.and_then(|own| own.number.as_ref()) {
        Some(number) if number.rank() >= in_force.rank() => Ok(()),
        Some(number) => {
            let what =
                format!("the built-in authority's list number {number} is older than {in_force}");
            Err(PkiError::unusable(&files.crl(), what, REMEDY_OWN_LIST))
        }
        None => {
            let what = "the built-in authority's own list is gone";
            Err(PkiError::unusable(&files.crl(), what, REMEDY_OWN_LIST))
        }
    }
}

fn note_outdated(crls: &CrlSet, now: UnixTime, notes: &mut Vec<Note>) {
    for crl in crls.outdated(now.as_secs()) {
        let (path, issuer) = (crl.path.clone(), crl.issuer.clone());
        notes.push(Note::RevocationListOutdated { path, issuer });
    }
}

fn note_keys(files: &Files, notes: &mut Vec<Note>) {
    let (_, server_key) = files.server();
    for path in [files.authority_key(), server_key] {
        if files::is_open_to_others(&path) {
            notes.push(Note::KeyOpenToOthers { path });
        }
    }
}

fn boundary(bundle: &[Anchor], crls: &CrlSet, now: UnixTime) -> u64 {
    let anchors = bundle
        .iter()
        .flat_map(|anchor| [anchor.facts.not_before_s, anchor.facts.not_after_s.saturating_add(1)]);
    let lists = crls.crls.iter().filter_map(|crl| crl.next_update_s.map(|end_s| end_s + 1));
    anchors.chain(lists).filter(|at_s| *at_s > now.as_secs()).min().unwrap_or(u64::MAX)
}

fn lifetimes(files: &Files, bundle: &[Anchor], server: &ServerCertificate) -> Vec<Expiring> {
    let of = |path, facts: &crate::certificate::Facts| Expiring {
        path,
        subject: facts.subject.clone(),
        not_after_s: facts.not_after_s,
    };
    let mut all: Vec<Expiring> =
        bundle.iter().map(|anchor| of(files.bundle(), &anchor.facts)).collect();
    all.push(of(files.server().0, &server.facts));
    all
}

/// How long before its end a certificate is worth a line in the log.
pub(crate) const EXPIRING_WITHIN_S: u64 = 30 * DAY_S;
const REMEDY_BUNDLE: &str = "put at least one authority's certificate there";
const REMEDY_LIST: &str =
    "put the authority's revocation list there, or take the file out of the configuration";
const REMEDY_OWN_LIST: &str =
    "append lists of other authorities to the file and leave the first one as it is";
