//! Certificates: issue, sign, show, revoke.
//!
//! Invariants: a certificate is on record before anybody gets it; what is revoked is so in the store first, then for
//! logins ([`Admin::certificate_standing`]) and live connections ([`Admin::identity_changes`]), then on the revocation
//! list, and only then confirmed. A user that is removed takes its certificates along, so that nobody comes back as a
//! later user of the same name.

use std::sync::Arc;
use std::time::Duration;

use access::{AuthMethod, UserId, UserName};
use pki::{Fingerprint, IssueError, Issued, Revocation, RevocationReason, Serial, UnixTime};
use store::{CertificateOrigin, CertificateRecord, Change, RevokedReason, RevokedRecord};
use zeroize::Zeroizing;

use crate::admin::{Admin, Shared};
use crate::caller::Caller;
use crate::directory::{Account, Directory};
use crate::error::{AdminError, Kind};
use crate::filled::tell_near;
use crate::model::{CertificateFilter, CertificateView, NewCertificate, Page, PageRequest};
use crate::users;
use crate::view;

/// A certificate that was just made, with what is handed out once only.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// What is on record.
    pub view: CertificateView,
    /// The certificate as PEM.
    pub certificate_pem: String,
    /// Its key; none if a request was signed.
    pub key: Option<pki::PrivateKeyPem>,
    /// Certificate, key and authority as a PKCS#12 file, if asked for.
    pub pkcs12: Option<Pkcs12>,
    /// The authority's certificate as PEM.
    pub authority_pem: String,
}

/// A PKCS#12 file, which holds a private key.
pub struct Pkcs12(Zeroizing<Vec<u8>>);

impl Pkcs12 {
    /// The bytes, for the one who is to have the key.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Pkcs12 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pkcs12(..)")
    }
}

/// Why a certificate that was issued here proves nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateLapse {
    /// It was revoked.
    #[error("the certificate is revoked")]
    Revoked,
    /// It was issued for a user that had the name before.
    #[error("the certificate was issued for an earlier user of the same name")]
    OfAnotherUser,
}

impl Admin {
    /// Makes a certificate for a user, with a new key or for the key of a signing request. It is on record when this
    /// returns.
    ///
    /// # Errors
    /// If there is no such user or it has no grant type `certificate`, the validity is out of bounds, the request is not
    /// good, or the authority cannot issue.
    pub async fn issue_certificate(
        &self,
        caller: &Caller,
        key: &str,
        new: NewCertificate,
    ) -> Result<IssuedCertificate, AdminError> {
        let now_ms = self.now_ms();
        let account = Arc::clone(users::found(&self.shared.directory.read(), key)?);
        must_have_grant(&account)?;
        let days = self.days(new.days)?;
        if new.csr.is_some() && new.p12_password.is_some() {
            let reason = "needs the key, which a signing request does not give";
            return Err(AdminError::invalid("p12Password", reason));
        }
        let user = account.user().id;
        let name = account.user().name.as_str().to_owned();
        let shared = Arc::clone(&self.shared);
        let (issued, pkcs12) = off_thread(move || shared.make(&name, &new, days, now_ms)).await?;
        let record = record((user, &account.user().name), &issued, now_ms);
        let shown = record.clone();
        let limit = self.shared.settings.certificates.per_user_max;
        let plan = move |directory: &Directory| {
            // Whoever has the name now may not be whom it was made for.
            let present = users::found(directory, &user.to_string())?;
            must_have_grant(present)?;
            must_have_room(directory, user, limit, now_ms)?;
            Ok((vec![Change::PutCertificate(record)], ()))
        };
        self.change(caller, plan, |_, ()| ()).await?;
        tracing::info!(
            %caller, user = %shown.user_name, fingerprint = %issued.fingerprint,
            serial = %issued.serial, days, "a certificate was issued"
        );
        Ok(IssuedCertificate {
            view: view::certificate(&shown, now_ms),
            certificate_pem: issued.certificate_pem,
            key: issued.key_pem,
            pkcs12,
            authority_pem: self.shared.pki.authority_pem(),
        })
    }

    /// Shows the certificates of a user, the oldest first.
    ///
    /// # Errors
    /// If there is no such user, or the page is none.
    pub fn list_user_certificates(
        &self,
        _: &Caller,
        key: &str,
        page: PageRequest,
    ) -> Result<Page<CertificateView>, AdminError> {
        let now_ms = self.now_ms();
        let directory = self.shared.directory.read();
        let user = users::found(&directory, key)?.user().id;
        let rows: Vec<_> = directory.certificates.of(user).collect();
        view::page(rows.into_iter(), page, |record| Some(view::certificate(record, now_ms)))
    }

