//! The one value that the rest of the program holds: files, state in force, and what can be asked of them.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::Zeroizing;

use crate::authority::{self, Authority, Issued};
use crate::error::{IssueError, PkiError};
use crate::fingerprint::Fingerprint;
use crate::identity::{IdentityError, Lapse, PeerIdentity};
use crate::layout::Settings;
use crate::load::{self, EXPIRING_WITHIN_S, State};
use crate::note::{Expiring, Note};
use crate::private_key::PrivateKeyPem;
use crate::publish::{self, CrlFile};
use crate::revocation::Revocation;
use crate::server_certificate::ServerCertificate;
use crate::tls::{ClientCertificate, Handshake, Listener};
use crate::verifier::Judges;
use crate::watch::Watch;
use crate::{common_name, export, files, pem, request};

/// Certificates of the broker: authority, trust, and TLS. Shared by all threads; questions take no lock.
pub struct Pki {
    settings: Settings,
    state: ArcSwap<State>,
    /// See [`Pki::set_departed`].
    departed: ArcSwap<HashSet<Fingerprint>>,
    /// Who changes files or state holds this; readers do not.
    writer: Mutex<Writer>,
}

struct Writer {
    watch: Watch,
    /// When a reload that the clock asked for and that failed is tried again.
    retry_at_s: u64,
}

/// A [`Pki`] that was just opened.
pub struct Opened {
    /// The thing itself.
    pub pki: Arc<Pki>,
    /// What the operator should read in the log.
    pub notes: Vec<Note>,
}

/// What a reload has changed. Live connections are to be judged again if `bundle` or `revocations` is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The set of trusted authorities.
    pub bundle: bool,
    /// Who is revoked.
    pub revocations: bool,
    /// The server's own certificate.
    pub server_certificate: bool,
    /// The built-in authority.
    pub authority: bool,
    /// What the operator should read in the log.
    pub notes: Vec<Note>,
}

impl Pki {
    /// Makes what is missing among the files that are ours to make, and reads them all. Does I/O.
    ///
    /// # Errors
    /// If a file is unusable or cannot be written; the error names it and the remedy.
    pub fn open(settings: Settings, now: UnixTime) -> Result<Opened, PkiError> {
        let mut notes = Vec::new();
        let files = &settings.files;
        files::make_directory(files.directory())?;
        files::sweep(files.directory())?;
        Authority::prepare(files, now, &mut notes)?;
        let authority = authority_in_force(&settings, now)?;
        ServerCertificate::prepare(files, &settings.names, &authority, now, &mut notes)?;
        let present = CrlFile::read(files, &authority)?;
        if present.is_due(now) {
            publish::write(files, &authority, &present, &[], now)?;
        }
        let watch = Watch::new(files.all());
        let state = load::load(&settings, None, now, &mut notes)?;
        note_expiring(&state, now, &mut notes);
        let writer = Mutex::new(Writer { watch, retry_at_s: 0 });
        let (state, departed) = (ArcSwap::from_pointee(state), ArcSwap::default());
        let pki = Self { settings, state, departed, writer };
        Ok(Opened { pki: Arc::new(pki), notes })
    }

    /// Takes the files as they are now into use, all or none. Does I/O.
    ///
    /// # Errors
    /// If a file is unusable; everything stays as it was.
    pub fn reload(&self, now: UnixTime) -> Result<Changed, PkiError> {
        let mut writer = self.writer.lock();
        self.take_into_use(&mut writer, now, Vec::new())
    }

    /// To be called every quarter of a second or so: reloads when files have changed and have held still for
    /// one call, or when an authority's validity begins or ends. `None` if there was nothing to do. Does I/O.
    ///
    /// # Errors
    /// If a file is unusable; everything stays as it was, and the same content is not reported again.
    pub fn poll(&self, now: UnixTime) -> Result<Option<Changed>, PkiError> {
        let mut writer = self.writer.lock();
        let due_s = self.state.load().boundary_s.max(writer.retry_at_s);
        if writer.watch.has_changed(now) || now.as_secs() >= due_s {
            writer.retry_at_s = now.as_secs().saturating_add(RETRY_S);
            return self.take_into_use(&mut writer, now, Vec::new()).map(Some);
        }
        Ok(None)
    }

    /// To be called every hour or so: renews the server's certificate and the own revocation list before they end, and
    /// notes what of the operator's files ends soon. Does I/O.
    ///
    /// # Errors
    /// If a file is unusable or cannot be written; what was in force stays.
    pub fn maintain(&self, now: UnixTime) -> Result<Changed, PkiError> {
        let mut writer = self.writer.lock();
        let mut notes = Vec::new();
        let files = &self.settings.files;
        let state = self.state.load_full();
        let names = &self.settings.names;
        ServerCertificate::prepare(files, names, &state.authority, now, &mut notes)?;
        let mut present = CrlFile::read(files, &state.authority)?;
        if present.is_due(now) {
            present.merge(self.crl_file_in_force(&state)?);
            publish::write(files, &state.authority, &present, &[], now)?;
        }
        let mut changed = self.take_into_use(&mut writer, now, notes)?;
        note_expiring(&self.state.load(), now, &mut changed.notes);
        Ok(changed)
    }

