//! Maps and sets of packet identifiers: hashed by one multiplication.
//!
//! That is safe with identifiers a peer chooses: the multiplication is a bijection of the 65,536
//! values there are, so that few of them can meet in a bucket of a table of any size.

use crate::PacketId;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type IdMap<V> = HashMap<PacketId, V, BuildHasherDefault<IdHasher>>;
pub(crate) type IdSet = HashSet<PacketId, BuildHasherDefault<IdHasher>>;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FACTOR);
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.0 = u64::from(value).wrapping_mul(FACTOR);
    }
}

/// Odd, and with its bits well spread: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Entries that an empty map or set may keep room for.
pub(crate) const CAPACITY_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::IdHasher;
    use std::hash::Hasher;

    #[test]
    fn no_two_identifiers_have_the_same_lower_bits() {
        let mut seen = vec![false; 1 << 16];
        for id in 0..=u16::MAX {
            let mut hasher = IdHasher::default();
            hasher.write_u16(id);
            let place = &mut seen[(hasher.finish() & 0xFFFF) as usize];
            assert!(!std::mem::replace(place, true), "{id}");
        }
    }
}
