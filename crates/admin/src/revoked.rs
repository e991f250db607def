//! Which certificates were revoked here, as live connections are told: from the records and not from the revocation
//! list, whose file a full disk can keep from being written.

use std::collections::HashSet;
use std::sync::Arc;

use store::Change;
use tokio::sync::watch;

/// The certificates that were issued and revoked here, at one moment.
#[derive(Clone, Debug, Default)]
pub struct RevokedCertificates(Arc<HashSet<[u8; 32]>>);

impl RevokedCertificates {
    /// Whether the certificate with this SHA-256 is among them.
    #[must_use]
    pub fn holds(&self, fingerprint: &[u8; 32]) -> bool {
        self.0.contains(fingerprint)
    }
}

impl FromIterator<[u8; 32]> for RevokedCertificates {
    fn from_iter<T: IntoIterator<Item = [u8; 32]>>(fingerprints: T) -> Self {
        Self(Arc::new(fingerprints.into_iter().collect()))
    }
}

/// Tells what is revoked by changes that are on disk. Again where it was before: whoever revokes a second time may do so
/// because the first one seemed to be without effect.
pub(crate) fn tell(identities: &watch::Sender<RevokedCertificates>, changes: &[Change]) {
    let revoked = changes.iter().filter_map(|change| match change {
        Change::RevokeCertificate(fingerprint, _) => Some(*fingerprint),
        _ => None,
    });
    let revoked: Vec<_> = revoked.collect();
    if !revoked.is_empty() {
        identities.send_modify(|all| Arc::make_mut(&mut all.0).extend(revoked));
    }
}