    /// Puts certificates on the built-in authority's list, on disk and in force before it returns. What is on the list
    /// stays there, so passing all that were ever revoked (as at every start) is as good as passing the new one. Does I/O.
    ///
    /// # Errors
    /// If the list cannot be signed, written or taken into use: then nothing is promised.
    pub fn revoke(&self, revocations: &[Revocation], now: UnixTime) -> Result<Changed, PkiError> {
        let mut writer = self.writer.lock();
        let state = self.state.load_full();
        let files = &self.settings.files;
        let mut notes = Vec::new();
        let mut present = match CrlFile::read(files, &state.authority) {
            Ok(present) => present,
            // A file that the operator has damaged must not hold a revocation up.
            Err(_) => {
                notes.push(publish::move_aside(files)?);
                CrlFile::default()
            }
        };
        let is_known = present.own.as_ref().is_some_and(|own| {
            revocations.iter().all(|revocation| own.revoked.contains_key(&revocation.serial))
        });
        if !is_known {
            present.merge(self.crl_file_in_force(&state)?);
            publish::write(files, &state.authority, &present, revocations, now)?;
        }
        self.take_into_use(&mut writer, now, notes)
    }

    /// Says which of the certificates on the built-in authority's list are there only because their users were removed:
    /// all of them, each time. Their handshakes are not refused, so that the client can be told by CONNACK what is the
    /// matter, but they name nobody.
    pub fn set_departed(&self, certificates: impl IntoIterator<Item = Fingerprint>) {
        self.departed.store(Arc::new(certificates.into_iter().collect()));
    }

    /// A new key and a certificate of this user for it.
    ///
    /// # Errors
    /// If the name, the validity or the authority does not allow it.
    pub fn issue(&self, user: &str, days: u32, now: UnixTime) -> Result<Issued, IssueError> {
        check_user(user)?;
        let state = self.state.load();
        let key = authority::new_key().map_err(|error| IssueError::crypto("make a key", error))?;
        let issued = state.authority.sign_client(user, &key, days, now)?;
        let issued =
            Issued { key_pem: Some(PrivateKeyPem::new(authority::key_pem(&key))), ..issued };
        verified(&state, issued, now)
    }

    /// Whether a certificate signing request could be signed for this user, as far as it is the request's own doing.
    ///
    /// # Errors
    /// If the request is not good, or is not of this user.
    pub fn check_csr(&self, request_pem: &str, user: &str) -> Result<(), IssueError> {
        check_user(user)?;
        request::public_key(request_pem, user)?;
        Ok(())
    }

    /// A certificate of this user for the key of a certificate signing request, of which nothing else is taken.
    ///
    /// # Errors
    /// If the request is not good, is not of this user, or the validity or the authority does not allow it.
    pub fn sign_csr(
        &self,
        request_pem: &str,
        user: &str,
        days: u32,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        check_user(user)?;
        let key = request::public_key(request_pem, user)?;
        let state = self.state.load();
        let issued = state.authority.sign_client(user, &key, days, now)?;
        verified(&state, issued, now)
    }

    /// What was issued, with its key and the authority's certificate, as PKCS#12 under this password.
    ///
    /// # Errors
    /// If the password is too short, or the key is not there because a request was signed.
    pub fn pkcs12(
        &self,
        issued: &Issued,
        user: &str,
        password: &str,
    ) -> Result<Zeroizing<Vec<u8>>, IssueError> {
        export::pkcs12(issued, user, &self.state.load().authority.der, password)
    }

