//! The one clock. Everything that asks what time it is asks here; below the server, time is an argument.
//!
//! It starts at the wall clock and then follows the monotonic clock: it never runs backwards and never jumps, so a
//! corrected wall clock cannot end every keep-alive at once. How far the two have parted is told by [`drift_ms`].
//!
//! What names moments and not spans follows the wall clock instead: the validity of certificates and of passwords, and
//! what is recorded about users. It is the wall clock that a correction makes right, so [`unix_ms`] and
//! [`certificate_time`] read it afresh each time; what has been ended stays ended when it is set back.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use mqtt::Timestamp;
use pki::{TimeProvider, UnixTime};

/// The time now.
pub(crate) fn now() -> Timestamp {
    let start = start();
    Timestamp(start.unix_ms.saturating_add(millis(monotonic().duration_since(start.at))))
}

/// The wall clock in milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    wall_ms()
}

/// The time by which certificates and revocation lists are judged: the wall clock as it is now.
pub(crate) fn certificate_time() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(wall_ms()))
}

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(monotonic())
    }

    /// What has passed since.
    pub(crate) fn elapsed(self) -> Duration {
        monotonic().duration_since(self.0)
    }
}

/// The same for the TLS library.
#[derive(Debug)]
pub(crate) struct CertificateClock;

impl TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(certificate_time())
    }
}

/// Milliseconds by which the wall clock has left this clock since the start, in either direction.
pub(crate) fn drift_ms() -> u64 {
    wall_ms().abs_diff(now().0)
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
