//! The state log: keys and values on disk, changed in groups that are durable at once or not at all.
//!
//! It knows no sessions and no messages, only bytes; what they mean is the caller's. One process has it open, one
//! thread writes. Invariants: a group is durable before [`StateLog::commit`] returns; after a failure the same changes can be
//! committed again, as often as it takes; a log that is open is never made anew and empty.

#[cfg(test)]
mod faults;
mod reader;
mod salvage;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

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
    /// Where it was opened: whatever has the directory's name later may be something else.
    place: Place,
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
    /// Files that every log has and this one had not: what was in them is lost, and nobody knows how much that was.
    pub missing: Vec<&'static str>,
}

impl StateLog {
    /// Opens the log in this directory, or makes a new one. What is damaged is put aside, and what is whole is kept.
    ///
    /// # Errors
    /// Another process has it open, or the directory cannot be used.
    pub fn open(directory: &Path, safety: Safety) -> Result<(StateLog, Damage), StoreError> {
        let (open, damage) = salvage::open(directory)?;
        let place = Place::of(directory)
            .map_err(|source| StoreError::Directory { path: directory.to_path_buf(), source })?;
        let (directory, entries) = (directory.to_path_buf(), reader::Shared::default());
        let mut log = StateLog { directory, safety, place, open: None, entries };
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
        let open =
            self.open.as_ref().ok_or_else(|| self.failed("read", &fjall::Error::Poisoned))?;
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

    /// Makes a new log of all entries of this one that can be read, and puts the old one aside. Says where, if there is
    /// anything left of it.
    ///
    /// # Errors
    /// The disk does not take it; then the old log is where it was.
    pub fn rebuild(&mut self) -> Result<Option<PathBuf>, StoreError> {
        let mut entries = Vec::new();
        self.read(|key, value| entries.push((key.to_vec(), value.to_vec())))?;
        let directory = self.directory.clone();
        let unusable = |source| StoreError::Directory { path: directory.clone(), source };
        let (mut copy, _) = StateLog::open(&salvage::rebuilt(&directory), Safety::Synced)?;
        copy.commit([], entries.iter().map(|(key, value)| (&**key, Some(&**value))))?;
        // Neither is open while they change places.
        drop(copy);
        self.set_open(None);
        let aside = salvage::replace(&directory).map_err(unusable)?;
        self.place = Place::of(&directory).map_err(unusable)?;
        let open = Open::at(&directory).map_err(|error| self.failed("open", &error))?;
        self.set_open(Some(open));
        Ok(aside)
    }

    /// Makes a group of changes durable, all or none: every key that begins with one of `prefixes` goes, but for those
    /// among `entries`, each of which gets its value or, without one, goes. No key may be among them twice.
    ///
    /// # Errors
    /// The disk did not take it, or only a part of it, which nobody sees. It may take it later: then the log opens itself
    /// again.
    pub fn commit<'a>(
        &mut self,
        prefixes: impl IntoIterator<Item = &'a [u8]>,
        entries: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        // One whose own threads have failed takes nothing any more, and does not say why.
        if self.open.as_ref().is_some_and(Open::has_failed) {
            self.set_open(None);
        }
        if self.open.is_none() {
            self.reopen()?;
        }
        let Some(open) = &self.open else { return Ok(()) };
        open.commit(prefixes, entries, self.safety).map_err(|error| {
            // A log that failed once takes nothing more until it is opened anew and has read what is there. The group
            // may be there.
            self.set_open(None);
            self.failed("write", &error)
        })?;
        if self.is_in_place() { Ok(()) } else { self.return_to_place() }
    }

