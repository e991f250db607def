//! Keep-alive (section 3.1.2.10): how long a silent peer is waited for.

use crate::{ProtocolVersion, Timestamp};

/// The silence that one connection may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    requested_s: u16,
    interval_s: u16,
    heard: Timestamp,
    /// Bytes of an unfinished packet that were there when it last counted.
    unfinished: u32,
}

impl KeepAlive {
    /// Keep-alive as the client asked for (0: none) but not above `server_s_max` (0: no limit) if its
    /// version can be told so.
    #[must_use]
    pub fn new(
        requested_s: u16,
        server_s_max: u16,
        version: ProtocolVersion,
        now: Timestamp,
    ) -> KeepAlive {
        let interval_s = match (requested_s, server_s_max) {
            // [MQTT-3.1.2-24] Before 5.0 the client's value counts, and 0 switches it off: a silence
            // that was agreed on is no reason to cut.
            (requested_s, _) if !version.is_v5() => requested_s,
            (requested_s, 0) => requested_s,
            (0, max_s) => max_s,
            (requested_s, max_s) => requested_s.min(max_s),
        };
        KeepAlive { requested_s, interval_s, heard: now, unfinished: 0 }
    }

    /// Any packet came in.
    pub fn received(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
        self.unfinished = 0;
    }

    /// So many bytes of a packet that is not whole are there. It is packets that count, but a large one over a slow line
    /// is no silence as long as it grows by more than a trickle.
    pub fn received_part(&mut self, bytes: usize, now: Timestamp) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if bytes >= self.unfinished.saturating_add(PART_BYTES) {
            self.heard = self.heard.max(now);
            self.unfinished = bytes;
        }
    }

    /// Seconds in force; 0 means none.
    #[must_use]
    pub fn interval_s(&self) -> u16 {
        self.interval_s
    }

    /// What CONNACK must say as Server Keep Alive [MQTT-3.2.2-21]: the interval, if it is not the
    /// client's.
    #[must_use]
    pub fn server_keep_alive_s(&self) -> Option<u16> {
        (self.interval_s != self.requested_s).then_some(self.interval_s)
    }

    /// [MQTT-3.1.2-22] When the connection is to be closed unless something is heard: one and a
    /// half times the interval. `None` if it may be silent for ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let silence_ms = u64::from(self.interval_s) * 1500;
        (silence_ms != 0).then(|| self.heard.plus_ms(silence_ms))
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

/// By so much an unfinished packet has to grow to be heard.
const PART_BYTES: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::KeepAlive;
    use crate::ProtocolVersion::{V5, V31, V311};
    use crate::Timestamp;

    fn check(requested_s: u16, server_s_max: u16, deadline_ms: Option<u64>, told_s: Option<u16>) {
        let keep_alive = KeepAlive::new(requested_s, server_s_max, V5, Timestamp(1000));
        assert_eq!(keep_alive.deadline(), deadline_ms.map(Timestamp));
        assert_eq!(keep_alive.server_keep_alive_s(), told_s);
    }

    // Shows 3.1.1: [MQTT-3.1.2-24].
    #[test]
    fn a_client_that_cannot_be_told_keeps_the_silence_it_asked_for() {
        for version in [V31, V311] {
            let deadline = |requested_s| {
                let keep_alive = KeepAlive::new(requested_s, 60, version, Timestamp(1000));
                assert_eq!(keep_alive.server_keep_alive_s(), None);
                keep_alive.deadline()
            };
            assert_eq!(deadline(0), None);
            assert_eq!(deadline(10), Some(Timestamp(16_000)));
            assert_eq!(deadline(65_535), Some(Timestamp(98_303_500)));
        }
    }

    // Shows 3.1.1: [MQTT-3.1.2-24]; 5.0: [MQTT-3.1.2-22].
    #[test]
    fn silence_is_borne_for_one_and_a_half_intervals() {
        check(10, 0, Some(16_000), None);
        check(1, 600, Some(2500), None);
        check(65_535, 0, Some(1000 + 98_302_500), None);
    }

    #[test]
    fn no_keep_alive_means_no_deadline_unless_the_server_has_a_limit() {
        check(0, 0, None, None);
        check(0, 60, Some(91_000), Some(60));
    }

    // Shows 5.0: [MQTT-3.1.2-21], [MQTT-3.2.2-21].
    #[test]
    fn a_huge_keep_alive_does_not_hold_its_place() {
        check(65_535, 60, Some(91_000), Some(60));
    }

    // Shows 3.1.1: [MQTT-3.1.2-24]; 5.0: [MQTT-3.1.2-22].
    #[test]
    fn a_trickle_of_bytes_is_silence_and_a_large_packet_that_grows_is_not() {
        let mut keep_alive = KeepAlive::new(10, 0, V5, Timestamp(1000));
        for (bytes, now_ms, deadline_ms) in [
            (1, 2000, 16_000),
            (1023, 3000, 16_000),
            (1024, 4000, 19_000),
            (2047, 5000, 19_000),
            (9000, 6000, 21_000),
        ] {
            keep_alive.received_part(bytes, Timestamp(now_ms));
            assert_eq!(keep_alive.deadline(), Some(Timestamp(deadline_ms)), "{bytes}");
        }
        keep_alive.received(Timestamp(7000));
        keep_alive.received_part(1000, Timestamp(8000));
        assert_eq!(keep_alive.deadline(), Some(Timestamp(22_000)), "the next packet begins anew");
    }

    #[test]
    fn each_packet_moves_the_deadline_and_a_clock_set_back_does_not() {
        let mut keep_alive = KeepAlive::new(10, 0, V5, Timestamp(1000));
        keep_alive.received(Timestamp(5000));
        assert_eq!(keep_alive.deadline(), Some(Timestamp(20_000)));
        keep_alive.received(Timestamp(2000));
        assert_eq!(keep_alive.deadline(), Some(Timestamp(20_000)));
        assert!(!keep_alive.is_due(Timestamp(19_999)) && keep_alive.is_due(Timestamp(20_000)));
    }
}
