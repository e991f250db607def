//! The CONNACK of a refused CONNECT, in the words of the client's version.

use mqtt::{ConnAck, ConnAckProperties, Packet, ProtocolVersion, ReasonCode};

/// A CONNACK with this reason; 3.1 and 3.1.1 get the return code that comes nearest.
pub(crate) fn connack(version: ProtocolVersion, reason: ReasonCode) -> Vec<u8> {
    let mut out = Vec::new();
    let connack =
        ConnAck { session_present: false, reason, properties: ConnAckProperties::default() };
    mqtt::encode(&Packet::ConnAck(Box::new(connack)), version, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use mqtt::ProtocolVersion::{V5, V311};

    use super::*;

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
