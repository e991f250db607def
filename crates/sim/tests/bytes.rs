//! The fuzz target `session` on a stable compiler: bytes that a generator makes, and the same bytes changed a little.
#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../fuzz/src/session.rs"]
#[allow(unreachable_pub, missing_docs, reason = "it is a part of another crate")]
mod session;

use testkit::Random;

#[test]
fn sessions_that_bytes_decide_hold_and_so_do_their_neighbours() {
    let mut random = Random::new(7);
    for _ in 0..60 {
        let mut bytes = random.bytes(600);
        for _ in 0..4 {
            session::run(&bytes);
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
            bytes.rotate_left(random.below(4));
        }
    }
}

#[test]
fn bytes_do_as_much_as_a_seed_does() {
    // The generator does not look at the lowest bit.
    let run = |seed: u64| sim::run_bytes(&Random::new(seed << 1).bytes(3_000)).deliveries;
    let deliveries: u64 = (1..31).map(run).sum();
    assert!(deliveries > 200, "{deliveries} deliveries");
    assert!(sim::run_bytes(&[]).violation.is_none());
}