    /// The built-in authority's certificate as PEM: what clients need to trust the server.
    #[must_use]
    pub fn authority_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.state.load().authority.der).to_string()
    }

    /// All authorities that are trusted now, as PEM.
    #[must_use]
    pub fn bundle_pem(&self) -> String {
        let state = self.state.load();
        let anchors = state.trust.anchors().iter();
        anchors.map(|anchor| pem::encode("CERTIFICATE", &anchor.der).to_string()).collect()
    }

    /// The built-in authority's revocation list as PEM.
    #[must_use]
    pub fn crl_pem(&self) -> String {
        self.state.load().crl_pem.clone()
    }

    /// Counts the states that were in force, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.state.load().generation
    }

    /// What of the broker's own files ends within so many seconds, or has ended.
    #[must_use]
    pub fn expiring(&self, within_s: u64, now: UnixTime) -> Vec<Expiring> {
        expiring(&self.state.load(), within_s, now)
    }

    /// What the next handshake on this listener needs.
    ///
    /// # Errors
    /// If the TLS library refuses its own configuration, which no input can cause.
    pub fn handshake(
        &self,
        listener: Listener,
        client_certificate: ClientCertificate,
    ) -> Result<Handshake, PkiError> {
        let state = self.state.load();
        Handshake::new(
            listener,
            client_certificate,
            Judges { trust: Arc::clone(&state.trust), departed: self.departed.load_full() },
            &state.resolver,
            &state.tickets,
            &self.settings.clock,
        )
    }

    /// Who the peer of a finished handshake is. To be asked after every one: a resumed session has skipped the
    /// judgement of its certificate.
    ///
    /// # Errors
    /// If the certificate names nobody or is not good now.
    pub fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<PeerIdentity, IdentityError> {
        let peer = PeerIdentity::parse(chain)?;
        match self.still_good(&peer, now) {
            Ok(()) => Ok(peer),
            Err(Lapse::Revoked(_)) if self.departed.load().contains(&peer.fingerprint()) => {
                Err(IdentityError::UserRemoved(peer.common_name().to_owned()))
            }
            Err(lapse) => Err(lapse.into()),
        }
    }

    /// Whether an identity still holds against validity, bundle and revocation lists of this moment.
    ///
    /// # Errors
    /// Why it does not: the connection is to be closed.
    pub fn still_good(&self, peer: &PeerIdentity, now: UnixTime) -> Result<(), Lapse> {
        self.state.load().trust.still_good(peer, now)
    }

    /// The holder of the lock reads, checks and swaps.
    fn take_into_use(
        &self,
        writer: &mut Writer,
        now: UnixTime,
        mut notes: Vec<Note>,
    ) -> Result<Changed, PkiError> {
        writer.watch.take();
        let old = self.state.load_full();
        let new = load::load(&self.settings, Some(&old), now, &mut notes)?;
        let changed = Changed {
            bundle: !old.trust.has_the_anchors_of(&new.trust),
            revocations: old.revocations != new.revocations,
            server_certificate: old.server != new.server,
            authority: old.authority.facts.fingerprint != new.authority.facts.fingerprint
                || old.authority.is_trusted != new.authority.is_trusted,
            notes,
        };
        self.state.store(Arc::new(new));
        Ok(changed)
    }

    /// The lists of `crl.pem` as they were last in force.
    fn crl_file_in_force(&self, state: &State) -> Result<CrlFile, PkiError> {
        let path = self.settings.files.crl();
        let mut file = CrlFile::default();
        for crl in state.trust.crls().crls.iter().filter(|crl| crl.path == path) {
            let again = crate::revocation::Crl::parse(&path, crl.line, &crl.der)?;
            let is_own = crl.issuer_der == state.authority.facts.subject_der
                && crl.is_signed_by(&state.authority.facts.public_key);
            if is_own {
                file.own = Some(again);
            } else {
                file.foreign.push(again);
            }
        }
        Ok(file)
    }
}

fn authority_in_force(settings: &Settings, now: UnixTime) -> Result<Authority, PkiError> {
    Authority::load(&settings.files, &load::bundle(&settings.files)?, now)
}

/// What was just issued must pass the same judgement that its user's handshake will.
fn verified(state: &State, issued: Issued, now: UnixTime) -> Result<Issued, IssueError> {
    match state.trust.verify(std::slice::from_ref(&issued.der), now, &HashSet::new()) {
        Ok(()) => Ok(issued),
        Err(refusal) => Err(IssueError::Authority { reason: refusal.to_string() }),
    }
}

fn check_user(user: &str) -> Result<(), IssueError> {
    let refuse = |reason| Err(IssueError::Name { name: crate::certificate::clean(user), reason });
    if common_name::check_characters(user).is_err() {
        return refuse("it is empty or holds a control character");
    }
    if user.len() > USER_BYTES_MAX {
        return refuse("it is longer than 255 bytes");
    }
    Ok(())
}

fn note_expiring(state: &State, now: UnixTime, notes: &mut Vec<Note>) {
    notes.extend(expiring(state, EXPIRING_WITHIN_S, now).into_iter().map(Note::Expiring));
}

fn expiring(state: &State, within_s: u64, now: UnixTime) -> Vec<Expiring> {
    let limit_s = now.as_secs().saturating_add(within_s);
    let ends_soon = |expiring: &&Expiring| expiring.not_after_s < limit_s;
    state.lifetimes.iter().filter(ends_soon).cloned().collect()
}

/// A reload that failed at an authority's end is tried again after this, so that the log is not flooded.
const RETRY_S: u64 = 60;
const USER_BYTES_MAX: usize = 255;
