//! `countersign serve`: the broker process, put together and taken apart.
//!
//! One multi-thread runtime accepts, logs in and serves the API; each shard has a thread and a runtime of its own. What is
//! most likely to be wrong is tried first: configuration, data directory, listeners, and only then users and roles.

mod admin_socket;
mod certificates;
mod clients;
mod clock;
mod data_dir;
mod door;
mod enhanced;
mod entrances;
mod error;
mod farewell;
mod handshake;
mod histogram;
mod http;
mod inbox;
mod intake;
mod limits;
mod link;
mod links;
mod listener;
mod logging;
mod login;
mod memory;
mod metrics;
mod near;
mod places;
mod process;
mod proven;
mod refusal;
mod remainder;
mod repeats;
mod report;
mod shard;
mod shards;
mod sources;
mod start;
mod state;
mod system;
mod transport;
mod turns;
mod upgrade;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Effective;

use error::ServeError;

/// What the command line says about `serve`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The configuration file, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// Where everything that lasts is kept.
    pub(crate) data_dir: PathBuf,
    /// Print the effective configuration and stop.
    pub(crate) check: bool,
}

/// Runs the broker until it is told to stop. Says on stderr why it does not run, in one line.
pub(crate) fn run(options: Options) -> ExitCode {
    match try_run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone there is still the exit code.
            drop(writeln!(std::io::stderr(), "countersign: {error}"));
            error.exit_code()
        }
    }
}

/// The Unix socket of a server that runs in `data_dir`.
pub(crate) fn admin_socket(data_dir: &Path) -> PathBuf {
    admin_socket::path(data_dir)
}

fn try_run(options: &Options) -> Result<(), ServeError> {
    let effective = Effective::load(options.config.as_deref(), std::env::vars_os())?;
    if options.check {
        let shown = std::io::stdout().write_all(effective.to_toml().as_bytes());
        return shown.map_err(|reason| ServeError::System { what: "stdout", reason });
    }
    let config = effective.config;
    let system = |what| move |reason| ServeError::System { what, reason };
    process::prepare();
    // Dropped last: everything else may still have something to say.
    let log = logging::start(&config.log).map_err(system("the log's thread"))?;
    if !effective.ignored.is_empty() {
        let variables = effective.ignored.join(" ");
        tracing::warn!(%variables, "these environment variables are not known here and change nothing");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(process::cores().clamp(MAIN_THREADS_MIN, MAIN_THREADS_MAX))
        .thread_name("main")
        .enable_all()
        .build()
        .map_err(system("the main runtime"))?;
    let stopped = runtime.block_on(start::serve(config, &options.data_dir, &log));
    // A login in the middle of a hash must not hold up the end.
    runtime.shutdown_background();
    stopped
}

/// Accepting, TLS handshakes, logging in and the API; hashing and the database have threads of their own.
const MAIN_THREADS_MIN: usize = 2;
const MAIN_THREADS_MAX: usize = 16;
