//! The state log: keys and values on disk, changed in groups that are durable at once or not at all.
//!
//! It knows no sessions and no messages, only bytes; what they mean is the caller's. One process has it open, one
//! thread writes. Invariants: groups are on the disk in the order in which they were written, the first ones if not all; a group is
//! durable when [`StateLog::commit`] returns, or a [`StateSyncer::sync`] that began after it was written; after a failure the same
//! changes can be committed again, as often as it takes; a log that is open is never made anew and empty.

#[cfg(test)]
mod faults;
mod reader;
mod salvage;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

pub use reader::StateReader;
pub use sync::{StateSyncer, Synced};

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
    /// For those who sync.
    journal: sync::Shared,
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
        let journal = sync::Shared::default();
        let mut log = StateLog { directory, safety, place, open: None, entries, journal };
        log.set_open(open).map_err(|error| log.failed("open", &error.into()))?;
        Ok((log, damage))
    }

    /// Reads while this one writes.
    #[must_use]
    pub fn reader(&self) -> StateReader {
        StateReader { entries: reader::Shared::clone(&self.entries) }
    }

    /// Makes durable what this one writes.
    #[must_use]
    pub fn syncer(&self) -> StateSyncer {
        let (journal, directory) = (sync::Shared::clone(&self.journal), self.directory.clone());
        StateSyncer { journal, directory }
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
        self.close();
        let aside = salvage::replace(&directory).map_err(unusable)?;
        self.place = Place::of(&directory).map_err(unusable)?;
        let open = Open::at(&directory).map_err(|error| self.failed("open", &error))?;
        self.set_open(open).map_err(|error| self.failed("open", &error.into()))?;
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
        self.write(prefixes, entries)?;
        match self.syncer().sync() {
            Ok(Synced::Durable) => self.inspect(),
            Ok(Synced::Displaced) => self.settle(),
            Err(error) => {
                self.distrust();
                Err(error)
            }
        }
    }

    /// Writes such a group, behind all that was written before: it is durable when what [`StateLog::syncer`] gave has synced.
    ///
    /// # Errors
    /// As those of [`StateLog::commit`]. What was written before and is not durable has to be written again as well.
    pub fn write<'a>(
        &mut self,
        prefixes: impl IntoIterator<Item = &'a [u8]>,
        entries: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        // One whose own threads have failed takes nothing any more, and does not say why.
        if self.open.as_ref().is_some_and(Open::has_failed) {
            self.distrust();
        }
        if self.open.is_none() {
            self.reopen()?;
        }
        let Some(open) = &self.open else { return Ok(()) };
        open.write(prefixes, entries).map_err(|error| {
            // A log that failed once takes nothing more until it is opened anew and has read what is there. The group
            // may be there.
            self.distrust();
            self.failed("write", &error)
        })?;
        let is_newest = self.journal.lock().as_ref().is_some_and(|journal| journal.is_newest());
        if is_newest { Ok(()) } else { self.follow() }
    }

    /// Syncing has failed: the log is opened anew before it takes anything more. What is not durable has to be written again.
    pub fn distrust(&mut self) {
        self.close();
    }

    /// Makes durable all that was written and finds out where it is, whatever became of the journal.
    ///
    /// # Errors
    /// As those of [`StateLog::commit`].
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.follow()?;
        match self.syncer().sync() {
            Ok(Synced::Durable) => Ok(()),
            // It was removed in this very moment.
            Ok(Synced::Displaced) => self.return_to_place(),
            Err(error) => {
                self.distrust();
                Err(error)
            }
        }
    }

    /// Looks whether a start would find all that it writes, and makes that so where it is not.
    ///
    /// # Errors
    /// Files were removed, and what was in them cannot be read any more.
    pub fn inspect(&mut self) -> Result<(), StoreError> {
        if self.open.is_none() || self.is_in_place() { Ok(()) } else { self.return_to_place() }
    }

    /// Syncs the newest journal from now on.
    fn follow(&mut self) -> Result<(), StoreError> {
        if self.open.is_none() {
            return Err(self.failed("write", &fjall::Error::Poisoned));
        }
        if !self.is_in_place() {
            return self.return_to_place();
        }
        let newest = sync::Journal::newest(&self.directory, self.safety).map_err(|error| {
            self.distrust();
            self.failed("write", &error.into())
        })?;
        *self.journal.lock() = Some(newest.into());
        Ok(())
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
        self.set_open(reopened).map_err(|error| self.failed("open", &error.into()))
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

    fn set_open(&mut self, open: Open) -> std::io::Result<()> {
        let journal = sync::Journal::newest(&self.directory, self.safety)?;
        *self.journal.lock() = Some(journal.into());
        *self.entries.lock() = Some(open.entries.clone());
        self.open = Some(open);
        Ok(())
    }

    /// Readers have to be rid of a log before it can be opened anew.
    fn close(&mut self) {
        *self.entries.lock() = None;
        *self.journal.lock() = None;
        self.open = None;
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
        self.close();
    }
}

impl Open {
    fn at(directory: &Path) -> Result<Open, fjall::Error> {
        let database = Database::builder(directory).worker_threads(WORKERS).open()?;
        let options = || {
            // Entries are read by ranges, which no filter helps: it would be made and kept for nothing.
            let options = KeyspaceCreateOptions::default().filter_policy(FilterPolicy::disabled());
            options.max_memtable_size(MEMTABLE_BYTES)
        };
        let entries = database.keyspace(KEYSPACE, options)?;
        Ok(Open { database, entries })
    }

    /// Whether one of its threads has given up.
    fn has_failed(&self) -> bool {
        self.database.persist(PersistMode::Buffer).is_err()
    }

    /// Into the system's buffers.
    fn write<'a>(
        &self,
        prefixes: impl IntoIterator<Item = &'a [u8]>,
        entries: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), fjall::Error> {
        let mut going = BTreeSet::new();
        for prefix in prefixes {
            for entry in self.entries.prefix(prefix) {
                going.insert(entry.key()?);
            }
        }
        let entries = entries.into_iter();
        let mut batch =
            OwnedWriteBatch::with_capacity(self.database.clone(), entries.size_hint().0);
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
        let batch = batch.durability(Some(PersistMode::Buffer));
        let commit = AssertUnwindSafe(|| batch.commit());
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
