//! Why a command did not do what it was asked: one line on stderr that says what, where and what to do.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;

use super::answer::printable;

/// Everything that ends a command early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The call itself makes no sense: exit code 2.
    Usage(String),
    /// Nobody listens on the admin socket of this data directory.
    NoServer {
        /// The data directory that was asked for.
        data_dir: PathBuf,
        /// Its socket.
        socket: PathBuf,
    },
    /// There is a socket, but it cannot be used.
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The server cannot be reached this way by this program.
    Unreachable(String),
    /// The server broke off, or said something that is not its API.
    Transport(String),
    /// The server answered with a problem document.
    Refused(Problem),
    /// What was asked for does not exist, or not as the command assumes.
    Missing(String),
    /// A file could not be read or written.
    File {
        /// What was tried, as a verb: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Standard input could not be read.
    Input(io::Error),
    /// Standard output could not be written.
    Output(io::Error),
    /// No runtime could be started.
    Runtime(io::Error),
}

/// A problem document (RFC 9457), as far as the command line reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Problem {
    #[serde(default)]
    pub(super) status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    field: Option<String>,
}

impl Failure {
    /// Says it on stderr and turns it into an exit code.
    pub(super) fn report(&self) -> ExitCode {
        // Where even stderr is closed, the exit code is all that is left to say.
        let _unsaid =
            writeln!(io::stderr().lock(), "countersign: {}", printable(&self.to_string()));
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::NoServer { .. }
            | Failure::Connect { .. }
            | Failure::Unreachable(_)
            | Failure::Transport(_)
            | Failure::Refused(_)
            | Failure::Missing(_)
            | Failure::File { .. }
            | Failure::Input(_)
            | Failure::Output(_)
            | Failure::Runtime(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text)
            | Failure::Unreachable(text)
            | Failure::Transport(text)
            | Failure::Missing(text) => f.write_str(text),
            Failure::NoServer { data_dir, socket } => {
                let (data_dir, socket) = (data_dir.display(), socket.display());
                write!(
                    f,
                    "no server is running on `{data_dir}` ({socket}): \
                     start one with `countersign serve --data-dir {data_dir}`"
                )
            }
            Failure::Connect { socket, error } => connect_text(f, socket, error),
            Failure::Refused(problem) => problem.fmt(f),
            Failure::File { action, path, error } => {
                write!(f, "cannot {action} `{}`: {error}", path.display())
            }
            Failure::Input(error) => write!(f, "cannot read standard input: {error}"),
            Failure::Output(error) => write!(f, "cannot write to standard output: {error}"),
            Failure::Runtime(error) => write!(f, "cannot start the runtime: {error}"),
        }
    }
}

fn connect_text(
    f: &mut fmt::Formatter<'_>,
    socket: &std::path::Path,
    error: &io::Error,
) -> fmt::Result {
    let shown = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            write!(f, "no permission to use `{shown}`: only the owner of the data directory may")
        }
        io::ErrorKind::InvalidInput => write!(
            f,
            "the path `{shown}` is too long for a Unix socket: name the data directory by a shorter or relative path"
        ),
        _ => write!(f, "cannot connect to `{shown}`: {error}"),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.detail.as_deref().unwrap_or(&self.title);
        match &self.field {
            Some(field) if !text.contains(field.as_str()) => write!(f, "`{field}`: ")?,
            _ => {}
        }
        if text.is_empty() {
            return write!(f, "the server refused with status {}", self.status);
        }
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: &Failure, text: &str) {
        assert_eq!(failure.to_string(), text);
    }

    #[test]
    fn no_server_says_where_and_how_to_start_one() {
        check(
            &Failure::NoServer { data_dir: "d".into(), socket: "d/admin.sock".into() },
            "no server is running on `d` (d/admin.sock): start one with `countersign serve --data-dir d`",
        );
    }

    #[test]
    fn a_problem_names_its_field_once() {
        let problem = |detail: &str| Problem {
            status: 400,
            title: "Bad Request".to_owned(),
            detail: Some(detail.to_owned()),
            field: Some("username".to_owned()),
        };
        check(&Failure::Refused(problem("too short")), "`username`: too short");
        check(&Failure::Refused(problem("`username` is too short")), "`username` is too short");
    }

    #[test]
    fn a_problem_without_text_still_says_something() {
        check(
            &Failure::Refused(Problem { status: 502, ..Problem::default() }),
            "the server refused with status 502",
        );
    }
}
