//! The passwords of one user in memory, and what its good logins have left since the start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;
use store::{PasswordHash, PasswordRecord, PasswordSlot, RenewedHash};

use crate::hash::sha256;
use crate::pool::Source;
use crate::proof::Tag;

/// The passwords of a user, and the fingerprints of those that were proven since the start. Small, as there may be a
/// million of these.
#[derive(Default)]
pub(crate) struct Credentials {
    passwords: SmallVec<[Password; 1]>,
    /// `None` before the first good login, as with most of many users.
    seen: Mutex<Option<Box<Seen>>>,
}

/// A password in store, with what changes at each login apart.
pub(crate) struct Password {
    pub(crate) slot: PasswordSlot,
    /// Whether the store does not know of the last use yet.
    is_use_new: AtomicBool,
    pub(crate) hash: PasswordHash,
    created_at_ms: u64,
    /// 0 if it was never used.
    used_at_ms: AtomicU64,
    rare: Option<Box<Rare>>,
}

/// What few passwords have.
struct Rare {
    /// SHA-256 of the hash that was set, if the one in use was made at a login since.
    renewed_from: Option<Box<[u8; 32]>>,
    /// [`NEVER_MS`] if it does not end.
    expires_at_ms: u64,
}

/// What good logins have left.
#[derive(Clone, Default)]
struct Seen {
    proven: Vec<Proof>,
    /// Where the user has logged in from, the last ones: who holds a proven secret there is not locked out by others.
    usual: VecDeque<Source>,
}

/// A proven password. Its tag holds the credential epoch, so it ends with that.
#[derive(Clone)]
struct Proof {
    slot: PasswordSlot,
    tag: Tag,
    expires_at_ms: u64,
}

impl Password {
    pub(crate) fn new(record: PasswordRecord) -> Password {
        let rare = Rare {
            renewed_from: record.renewed_from,
            expires_at_ms: record.expires_at_ms.unwrap_or(NEVER_MS),
        };
        let is_rare = rare.renewed_from.is_some() || rare.expires_at_ms != NEVER_MS;
        Password {
            slot: record.slot,
            is_use_new: AtomicBool::new(false),
            hash: record.hash,
            created_at_ms: record.created_at_ms,
            used_at_ms: AtomicU64::new(record.last_used_at_ms.unwrap_or_default()),
            rare: is_rare.then(|| Box::new(rare)),
        }
    }

    /// When it ends; never comes last of all times.
    pub(crate) fn ends_at_ms(&self) -> u64 {
        self.rare.as_ref().map_or(NEVER_MS, |rare| rare.expires_at_ms)
    }

    /// SHA-256 of the hash that was set, if the one in use was made at a login since.
    pub(crate) fn renewed_from(&self) -> Option<&[u8; 32]> {
        self.rare.as_ref()?.renewed_from.as_deref()
    }

    /// Whether this is the same password, stored anew or not. Another hash of it may only have been made at a login.
    pub(crate) fn is_same_as(&self, other: &Password) -> bool {
        self.set_as() == other.set_as()
    }

    /// SHA-256 of the hash that was set.
    pub(crate) fn set_as(&self) -> [u8; 32] {
        self.renewed_from().copied().unwrap_or_else(|| sha256(self.hash.expose().as_bytes()))
    }

    /// As it is in store, with the time of its last use as of now.
    fn record(&self) -> PasswordRecord {
        let used_at_ms = self.used_at_ms.load(Ordering::Relaxed);
        PasswordRecord {
            slot: self.slot,
            hash: self.hash.clone(),
            renewed_from: self.renewed_from().copied().map(Box::new),
            created_at_ms: self.created_at_ms,
            expires_at_ms: Some(self.ends_at_ms()).filter(|at_ms| *at_ms != NEVER_MS),
            last_used_at_ms: Some(used_at_ms).filter(|at_ms| *at_ms > 0),
        }
    }
}

impl Credentials {
    pub(crate) fn new(passwords: Vec<PasswordRecord>) -> Arc<Credentials> {
        let passwords = passwords.into_iter().map(Password::new).collect();
        Arc::new(Credentials { passwords, ..Credentials::default() })
    }

    /// The same with a stronger hash of one of the passwords: what was proven stays so.
    pub(crate) fn renewed(&self, slot: PasswordSlot, renewed: &RenewedHash) -> Arc<Credentials> {
        let mut passwords = self.records();
        for password in passwords.iter_mut().filter(|password| password.slot == slot) {
            password.hash = renewed.hash.clone();
            password.renewed_from = Some(Box::new(renewed.renewed_from));
        }
        let passwords = passwords.into_iter().map(Password::new).collect();
        let seen = Mutex::new(self.seen.lock().clone());
        Arc::new(Credentials { passwords, seen })
    }

    /// Notes that a login has used a password. True if it is the first use of it since the store was told.
    pub(crate) fn touch(&self, slot: PasswordSlot, now_ms: u64) -> bool {
        let Some(password) = self.password(slot) else { return false };
        password.used_at_ms.fetch_max(now_ms, Ordering::Relaxed);
        !password.is_use_new.swap(true, Ordering::Relaxed)
    }

    /// From now on a use is new again.
    pub(crate) fn settle(&self) {
        for password in &self.passwords {
            password.is_use_new.store(false, Ordering::Relaxed);
        }
    }

    /// The passwords with the times of their last use as of now.
    pub(crate) fn records(&self) -> Vec<PasswordRecord> {
        self.passwords.iter().map(Password::record).collect()
    }

    /// True if the user has no password.
    pub(crate) fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    pub(crate) fn password(&self, slot: PasswordSlot) -> Option<&Password> {
        self.passwords.iter().find(|password| password.slot == slot)
    }

    /// The passwords that have not ended.
    pub(crate) fn valid(&self, now_ms: u64) -> impl Iterator<Item = &Password> {
        self.passwords.iter().filter(move |password| now_ms < password.ends_at_ms())
    }

    /// Which password the tag is of, if it was proven.
    pub(crate) fn proven(&self, tag: Tag, now_ms: u64) -> Option<PasswordSlot> {
        let seen = self.seen.lock();
        let mut good = seen.as_ref()?.proven.iter().filter(|proof| now_ms < proof.expires_at_ms);
        good.find(|proof| proof.tag == tag).map(|proof| proof.slot)
    }

    pub(crate) fn is_usual(&self, source: Source) -> bool {
        self.seen.lock().as_ref().is_some_and(|seen| seen.usual.contains(&source))
    }

    /// Remembers where a good login came from.
    pub(crate) fn remember_source(&self, source: Source) {
        let mut seen = self.seen.lock();
        let usual = &mut seen.get_or_insert_default().usual;
        if !usual.contains(&source) {
            if usual.len() >= USUAL_SOURCES_MAX {
                usual.pop_front();
            }
            usual.push_back(source);
        }
    }

    /// Remembers a proof, in the place of the slot's last one.
    pub(crate) fn remember(&self, slot: PasswordSlot, tag: Tag) {
        let Some(password) = self.password(slot) else { return };
        let mut seen = self.seen.lock();
        let proven = &mut seen.get_or_insert_default().proven;
        proven.retain(|proof| proof.slot != slot);
        proven.push(Proof { slot, tag, expires_at_ms: password.ends_at_ms() });
    }
}

/// The end of a password that has none.
const NEVER_MS: u64 = u64::MAX;

/// Sources that are remembered for a user. Full: the one that was learnt first goes.
const USUAL_SOURCES_MAX: usize = 1024;
