//! Time as an argument: the one notion of "now" that the pure crates know.

/// Milliseconds since the Unix epoch, read from the server's one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment and `ms` milliseconds; saturates at the end of time.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// This moment and `seconds`; saturates at the end of time.
    #[must_use]
    pub fn plus_s(self, seconds: u64) -> Timestamp {
        self.plus_ms(seconds.saturating_mul(1000))
    }

    /// Milliseconds from `earlier` to this moment; 0 when the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_ms(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(Timestamp(5).since(Timestamp(7)), 0);
        assert_eq!(Timestamp(7).since(Timestamp(5)), 2);
        assert_eq!(Timestamp(u64::MAX).plus_ms(1), Timestamp(u64::MAX));
        assert_eq!(Timestamp(1).plus_s(2), Timestamp(2001));
        assert_eq!(Timestamp(1).plus_s(u64::MAX), Timestamp(u64::MAX));
    }
}
