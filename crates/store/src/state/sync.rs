//! Making durable what was written, on another thread than the one that writes.
//!
//! The engine below would hold its own lock while the disk works, and nothing could be written meanwhile. So its journal is
//! synced from here, by a handle of our own: a journal that it has left for the next one was synced by itself before.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Place, Safety, salvage};
use crate::StoreError;

/// Makes durable what a [`super::StateLog`] has written.
#[derive(Clone)]
pub struct StateSyncer {
    pub(super) journal: Shared,
    pub(super) directory: PathBuf,
}

/// The journal that the last group is in, or a later one; `None` while the log is not open after a failure.
pub(super) type Shared = Arc<Mutex<Option<Arc<Journal>>>>;

/// What became of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Synced {
    /// All that was written before is as safe as it is to be.
    Durable,
    /// The journal is not where it was: the engine has put another one in its place meanwhile, or somebody has removed it.
    /// [`super::StateLog::settle`] finds out.
    Displaced,
}

/// A journal of the engine below.
pub(super) struct Journal {
    path: PathBuf,
    /// The name of the one that comes after it.
    next: PathBuf,
    /// Of the tables.
    tables: PathBuf,
    file: File,
    place: Place,
    safety: Safety,
}

impl StateSyncer {
    /// Makes durable all that was written before this is called.
    ///
    /// # Errors
    /// The disk did not take it, or the log is not open: [`super::StateLog::distrust`] it.
    pub fn sync(&self) -> Result<Synced, StoreError> {
        // The lock is not held while the disk works.
        let journal = self.journal.lock().clone();
        let journal =
            journal.ok_or_else(|| self.failed(&std::io::ErrorKind::NotConnected.into()))?;
        journal.sync().map_err(|error| self.failed(&error))?;
        Ok(if journal.is_in_place() { Synced::Durable } else { Synced::Displaced })
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        let is_full = crate::error::is_full(error);
        let (path, reason) = (self.directory.clone(), error.to_string());
        StoreError::State { doing: "write", path, reason, is_full }
    }
}

impl Journal {
    /// The newest journal of a log that is open.
    pub(super) fn newest(directory: &Path, safety: Safety) -> std::io::Result<Self> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            let journals = salvage::journals(directory)?;
            let path = journals.last().ok_or(std::io::ErrorKind::NotFound)?;
            match File::open(path) {
                Ok(file) => return Self::at(directory, path, file, safety),
                // It was full and its content in tables a moment after it was the newest.
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && attempts.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn at(directory: &Path, path: &Path, file: File, safety: Safety) -> std::io::Result<Self> {
        let number = salvage::number(path).ok_or(std::io::ErrorKind::InvalidData)?;
        let next = directory.join(format!("{}.jnl", number.saturating_add(1)));
        let it = file.metadata()?;
        let place = Place { device: it.dev(), inode: it.ino() };
        let tables = directory.join(salvage::KEYSPACES);
        Ok(Self { path: path.to_path_buf(), next, tables, file, place, safety })
    }

    fn sync(&self) -> std::io::Result<()> {
        match self.safety {
            Safety::Synced => self.file.sync_data(),
            Safety::Buffered => Ok(()),
        }
    }

    /// Whether what was written a moment ago is in this one, or was synced when a former one was left for it. Journals are removed in the
    /// order of their numbers: while this one is there, a next one would be as well.
    pub(super) fn is_newest(&self) -> bool {
        !self.next.exists() && self.is_in_place()
    }

    /// Whether a start would find it. That of the rest of the log is looked at less often.
    fn is_in_place(&self) -> bool {
        Place::of(&self.path).is_ok_and(|place| place == self.place) && self.tables.exists()
    }
}

impl std::fmt::Debug for StateSyncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateSyncer").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// How often a journal may be gone before it is opened.
const ATTEMPTS: usize = 3;
