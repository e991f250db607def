//! Why the store could not do what it was asked to.

use std::path::{Path, PathBuf};

/// A failure of the store. When a change fails, nothing of it is in store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be made, read or written.
    #[error("cannot use the data directory `{}`: {source}", path.display())]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("the data directory `{}` is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("`{}` has schema {found}, newer than {known} that this version knows: use the newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known.
        known: i64,
    },
    /// The file is no database, or its content breaks a rule.
    #[error("`{}` is corrupt: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is missing or empty, and there was one.
    #[error("`{}` is missing or empty, and there was one here: restore the data directory from a backup. To begin anew, without users, remove `{}`", path.display(), lock.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What knows that there was one.
        lock: PathBuf,
    },
    /// The file lacks changes that were confirmed.
    #[error("`{}` is older than it was: it ends with change {found}, and change {confirmed} was confirmed. What was changed since, perhaps rights taken away, is lost: restore a newer backup or what is missing of `{}-wal`. To go on with the older state, remove `{}`", path.display(), path.display(), lock.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The last change in it.
        found: u64,
        /// The last change that was confirmed.
        confirmed: u64,
        /// What knows that.
        lock: PathBuf,
    },
    /// The state log refused.
    #[error("cannot {doing} the state log `{}`: {reason}", path.display())]
    State {
        /// `open`, `read` or `write`.
        doing: &'static str,
        /// Its directory.
        path: PathBuf,
        /// What was wrong.
        reason: String,
        /// It is for want of room.
        is_full: bool,
    },
    /// Entries of the state log cannot be read for the time being.
    #[error("cannot read the state log now: {reason}")]
    Unavailable {
        /// What was wrong.
        reason: String,
    },
    /// The database refused.
    #[error("cannot {doing} the database: {source}")]
    Database {
        /// `open`, `read` or `write`.
        doing: &'static str,
        /// What it said.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether it would have been done if there were room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Directory { source, .. } => is_full(source),
            StoreError::State { is_full, .. } => *is_full,
            // SQLITE_FULL
            StoreError::Database { source, .. } => {
                source.as_database_error().and_then(|error| error.code()).as_deref() == Some("13")
            }
            StoreError::InUse { .. }
            | StoreError::Newer { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Lost { .. }
            | StoreError::Older { .. } => false,
        }
    }

    /// Whether another process has the database, so that it would be done later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let StoreError::Database { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(|error| error.code());
        // SQLITE_BUSY with its kinds; or those in front have waited for it for so long.
        matches!(code.as_deref(), Some("5" | "261" | "517" | "773"))
            || matches!(source, sqlx::Error::PoolTimedOut)
    }

    pub(crate) fn from_database(
        file: &Path,
        doing: &'static str,
        source: sqlx::Error,
    ) -> StoreError {
        let code = source.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // SQLITE_CORRUPT with its kinds, SQLITE_NOTADB
            Some("11" | "26" | "267" | "523" | "779") => {
                StoreError::Corrupt { path: file.to_path_buf(), reason: source.to_string() }
            }
            _ => StoreError::Database { doing, source },
        }
    }
}

/// Whether there was no room: on the disk, in a quota, or below the size that a file may have.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}
