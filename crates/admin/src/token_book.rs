//! Every bearer token in memory, found by the hash of what its holder shows.
//!
//! Invariant: it holds what the store holds, but for the time of last use, which the store learns a little later.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::UserId;
use store::{PasswordSlot, TokenChange, TokenRecord};
use uuid::Uuid;

/// All tokens.
#[derive(Default)]
pub(crate) struct TokenBook {
    by_id: HashMap<Uuid, Arc<Token>>,
    /// By SHA-256: whoever does not have a token cannot choose where it lands.
    by_hash: HashMap<[u8; 32], Uuid>,
    /// With the time of making, the oldest first.
    by_user: HashMap<UserId, BTreeSet<(u64, Uuid)>>,
}

/// A token.
pub(crate) struct Token {
    pub(crate) record: TokenRecord,
    /// 0 if it was never used.
    last_used_at_ms: AtomicU64,
    /// What the store was told of that.
    written_at_ms: AtomicU64,
}

impl TokenBook {
    pub(crate) fn new(records: Vec<TokenRecord>) -> TokenBook {
        let mut book = TokenBook::default();
        for record in records {
            book.put(record);
        }
        book
    }

    /// Makes a change that is on disk.
    pub(crate) fn apply(&mut self, change: &TokenChange) {
        match change {
            TokenChange::Put(record) => self.put(record.clone()),
            // The memory knows it already.
            TokenChange::Touch(..) => {}
            TokenChange::Remove(id) => self.remove(*id),
            TokenChange::RemoveOf(user) => self.remove_of(*user, |_| true),
            TokenChange::RemoveOfSecond(user) => {
                self.remove_of(*user, |token| token.password == PasswordSlot::Second);
            }
        }
    }

    fn remove_of(&mut self, user: UserId, counts: impl Fn(&TokenRecord) -> bool) {
        let tokens = self.of(user).map(|token| &token.record).filter(|token| counts(token));
        let ids: Vec<_> = tokens.map(|token| token.id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }

    fn put(&mut self, record: TokenRecord) {
        let used = AtomicU64::new(record.last_used_at_ms.unwrap_or_default());
        let written = AtomicU64::new(record.last_used_at_ms.unwrap_or_default());
        self.by_hash.insert(record.hash, record.id);
        self.by_user.entry(record.user).or_default().insert((record.created_at_ms, record.id));
        let token = Token { last_used_at_ms: used, written_at_ms: written, record };
        self.by_id.insert(token.record.id, Arc::new(token));
    }

    fn remove(&mut self, id: Uuid) {
        let Some(token) = self.by_id.remove(&id) else { return };
        let TokenRecord { hash, user, created_at_ms, .. } = &token.record;
        self.by_hash.remove(hash);
        if let Some(tokens) = self.by_user.get_mut(user) {
            tokens.remove(&(*created_at_ms, id));
            if tokens.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    pub(crate) fn with_hash(&self, hash: &[u8; 32]) -> Option<&Arc<Token>> {
        self.by_id.get(self.by_hash.get(hash)?)
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&Arc<Token>> {
        self.by_id.get(&id)
    }

    /// The tokens of a user, the oldest first.
    pub(crate) fn of(&self, user: UserId) -> impl Iterator<Item = &Arc<Token>> {
        let ids = self.by_user.get(&user).into_iter().flatten();
        ids.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// All tokens, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.by_id.values()
    }
}

impl Token {
    pub(crate) fn has_ended(&self, now_ms: u64) -> bool {
        now_ms >= self.record.expires_at_ms
    }

    pub(crate) fn last_used_at_ms(&self) -> Option<u64> {
        Some(self.last_used_at_ms.load(Ordering::Relaxed)).filter(|at_ms| *at_ms > 0)
    }

    /// Notes that it is used now. True if it is time to tell the store.
    pub(crate) fn touch(&self, now_ms: u64) -> bool {
        self.last_used_at_ms.fetch_max(now_ms, Ordering::Relaxed);
        let written = self.written_at_ms.load(Ordering::Relaxed);
        now_ms.saturating_sub(written) >= WRITTEN_EVERY_MS
            // Of several at once, one tells it.
            && self
                .written_at_ms
                .compare_exchange(written, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// How late the store may learn that a token was used: a disk write a request would be a cost that anybody with a token
/// can cause.
const WRITTEN_EVERY_MS: u64 = 300_000;
