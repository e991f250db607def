//! Packet identifiers.

use std::fmt;
use std::num::NonZeroU16;

/// Identifier of a packet that is acknowledged; never 0 [MQTT-2.2.1-3].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first identifier.
    pub const MIN: PacketId = PacketId(NonZeroU16::MIN);

    /// `None` for 0.
    #[must_use]
    pub fn new(value: u16) -> Option<PacketId> {
        NonZeroU16::new(value).map(PacketId)
    }

    /// The number on the wire, 1 to 65,535.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; 1 follows 65,535.
    #[must_use]
    pub fn next(self) -> PacketId {
        self.0.checked_add(1).map_or(PacketId::MIN, PacketId)
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::PacketId;

    // Shows 3.1.1: [MQTT-2.3.1-1]; 5.0: [MQTT-2.2.1-4].
    #[test]
    fn identifiers_skip_zero_when_they_wrap() {
        assert_eq!(PacketId::new(0), None);
        assert_eq!(PacketId::new(65_535).map(PacketId::next), Some(PacketId::MIN));
    }
}
