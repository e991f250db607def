//! The one clock. Everything that asks what time it is asks here; below the server, time is an argument.
//!
//! It starts at the wall clock and then follows the monotonic clock: it never runs backwards and never jumps, so a
//! corrected wall clock cannot end every keep-alive at once. How far the two have parted is told by [`drift_ms`].

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use mqtt::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    let start = start();
    Timestamp(start.unix_ms.saturating_add(millis(monotonic().duration_since(start.at))))
}

/// The time now in milliseconds since the Unix epoch, for callers that take a plain function.
pub(crate) fn unix_ms() -> u64 {
    now().0
}

/// Milliseconds by which the wall clock has left this clock since the start, in either direction.
pub(crate) fn drift_ms() -> u64 {
    wall_ms().abs_diff(unix_ms())
}

struct Start {
    at: Instant,
    unix_ms: u64,
}

fn start() -> &'static Start {
    static START: OnceLock<Start> = OnceLock::new();
    START.get_or_init(|| Start { at: monotonic(), unix_ms: wall_ms() })
}

#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn wall_ms() -> u64 {
    // A wall clock before 1970 is a wrong clock; the epoch is as good a start as any.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(millis).unwrap_or(0)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
