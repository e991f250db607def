//! TLS, certificates as identities, and WebSocket, seen from outside.
//!
//! The tests make their own authorities and certificates. Every one starts its own broker on free ports.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and says so by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure a real process with a real clock")]

mod certificates;
mod floods;
mod guessing;
mod link;
mod live;
mod matrix;
mod modes;
mod real_programs;
mod refusals;
mod registry;
mod resumption;
mod scene;
mod second_password;
mod websockets;
