//! A map whose copies share what they have in common.
//!
//! The entries hang in buckets, the buckets in branches. A copy costs one count, and a change in a
//! copy costs the branch and the bucket it falls into: some hundreds of counts where a million
//! entries are in store.

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Values found by a key that is part of them. At most one value has a key.
pub(crate) struct Index<T, K: ?Sized> {
    key: fn(&T) -> &K,
    hasher: RandomState,
    branches: Arc<Vec<Branch<T>>>,
    len: usize,
}

type Branch<T> = Arc<Vec<Bucket<T>>>;
type Bucket<T> = Arc<HashTable<Arc<T>>>;

impl<T, K: Hash + Eq + ?Sized> Index<T, K> {
    pub(crate) fn new(key: fn(&T) -> &K) -> Self {
        let branch = Arc::new(vec![Bucket::default(); FAN_OUT]);
        Index {
            key,
            hasher: RandomState::default(),
            branches: Arc::new(vec![branch; FAN_OUT]),
            len: 0,
        }
    }

    /// Puts a value in and returns the one that had its key.
    pub(crate) fn put(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        let hash = self.hasher.hash_one((self.key)(&value));
        let (key_of, hasher) = (self.key, self.hasher.clone());
        let bucket = self.bucket_mut(hash)?;
        let same_key = |other: &Arc<T>| key_of(other) == key_of(&value);
        if let Some(slot) = bucket.find_mut(hash, same_key) {
            return Some(std::mem::replace(slot, value));
        }
        bucket.insert_unique(hash, value, |other| hasher.hash_one(key_of(other)));
        self.len += 1;
        None
    }

    /// Takes the value with this key out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Arc<T>> {
        // A look first: a key that is not there must not cost a copy of its bucket.
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let key_of = self.key;
        let bucket = self.bucket_mut(hash)?;
        let (value, _) = bucket.find_entry(hash, |other| key_of(other) == key).ok()?.remove();
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Arc<T>> {
        let hash = self.hasher.hash_one(key);
        let (branch, bucket) = place(hash);
        let bucket = self.branches.get(branch)?.get(bucket)?;
        bucket.find(hash, |other| (self.key)(other) == key)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.branches.iter().flat_map(|branch| branch.iter()).flat_map(|bucket| bucket.iter())
    }

    fn bucket_mut(&mut self, hash: u64) -> Option<&mut HashTable<Arc<T>>> {
        let (branch, bucket) = place(hash);
        let branch = Arc::make_mut(&mut self.branches).get_mut(branch)?;
        Some(Arc::make_mut(Arc::make_mut(branch).get_mut(bucket)?))
    }
}

impl<T, K: ?Sized> Clone for Index<T, K> {
    fn clone(&self) -> Self {
        Index {
            key: self.key,
            hasher: self.hasher.clone(),
            branches: Arc::clone(&self.branches),
            len: self.len,
        }
    }
}

impl<T, K: ?Sized> fmt::Debug for Index<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Branch and bucket, from bits in the middle: a bucket's own table uses both ends of the hash.
fn place(hash: u64) -> (usize, usize) {
    let fan_out = FAN_OUT as u64;
    let at = |bits: u64| usize::try_from(bits % fan_out).unwrap_or(0);
    (at(hash >> 40), at(hash >> 30))
}

/// Branches of an index, and buckets of a branch; a power of two.
const FAN_OUT: usize = 64;
