//! Maps and sets of packet identifiers: open addressing in one allocation, hashed by one multiplication.
//!
//! The multiplication spreads identifiers that follow each other, which is how they are given out, over the whole table:
//! most are where they are looked for first. Which of them stay is for the peer to choose, so that a hostile one
//! can make a look-up walk over what it holds, and that is bounded by its window.

use crate::PacketId;

/// From identifiers to numbers. At most half full, at most 65,535 entries.
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    /// A power of two of them, or none. Upper half the identifier, lower half the number; 0 is free.
    places: Box<[u32]>,
    length: u32,
}

impl IdMap {
    /// Puts a number in for an identifier. True if there was none before; otherwise it is replaced.
    pub(crate) fn insert(&mut self, packet_id: PacketId, number: u16) -> bool {
        if self.len() * 2 >= self.places.len() {
            self.grow();
        }
        let entry = u32::from(packet_id.get()) << 16 | u32::from(number);
        let place = self.place(packet_id);
        let Some(held) = self.places.get_mut(place) else { return false };
        let is_new = std::mem::replace(held, entry) == FREE;
        self.length += u32::from(is_new);
        is_new
    }

    /// Takes an identifier out. A map that runs empty gives its memory back.
    pub(crate) fn remove(&mut self, packet_id: PacketId) -> bool {
        let mut gap = self.place(packet_id);
        let Some(held) = self.places.get_mut(gap).filter(|held| **held != FREE) else {
            return false;
        };
        *held = FREE;
        self.length -= 1;
        if self.length == 0 {
            if self.places.len() > PLACES_KEPT {
                self.give_back();
            }
            return true;
        }
        // What was put behind because this place was taken moves up, so that no walk ends too early.
        let mut next = self.after(gap);
        while let Some(&entry) = self.places.get(next).filter(|entry| **entry != FREE) {
            let home = self.home(entry >> 16);
            let mask = self.places.len().wrapping_sub(1);
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.set(gap, entry);
                self.set(next, FREE);
                gap = next;
            }
            next = self.after(next);
        }
        true
    }

    /// Gives back the memory that an empty map has kept.
    pub(crate) fn give_back(&mut self) {
        if self.length == 0 {
            self.places = Box::default();
        }
    }

    pub(crate) fn find(&self, packet_id: PacketId) -> Option<u16> {
        let entry = self.places.get(self.place(packet_id)).filter(|entry| **entry != FREE)?;
        u16::try_from(entry & 0xFFFF).ok()
    }

    pub(crate) fn contains(&self, packet_id: PacketId) -> bool {
        self.length != 0 && self.find(packet_id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = PacketId> {
        let held = self.places.iter().filter(|entry| **entry != FREE);
        held.filter_map(|entry| PacketId::new(u16::try_from(entry >> 16).ok()?))
    }

    /// Where the identifier is, or else where it would be put.
    fn place(&self, packet_id: PacketId) -> usize {
        let wanted = u32::from(packet_id.get());
        let mut place = self.home(wanted);
        while let Some(entry) = self.places.get(place) {
            if *entry == FREE || entry >> 16 == wanted {
                break;
            }
            place = self.after(place);
        }
        place
    }

    /// Where an identifier is looked for first.
    fn home(&self, id: u32) -> usize {
        let hash = id.wrapping_mul(FACTOR);
        let spread = hash.checked_shr(32 - self.places.len().trailing_zeros().min(32)).unwrap_or(0);
        usize::try_from(spread).unwrap_or(0)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & self.places.len().wrapping_sub(1)
    }

    fn set(&mut self, place: usize, entry: u32) {
        if let Some(held) = self.places.get_mut(place) {
            *held = entry;
        }
    }

    fn grow(&mut self) {
        let places = vec![FREE; (self.places.len() * 4).max(PLACES_KEPT)].into_boxed_slice();
        for entry in std::mem::replace(&mut self.places, places) {
            let id = u16::try_from(entry >> 16).ok().and_then(PacketId::new);
            if let Some(id) = id {
                let place = self.place(id);
                self.set(place, entry);
            }
        }
    }
}

const FREE: u32 = 0;
/// Odd, and with its bits well spread: 2^32 divided by the golden ratio.
const FACTOR: u32 = 0x9E37_79B9;
/// Places that an empty map may keep, and that the first identifier makes.
const PLACES_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::{IdMap, PLACES_KEPT};
    use crate::PacketId;
    use std::collections::BTreeMap;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    /// Plays insertions and removals of identifiers below `ids` on a map and on a tree.
    fn check(seed: u32, ids: u32, steps: usize) {
        let (mut map, mut tree) = (IdMap::default(), BTreeMap::new());
        let mut state = seed;
        for step in 0..steps {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = id(u16::try_from((state >> 8) % ids + 1).unwrap());
            let number = u16::try_from(step % 60_000).unwrap();
            if state >> 31 == 0 {
                assert_eq!(map.insert(id, number), tree.insert(id, number).is_none());
            } else {
                assert_eq!(map.remove(id), tree.remove(&id).is_some());
            }
            assert_eq!(map.len(), tree.len());
            assert_eq!(map.find(id), tree.get(&id).copied());
        }
        let mut left: Vec<_> = map.ids().collect();
        left.sort_unstable();
        assert_eq!(left, tree.keys().copied().collect::<Vec<_>>());
        for (id, number) in tree {
            assert_eq!(map.find(id), Some(number));
        }
    }

    #[test]
    fn a_map_is_a_tree_whatever_is_done_to_it() {
        for seed in 0..30 {
            check(seed, 12, 500);
            check(seed, 200, 2_000);
            check(seed, 65_535, 2_000);
        }
    }

    #[test]
    fn all_identifiers_there_are_fit_in_and_an_empty_map_keeps_little() {
        let mut map = IdMap::default();
        assert!(!map.remove(id(1)) && !map.contains(id(1)) && map.find(id(1)).is_none());
        for value in 1..=u16::MAX {
            assert!(map.insert(id(value), value));
        }
        assert!((1..=u16::MAX).all(|value| map.find(id(value)) == Some(value)));
        for value in 1..=u16::MAX {
            assert!(map.remove(id(value)));
        }
        assert!(map.len() == 0 && map.places.len() <= PLACES_KEPT);
        map.insert(id(1), 1);
        map.give_back();
        assert_eq!(map.find(id(1)), Some(1), "it is in use");
        map.remove(id(1));
        map.give_back();
        assert_eq!(map.places.len(), 0);
    }

    #[test]
    fn identifiers_in_a_row_are_where_they_are_looked_for_first() {
        let mut map = IdMap::default();
        for value in 30_000..31_000 {
            map.insert(id(value), 0);
        }
        let misplaced =
            (30_000..31_000).filter(|value| map.place(id(*value)) != map.home(u32::from(*value)));
        assert!(misplaced.count() < 100);
    }
}
