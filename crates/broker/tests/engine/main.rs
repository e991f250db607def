//! The engine as its clients see it: packets in, packets out, on one and on two shards.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test fails by panicking"
)]

mod backpressure;
mod budgets;
mod conformance;
mod delivery;
mod durable;
mod forecast;
mod held_input;
mod memory;
mod protocol;
mod random;
mod refused;
mod restart;
mod revocation;
mod rights;
mod sessions;
mod spill;
mod spill_shares;
mod system;
mod users;
mod wills;
mod world;