    /// Shows the certificates that were ever issued here, by user name and age.
    ///
    /// # Errors
    /// If the page is none.
    pub fn list_certificates(
        &self,
        _: &Caller,
        filter: &CertificateFilter,
        page: PageRequest,
    ) -> Result<Page<CertificateView>, AdminError> {
        let now_ms = self.now_ms();
        let show = |record: &Arc<CertificateRecord>| Some(view::certificate(record, now_ms));
        let directory = self.shared.directory.read();
        if *filter == CertificateFilter::default() {
            return view::page(directory.certificates.all(), page, show);
        }
        let is_wanted = |record: &&Arc<CertificateRecord>| {
            filter.username.as_ref().is_none_or(|name| record.user_name.as_str() == name)
                && filter
                    .expiring_within_days
                    .is_none_or(|days| view::ends_within(record, u64::from(days), now_ms))
        };
        let rows: Vec<_> = directory.certificates.all().filter(is_wanted).collect();
        view::page(rows.into_iter(), page, show)
    }

    /// Shows the certificate with this fingerprint or serial number, in hexadecimal digits of either case, with or
    /// without colons.
    ///
    /// # Errors
    /// If none that was issued here has it, or the serial number is one of several.
    pub fn show_certificate(&self, _: &Caller, key: &str) -> Result<CertificateView, AdminError> {
        let directory = self.shared.directory.read();
        found(&directory, key).map(|record| view::certificate(record, self.now_ms()))
    }

    /// Revokes the certificate with this fingerprint or serial number: no handshake and no login takes it from now on, and
    /// [`Admin::identity_changes`] tells that live connections are to be judged again. Revoking it again changes nothing.
    ///
    /// # Errors
    /// If none that was issued here has it (`owner`, if given, names whose it must be), or it cannot be written.
    pub async fn revoke_certificate(
        &self,
        caller: &Caller,
        owner: Option<&str>,
        key: &str,
    ) -> Result<CertificateView, AdminError> {
        let (key, owner, now_ms) = (key.to_owned(), owner.map(str::to_owned), self.now_ms());
        let plan = move |directory: &Directory| {
            let record = found(directory, &key)?;
            if let Some(owner) = &owner
                && users::found(directory, owner)?.user().id != record.user
            {
                return Err(not_found(&key));
            }
            let revoked = RevokedRecord { at_ms: now_ms, reason: RevokedReason::Unspecified };
            let revoke = Change::RevokeCertificate(record.fingerprint, revoked);
            // Also where it was revoked before, which stays as it was: the list may not have been written then.
            Ok((vec![revoke], record.fingerprint))
        };
        let shown = move |directory: &Directory, fingerprint| {
            directory.certificates.get(&fingerprint).map(|it| view::certificate(it, now_ms))
        };
        let view = self.change_and_revoke(caller, plan, shown).await?;
        let view = view.ok_or_else(|| AdminError::Internal("a certificate is gone".to_owned()))?;
        tracing::info!(
            %caller, user = %view.username, fingerprint = %view.fingerprint, serial = %view.serial,
            "a certificate was revoked"
        );
        Ok(view)
    }

    /// The certificate of the built-in authority as PEM: what clients need to trust the server.
    pub fn authority_pem(&self) -> String {
        self.shared.pki.authority_pem()
    }

    /// The revocation list of the built-in authority as PEM.
    pub fn crl_pem(&self) -> String {
        self.shared.pki.crl_pem()
    }

    /// Whether a certificate that was verified may stand for this user, as far as the records know it: they know of a
    /// revocation even where the revocation list does not, such as after a change of the authority.
    ///
    /// # Errors
    /// Why it may not.
    pub fn certificate_standing(
        &self,
        fingerprint: &[u8; 32],
        user: UserId,
    ) -> Result<(), CertificateLapse> {
        let directory = self.shared.directory.read();
        match directory.certificates.get(fingerprint) {
            None => Ok(()),
            Some(record) if record.revoked.is_some() => Err(CertificateLapse::Revoked),
            Some(record) if record.user != user => Err(CertificateLapse::OfAnotherUser),
            Some(_) => Ok(()),
        }
    }

