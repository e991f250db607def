//! What kind of broker a run has: some limits are so small that they are reached all the time.

use broker::{DeniedPublish, Limits, Persistence, QueueFull};
use std::num::NonZeroU16;

use crate::choices::Choices;

pub(crate) fn draw_limits(choices: &mut Choices) -> Limits {
    let defaults = Limits::default();
    let in_flight_max = choices.pick(&[1024, 1024, 3, 1]);
    let receive_max = choices.pick(&[1024, 1024, 2]);
    let mut limits = Limits {
        persistence: if choices.chance(1, 8) { Persistence::Off } else { Persistence::On },
        in_flight_max: NonZeroU16::new(in_flight_max).unwrap_or(NonZeroU16::MIN),
        receive_max: NonZeroU16::new(receive_max).unwrap_or(NonZeroU16::MIN),
        route_cache_targets_max: choices.pick(&[1_000_000, 3]),
        permit_cache_topics_max: choices.pick(&[64, 1]),
        topic_alias_max: choices.pick(&[32, 1, 0]),
        session_expiry_s_max: LASTING_S,
        slow_consumer_patience_ms: choices.pick(&[5_000, 100]),
        slow_consumer_pause_ms: choices.pick(&[50, 0, 2_000]),
        keep_alive_s_max: choices.pick(&[0, 60]),
        ..defaults
    };
    if choices.chance(1, 3) {
        limits.outbox_bytes_max = 1_500;
        limits.outbox_pressure_bytes = 300;
    }
    if choices.chance(1, 3) {
        limits.shard_window_bytes = 200;
    }
    if choices.chance(1, 5) {
        limits.queue_messages_max = 5;
        limits.queue_full = choices.pick(&[QueueFull::DropOldest, QueueFull::DropNewest]);
    }
    if choices.chance(1, 10) {
        limits.denied_publish = DeniedPublish::Close;
    }
    if choices.chance(1, 10) {
        limits.sessions_per_user_max = 2;
    }
    if choices.chance(1, 10) {
        limits.retained_messages_max = 2;
    }
    limits
}

/// How much of a queue is in memory; the rest is on disk only.
pub(crate) fn bound_memory(limits: &mut Limits, kind: usize) {
    limits.queue_memory_messages_max = [1, 2, 4, 16, 256][kind % 5];
    if kind.is_multiple_of(11) {
        limits.queue_disk_bytes_max = 2_000;
    }
    if kind.is_multiple_of(7) {
        limits.queue_disk_bytes_per_user_max = 1_000;
    }
}

/// What a session that is meant to last lasts, at most.
pub(crate) const LASTING_S: u32 = 100_000;
