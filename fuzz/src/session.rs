//! Whole sessions: the bytes decide what clients, network, disk and administrator do, and the judge of the simulation
//! looks on.

pub fn run(data: &[u8]) {
    let outcome = sim::run_bytes(data);
    assert!(outcome.violation.is_none(), "{}", outcome.report());
}