    /// Says in the log, now and once a day, which certificates end within 30 days.
    pub(crate) fn watch_expiry(&self) {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            while let Some(shared) = shared.upgrade() {
                Admin { shared }.warn_of_expiring_certificates();
                tokio::time::sleep(WARNING_INTERVAL).await;
            }
        });
    }

    fn warn_of_expiring_certificates(&self) {
        let now_ms = self.now_ms();
        let directory = self.shared.directory.read();
        let ending = |record: &&Arc<CertificateRecord>| {
            view::ends_within(record, view::EXPIRES_SOON_DAYS, now_ms)
        };
        let ending: Vec<_> = directory.certificates.all().filter(ending).collect();
        for record in ending.iter().take(WARNINGS_MAX) {
            let view = view::certificate(record, now_ms);
            tracing::warn!(
                user = %view.username, serial = %view.serial, expires_at = %view.expires_at,
                "a certificate ends soon: issue a new one by `cert issue` or `cert sign`"
            );
        }
        if ending.len() > WARNINGS_MAX {
            let certificates = ending.len();
            tracing::warn!(
                certificates,
                "certificates end soon: `cert list --expiring-within-days 30` shows all"
            );
        }
    }

    /// A change that may revoke: what it revokes is on the revocation list when this returns, and is put
    /// there even if the caller goes away.
    pub(crate) async fn change_and_revoke<S, T>(
        &self,
        caller: &Caller,
        plan: impl FnOnce(&Directory) -> Result<(Vec<Change>, S), AdminError> + Send + 'static,
        view: impl FnOnce(&Directory, S) -> T + Send + 'static,
    ) -> Result<T, AdminError>
    where
        S: Send + 'static,
        T: Send + 'static,
    {
        let (admin, caller) = (self.clone(), caller.clone());
        let task = tokio::spawn(async move {
            let planned = move |directory: &Directory| {
                let (changes, subject) = plan(directory)?;
                let is_revocation =
                    |change: &Change| matches!(change, Change::RevokeCertificate(..));
                let revokes = changes.iter().any(is_revocation);
                Ok((changes, (subject, revokes)))
            };
            let viewed = move |directory: &Directory, (subject, revokes)| {
                (view(directory, subject), revokes)
            };
            let (done, revokes) = admin.change(&caller, planned, viewed).await?;
            if !revokes {
                return Ok(done);
            }
            let shared = Arc::clone(&admin.shared);
            off_thread(move || shared.list_revoked()).await.map(|()| done)
        });
        task.await.map_err(|error| AdminError::Internal(error.to_string()))?
    }

    fn days(&self, asked: Option<u32>) -> Result<u32, AdminError> {
        let settings = &self.shared.settings.certificates;
        let days = asked.unwrap_or(settings.days_default);
        if days == 0 || days > settings.days_max {
            let reason = format!("must be 1 to {}", settings.days_max);
            return Err(AdminError::invalid("days", reason));
        }
        Ok(days)
    }
}

impl Shared {
    /// Puts all certificates that are revoked on the revocation list: those of a moment ago, and any that a crash or a
    /// full disk has kept from it before. Does I/O.
    pub(crate) fn list_revoked(&self) -> Result<(), AdminError> {
        let (departed, revocations) = {
            let directory = self.directory.read();
            let departed = directory.certificates.all().filter(|record| has_departed(record));
            let departed: Vec<_> =
                departed.map(|record| Fingerprint::from_bytes(record.fingerprint)).collect();
            let revocations: Vec<_> = directory.certificates.all().filter_map(revocation).collect();
            (departed, revocations)
        };
        self.pki.set_departed(departed);
        if revocations.is_empty() {
            return Ok(());
        }
        let now = unix_time((self.clock)());
        let changed = self.pki.revoke(&revocations, now).map_err(|error| {
            AdminError::Pki(format!(
                "what is revoked lets nobody log in here, but is not on the revocation list yet: {error}"
            ))
        })?;
        for note in changed.notes {
            tracing::warn!("{note}");
        }
        Ok(())
    }

    /// Signs, and packs the key. Takes a tenth of a second with PKCS#12.
    fn make(
        &self,
        user: &str,
        new: &NewCertificate,
        days: u32,
        now_ms: u64,
    ) -> Result<(Issued, Option<Pkcs12>), AdminError> {
        let now = unix_time(now_ms);
        let issued = match &new.csr {
            Some(csr) => self.pki.sign_csr(csr, user, days, now)?,
            None => self.pki.issue(user, days, now)?,
        };
        let Some(password) = &new.p12_password else { return Ok((issued, None)) };
        let not_text = || AdminError::invalid("p12Password", "is not UTF-8 text");
        let password = password.expose_text().ok_or_else(not_text)?;
        let packed = self.pki.pkcs12(&issued, user, password)?;
        Ok((issued, Some(Pkcs12(packed))))
    }
}

