//! The disk that holds the state log: what is committed is there as a whole or not at all, unless it is told to fail, to tear,
//! or to lie.

use std::collections::{BTreeMap, VecDeque};

use broker::{Fetch, Hub, Image, Limits, Record, StoredDelivery};
use ledger::{Bundles, Changes, Folded, Messages};
use testkit::judge::Judge;

/// Keys and values.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk.
#[derive(Default)]
pub(crate) struct Disk {
    entries: Entries,
    /// Of a disk that lies: what was on it before each of its last commits, and what the judge knew then.
    before: VecDeque<(Entries, Judge)>,
    /// It says no to every commit.
    pub(crate) is_failing: bool,
    /// It says that a commit is durable when it is not yet.
    pub(crate) is_lying: bool,
}

impl Disk {
    /// Makes the changes, as the store does.
    pub(crate) fn write(&mut self, changes: Folded<'_>) {
        self.write_behind(changes, 0);
    }

    /// The second half of the changes is there and the first is not, which the log's checksums make impossible: for a mutation.
    pub(crate) fn tear(&mut self, changes: Folded<'_>) {
        self.write_behind(changes, changes.entries().count() / 2);
    }

    fn write_behind(&mut self, changes: Folded<'_>, skipped: usize) {
        for prefix in changes.removed_prefixes() {
            self.entries.retain(|key, _| !key.starts_with(prefix));
        }
        for (key, value) in changes.entries().skip(skipped) {
            match value {
                Some(value) => self.entries.insert(key.to_vec(), value.to_vec()),
                None => self.entries.remove(key),
            };
        }
    }

    /// Notes how it is now, before a commit that it might forget.
    pub(crate) fn note(&mut self, judge: &Judge) {
        if self.is_lying {
            self.before.push_back((self.entries.clone(), judge.clone()));
            if self.before.len() > FORGOTTEN_MAX {
                self.before.pop_front();
            }
        }
    }

    /// How many commits it could forget.
    pub(crate) fn forgettable(&self) -> usize {
        self.before.len()
    }

    /// Forgets the last commits. Gives what the judge knew when the last one was made that is left.
    pub(crate) fn forget(&mut self, commits: usize) -> Option<Judge> {
        let at = self.before.len().checked_sub(commits)?;
        let (entries, judge) = self.before.drain(at..).next()?;
        self.entries = entries;
        Some(judge)
    }

    /// What was written is on it for good.
    pub(crate) fn settle(&mut self) {
        self.before.clear();
    }

    /// What is there of what is wanted, as the broker sees it that is about to sync some of it.
    pub(crate) fn read(
        &self,
        fetch: &Fetch,
        written: &VecDeque<Written>,
    ) -> Vec<(u64, StoredDelivery)> {
        let mut seen = Disk { entries: self.entries.clone(), ..Disk::default() };
        written.iter().for_each(|one| seen.write(one.changes.folded()));
        let mut found = Vec::new();
        for sequence in fetch.sequences() {
            let (from, to) = ledger::message_range(fetch.key(), *sequence);
            let Some((key, value)) = seen.entries.range(from..=to).next_back() else { continue };
            let messages = Messages::read(key, value).expect("they were written by this broker");
            found.extend(messages.at(&[*sequence]));
        }
        found
    }

    /// What a broker reads that starts from it: of a long queue only the head.
    pub(crate) fn image(&self, limits: &Limits) -> (Image, Bundles) {
        let (mut image, mut bundles) = (Image::default(), Bundles::default());
        for (key, value) in &self.entries {
            let is_understood = ledger::load((key, value), &mut image, limits, &mut bundles);
            assert!(is_understood, "it was written by this broker");
        }
        (image, bundles)
    }

    /// Entries of a session without the session itself, or anything else that makes no sense: looked at byte by byte, as
    /// `docs/storage.md` has them.
    pub(crate) fn nonsense(&self) -> Option<String> {
        let is_stray = |key: &[u8]| {
            let length = key.get(17..21).and_then(|it| it.try_into().ok()).map(u32::from_be_bytes);
            let end = 21 + usize::try_from(length.unwrap_or(0)).unwrap_or(0);
            let session = [key.get(..end).unwrap_or_default(), b"h"].concat();
            key.first() == Some(&b'S') && !self.entries.contains_key(&session)
        };
        let stray = self.entries.keys().find(|key| is_stray(key))?;
        Some(format!("{:?} belongs to no session", String::from_utf8_lossy(stray)))
    }

    /// Any entry.
    pub(crate) fn any(&self) -> Option<String> {
        let (key, _) = self.entries.first_key_value()?;
        Some(format!("{} entries, `{}`", self.entries.len(), key.escape_ascii()))
    }
}

/// The threads that write and sync, as the server has them: what could not be made durable is written again, together with what came
/// since.
#[derive(Default)]
pub(crate) struct Writer {
    /// What is gathered.
    pub(crate) next: Written,
    /// What is written and not durable, the oldest first. The disk may have the first of them, or all.
    pub(crate) written: VecDeque<Written>,
    /// The last commit failed: nothing is written that is not synced at once.
    pub(crate) has_failed: bool,
    /// Messages that are one entry in what was written.
    pub(crate) bundles: Bundles,
}

/// What is written at once.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) changes: Changes,
    /// Groups in `changes`: shard and number.
    pub(crate) groups: Vec<(usize, u64)>,
}

impl Writer {
    pub(crate) fn take(&mut self, shard: usize, number: u64, records: &[Record]) {
        for record in records {
            ledger::put(record, &mut self.next.changes);
        }
        self.next.groups.push((shard, number));
    }

    /// Writes what is gathered.
    pub(crate) fn write(&mut self, hub: &Hub) {
        if !self.next.groups.is_empty() {
            let _folded = self.next.changes.fold(&mut self.bundles, hub);
            self.written.push_back(std::mem::take(&mut self.next));
        }
    }

    /// Takes back all that was written.
    pub(crate) fn take_back(&mut self) {
        for later in std::mem::take(&mut self.written) {
            self.next.changes.append(&later.changes);
            self.next.groups.extend(later.groups);
        }
    }

    /// Groups that are not durable.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &(usize, u64)> {
        self.written.iter().flat_map(|one| &one.groups).chain(&self.next.groups)
    }
}

/// Commits that a lying disk forgets at most.
const FORGOTTEN_MAX: usize = 6;
