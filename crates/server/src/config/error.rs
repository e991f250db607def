//! What can be wrong with a configuration, each as one line that says where and what instead.

use std::fmt;
use std::path::PathBuf;

/// Why the configuration was refused. Every text is one line; no secret is ever in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {message}")]
    Syntax {
        /// File and line.
        place: Source,
        /// What the parser says.
        message: String,
    },
    /// There is no such key, section or variable.
    #[error("{place}: unknown {what} `{name}`{}", hint(.nearest.as_deref()))]
    Unknown {
        /// File and line, or the environment.
        place: Source,
        /// `key`, `section` or `variable`.
        what: &'static str,
        /// The name as given, escaped.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
    },
    /// The value does not fit the key.
    #[error("{place}: `{key}` cannot be {value}: {reason}")]
    BadValue {
        /// File and line, or the variable.
        place: Source,
        /// The key, with its section.
        key: String,
        /// The value as given, escaped and shortened; `the given value` for a secret.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// Two sources of the same strength say something about one key.
    #[error("`{key}` is set twice, by {first} and by {second}: remove one")]
    SetTwice {
        /// The key, with its section.
        key: String,
        /// One source.
        first: Source,
        /// The other.
        second: Source,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody set it.
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The environment as a whole.
    Environment,
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Variable(name) => write!(out, "environment variable `{name}`"),
            Self::Environment => out.write_str("environment"),
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
