//! Every certificate that was ever issued here, in memory, found by what it may be asked for by.
//!
//! Invariant: it holds what the store holds; a record is added and revoked, never removed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use access::UserId;
use store::{CertificateRecord, RevokedRecord};

/// All records.
#[derive(Default)]
pub(crate) struct CertificateBook {
    by_fingerprint: HashMap<[u8; 32], Arc<CertificateRecord>>,
    /// Two authorities may have given out the same serial number, before and after a change of the authority.
    by_serial: HashMap<Box<str>, Vec<[u8; 32]>>,
    by_user: HashMap<UserId, Vec<[u8; 32]>>,
    /// In the order of lists: by name, then by age.
    in_order: BTreeMap<(Box<str>, u64, [u8; 32]), Arc<CertificateRecord>>,
}

impl CertificateBook {
    pub(crate) fn new(records: Vec<CertificateRecord>) -> CertificateBook {
        let mut book = CertificateBook::default();
        for record in records {
            book.put(record);
        }
        book
    }

    pub(crate) fn put(&mut self, record: CertificateRecord) {
        let fingerprint = record.fingerprint;
        self.by_serial.entry(record.serial.clone()).or_default().push(fingerprint);
        self.by_user.entry(record.user).or_default().push(fingerprint);
        self.show(Arc::new(record));
    }

    pub(crate) fn revoke(&mut self, fingerprint: &[u8; 32], revoked: RevokedRecord) {
        let Some(present) = self.by_fingerprint.get(fingerprint) else { return };
        if present.revoked.is_none() {
            let record = CertificateRecord { revoked: Some(revoked), ..(**present).clone() };
            self.show(Arc::new(record));
        }
    }

    fn show(&mut self, record: Arc<CertificateRecord>) {
        let fingerprint = record.fingerprint;
        let place = (record.user_name.as_str().into(), record.created_at_ms, fingerprint);
        self.in_order.insert(place, Arc::clone(&record));
        self.by_fingerprint.insert(fingerprint, record);
    }

    pub(crate) fn get(&self, fingerprint: &[u8; 32]) -> Option<&Arc<CertificateRecord>> {
        self.by_fingerprint.get(fingerprint)
    }

    pub(crate) fn with_serial(
        &self,
        serial: &str,
    ) -> impl Iterator<Item = &Arc<CertificateRecord>> {
        let found = self.by_serial.get(serial).into_iter().flatten();
        found.filter_map(|fingerprint| self.get(fingerprint))
    }

    /// The certificates of a user, the oldest first.
    pub(crate) fn of(&self, user: UserId) -> impl Iterator<Item = &Arc<CertificateRecord>> {
        let found = self.by_user.get(&user).into_iter().flatten();
        let mut found: Vec<_> = found.filter_map(|fingerprint| self.get(fingerprint)).collect();
        found.sort_by_key(|record| (record.created_at_ms, record.fingerprint));
        found.into_iter()
    }

    /// All, by name and age.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Arc<CertificateRecord>> {
        self.in_order.values()
    }
}
