//! The connections of a shard whose proof can end by itself, as that by a certificate and that by a second password, and
//! when each is to be judged again.
//!
//! There is no timer for each: ten times a second the shard looks whether what is trusted or revoked has changed, and whose
//! time is up. A change costs one look-up for each of these connections, in small portions, so that the others do not wait.
//! What was revoked here is known from the records too: a revocation list that cannot be written saves nobody. Validity is
//! a matter of the wall clock, which the engine does not know; that a second password was replaced it sees by itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use access::Authenticated;
use admin::RevokedCertificates;
use broker::ConnectionId;
use mqtt::ReasonCode;
use pki::{Lapse, PeerIdentity, Pki};
use tokio::sync::watch;

use super::shard::Shard;
use super::{clock, report};

/// The connections of one shard whose proof can end by itself.
pub(crate) struct Proven {
    pki: Arc<Pki>,
    revoked: watch::Receiver<RevokedCertificates>,
    by_certificate: RefCell<Places>,
    by_second_password: RefCell<Places>,
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

#[derive(Default)]
struct Places {
    /// When each is to be judged again, in milliseconds since the Unix epoch.
    due: BTreeMap<ConnectionId, u64>,
    by_time: BTreeSet<(u64, ConnectionId)>,
}

impl Proven {
    /// None yet.
    pub(crate) fn new(pki: Arc<Pki>, revoked: watch::Receiver<RevokedCertificates>) -> Self {
        let (by_certificate, by_second_password) = Default::default();
        Self { pki, revoked, by_certificate, by_second_password }
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

    /// One more that a certificate has proven.
    pub(crate) fn insert(&self, id: ConnectionId, identity: &PeerIdentity) {
        // The last second counts to its end.
        let due_ms = identity.judge_again_after_s().saturating_add(1).saturating_mul(1000);
        self.by_certificate.borrow_mut().put(id, due_ms);
    }

    /// One more that a second password has proven, or one whose password now ends at another time.
    pub(crate) fn put_by_second_password(&self, id: ConnectionId, ends_at_ms: u64) {
        self.by_second_password.borrow_mut().put(id, ends_at_ms);
    }

    /// It is gone.
    pub(crate) fn remove(&self, id: ConnectionId) {
        self.by_certificate.borrow_mut().remove(id);
        self.by_second_password.borrow_mut().remove(id);
    }
}

impl Places {
    fn put(&mut self, id: ConnectionId, due_ms: u64) {
        if let Some(before) = self.due.insert(id, due_ms) {
            self.by_time.remove(&(before, id));
        }
        self.by_time.insert((due_ms, id));
    }

    fn remove(&mut self, id: ConnectionId) {
        if let Some(due_ms) = self.due.remove(&id) {
            self.by_time.remove(&(due_ms, id));
        }
    }

    fn all(&self) -> Vec<ConnectionId> {
        self.due.keys().copied().collect()
    }

    /// Those whose time is up. They come again, as a chain may hold a certificate that has ended and is not needed.
    fn due(&mut self, now_ms: u64) -> Vec<ConnectionId> {
        let due = self.by_time.iter().take_while(|(due_ms, _)| *due_ms <= now_ms);
        let due: Vec<_> = due.map(|(_, id)| *id).collect();
        for id in &due {
            self.put(*id, now_ms.saturating_add(AGAIN_MS));
        }
        due
    }
}

/// Ends connections whose proof is not good any more, soon after that is so.
pub(crate) async fn watch(shard: Rc<Shard>) {
    let mut judged = shard.proven().pki.generation();
    let mut policy = shard.engine().policy().generation();
    let mut revoked = shard.proven().revoked.clone();
    loop {
        tokio::time::sleep(LOOK).await;
        // Read first: what changes while all are judged is another round's.
        let generation = shard.proven().pki.generation();
        // With the sender gone nothing more is revoked.
        let is_revocation = revoked.has_changed().unwrap_or(false);
        let now_ms = clock::unix_ms();
        let ids = if generation == judged && !is_revocation {
            shard.proven().by_certificate.borrow_mut().due(now_ms)
        } else {
            judged = generation;
            revoked.mark_unchanged();
            shard.proven().by_certificate.borrow().all()
        };
        for portion in ids.chunks(JUDGED_AT_ONCE) {
            judge_certificates(&shard, portion);
            tokio::task::yield_now().await;
        }
        let generation = shard.engine().policy().generation();
        let ids = if generation == policy {
            shard.proven().by_second_password.borrow_mut().due(now_ms)
        } else {
            // It may be the same password with another end.
            policy = generation;
            shard.proven().by_second_password.borrow().all()
        };
        for portion in ids.chunks(JUDGED_AT_ONCE) {
            judge_second_passwords(&shard, portion);
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
            shard.end_lapsed(*id, ReasonCode::NotAuthorized);
        }
    }
}

/// Ends the connections among these whose second passwords have ended, with the code of a changed password.
fn judge_second_passwords(shard: &Shard, connections: &[ConnectionId]) {
    for id in connections {
        // One that was replaced is the policy's matter, by which the engine has judged it.
        let Some(ends_at_ms) = shard.engine().proof_ends_at_ms(*id) else { continue };
        if ends_at_ms > clock::unix_ms() {
            shard.proven().put_by_second_password(*id, ends_at_ms);
        } else {
            shard.end_lapsed(*id, ReasonCode::AdministrativeAction);
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);
/// With a new trust bundle each costs a signature's verification, about 0.1 ms.
const JUDGED_AT_ONCE: usize = 32;
/// Judged again at this distance when its time is up and it is good all the same.
const AGAIN_MS: u64 = 1000;
