//! The fuzz targets for a few seconds on a stable compiler: a fixed seed, a corpus, mutations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    reason = "a test may fail"
)]

mod common;

#[path = "../../../fuzz/src/connection.rs"]
mod connection;
#[path = "../../../fuzz/src/decode.rs"]
mod decode;
#[path = "../../../fuzz/src/input.rs"]
mod input;
#[path = "../../../fuzz/src/topics.rs"]
mod topics;

/// Marsaglia's xorshift: the same sequence each time, so that a failure is a seed.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Runs `body` on every seed, then on `rounds` mutations of them.
fn check(seeds: &[Vec<u8>], rounds: usize, body: fn(&[u8])) {
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| body(seed));
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    for _ in 0..rounds {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, seeds, &mut random);
        }
        body(&input);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Xorshift) {
    let at = random.below(input.len() + 1);
    match random.below(6) {
        0 => input.insert(at, random.next() as u8),
        1 if at < input.len() => drop(input.remove(at)),
        2 if at < input.len() => input[at] ^= 1 << random.below(8),
        3 if at < input.len() => {
            input[at] = [0, 1, 0x7F, 0x80, 0xFF, b'/', b'#', b'+'][random.below(8)]
        }
        4 => input.truncate(at),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.extend_from_slice(&other[from..]);
        }
    }
    input.truncate(512);
}

#[test]
fn the_decoder_survives_mutated_packets() {
    let seeds: Vec<Vec<u8>> = common::table::rows().into_iter().map(|row| row.bytes).collect();
    check(&seeds, 60_000, decode::run);
}

#[test]
fn a_connection_survives_any_sequence_of_packets() {
    let mut random = Xorshift(42);
    let seeds: Vec<Vec<u8>> = (0..64_u8)
        .map(|kind| {
            let rest = (0..200).map(|_| random.next() as u8);
            std::iter::once(kind).chain(rest).collect()
        })
        .collect();
    check(&seeds, 10_000, connection::run);
}

#[test]
fn the_relations_of_topics_agree() {
    let texts = [
        "a/b\0a/+\0a/b",
        "#\0+/#\0a",
        "+\0$SYS\0$SYS",
        "a/#\0a\0a",
        "$share/g/a\0#\0/",
        "+/+\0/\0/",
        "a//b\0a/+/b\0a//b",
        "$SYS/#\0$SYS/+/x\0$SYS/y/x",
        "é/+\0é/#\0é",
        "${username}/#\0#\0x",
    ];
    let seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    check(&seeds, 60_000, topics::run);
}
