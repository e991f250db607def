//! `countersign bench`: a load generator for any MQTT broker.
//!
//! One thread, non-blocking sockets, one `epoll`; packets are copied from a template into one buffer a connection and
//! decoded by the `mqtt` crate, so that the generator costs less than what it measures. What it costs itself is part of
//! every result. The figure to compare brokers by on one machine is what they do for a second of their own CPU time
//! (`--pid`): the clock on the wall also measures whoever else is running.

mod connect;
mod dialog;
mod histogram;
mod line;
mod login;
mod payload;
mod poller;
mod process;
mod publisher;
mod pubsub;
mod result;
mod stopwatch;
mod storm;
mod subscriber;
mod target;
mod tls;
mod traffic;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::result::Summary;

/// Measure a broker: this one or any other
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Log in again and again, or log in and hold the connections
    Connect(connect::Connect),
    /// Messages from publishers to subscribers
    Pubsub(pubsub::Pubsub),
    /// Messages from one publisher to many subscribers
    Fanout(pubsub::Fanout),
    /// All clients are cut off and come back at once
    Storm(storm::Storm),
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The call makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A socket or a file failed.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        error: io::Error,
    },
    /// The broker did what no broker should.
    #[error("{0}")]
    Broker(String),
}

impl BenchError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        let what = what.into();
        move |error| BenchError::Io { what, error }
    }
}

/// Does the work, prints the result, and returns the exit code: 1 where messages were lost or out of order, or
/// clients refused.
pub(crate) fn run(bench: Bench, is_json: bool) -> ExitCode {
    process::raise_open_files();
    let done = match bench.work {
        Work::Connect(work) => work.run().map(|result| print(&result, is_json)),
        Work::Pubsub(work) => work.run().map(|result| print(&result, is_json)),
        Work::Fanout(work) => work.run().map(|result| print(&result, is_json)),
        Work::Storm(work) => work.run().map(|result| print(&result, is_json)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(if matches!(error, BenchError::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn print<R: Summary + Serialize>(result: &R, is_json: bool) -> ExitCode {
    let text = if is_json {
        serde_json::to_string_pretty(result).unwrap_or_default()
    } else {
        result.lines().join("\n")
    };
    let is_written = writeln!(io::stdout().lock(), "{text}").is_ok();
    if is_written && result.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Progress and complaints go to stderr, so that the result stands alone on stdout.
fn say(text: &str) {
    // Where stderr is closed nobody wants to hear it.
    let _unsaid = writeln!(io::stderr().lock(), "countersign: {text}");
}
