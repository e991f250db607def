//! What is written is read back, and no bytes make the decoder panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

mod common;

use common::samples::packets;
use common::{VERSIONS, read, read_one, write};
use mqtt::{DecodeLimits, Decoded, ProtocolVersion, decode_connect};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::sample::select;

fn versioned() -> impl Strategy<Value = (ProtocolVersion, common::samples::Sample)> {
    select(VERSIONS.to_vec())
        .prop_flat_map(|version| packets(version).prop_map(move |sample| (version, sample)))
}

/// Whatever was accepted can be written, and is then read back as the same.
fn check_accepted(input: &[u8]) {
    for version in VERSIONS {
        if let Ok(Decoded::Packet { packet, length }) = read(input, version) {
            assert!((2..=input.len()).contains(&length));
            let written = write(&packet, version);
            assert_eq!(read_one(&written, version), packet);
            // Exercises the accessors of a message's properties too.
            assert!(!format!("{packet:?}").is_empty());
        }
    }
    let _connect = decode_connect(input, &DecodeLimits::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    // Shows 3.1.1: [MQTT-2.2.2-1]; 5.0: [MQTT-2.1.3-1], [MQTT-2.2.2-1], [MQTT-3.2.2-1],
    // [MQTT-3.6.2-1].
    #[test]
    fn any_packet_is_read_back_as_it_was_written((version, sample) in versioned()) {
        let packet = sample.packet();
        let written = write(&packet, version);
        prop_assert_eq!(read_one(&written, version), packet);
    }

    #[test]
    fn any_packet_cut_short_is_incomplete((version, sample) in versioned()) {
        let written = write(&sample.packet(), version);
        for end in 0..written.len() {
            prop_assert_eq!(read(&written[..end], version), Ok(Decoded::Incomplete));
        }
    }

    #[test]
    fn any_bytes_are_decided_without_a_panic(input in vec(any::<u8>(), 0..64)) {
        check_accepted(&input);
    }

    #[test]
    fn any_body_with_a_fitting_length_is_decided_without_a_panic(
        first in any::<u8>(), body in vec(any::<u8>(), 0..64)
    ) {
        let mut input = vec![first, u8::try_from(body.len()).unwrap()];
        input.extend(body);
        check_accepted(&input);
    }

    #[test]
    fn any_packet_with_bytes_changed_is_decided_without_a_panic(
        (version, sample) in versioned(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut input = write(&sample.packet(), version);
        for (index, byte) in changes {
            let at = index.index(input.len());
            input[at] = byte;
        }
        check_accepted(&input);
    }
}
