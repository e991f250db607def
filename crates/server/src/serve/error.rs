//! Why the server does not start, or stops: one line each, and the exit code.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::ConfigError;

/// What keeps the server from running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("data directory `{}`: {reason}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The state of sessions cannot be read or written.
    #[error("state of sessions: {0}")]
    State(String),
    /// Another server runs in the data directory.
    #[error("data directory `{}` is in use by another countersign{}", path.display(), process(.pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, if it has written its id.
        pid: Option<u32>,
    },
    /// A listener cannot be opened.
    #[error("listener `{listener}`: cannot listen on {address}: {reason}")]
    Listener {
        /// The listener's name.
        listener: &'static str,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The admin socket cannot be opened.
    #[error("admin socket `{}`: {reason}", path.display())]
    AdminSocket {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
    },
    /// The files of certificates and keys cannot be used.
    #[error("certificates: {0}")]
    Pki(String),
    /// Users, roles and permissions cannot be loaded.
    #[error("users and roles: {0}")]
    Admin(String),
    /// A thread, runtime or signal is not to be had.
    #[error("cannot start: {what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the operating system says.
        reason: io::Error,
    },
}

impl ServeError {
    /// 2 for what the operator wrote, 1 for what failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::DataDir { .. }
            | Self::InUse { .. }
            | Self::Listener { .. }
            | Self::AdminSocket { .. }
            | Self::Pki(_)
            | Self::Admin(_)
            | Self::State(_)
            | Self::System { .. } => ExitCode::FAILURE,
        }
    }
}

fn process(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}
