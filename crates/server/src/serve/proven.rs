//! The connections of a shard whose proof can end by itself, as that by a certificate and that by a second password, and
//! when each is to be judged again.
//!
//! There is no timer for each: ten times a second the shard looks whether what is trusted or revoked has changed, and whose
//! time is up. A change costs one look-up for each of these connections, in small portions, so that the others do not wait.
//! What was revoked here is known from the records too: a revocation list that cannot be written saves nobody. Validity is
//! a matter of the wall clock, which the engine does not know; that a second password was replaced it sees by itself.
//!
//! A will that such a client has left with a delay is judged in the same way until it is sent: whose certificate was withdrawn does
//! not speak any more. One whose time is over has not lost its will by that.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::Authenticated;
use admin::RevokedCertificates;
use broker::{ConnectionId, ProofEnd, SessionKey};
use mqtt::ReasonCode;
use pki::{Lapse, PeerIdentity, Pki};
use tokio::sync::watch;

use super::shard::Shard;
use super::{clock, report};

/// The connections of one shard whose proof can end by itself.
pub(crate) struct Proven {
    pki: Arc<Pki>,
    revoked: watch::Receiver<RevokedCertificates>,
    by_certificate: RefCell<Places<ConnectionId>>,
    by_second_password: RefCell<Places<ConnectionId>>,
    /// Whose these connections are.
    sessions: RefCell<HashMap<ConnectionId, SessionKey>>,
    /// Sessions whose clients are gone and have left a will that is still to be sent, if a certificate has proven them.
    wills: RefCell<Places<SessionKey>>,
    /// These certificates.
    left_by: RefCell<HashMap<SessionKey, PeerIdentity>>,
}

/// Why a certificate that was good is not any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateLapse {
    /// It was revoked here, whether the revocation list says so or not.
    #[error("the certificate is revoked")]
    OnRecord,
    /// It does not verify any more.
    #[error(transparent)]
    Trust(#[from] Lapse),
}

struct Places<K> {
    /// When each is to be judged again, in milliseconds since the Unix epoch.
    due: BTreeMap<K, u64>,
    by_time: BTreeSet<(u64, K)>,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl CertificateLapse {
    fn end(&self) -> ProofEnd {
        match self {
            Self::Trust(Lapse::Expired { .. }) => ProofEnd::Over,
            Self::OnRecord | Self::Trust(_) => ProofEnd::Withdrawn,
        }
    }
}

impl Proven {
    /// None yet.
    pub(crate) fn new(pki: Arc<Pki>, revoked: watch::Receiver<RevokedCertificates>) -> Self {
        Self {
            pki,
            revoked,
            by_certificate: RefCell::default(),
            by_second_password: RefCell::default(),
            sessions: RefCell::default(),
            wills: RefCell::default(),
            left_by: RefCell::default(),
        }
    }

    /// Whether this certificate is good at this moment.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn judge(&self, identity: &PeerIdentity) -> Result<(), CertificateLapse> {
        if self.revoked.borrow().holds(identity.fingerprint().as_bytes()) {
            return Err(CertificateLapse::OnRecord);
        }
        Ok(self.pki.still_good(identity, clock::certificate_time())?)
    }

    /// A new connection of the session, with what has proven it. What its last client has left is that one's no more.
    pub(crate) fn insert(
        &self,
        id: ConnectionId,
        session: &SessionKey,
        identity: Option<&PeerIdentity>,
        password_ends_at_ms: Option<u64>,
    ) {
        self.forget_will(session);
        if let Some(identity) = identity {
            self.by_certificate.borrow_mut().put(id, ends_at_ms(identity));
        }
        if let Some(ends_at_ms) = password_ends_at_ms {
            self.by_second_password.borrow_mut().put(id, ends_at_ms);
        }
        if identity.is_some() || password_ends_at_ms.is_some() {
            self.sessions.borrow_mut().insert(id, session.clone());
        }
    }

    /// It is gone. Gives back whose it was, if its proof can end by itself.
    pub(crate) fn remove(&self, id: ConnectionId) -> Option<SessionKey> {
        let session = self.sessions.borrow_mut().remove(&id)?;
        self.by_certificate.borrow_mut().remove(&id);
        self.by_second_password.borrow_mut().remove(&id);
        Some(session)
    }

    /// A client that is gone has left a will that is still to be sent. What has changed while it went is looked at soon.
    pub(crate) fn keep_will(&self, session: SessionKey, identity: &PeerIdentity) {
        self.left_by.borrow_mut().insert(session.clone(), identity.clone());
        self.wills.borrow_mut().put(session, 0);
    }

    fn forget_will(&self, session: &SessionKey) {
        if self.wills.borrow_mut().remove(session) {
            self.left_by.borrow_mut().remove(session);
        }
    }
}

/// The moment from which the certificate is to be judged again: its last second counts to its end.
fn ends_at_ms(identity: &PeerIdentity) -> u64 {
    identity.judge_again_after_s().saturating_add(1).saturating_mul(1000)
}

impl<K: Ord + Clone> Places<K> {
    fn put(&mut self, key: K, due_ms: u64) {
        self.remove(&key);
        self.due.insert(key.clone(), due_ms);
        self.by_time.insert((due_ms, key));
    }

    /// True if it was there.
    fn remove(&mut self, key: &K) -> bool {
        let removed = self.due.remove_entry(key);
        removed.is_some_and(|(key, due_ms)| self.by_time.remove(&(due_ms, key)))
    }

