//! The CONNACK of a refused CONNECT, in the words of the client's version.

use mqtt::{ConnAck, ConnAckProperties, Connect, Packet, ProtocolVersion, ReasonCode};

/// A CONNACK with this reason; 3.1 and 3.1.1 get the return code that comes nearest.
pub(crate) fn connack(version: ProtocolVersion, reason: ReasonCode) -> Vec<u8> {
    connack_with(version, reason, None)
}

/// What the client can take, and whether it wants to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hearer {
    version: ProtocolVersion,
    packet_size_max: u32,
    wants_reasons: bool,
}

impl Hearer {
    /// Who sent this CONNECT.
    pub(crate) fn of(connect: &Connect) -> Self {
        let properties = &connect.properties;
        Self {
            version: connect.version,
            packet_size_max: properties.maximum_packet_size_or_default(),
            wants_reasons: properties.wants_problem_information(),
        }
    }

    /// A CONNACK with this reason, and the name of the decision for those who may be told: never why.
    /// [MQTT-3.1.2-24] Nothing for a client that takes no packet of that size.
    pub(crate) fn connack(self, reason: ReasonCode, decision: &impl std::fmt::Display) -> Vec<u8> {
        let is_told = self.wants_reasons && self.packet_size_max >= PACKET_SIZE_MIN;
        let text = is_told.then(|| format!("refused, decision {decision}"));
        let bytes = connack_with(self.version, reason, text);
        let fits = u32::try_from(bytes.len()).is_ok_and(|size| size <= self.packet_size_max);
        if fits { bytes } else { Vec::new() }
    }
}

fn connack_with(version: ProtocolVersion, reason: ReasonCode, text: Option<String>) -> Vec<u8> {
    let mut out = Vec::new();
    let properties = ConnAckProperties { reason_string: text, ..ConnAckProperties::default() };
    let connack = ConnAck { session_present: false, reason, properties };
    mqtt::encode(&Packet::ConnAck(Box::new(connack)), version, &mut out);
    out
}

/// A client that takes only smaller packets is told no reasons.
const PACKET_SIZE_MIN: u32 = 4096;

#[cfg(test)]
mod tests {
    use mqtt::ProtocolVersion::{V5, V311};

    use super::*;

    // Shows 5.0: [MQTT-3.1.2-24], [MQTT-3.2.2-19].
    #[test]
    fn a_client_that_takes_no_answer_gets_none() {
        let mut connect = Connect::new(V5, "c");
        for (size_max, length) in [(4, 0), (5, 5)] {
            connect.properties.maximum_packet_size = Some(size_max);
            let refusal = Hearer::of(&connect).connack(ReasonCode::NotAuthorized, &"1-0-1");
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

    #[test]
    fn a_decision_is_named_to_those_who_can_and_want_to_know() {
        let check = |version, wants: Option<bool>, size: Option<u32>, is_told: bool| {
            let mut connect = Connect::new(version, "c");
            connect.properties.request_problem_information = wants;
            connect.properties.maximum_packet_size = size;
            let bytes = Hearer::of(&connect).connack(ReasonCode::NotAuthorized, &"3-login-4");
            let text = b"refused, decision 3-login-4";
            assert_eq!(bytes.windows(text.len()).any(|it| it == text), is_told, "{connect:?}");
        };
        check(V5, None, None, true);
        check(V5, Some(true), Some(4096), true);
        check(V5, Some(false), None, false);
        check(V5, None, Some(4095), false);
        check(V311, None, None, false);
    }
}
