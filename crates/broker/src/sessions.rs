//! All sessions of one shard, by place and by name, and the outboxes of connections that are ending.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap, HashTable};
use slab::Slab;

use crate::connection::Connection;
use crate::identity::{ConnectionId, SessionKey, SessionKeyRef, SessionRef, ShardId};
use crate::outbox::Outbox;
use crate::session::Session;

#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Slab<Box<Session>>,
    /// Slots by key: the keys are in the sessions.
    by_key: HashTable<u32>,
    hasher: FixedState,
    closing: HashMap<ConnectionId, Closing, FixedState>,
    shard: ShardId,
    serial: u32,
}

/// A connection the engine is done with, until its last bytes are written.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) outbox: Outbox,
    pub(crate) linger: mqtt::Timestamp,
}

impl Sessions {
    pub(crate) fn new(shard: ShardId, seed: u64) -> Sessions {
        Sessions {
            slab: Slab::new(),
            by_key: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            closing: HashMap::with_hasher(FixedState::with_seed(seed)),
            shard,
            serial: 0,
        }
    }

    /// Puts a session in at a place of its own.
    pub(crate) fn insert(
        &mut self,
        make: impl FnOnce(SessionRef) -> Session,
    ) -> Option<SessionRef> {
        let serial = self.next_serial();
        let entry = self.slab.vacant_entry();
        let slot = u32::try_from(entry.key()).ok()?;
        let place = SessionRef { shard: self.shard, slot, serial };
        let session = entry.insert(Box::new(make(place)));
        let hash = self.hasher.hash_one(&session.identity.key);
        let Sessions { slab, by_key, hasher, .. } = self;
        by_key.insert_unique(hash, slot, |slot| {
            key_of(slab, *slot).map_or(0, |key| hasher.hash_one(key))
        });
        Some(place)
    }

    pub(crate) fn remove(&mut self, place: SessionRef) -> Option<Box<Session>> {
        let hash = self.hasher.hash_one(&self.get(place)?.identity.key);
        if let Ok(entry) = self.by_key.find_entry(hash, |slot| *slot == place.slot) {
            entry.remove();
        }
        self.slab.try_remove(usize::try_from(place.slot).ok()?)
    }

    pub(crate) fn next_connection_id(&mut self, place: SessionRef) -> ConnectionId {
        ConnectionId { slot: place.slot, serial: self.next_serial() }
    }

    pub(crate) fn get_mut(&mut self, place: SessionRef) -> Option<&mut Session> {
        let session = self.slab.get_mut(usize::try_from(place.slot).ok()?)?;
        (session.identity.place.serial == place.serial).then_some(session)
    }

    pub(crate) fn get(&self, place: SessionRef) -> Option<&Session> {
        let session = self.slab.get(usize::try_from(place.slot).ok()?)?;
        (session.identity.place.serial == place.serial).then_some(session)
    }

    /// The session of a live connection.
    pub(crate) fn online_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let session = self.slab.get_mut(usize::try_from(id.slot).ok()?)?;
        let is_live = session.connection.as_ref().is_some_and(|connection| connection.id == id);
        is_live.then_some(session)
    }

    pub(crate) fn online(&self, id: ConnectionId) -> Option<(&Session, &Connection)> {
        let session = self.slab.get(usize::try_from(id.slot).ok()?)?;
        let connection = session.connection.as_ref().filter(|connection| connection.id == id)?;
        Some((session, connection))
    }

    pub(crate) fn find(&self, key: &SessionKeyRef<'_>) -> Option<SessionRef> {
        let is_it = |slot: &u32| key_of(&self.slab, *slot).is_some_and(|it| key.equivalent(it));
        let slot = *self.by_key.find(self.hasher.hash_one(key), is_it)?;
        self.slab.get(usize::try_from(slot).ok()?).map(|session| session.identity.place)
    }

    pub(crate) fn places(&self) -> Vec<SessionRef> {
        self.slab.iter().map(|(_, session)| session.identity.place).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slab.iter().map(|(_, session)| &**session)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Bytes that wait for connections that are ending.
    pub(crate) fn closing_bytes(&self) -> usize {
        self.closing.values().map(|it| it.outbox.len()).sum()
    }

    pub(crate) fn put_closing(&mut self, id: ConnectionId, closing: Closing) {
        self.closing.insert(id, closing);
    }

    pub(crate) fn closing(&self, id: ConnectionId) -> Option<&Closing> {
        self.closing.get(&id)
    }

    pub(crate) fn closing_mut(&mut self, id: ConnectionId) -> Option<&mut Closing> {
        self.closing.get_mut(&id)
    }

    /// The outbox of a connection, live or ending.
    pub(crate) fn outbox_mut(&mut self, id: ConnectionId) -> Option<&mut Outbox> {
        if self.online(id).is_some() {
            let connection = self.online_mut(id)?.connection.as_mut()?;
            return Some(&mut connection.outbox);
        }
        self.closing_mut(id).map(|closing| &mut closing.outbox)
    }

    pub(crate) fn remove_closing(&mut self, id: ConnectionId) -> Option<Closing> {
        self.closing.remove(&id)
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }
}

fn key_of(slab: &Slab<Box<Session>>, slot: u32) -> Option<&SessionKey> {
    slab.get(usize::try_from(slot).ok()?).map(|session| &session.identity.key)
}
