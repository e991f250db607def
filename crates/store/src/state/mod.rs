//! The state log: keys and values on disk, changed in groups that are durable at once or not at all.
//!
//! It knows no sessions and no messages, only bytes; what they mean is the caller's. One process has it open, one
//! thread writes. Invariants: a group is durable before [`StateLog::commit`] returns; after a failure the same changes can be
//! committed again, as often as it takes.

mod changes;
mod reader;
mod salvage;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

pub use changes::Changes;
pub use reader::StateReader;

use crate::StoreError;

/// How safe a group is once it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// On the disk: it outlives a power cut.
    Synced,
    /// In the system's buffers: it outlives the process.
    Buffered,
}

/// Keys and values on disk.
pub struct StateLog {
    directory: PathBuf,
    safety: Safety,
    /// `None` after a failure, until it opens again.
    open: Option<Open>,
    /// For those who read meanwhile.
    entries: reader::Shared,
}

struct Open {
    database: Database,
    entries: Keyspace,
}

/// What was not whole when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes at the end of the journal that were no whole group. A crash in the middle of a commit leaves some, of
    /// a group that nobody was told of.
    pub bytes_cut: u64,
    /// Where the damaged log was put aside, if it could not be opened as it was.
    pub put_aside: Option<PathBuf>,
}

impl StateLog {
    /// Opens the log in this directory, or makes a new one. What is damaged is put aside, and what is whole is kept.
    ///
    /// # Errors
    /// Another process has it open, or the directory cannot be used.
    pub fn open(directory: &Path, safety: Safety) -> Result<(StateLog, Damage), StoreError> {
        let (open, damage) = salvage::open(directory)?;
        let (directory, entries) = (directory.to_path_buf(), reader::Shared::default());
        let mut log = StateLog { directory, safety, open: None, entries };
        log.set_open(Some(open));
        Ok((log, damage))
    }

    /// Reads while this one writes.
    #[must_use]
    pub fn reader(&self) -> StateReader {
        StateReader { entries: reader::Shared::clone(&self.entries) }
    }

    /// Gives every entry to `f`, in the order of the keys. Returns how many could not be read.
    ///
    /// # Errors
    /// The log is not open after a failure.
    pub fn read(&self, mut f: impl FnMut(&[u8], &[u8])) -> Result<usize, StoreError> {
        let open = self.open.as_ref().ok_or_else(|| self.failed("read", fjall::Error::Poisoned))?;
        let mut unreadable = 0;
        for entry in open.entries.iter() {
            match entry.into_inner() {
                Ok((key, value)) => f(&key, &value),
                Err(_) if unreadable < UNREADABLE_MAX => unreadable += 1,
                Err(_) => break,
            }
        }
        Ok(unreadable)
    }

    /// Makes a new log of all entries of this one that can be read, and puts the old one aside. Gives the new one, and
    /// where the old one is.
    ///
    /// # Errors
    /// The disk does not take it; then the old log is where it was.
    pub fn rebuild(mut self) -> Result<(StateLog, PathBuf), StoreError> {
        let mut changes = Changes::default();
        self.read(|key, value| changes.put(key.to_vec(), value.to_vec()))?;
        let directory = self.directory.clone();
        let unusable = |source| StoreError::Directory { path: directory.clone(), source };
        let (mut copy, _) = StateLog::open(&salvage::rebuilt(&directory), Safety::Synced)?;
        copy.commit(&mut changes)?;
        // Neither is open while they change places.
        drop(copy);
        self.set_open(None);
        let aside = salvage::replace(&directory).map_err(unusable)?;
        let open = Open::at(&directory).map_err(|error| self.failed("open", error))?;
        self.set_open(Some(open));
        Ok((self, aside))
    }

    /// Makes the changes durable, all or none. They stay in `changes` if that fails.
    ///
    /// # Errors
    /// The disk did not take it. It may take it later: then the log opens itself again.
    pub fn commit(&mut self, changes: &mut Changes) -> Result<(), StoreError> {
        if self.open.is_none() {
            let reopened = Open::at(&self.directory).map_err(|error| self.failed("open", error))?;
            self.set_open(Some(reopened));
        }
        let Some(open) = &self.open else { return Ok(()) };
        match open.commit(changes, self.safety) {
            Ok(()) => {
                changes.clear();
                Ok(())
            }
            Err(error) => {
                // A log that failed once takes nothing more until it is opened anew and has read what is there. Some
                // of the group may be there.
                self.set_open(None);
                changes.are_perhaps_there();
                Err(self.failed("write", error))
            }
        }
    }

    /// Readers have to be rid of a log before it can be opened anew.
    fn set_open(&mut self, open: Option<Open>) {
        *self.entries.lock() = open.as_ref().map(|it| it.entries.clone());
        self.open = open;
    }

    fn failed(&self, doing: &'static str, error: fjall::Error) -> StoreError {
        StoreError::State { doing, path: self.directory.clone(), reason: error.to_string() }
    }
}

impl Drop for StateLog {
    fn drop(&mut self) {
        self.set_open(None);
    }
}

impl Open {
    fn at(directory: &Path) -> Result<Open, fjall::Error> {
        let database = Database::builder(directory).worker_threads(WORKERS).open()?;
        let entries = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        Ok(Open { database, entries })
    }

    fn commit(&self, changes: &mut Changes, safety: Safety) -> Result<(), fjall::Error> {
        for prefix in changes.take_prefixes() {
            for entry in self.entries.prefix(&prefix) {
                changes.remove_unless_put(entry.key()?.to_vec());
            }
        }
        let mut batch = self.database.batch();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.insert(&self.entries, key, value),
                None => batch.remove(&self.entries, key),
            }
        }
        let mode = match safety {
            Safety::Synced => PersistMode::SyncData,
            Safety::Buffered => PersistMode::Buffer,
        };
        batch.durability(Some(mode)).commit()
    }
}

impl std::fmt::Debug for StateLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateLog").field("directory", &self.directory).finish_non_exhaustive()
    }
}

const KEYSPACE: &str = "state";
/// Threads that write tables and merge them.
const WORKERS: usize = 1;
/// Entries in a row of errors after which reading ends.
const UNREADABLE_MAX: usize = 1000;
