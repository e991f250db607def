//! Times, counted into a few buckets: cheap enough for every round of a shard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times since the start.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Of each bucket alone; the last is for all that is longer.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What a histogram holds at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Times {
    /// Bounds in seconds, as Prometheus writes them, and how many took no longer.
    pub(crate) buckets: Vec<(&'static str, u64)>,
    /// How many there were.
    pub(crate) count: u64,
    /// Seconds they took together.
    pub(crate) sum_s: f64,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn count(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|(bound, _)| us <= *bound);
        if let Some(count) = self.counts.get(bucket.unwrap_or(BOUNDS_US.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What there is now.
    pub(crate) fn times(&self) -> Times {
        let mut count = 0_u64;
        let mut counts = self.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let buckets = BOUNDS_US.iter().zip(&mut counts).map(|((_, text), of_bucket)| {
            count = count.saturating_add(of_bucket);
            (*text, count)
        });
        let buckets = buckets.collect();
        let count = count.saturating_add(counts.next().unwrap_or(0));
        let sum_s = Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        Times { buckets, count, sum_s }
    }
}

/// In microseconds, and in seconds as text.
const BOUNDS_US: [(u64, &str); 8] = [
    (50, "0.00005"),
    (200, "0.0002"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (20_000, "0.02"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_hold_all_that_took_no_longer() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 1_000, 9_000_000] {
            histogram.count(Duration::from_micros(us));
        }
        let times = histogram.times();
        let counts: Vec<_> = times.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!((counts, times.count), (vec![2, 3, 4, 4, 4, 4, 4, 4], 5));
        assert!((times.sum_s - 9.001_101).abs() < 1e-9, "{}", times.sum_s);
    }
}
