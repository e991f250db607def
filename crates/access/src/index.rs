//! A map whose copies share what they have in common.
//!
//! The entries hang in buckets, the buckets in branches. A copy costs one count, and a change in a
//! copy costs the branch and the bucket it falls into: some hundreds of counts where a million
//! entries are in store.

use foldhash::quality::RandomState;
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

type Branch<T> = Arc<Vec<Arc<Bucket<T>>>>;

/// Values in the order of their tags. With room for few more than there are: a hash table is half
/// empty at some sizes, and a million users have two of them.
struct Bucket<T> {
    tags: Vec<u16>,
    values: Vec<Arc<T>>,
}

impl<T, K: Hash + Eq + ?Sized> Index<T, K> {
    pub(crate) fn new(key: fn(&T) -> &K) -> Self {
        let bucket = Arc::new(Bucket { tags: Vec::new(), values: Vec::new() });
        let branch = Arc::new(vec![bucket; FAN_OUT]);
        Index {
            key,
            hasher: RandomState::default(),
            branches: Arc::new(vec![branch; FAN_OUT]),
            len: 0,
        }
    }

    /// Puts a value in and returns the one that had its key.
    pub(crate) fn put(&mut self, value: Arc<T>) -> Option<Arc<T>> {
        let key_of = self.key;
        let place = self.place((key_of)(&value));
        let bucket = self.bucket_mut(place)?;
        let is_same = |other: &T| key_of(other) == key_of(&value);
        if let Some(found) = bucket.find(place.tag, is_same) {
            return Some(std::mem::replace(bucket.values.get_mut(found)?, value));
        }
        bucket.insert(place.tag, value);
        self.len += 1;
        None
    }

    /// Takes the value with this key out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Arc<T>> {
        // A look first: a key that is not there must not cost a copy of its bucket.
        self.get(key)?;
        let (key_of, place) = (self.key, self.place(key));
        let bucket = self.bucket_mut(place)?;
        let found = bucket.find(place.tag, |other| key_of(other) == key)?;
        bucket.tags.remove(found);
        let value = bucket.values.remove(found);
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Arc<T>> {
        let place = self.place(key);
        let bucket = self.branches.get(place.branch)?.get(place.bucket)?;
        bucket.values.get(bucket.find(place.tag, |other| (self.key)(other) == key)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        let buckets = self.branches.iter().flat_map(|branch| branch.iter());
        buckets.flat_map(|bucket| bucket.values.iter())
    }

    fn bucket_mut(&mut self, place: Place) -> Option<&mut Bucket<T>> {
        let branch = Arc::make_mut(&mut self.branches).get_mut(place.branch)?;
        Some(Arc::make_mut(Arc::make_mut(branch).get_mut(place.bucket)?))
    }

    fn place(&self, key: &K) -> Place {
        let [tag_low, tag_high, _, branch, bucket, ..] = self.hasher.hash_one(key).to_le_bytes();
        Place {
            branch: usize::from(branch) % FAN_OUT,
            bucket: usize::from(bucket) % FAN_OUT,
            tag: u16::from_le_bytes([tag_low, tag_high]),
        }
    }
}

/// Where a key belongs, by its hash.
#[derive(Clone, Copy)]
struct Place {
    branch: usize,
    bucket: usize,
    /// Tells most of the keys of a bucket apart.
    tag: u16,
}

impl<T> Bucket<T> {
    /// The place of the value with this tag that is the right one.
    fn find(&self, tag: u16, is_right: impl Fn(&T) -> bool) -> Option<usize> {
        let first = self.tags.partition_point(|other| *other < tag);
        let same = self.tags.iter().skip(first).take_while(|other| **other == tag).count();
        let values = self.values.iter().enumerate().skip(first).take(same);
        values.filter(|(_, value)| is_right(value)).map(|(place, _)| place).next()
    }

    fn insert(&mut self, tag: u16, value: Arc<T>) {
        if self.values.len() == self.values.capacity() {
            let more = self.values.len() / ROOM_PART + 1;
            self.tags.reserve_exact(more);
            self.values.reserve_exact(more);
        }
        let place = self.tags.partition_point(|other| *other < tag);
        self.tags.insert(place, tag);
        self.values.insert(place, value);
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Bucket { tags: self.tags.clone(), values: self.values.clone() }
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

/// Branches of an index, and buckets of a branch; a power of two.
const FAN_OUT: usize = 64;

/// A bucket that is full grows by one in so many.
const ROOM_PART: usize = 16;