/// The changes that revoke what a user has.
pub(crate) fn revoke_all(directory: &Directory, user: UserId, now_ms: u64) -> Vec<Change> {
    let revoked = RevokedRecord { at_ms: now_ms, reason: RevokedReason::UserRemoved };
    let standing = directory.certificates.of(user).filter(|record| record.revoked.is_none());
    standing.map(|record| Change::RevokeCertificate(record.fingerprint, revoked)).collect()
}

fn found<'d>(
    directory: &'d Directory,
    key: &str,
) -> Result<&'d Arc<CertificateRecord>, AdminError> {
    let certificates = &directory.certificates;
    let by_fingerprint = Fingerprint::parse(key).and_then(|it| certificates.get(it.as_bytes()));
    if let Some(record) = by_fingerprint {
        return Ok(record);
    }
    let serial = Serial::parse(key).ok_or_else(|| not_found(key))?.to_string();
    let mut found = certificates.with_serial(&serial);
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => {
            let reason =
                "several certificates have this serial number: name one by its fingerprint";
            Err(AdminError::invalid("certificate", reason))
        }
        (None, _) => Err(not_found(key)),
    }
}

fn not_found(key: &str) -> AdminError {
    AdminError::NotFound { kind: Kind::Certificate, key: key.to_owned() }
}

fn must_have_grant(account: &Account) -> Result<(), AdminError> {
    let user = account.user();
    if user.grants.allows(AuthMethod::Certificate) {
        return Ok(());
    }
    let kept = user.grants.iter().map(|grant| {
        let required = if grant.is_required { ":required" } else { "" };
        format!("--grant-type {}{required} ", grant.method)
    });
    let (user, grants) = (user.name.as_str().to_owned(), kept.collect());
    Err(AdminError::NoCertificateGrant { user, grants })
}

fn must_have_room(
    directory: &Directory,
    user: UserId,
    limit: usize,
    now_ms: u64,
) -> Result<(), AdminError> {
    let is_standing =
        |record: &&Arc<CertificateRecord>| record.revoked.is_none() && record.not_after_ms > now_ms;
    let count = directory.certificates.of(user).filter(is_standing).count();
    if count < limit {
        tell_near("pki.certificates_per_user_max", count, count + 1, limit);
        return Ok(());
    }
    Err(AdminError::CannotIssue(format!(
        "the user has {limit} certificates that are good: revoke what is not needed"
    )))
}

pub(crate) fn record(
    (user, name): (UserId, &UserName),
    issued: &Issued,
    now_ms: u64,
) -> CertificateRecord {
    let ms = |seconds: u64| seconds.saturating_mul(1000);
    CertificateRecord {
        fingerprint: *issued.fingerprint.as_bytes(),
        serial: issued.serial.to_string().into(),
        user,
        user_name: name.clone(),
        origin: match issued.key_pem {
            Some(_) => CertificateOrigin::Issued,
            None => CertificateOrigin::Signed,
        },
        not_before_ms: ms(issued.not_before_s),
        not_after_ms: ms(issued.not_after_s),
        created_at_ms: now_ms,
        revoked: None,
    }
}

/// Whether it is revoked for no other reason than that its user was removed.
fn has_departed(record: &CertificateRecord) -> bool {
    record.revoked.is_some_and(|revoked| revoked.reason == RevokedReason::UserRemoved)
}

fn revocation(record: &Arc<CertificateRecord>) -> Option<Revocation> {
    let revoked = record.revoked?;
    Some(Revocation {
        // What does not read back as a number cannot have come from a certificate.
        serial: Serial::parse(&record.serial)?,
        revoked_at_s: revoked.at_ms / 1000,
        reason: match revoked.reason {
            RevokedReason::Unspecified => RevocationReason::Unspecified,
            RevokedReason::UserRemoved => RevocationReason::CessationOfOperation,
        },
    })
}

/// Work of milliseconds, or on files, runs where it holds nobody up.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| AdminError::Internal(error.to_string()))?
}

pub(crate) fn unix_time(ms: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(ms))
}

impl From<IssueError> for AdminError {
    fn from(error: IssueError) -> AdminError {
        match error {
            IssueError::Name { .. } => AdminError::invalid("username", error),
            IssueError::Validity { reason, .. } => AdminError::invalid("days", reason),
            IssueError::Request(fault) => AdminError::invalid("csr", fault),
            IssueError::Password { minimum } => {
                AdminError::invalid("p12Password", format!("needs at least {minimum} characters"))
            }
            IssueError::Authority { reason } => AdminError::CannotIssue(reason),
            IssueError::Crypto { .. } => AdminError::Pki(error.to_string()),
        }
    }
}

/// Certificates that end soon and are named one by one in the log.
const WARNINGS_MAX: usize = 20;
const WARNING_INTERVAL: Duration = Duration::from_secs(86_400);
