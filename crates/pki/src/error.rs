//! What can go wrong, and whose fault it is: the files' ([`PkiError`]) or the request's ([`IssueError`]).

use std::path::{Path, PathBuf};

use crate::request::RequestFault;

/// A file of the certificate directory cannot be used, or cannot be written. What was in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The operating system refused to read or write.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb: `read`, `write`.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds what must not be used.
    #[error("`{}`{}: {what}: {remedy}", path.display(), line_suffix(*line))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Line at which the bad part begins, counted from 1.
        line: Option<usize>,
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The library of cryptography failed, which is nobody's input.
    #[error("cannot {action}: {what}")]
    Crypto {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the library said.
        what: String,
    },
}

/// A certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The user's name cannot stand in a certificate.
    #[error("the name `{name}` cannot be a common name: {reason}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The wanted validity is not between one day and what the authority has left.
    #[error("a validity of {days} days is not possible: {reason}")]
    Validity {
        /// As asked for.
        days: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The certificate signing request is refused.
    #[error("the certificate signing request is refused: {0}")]
    Request(#[from] RequestFault),
    /// The password of a PKCS#12 file is too short.
    #[error("the password of a PKCS#12 file needs at least {minimum} characters")]
    Password {
        /// Least number of characters.
        minimum: usize,
    },
    /// The authority's certificate is not in the trust bundle, so what it issued would be refused.
    #[error("the built-in authority cannot issue: {reason}")]
    Authority {
        /// Why, with the remedy.
        reason: String,
    },
    /// The library of cryptography failed, which is nobody's input.
    #[error("cannot {action}: {what}")]
    Crypto {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the library said.
        what: String,
    },
}

impl PkiError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    pub(crate) fn unusable(path: &Path, what: impl Into<String>, remedy: &'static str) -> Self {
        Self::Unusable { path: path.to_owned(), line: None, what: what.into(), remedy }
    }

    pub(crate) fn at_line(
        path: &Path,
        line: usize,
        what: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self::Unusable { path: path.to_owned(), line: Some(line), what: what.into(), remedy }
    }

    pub(crate) fn crypto(action: &'static str, what: impl ToString) -> Self {
        Self::Crypto { action, what: what.to_string() }
    }
}

impl IssueError {
    pub(crate) fn crypto(action: &'static str, what: impl ToString) -> Self {
        Self::Crypto { action, what: what.to_string() }
    }
}

fn line_suffix(line: Option<usize>) -> String {
    line.map(|line| format!(" line {line}")).unwrap_or_default()
}
