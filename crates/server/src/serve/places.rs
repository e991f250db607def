//! Places of connections that speak HTTP and not MQTT: bounded in all, and for each source, so that nobody who holds
//! many open keeps everybody else out.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::intake::Source;
use crate::config::IntakeLimits;

/// All places.
pub(crate) struct Places {
    connections_max: usize,
    per_source_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    count: usize,
    by_source: HashMap<Source, usize>,
}

/// The place of one connection; dropping it leaves the place.
pub(crate) struct Place {
    places: Arc<Places>,
    source: Source,
}

/// How many places are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    /// By all.
    pub(crate) all: usize,
    /// By the source that has the most.
    pub(crate) most_of_a_source: usize,
}

impl Places {
    /// As many as the configuration says.
    pub(crate) fn new(limits: &IntakeLimits) -> Arc<Self> {
        Arc::new(Self {
            connections_max: limits.http_connections_max,
            per_source_max: limits.http_connections_per_source_max,
            taken: Mutex::default(),
        })
    }

    /// Takes a place, if one is left for this address.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = Source::of(address);
        let mut taken = self.taken.lock();
        let of_source = taken.by_source.get(&source).copied().unwrap_or_default();
        if taken.count >= self.connections_max || of_source >= self.per_source_max {
            return None;
        }
        taken.count = taken.count.saturating_add(1);
        taken.by_source.insert(source, of_source.saturating_add(1));
        drop(taken);
        Some(Place { places: Arc::clone(self), source })
    }

    /// How many are taken.
    pub(crate) fn used(&self) -> Used {
        let taken = self.taken.lock();
        let most_of_a_source = taken.by_source.values().copied().max().unwrap_or(0);
        Used { all: taken.count, most_of_a_source }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.count = taken.count.saturating_sub(1);
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_takes_no_more_than_its_part_and_all_no_more_than_there_are() {
        let limits = IntakeLimits {
            http_connections_max: 3,
            http_connections_per_source_max: 2,
            ..IntakeLimits::default()
        };
        let places = Places::new(&limits);
        let take = |address: &str| places.take(address.parse().unwrap());
        let (one, other) = (take("10.0.0.1").unwrap(), take("10.0.0.1").unwrap());
        assert!(take("10.0.0.1").is_none());
        let third = take("10.0.0.2").unwrap();
        assert!(take("10.0.0.3").is_none());
        drop(one);
        assert!(take("10.0.0.3").is_some());
        drop((other, third));
        let taken = places.taken.lock();
        assert_eq!((taken.count, taken.by_source.len()), (0, 0));
    }
}
