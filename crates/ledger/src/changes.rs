//! Changes that wait for the next commit, each key once: what was put and removed in between never reaches the disk.

use std::collections::{BTreeMap, BTreeSet};

/// What the next commit changes.
#[derive(Debug, Default)]
pub struct Changes {
    keys: BTreeMap<Vec<u8>, Change>,
    /// Keys that begin with one of these are removed, unless they are put again.
    prefixes: BTreeSet<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Put(Vec<u8>),
    /// The disk has no such key: if it is removed again, there is nothing to do.
    PutNew(Vec<u8>),
    Remove,
}

impl Changes {
    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.keys.insert(key, Change::Put(value));
    }

    /// Sets a key that the disk does not have.
    pub fn put_new(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let change = match self.keys.get(&key) {
            None | Some(Change::PutNew(_)) => Change::PutNew(value),
            Some(Change::Put(_) | Change::Remove) => Change::Put(value),
        };
        self.keys.insert(key, change);
    }

    /// Sets a key that there is: on the disk, or only here.
    pub fn update(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let change = match self.keys.get(&key) {
            Some(Change::PutNew(_)) => Change::PutNew(value),
            None | Some(Change::Put(_) | Change::Remove) => Change::Put(value),
        };
        self.keys.insert(key, change);
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Vec<u8>) {
        match self.keys.get(&key) {
            Some(Change::PutNew(_)) => {
                self.keys.remove(&key);
            }
            None | Some(Change::Put(_) | Change::Remove) => {
                self.keys.insert(key, Change::Remove);
            }
        }
    }

    /// Removes all keys that begin with this.
    pub fn remove_all(&mut self, prefix: Vec<u8>) {
        let begun = self.keys.range(prefix.clone()..);
        let waiting = begun.take_while(|(key, _)| key.starts_with(&prefix));
        let keys: Vec<_> = waiting.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(key);
        }
        self.prefixes.insert(prefix);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// What the keys begin with that are to go, but for those among [`Changes::entries`].
    pub fn removed_prefixes(&self) -> impl Iterator<Item = &[u8]> {
        self.prefixes.iter().map(Vec::as_slice)
    }

    /// Each key that changes, in their order, with its new value; `None`: it is to go.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.keys.iter().map(|(key, change)| match change {
            Change::Put(value) | Change::PutNew(value) => (key.as_slice(), Some(value.as_slice())),
            Change::Remove => (key.as_slice(), None),
        })
    }

    /// All of it is durable.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.prefixes.clear();
    }

    /// A commit failed: nothing is surely not on disk any more.
    pub fn are_perhaps_there(&mut self) {
        for change in self.keys.values_mut() {
            if let Change::PutNew(value) = change {
                *change = Change::Put(std::mem::take(value));
            }
        }
    }
}
