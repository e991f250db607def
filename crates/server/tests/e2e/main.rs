//! The broker seen from outside: the program itself, over sockets, with clients of its own and of others.
//!
//! One file a topic. Every test starts its own broker on a free port with its own data directory.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, and says so by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure a real process with a real clock")]

mod api_document;
mod audit;
mod availability;
mod bench;
mod certificates;
mod conformance;
mod crash;
mod credentials;
mod crowd;
mod documents;
mod durable;
mod explain;
mod faulty_disk;
mod first_session;
mod held;
mod import;
mod lifecycle;
mod malformed;
mod mosquitto;
mod overload;
mod policy;
mod real_clients;
mod registry;
mod remote;
mod rights;
mod sessions;
mod stalled_disk;
mod storm;
mod support;
mod why;
