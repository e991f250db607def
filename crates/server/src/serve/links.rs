//! The links of one shard by the engine's name for them, which each of them knows itself.

use std::hash::BuildHasher;
use std::rc::Rc;

use broker::ConnectionId;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::link::Link;

/// The links of one shard.
#[derive(Default)]
pub(crate) struct Links {
    table: HashTable<Rc<Link>>,
    hasher: RandomState,
}

impl Links {
    /// One more. Its connection is a new one.
    pub(crate) fn insert(&mut self, link: Rc<Link>) {
        let Self { table, hasher } = self;
        table.insert_unique(hasher.hash_one(link.id()), link, |link| hasher.hash_one(link.id()));
    }

    /// It is gone.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        let hash = self.hasher.hash_one(id);
        if let Ok(link) = self.table.find_entry(hash, |link| link.id() == id) {
            link.remove();
        }
    }

    /// The link of this connection.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Rc<Link>> {
        self.table.find(self.hasher.hash_one(id), |link| link.id() == id)
    }

    /// Those whose input is held back, and how many bytes of it are kept.
    pub(crate) fn held_input(&self) -> impl Iterator<Item = (ConnectionId, usize)> {
        self.table.iter().filter_map(|link| Some((link.id(), link.held_bytes()?)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
