//! The engine in a simulated world: many clients, a fake network, a fake disk and a clock, decided by one seed.
//!
//! The real [`broker::Engine`]s of a few shards are driven by bytes, one small step after the other; which step is next,
//! and how far it goes, is drawn. What goes in and what comes out is shown to the judge in `testkit`, who knows nothing of the
//! engine. Nothing here reads a clock, starts a thread or draws from anything but the seed: the same seed does the
//! same, to the last byte.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a simulation that cannot go on has failed, and says so by panicking"
)]

mod choices;
mod client;
mod disk;
mod finish;
mod link;
mod mischief;
mod mutation;
mod people;
mod run;
mod setting;
mod trace;
mod traffic;
mod world;

pub use mutation::Mutation;
pub use testkit::judge::{Check, Violation};

use choices::Choices;
use run::Sim;
use testkit::Random;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong, if anything.
    pub violation: Option<Violation>,
    /// A number that differs when anything in the run does.
    pub trace_hash: u64,
    /// What happened, the last of it.
    pub trace: Vec<String>,
    /// Messages that clients published.
    pub messages: usize,
    /// Copies that went to clients.
    pub deliveries: u64,
    /// Copies that clients have acknowledged.
    pub acknowledged: usize,
    /// Times the broker crashed.
    pub crashes: usize,
    /// Commits that the disk had confirmed and that a crash showed to be lost.
    pub forgotten: usize,
    /// Messages that were read from disk for the queue of a session.
    pub fetched: usize,
}

impl Outcome {
    /// The end of the trace, and what was wrong: what to print.
    #[must_use]
    pub fn report(&self) -> String {
        let from = self.trace.len().saturating_sub(TRACE_LINES_SHOWN);
        let what = self.violation.as_ref().map(|it| format!("{:?}: {}", it.check, it.text));
        format!("{}\n{}", self.trace[from..].join("\n"), what.unwrap_or_default())
    }
}

/// Runs one seed for so many steps, then lets everything calm down and looks at what is left.
#[must_use]
pub fn run(seed: u64, steps: usize, mutation: Option<Mutation>) -> Outcome {
    // The generator does not look at the lowest bit.
    Sim::new(Choices::Seeded(Random::new(seed << 1)), mutation).run(steps)
}

/// The same, decided by a fuzzer's bytes until they are used up.
#[must_use]
pub fn run_bytes(bytes: &[u8]) -> Outcome {
    let choices = Choices::Bytes(bytes.iter().copied().collect());
    Sim::new(choices, None).run(BYTES_STEPS_MAX)
}

/// Steps of a seed where nothing else is said.
pub const STEPS: usize = 400;
const BYTES_STEPS_MAX: usize = 4_000;
const TRACE_LINES_SHOWN: usize = 40;
