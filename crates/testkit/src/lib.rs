//! What the tests share: the broker as a process, an MQTT client, a seeded generator, foreign programs.
//!
//! The client writes and reads packets with code of its own ([`wire`]), not with the broker's codec: a
//! mistake made the same way in both directions would otherwise cancel itself out, and bytes that no
//! honest encoder makes are half of what the tests need to send.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and says so by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests wait for a real process against a real clock")]

mod bystander;
mod client;
mod external;
mod http;
pub mod judge;
mod process;
mod random;
mod received;
pub mod wire;

pub use bystander::{RoundTrips, round_trips};
pub use client::{Carrier, Login, MqttClient, Outcome, connect_from, login};
pub use external::{Ran, Running, find_program, require_program, run_real, spawn_real};
pub use http::{Reply, try_request};
pub use process::{BrokerProcess, BrokerSetup, CliRun, eventually, raise_file_limit};
pub use random::Random;
pub use received::{Packet, Property, decode};
pub use wire::{Version, Will};
