//! The generator's clock: nanoseconds since it was started.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a measuring tool needs a finer clock than the broker's"
    )]
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub(super) fn ns(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn us(&self) -> u64 {
        self.ns() / 1_000
    }
}

/// Tells when a second has passed, for lines of progress.
#[derive(Debug, Default)]
pub(super) struct Seconds(u64);

impl Seconds {
    /// Whether a new second has begun at `ns`.
    pub(super) fn has_passed(&mut self, ns: u64) -> bool {
        let second = ns / 1_000_000_000;
        let is_new = second > self.0;
        self.0 = self.0.max(second);
        is_new
    }
}
