//! Quality of service.

/// Delivery guarantee of one message. The order is the order of strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0: sent once, never acknowledged.
    #[default]
    AtMostOnce,
    /// QoS 1: PUBLISH, PUBACK.
    AtLeastOnce,
    /// QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP.
    ExactlyOnce,
}

impl Qos {
    /// The two bits of the wire; `None` for 3.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Qos> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        }
    }
}
