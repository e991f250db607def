//! Bytes through the decoder, as each version and as a first packet.

use mqtt::{
    DecodeLimits, Decoded, Packet, ProtocolVersion, ReasonCode, decode, decode_connect, encode,
};

const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];
const UNLIMITED: DecodeLimits = DecodeLimits { packet_size_max: u32::MAX };

pub fn run(data: &[u8]) {
    for version in VERSIONS {
        all_packets(data, version);
        with_a_limit(data, version);
    }
    first_packet(data);
}

/// One packet after the other, until the input ends or is refused.
fn all_packets(data: &[u8], version: ProtocolVersion) {
    let mut rest = data;
    while let Ok(Decoded::Packet { packet, length }) = decode(rest, version, &UNLIMITED) {
        assert!(length >= 2 && length <= rest.len(), "{length}");
        accepted(&packet, version);
        cut_short(&rest[..length], version);
        rest = &rest[length..];
    }
}

/// What was accepted is read back as it was written, and its writing is stable.
fn accepted(packet: &Packet<'_>, version: ProtocolVersion) {
    let mut written = Vec::new();
    encode(packet, version, &mut written);
    let again = decode(&written, version, &UNLIMITED);
    let Ok(Decoded::Packet { packet: again, length }) = again else {
        panic!("{packet:?} is written as {written:02X?} and then {again:?}");
    };
    assert_eq!(length, written.len(), "{packet:?}");
    assert_eq!(again, *packet);
    let mut twice = Vec::new();
    encode(&again, version, &mut twice);
    assert_eq!(twice, written);
    let _direction = packet.check_from_client();
    if let Packet::Publish(publish) = packet {
        let mut forwardable = Vec::new();
        publish.properties.forwardable(&mut forwardable);
        let parsed = mqtt::PublishProperties::parse(&forwardable).expect("handed on as valid");
        assert!(parsed.topic_alias().is_none() && !parsed.has_subscription_identifier());
        assert_eq!(parsed.content_type(), publish.properties.content_type());
        assert!(parsed.user_properties().eq(publish.properties.user_properties()));
        let _format = publish.is_payload_as_declared();
    }
}

/// A packet that is accepted as a whole is incomplete when it is cut.
fn cut_short(packet: &[u8], version: ProtocolVersion) {
    for end in (0..packet.len()).take(16).chain(packet.len().saturating_sub(4)..packet.len()) {
        assert_eq!(decode(&packet[..end], version, &UNLIMITED), Ok(Decoded::Incomplete));
    }
}

/// A limit changes nothing but that larger packets are refused.
fn with_a_limit(data: &[u8], version: ProtocolVersion) {
    let limits = DecodeLimits { packet_size_max: 24 };
    let (limited, unlimited) = (decode(data, version, &limits), decode(data, version, &UNLIMITED));
    if limited == unlimited {
        return;
    }
    let error = limited.expect_err("a limit only ever refuses");
    assert_eq!(error.reason, ReasonCode::PacketTooLarge);
    if let Ok(Decoded::Packet { length, .. }) = unlimited {
        assert!(length > 24);
    }
}

/// The first packet is read like the same packet later, if it is a CONNECT.
fn first_packet(data: &[u8]) {
    match decode_connect(data, &UNLIMITED) {
        Ok(Some((connect, length))) => {
            let version = connect.version;
            let later = decode(data, version, &UNLIMITED);
            assert_eq!(later, Ok(Decoded::Packet { packet: Packet::Connect(connect), length }));
        }
        Ok(None) => {
            assert_eq!(decode(data, ProtocolVersion::V5, &UNLIMITED), Ok(Decoded::Incomplete))
        }
        Err(error) => assert!(error.reason.is_error()),
    }
}
