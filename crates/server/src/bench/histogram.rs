//! Durations counted in buckets that are at most 1/32 wide of what they hold: exact enough for percentiles, and one
//! addition a value.

use serde::Serialize;

/// Durations in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// What came of them, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Percentiles {
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) max_us: u64,
}

impl Histogram {
    pub(super) fn new() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    pub(super) fn record(&mut self, ns: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(ns);
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let at = |per_mille: u64| self.at(per_mille) / 1_000;
        Percentiles {
            p50_us: at(500),
            p90_us: at(900),
            p99_us: at(990),
            p999_us: at(999),
            max_us: self.max / 1_000,
        }
    }

    /// The least value, as exact as a bucket, that so many of a thousand do not exceed.
    fn at(&self, per_mille: u64) -> u64 {
        let wanted = (self.count.saturating_mul(per_mille)).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end_of(index).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(ns: u64) -> usize {
    let magnitude = (u64::BITS - (ns | STEPS).leading_zeros()) - (STEPS_BITS + 1);
    let step = ns >> magnitude;
    usize::try_from(u64::from(magnitude) * STEPS + step).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn end_of(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < 2 * STEPS {
        return index;
    }
    let magnitude = index / STEPS - 1;
    let step = index - magnitude * STEPS;
    ((step + 1) << magnitude).saturating_sub(1)
}

const STEPS_BITS: u32 = 5;
const STEPS: u64 = 1 << STEPS_BITS;
/// Up to 2^42 ns, over an hour; longer ones count as the maximum only.
const BUCKETS: usize = 38 * 32 + 32;

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket_of, end_of};

    #[test]
    fn every_value_is_in_a_bucket_not_wider_than_a_thirty_second_of_it() {
        for value in (0..5_000).chain((10..40).map(|bits| (1 << bits) - 1)).chain([1 << 39]) {
            let end = end_of(bucket_of(value));
            assert!(
                end >= value && end - value <= value / 32,
                "{value} is in a bucket up to {end}"
            );
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        for value in 1..=1_000 {
            histogram.record(value * 1_000);
        }
        let found = histogram.percentiles();
        assert!((500..=516).contains(&found.p50_us), "{found:?}");
        assert!((990..=1_000).contains(&found.p99_us), "{found:?}");
        assert_eq!(found.max_us, 1_000);
    }

    #[test]
    fn of_nothing_all_percentiles_are_zero() {
        assert_eq!(Histogram::new().percentiles(), super::Percentiles::default());
    }
}
