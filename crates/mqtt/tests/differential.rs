//! Two published codecs must agree with ours on valid packets; where they differ on invalid ones is
//! written down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

mod common;
mod peers;

use common::samples::packets;
use common::table::{Expected, rows};
use common::{read_one, write};
use mqtt::ProtocolVersion;
use peers::{PEERS, Peer, Verdict, ours};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;

const CASES: usize = 2000;

/// Every generated packet: the peer reads what we wrote, and we read what the peer writes of it.
fn check(peer: &Peer, version: ProtocolVersion) {
    let mut runner = TestRunner::deterministic();
    let strategy = packets(version);
    let (mut read, mut written, mut kinds) = (0, 0, BTreeSet::new());
    for _ in 0..CASES {
        let sample = strategy.new_tree(&mut runner).expect("a sample").current();
        let packet = sample.packet();
        let expected = ours::fields(&packet, version);
        if (peer.unable)(&packet).is_some() {
            continue;
        }
        let bytes = write(&packet, version);
        let theirs = peer.read(&bytes, version);
        assert_eq!(theirs.fields, expected, "{} reads {bytes:02X?}", peer.name);
        kinds.insert(expected.get("kind").to_owned());
        read += 1;
        if let Ok(bytes) = theirs.written {
            let again = ours::fields(&read_one(&bytes, version), version);
            assert_eq!(again, expected, "{} wrote {bytes:02X?}", peer.name);
            written += 1;
        }
    }
    assert!(
        read > CASES / 2 && written > CASES / 2 && kinds.len() >= 13,
        "{read} {written} {kinds:?}"
    );
}

#[test]
fn rmqtt_codec_agrees_on_valid_packets_of_3_1_1() {
    check(&PEERS[0], ProtocolVersion::V311);
}

#[test]
fn rmqtt_codec_agrees_on_valid_packets_of_5() {
    check(&PEERS[0], ProtocolVersion::V5);
}

#[test]
fn rumqttc_agrees_on_valid_packets_of_3_1_1() {
    check(&PEERS[1], ProtocolVersion::V311);
}

#[test]
fn rumqttc_agrees_on_valid_packets_of_5() {
    check(&PEERS[1], ProtocolVersion::V5);
}

/// Every row of the table on which a peer decides otherwise is in `table/peers.txt`, and no other.
#[test]
fn where_peers_are_laxer_or_stricter_is_written_down() {
    let mut found = String::new();
    for peer in &PEERS {
        for row in rows().iter().filter(|row| row.version != ProtocolVersion::V31) {
            let verdict = peer.judge(&row.bytes, row.version);
            let word = match (&verdict, row.expected) {
                (Verdict::Panicked, _) => "panics",
                (Verdict::Accepted(_), Expected::Refused(_)) => "accepts",
                (Verdict::Incomplete, Expected::Refused(_)) => "waits",
                (Verdict::Refused, Expected::Accepted) => "refuses",
                (Verdict::Incomplete, Expected::Accepted) => "waits",
                _ => continue,
            };
            found += &format!("{} {word} | {} ({})\n", peer.name, row.name, row.version);
        }
    }
    let known: String = include_str!("table/peers.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    if found != known {
        for line in found.lines().filter(|line| !known.contains(line)) {
            println!("+{line}");
        }
        for line in known.lines().filter(|line| !found.contains(line)) {
            println!("-{line}");
        }
        panic!("peers decide otherwise than table/peers.txt says");
    }
}
