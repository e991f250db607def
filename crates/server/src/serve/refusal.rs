//! The CONNACK of a refused CONNECT, in the words of the client's version.

use mqtt::{ConnAck, ConnAckProperties, Connect, Packet, ProtocolVersion, ReasonCode};

/// A CONNACK with this reason; 3.1 and 3.1.1 get the return code that comes nearest.
pub(crate) fn connack(version: ProtocolVersion, reason: ReasonCode) -> Vec<u8> {
    let mut out = Vec::new();
    let connack =
        ConnAck { session_present: false, reason, properties: ConnAckProperties::default() };
    mqtt::encode(&Packet::ConnAck(Box::new(connack)), version, &mut out);
    out
}

/// What the client can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hearer {
    version: ProtocolVersion,
    packet_size_max: u32,
}

impl Hearer {
    /// Who sent this CONNECT.
    pub(crate) fn of(connect: &Connect) -> Self {
        let packet_size_max = connect.properties.maximum_packet_size_or_default();
        Self { version: connect.version, packet_size_max }
    }

    /// A CONNACK with this reason. [MQTT-3.1.2-24] Nothing for a client that takes no packet of that size.
    pub(crate) fn connack(self, reason: ReasonCode) -> Vec<u8> {
        let bytes = connack(self.version, reason);
        let fits = u32::try_from(bytes.len()).is_ok_and(|size| size <= self.packet_size_max);
        if fits { bytes } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use mqtt::ProtocolVersion::{V5, V311};

    use super::*;

    // Shows 5.0: [MQTT-3.1.2-24].
    #[test]
    fn a_client_that_takes_no_answer_gets_none() {
        let mut connect = Connect::new(V5, "c");
        for (size_max, length) in [(4, 0), (5, 5)] {
            connect.properties.maximum_packet_size = Some(size_max);
            let refusal = Hearer::of(&connect).connack(ReasonCode::NotAuthorized);
            assert_eq!(refusal.len(), length);
        }
    }

    // Shows 3.1.1: [MQTT-3.2.2-4]; 5.0: [MQTT-3.2.2-6], [MQTT-3.2.2-8].
    #[test]
    fn each_version_is_refused_in_its_own_words() {
        let check = |version, reason, bytes: &[u8]| assert_eq!(connack(version, reason), bytes);
        check(V311, ReasonCode::BadUserNameOrPassword, &[0x20, 2, 0, 4]);
        check(V5, ReasonCode::BadUserNameOrPassword, &[0x20, 3, 0, 0x86, 0]);
        check(V311, ReasonCode::NotAuthorized, &[0x20, 2, 0, 5]);
        check(V5, ReasonCode::NotAuthorized, &[0x20, 3, 0, 0x87, 0]);
        check(V311, ReasonCode::ServerBusy, &[0x20, 2, 0, 3]);
        check(V5, ReasonCode::ServerBusy, &[0x20, 3, 0, 0x89, 0]);
        check(V311, ReasonCode::ClientIdentifierNotValid, &[0x20, 2, 0, 2]);
        check(V311, ReasonCode::UnsupportedProtocolVersion, &[0x20, 2, 0, 1]);
    }
}
