//! What the tests of the codec share: the table of packets, and generators of valid ones.

// Each test binary uses its part of it.
#![allow(dead_code, unreachable_pub, reason = "shared by several test binaries")]

pub mod samples;
pub mod table;

use mqtt::{DecodeError, DecodeLimits, Decoded, Packet, ProtocolVersion, decode, encode};

pub const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

/// Decodes with no limit on size.
pub fn read(input: &[u8], version: ProtocolVersion) -> Result<Decoded<'_>, DecodeError> {
    decode(input, version, &DecodeLimits::default())
}

pub fn write(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, version, &mut out);
    out
}

/// The one packet that `input` is.
#[track_caller]
pub fn read_one(input: &[u8], version: ProtocolVersion) -> Packet<'_> {
    match read(input, version) {
        Ok(Decoded::Packet { packet, length }) => {
            assert_eq!(length, input.len(), "something is left of {input:02X?}");
            packet
        }
        other => panic!("{version} {input:02X?}: {other:?}"),
    }
}