    /// Opens it again after a failure. What the disk made of the last groups is not known: a system that could not write
    /// them may keep them in memory as if they were written. So the journals are written once more as they read.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if Place::of(&self.directory).is_ok_and(|place| place != self.place)
            || !salvage::missing(&self.directory).is_empty()
        {
            return Err(self.removed());
        }
        salvage::refresh(&self.directory).map_err(|error| self.failed("open", &error.into()))?;
        let reopened = salvage::attempt(&self.directory);
        let reopened = reopened.map_err(|error| self.failed("open", &error))?;
        self.set_open(Some(reopened));
        Ok(())
    }

    /// Whether the files that it writes are still those that a start would find, as far as that can be seen.
    fn is_in_place(&self) -> bool {
        let journals = self.open.as_ref().map_or(0, |open| open.database.journal_count());
        let is_there = match Place::of(&self.directory) {
            Ok(place) => place == self.place,
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        is_there
            && salvage::missing(&self.directory).is_empty()
            && salvage::journals(&self.directory).map_or(true, |found| found.len() >= journals)
    }

    /// Somebody has removed or replaced files of the log while it was open. What is open can be read as long as it stays
    /// open: it is written to where it was.
    fn return_to_place(&mut self) -> Result<(), StoreError> {
        if self.read(|_, _| ())? > 0 {
            return Err(self.removed());
        }
        let aside = self.rebuild()?;
        tracing::error!(
            directory = %self.directory.display(), put_aside = ?aside,
            "files of the state log were removed or replaced while it was in use: it is written anew, and nothing is lost"
        );
        Ok(())
    }

    /// Readers have to be rid of a log before it can be opened anew.
    fn set_open(&mut self, open: Option<Open>) {
        *self.entries.lock() = open.as_ref().map(|it| it.entries.clone());
        self.open = open;
    }

    fn removed(&self) -> StoreError {
        let reason = "files of it were removed or replaced while it was in use, and not all of it can be read any more: \
                      put them back, or restart the server, which keeps what it finds"
            .to_owned();
        StoreError::State { doing: "write", path: self.directory.clone(), reason, is_full: false }
    }

    fn failed(&self, doing: &'static str, error: &fjall::Error) -> StoreError {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut is_full = false;
        while let Some(error) = source {
            is_full |= error.downcast_ref().is_some_and(crate::error::is_full);
            source = error.source();
        }
        let (path, reason) = (self.directory.clone(), error.to_string());
        StoreError::State { doing, path, reason, is_full }
    }
}

/// A directory, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    fn of(directory: &Path) -> std::io::Result<Place> {
        let it = std::fs::metadata(directory)?;
        Ok(Place { device: it.dev(), inode: it.ino() })
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
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let entries = database.keyspace(KEYSPACE, options)?;
        Ok(Open { database, entries })
    }

    /// Whether one of its threads has given up.
    fn has_failed(&self) -> bool {
        self.database.persist(PersistMode::Buffer).is_err()
    }

    fn commit<'a>(
        &self,
        prefixes: impl IntoIterator<Item = &'a [u8]>,
        entries: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        safety: Safety,
    ) -> Result<(), fjall::Error> {
        let mut going = BTreeSet::new();
        for prefix in prefixes {
            for entry in self.entries.prefix(prefix) {
                going.insert(entry.key()?);
            }
        }
        let mut batch = self.database.batch();
        for (key, value) in entries {
            going.remove(key);
            match value {
                Some(value) => batch.insert(&self.entries, key, value),
                None => batch.remove(&self.entries, key),
            }
        }
        for key in going {
            batch.remove(&self.entries, key);
        }
        let mode = match safety {
            Safety::Synced => PersistMode::SyncData,
            Safety::Buffered => PersistMode::Buffer,
        };
        let commit = AssertUnwindSafe(|| batch.durability(Some(mode)).commit());
        // What is not expected below must not end the thread that writes.
        std::panic::catch_unwind(commit).unwrap_or(Err(fjall::Error::Poisoned))
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
/// What was written lately is in memory as well, in up to five of these, and takes about twice as much there. It is set when
/// a log is made.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Entries in a row of errors after which reading ends.
const UNREADABLE_MAX: usize = 1000;
