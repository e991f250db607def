//! The connections of a shard that a certificate has proven, and when each is to be judged again.
//!
//! There is no timer for each: ten times a second the shard looks whether what is trusted or revoked has changed, and whose
//! time is up. A change costs one look-up for each of these connections, in small portions, so that the others do not wait.
//! What was revoked here is known from the records too: a revocation list that cannot be written saves nobody.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use admin::RevokedCertificates;
use broker::ConnectionId;
use pki::{Lapse, PeerIdentity, Pki};
use tokio::sync::watch;

use super::clock;
use super::shard::Shard;

/// The connections of one shard that a certificate has proven.
pub(crate) struct Proven {
    pki: Arc<Pki>,
    revoked: watch::Receiver<RevokedCertificates>,
    places: RefCell<Places>,
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
    /// The second after which each is to be judged again.
    due: BTreeMap<ConnectionId, u64>,
    by_time: BTreeSet<(u64, ConnectionId)>,
}

impl Proven {
    /// None yet.
    pub(crate) fn new(pki: Arc<Pki>, revoked: watch::Receiver<RevokedCertificates>) -> Self {
        Self { pki, revoked, places: RefCell::default() }
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

    /// One more.
    pub(crate) fn insert(&self, id: ConnectionId, identity: &PeerIdentity) {
        self.places.borrow_mut().put(id, identity.judge_again_after_s());
    }

    /// It is gone.
    pub(crate) fn remove(&self, id: ConnectionId) {
        let mut places = self.places.borrow_mut();
        if let Some(due_s) = places.due.remove(&id) {
            places.by_time.remove(&(due_s, id));
        }
    }

    fn all(&self) -> Vec<ConnectionId> {
        self.places.borrow().due.keys().copied().collect()
    }

    /// Those whose time is up. They come again, as a chain may hold a certificate that has ended and is not needed.
    fn due(&self, now_s: u64) -> Vec<ConnectionId> {
        let mut places = self.places.borrow_mut();
        let due: Vec<_> = places
            .by_time
            .iter()
            .take_while(|(due_s, _)| *due_s < now_s)
            .map(|(_, id)| *id)
            .collect();
        for id in &due {
            places.put(*id, now_s.saturating_add(AGAIN_S));
        }
        due
    }
}

impl Places {
    fn put(&mut self, id: ConnectionId, due_s: u64) {
        if let Some(before) = self.due.insert(id, due_s) {
            self.by_time.remove(&(before, id));
        }
        self.by_time.insert((due_s, id));
    }
}

/// Ends connections whose certificates are not good any more, soon after that is so.
pub(crate) async fn watch(shard: Rc<Shard>) {
    let mut judged = shard.proven().pki.generation();
    let mut revoked = shard.proven().revoked.clone();
    loop {
        tokio::time::sleep(LOOK).await;
        // Read first: what changes while all are judged is another round's.
        let generation = shard.proven().pki.generation();
        // With the sender gone nothing more is revoked.
        let is_revocation = revoked.has_changed().unwrap_or(false);
        let ids = if generation == judged && !is_revocation {
            shard.proven().due(clock::certificate_time().as_secs())
        } else {
            judged = generation;
            revoked.mark_unchanged();
            shard.proven().all()
        };
        for portion in ids.chunks(JUDGED_AT_ONCE) {
            shard.judge_again(portion);
            tokio::task::yield_now().await;
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);
/// With a new trust bundle each costs a signature's verification, about 0.1 ms.
const JUDGED_AT_ONCE: usize = 32;
/// Judged again at this distance when its time is up and it is good all the same.
const AGAIN_S: u64 = 1;