    fn all(&self) -> Vec<K> {
        self.due.keys().cloned().collect()
    }

    /// Those whose time is up. They come again, as a chain may hold a certificate that has ended and is not needed.
    fn due(&mut self, now_ms: u64) -> Vec<K> {
        let due = self.by_time.iter().take_while(|(due_ms, _)| *due_ms <= now_ms);
        let due: Vec<_> = due.map(|(_, key)| key.clone()).collect();
        for key in &due {
            self.put(key.clone(), now_ms.saturating_add(AGAIN_MS));
        }
        due
    }

    fn due_or_all(&mut self, is_changed: bool, now_ms: u64) -> Vec<K> {
        if is_changed { self.all() } else { self.due(now_ms) }
    }
}

/// Ends connections whose proof is not good any more, soon after that is so.
pub(crate) async fn watch(shard: Rc<Shard>) {
    let proven = shard.proven();
    let mut judged = proven.pki.generation();
    let mut policy = shard.engine().policy().generation();
    let mut revoked = proven.revoked.clone();
    loop {
        tokio::time::sleep(LOOK).await;
        // Read first: what changes while all are judged is another round's.
        let generation = proven.pki.generation();
        // With the sender gone nothing more is revoked.
        let is_revocation = revoked.has_changed().unwrap_or(false);
        let is_other_trust = std::mem::replace(&mut judged, generation) != generation;
        let is_other_trust = is_other_trust || is_revocation;
        if is_revocation {
            revoked.mark_unchanged();
        }
        let generation = shard.engine().policy().generation();
        // It may be the same password with another end.
        let is_other_policy = std::mem::replace(&mut policy, generation) != generation;
        let now_ms = clock::unix_ms();
        let due = proven.by_certificate.borrow_mut().due_or_all(is_other_trust, now_ms);
        for portion in due.chunks(JUDGED_AT_ONCE) {
            judge_certificates(&shard, portion);
            tokio::task::yield_now().await;
        }
        let due = proven.by_second_password.borrow_mut().due_or_all(is_other_policy, now_ms);
        for portion in due.chunks(JUDGED_AT_ONCE) {
            judge_second_passwords(&shard, portion);
            tokio::task::yield_now().await;
        }
        let is_changed = is_other_trust || is_other_policy;
        let due = proven.wills.borrow_mut().due_or_all(is_changed, now_ms);
        for portion in due.chunks(JUDGED_AT_ONCE) {
            judge_wills(&shard, portion);
            tokio::task::yield_now().await;
        }
    }
}

/// Whether what has proven a newcomer has ended since: its certificate was revoked, or its password's time is over.
pub(crate) fn has_lapsed(
    shard: &Shard,
    proof: &Authenticated,
    identity: Option<&PeerIdentity>,
) -> bool {
    let ends_at_ms = shard.engine().policy().proof_ends_at_ms(proof);
    ends_at_ms.is_some_and(|at_ms| at_ms <= clock::unix_ms())
        || identity.is_some_and(|identity| shard.proven().judge(identity).is_err())
}

/// Ends the connections among these whose certificates are not good any more.
fn judge_certificates(shard: &Shard, connections: &[ConnectionId]) {
    for id in connections {
        let Some(link) = shard.link(*id) else { continue };
        let Some(identity) = link.identity() else { continue };
        if let Err(lapse) = shard.proven().judge(identity) {
            report::identity_lapsed(identity, &lapse);
            shard.end_lapsed(*id, lapse.end(), ReasonCode::NotAuthorized);
        }
    }
}

/// Ends the connections among these whose second passwords have ended, with the code of a changed password.
fn judge_second_passwords(shard: &Shard, connections: &[ConnectionId]) {
    for id in connections {
        // One that was replaced is the policy's matter, by which the engine has judged it.
        let Some(ends_at_ms) = shard.engine().proof_ends_at_ms(*id) else { continue };
        if ends_at_ms > clock::unix_ms() {
            shard.proven().by_second_password.borrow_mut().put(*id, ends_at_ms);
        } else {
            shard.end_lapsed(*id, ProofEnd::Over, ReasonCode::AdministrativeAction);
        }
    }
}

/// Takes those of these wills whose clients' certificates were withdrawn, and forgets those that are not there any more.
fn judge_wills(shard: &Shard, sessions: &[SessionKey]) {
    for session in sessions {
        let proven = shard.proven();
        let Some(due_in_ms) = shard.engine().waiting_will_ms(session, clock::now()) else {
            proven.forget_will(session);
            continue;
        };
        let identity = proven.left_by.borrow().get(session).cloned();
        let judged = identity.as_ref().map_or(Ok(()), |it| proven.judge(it));
        if judged.is_err_and(|lapse| lapse.end() == ProofEnd::Withdrawn) {
            shard.withdraw_waiting_will(session);
            proven.forget_will(session);
        } else {
            // When it was sent there is nothing left to judge.
            let sent_at_ms = clock::unix_ms().saturating_add(due_in_ms);
            proven.wills.borrow_mut().put(session.clone(), sent_at_ms.saturating_add(AGAIN_MS));
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);
/// With a new trust bundle each costs a signature's verification, about 0.1 ms.
const JUDGED_AT_ONCE: usize = 32;
/// Judged again at this distance when its time is up and it is good all the same.
const AGAIN_MS: u64 = 1000;
