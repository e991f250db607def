//! Values in an order, each in a slot that it keeps: a doubly linked list in one allocation.
//!
//! All operations but [`Chain::iter`] take constant time, and there are never more slots than there
//! have been values at a time. A chain that runs empty keeps few of them.

/// Where a value is, until it is removed.
pub(super) type Slot = u16;

#[derive(Debug)]
pub(super) struct Chain<T> {
    links: Vec<Link<T>>,
    first: Slot,
    last: Slot,
    /// The first of the slots without a value; they are linked by `next`.
    free: Slot,
    length: u16,
}

#[derive(Debug)]
struct Link<T> {
    before: Slot,
    next: Slot,
    value: Option<T>,
}

impl<T> Chain<T> {
    pub(super) fn new() -> Chain<T> {
        Chain { links: Vec::new(), first: NONE, last: NONE, free: NONE, length: 0 }
    }

    /// Puts a value at the end. There is room for 65,535; one too many is dropped.
    pub(super) fn push(&mut self, value: T) -> Option<Slot> {
        let free = self.free;
        let slot = if let Some(link) = self.link_mut(free) {
            link.value = Some(value);
            let next = link.next;
            self.free = next;
            free
        } else {
            let slot = Slot::try_from(self.links.len()).ok().filter(|slot| *slot != NONE)?;
            if self.links.len() == self.links.capacity() {
                // A burst is copied once or twice, not at each doubling; an empty chain gives it back.
                self.links.reserve(self.links.len() * 3 + SLOTS_FIRST);
            }
            self.links.push(Link { before: NONE, next: NONE, value: Some(value) });
            slot
        };
        self.length += 1;
        self.attach(slot);
        Some(slot)
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let value = self.link_mut(slot)?.value.take()?;
        self.detach(slot);
        self.length -= 1;
        if self.length == 0 {
            self.clear();
            return Some(value);
        }
        let free = self.free;
        if let Some(link) = self.link_mut(slot) {
            link.next = free;
            self.free = slot;
        }
        Some(value)
    }

    /// Makes a value the last one; it keeps its slot.
    pub(super) fn move_to_end(&mut self, slot: Slot) {
        if slot != self.last && self.get(slot).is_some() {
            self.detach(slot);
            self.attach(slot);
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        self.links.get(usize::from(slot))?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.link_mut(slot)?.value.as_mut()
    }

    pub(super) fn first(&self) -> Option<Slot> {
        (self.first != NONE).then_some(self.first)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.get(self.last)
    }

    /// The slot after this one, which must have a value.
    pub(super) fn after(&self, slot: Slot) -> Option<Slot> {
        self.links.get(usize::from(slot)).map(|link| link.next).filter(|next| *next != NONE)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(self.first(), |slot| self.after(*slot))
            .filter_map(|slot| self.get(slot))
    }

    /// Gives back the memory that an empty chain has kept.
    pub(super) fn give_back(&mut self) {
        if self.length == 0 {
            self.links = Vec::new();
        }
    }

    fn attach(&mut self, slot: Slot) {
        let last = std::mem::replace(&mut self.last, slot);
        match self.link_mut(last) {
            Some(link) => link.next = slot,
            None => self.first = slot,
        }
        if let Some(link) = self.link_mut(slot) {
            link.before = last;
            link.next = NONE;
        }
    }

    fn detach(&mut self, slot: Slot) {
        let Some(link) = self.link_mut(slot) else { return };
        let (before, next) = (link.before, link.next);
        match self.link_mut(before) {
            Some(link) => link.next = next,
            None => self.first = next,
        }
        match self.link_mut(next) {
            Some(link) => link.before = before,
            None => self.last = before,
        }
    }

    fn clear(&mut self) {
        self.links.clear();
        if self.links.capacity() > SLOTS_KEPT {
            self.links = Vec::new();
        }
        self.free = NONE;
    }

    fn link_mut(&mut self, slot: Slot) -> Option<&mut Link<T>> {
        self.links.get_mut(usize::from(slot))
    }
}

/// No slot: there are at most 65,535, numbered from 0.
const NONE: Slot = Slot::MAX;
/// Slots that are made room for at first.
const SLOTS_FIRST: usize = 4;
/// Slots that an empty chain may keep for what comes next.
const SLOTS_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::{Chain, NONE};

    /// Plays a story of pushes (positive), removals (negative) and moves to the end on a chain and
    /// on a plain list, and compares after each step.
    fn check(seed: u32, steps: usize) {
        let (mut chain, mut list) = (Chain::new(), Vec::new());
        let mut state = seed;
        for step in 0..steps {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = (state >> 8) as usize;
            match state >> 30 {
                0 | 1 => list.push((chain.push(step).unwrap(), step)),
                2 if !list.is_empty() => {
                    let (slot, value) = list.remove(pick % list.len());
                    assert_eq!(chain.remove(slot), Some(value));
                    assert!(chain.get(slot).is_none());
                }
                3 if !list.is_empty() => {
                    let entry = list.remove(pick % list.len());
                    chain.move_to_end(entry.0);
                    list.push(entry);
                }
                _ => {}
            }
            let expected: Vec<_> = list.iter().map(|it| it.1).collect();
            assert_eq!(chain.iter().copied().collect::<Vec<_>>(), expected);
            assert_eq!(chain.len(), list.len());
            assert_eq!(chain.first(), list.first().map(|it| it.0));
        }
        assert!(chain.links.len() < steps);
    }

    #[test]
    fn a_chain_is_a_list_whatever_is_done_to_it() {
        for seed in 0..50 {
            check(seed, 300);
        }
    }

    #[test]
    fn a_chain_that_ran_empty_keeps_little_and_starts_anew() {
        let mut chain = Chain::new();
        let slots: Vec<_> = (0..1_000).map(|it| chain.push(it).unwrap()).collect();
        for slot in slots {
            chain.remove(slot);
        }
        assert_eq!((chain.links.capacity(), chain.first()), (0, None));
        let slot = chain.push(6).unwrap();
        chain.give_back();
        assert_eq!(chain.remove(slot), Some(6), "it is in use");
        assert!(chain.links.capacity() > 0, "kept for the next value");
        chain.give_back();
        assert_eq!(chain.links.capacity(), 0);
        assert_eq!(chain.push(7), Some(0));
        assert_eq!(chain.iter().copied().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn there_are_as_many_slots_as_identifiers() {
        let mut chain = Chain::new();
        for value in 0..u32::from(NONE) {
            assert!(chain.push(value).is_some());
        }
        assert_eq!(chain.push(0), None);
        assert!(chain.remove(500).is_some());
        assert_eq!(chain.push(0), Some(500));
    }
}
