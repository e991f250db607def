//! Notices that a file has changed, cheaply enough to ask four times a second.
//!
//! A change counts when it has held still for one round, so that a file that is being written is not read half. Where a file's
//! time is so fresh that a second write could hide behind it, contents are compared.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustls_pki_types::UnixTime;

use crate::files;
use crate::fingerprint::Fingerprint;

/// What a file looked like.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified_ns: (i64, i64),
    length: u64,
    inode: u64,
    device: u64,
}

/// What a file looked like and held.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    stamp: Option<Stamp>,
    content: Option<Fingerprint>,
}

/// The files as they were last taken into use, and as they were a round ago.
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    taken: HashMap<PathBuf, Seen>,
    last: HashMap<PathBuf, Seen>,
}

impl Watch {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let mut watch = Self { paths, taken: HashMap::new(), last: HashMap::new() };
        watch.take();
        watch
    }

    /// What is there now counts as known. Called before the files are read, so that a change during the
    /// reading is seen in the next round.
    pub(crate) fn take(&mut self) {
        self.taken = self.paths.iter().map(|path| (path.clone(), see(path))).collect();
        self.last.clone_from(&self.taken);
    }

    /// Whether there is a change that has held still for a round.
    pub(crate) fn has_changed(&mut self, now: UnixTime) -> bool {
        let seen: HashMap<PathBuf, Seen> = self
            .paths
            .iter()
            .map(|path| (path.clone(), see_again(path, self.last.get(path), now)))
            .collect();
        let is_still = seen == self.last;
        let is_known = seen.iter().all(|(path, seen)| {
            self.taken.get(path).is_some_and(|taken| taken.content == seen.content)
        });
        self.last = seen;
        is_still && !is_known
    }
}

fn see(path: &PathBuf) -> Seen {
    let stamp = stamp(path);
    let content = files::read(path).ok().flatten().map(|bytes| Fingerprint::of(&bytes));
    Seen { stamp, content }
}

/// Reads the content only if the stamp differs or is too young to be trusted.
fn see_again(path: &PathBuf, last: Option<&Seen>, now: UnixTime) -> Seen {
    let present = stamp(path);
    match last {
        Some(last) if last.stamp == present && !is_young(present, now) => *last,
        _ => see(path),
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
        length: metadata.len(),
        inode: metadata.ino(),
        device: metadata.dev(),
    })
}

fn is_young(stamp: Option<Stamp>, now: UnixTime) -> bool {
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    stamp.is_some_and(|stamp| stamp.modified_ns.0.saturating_add(YOUNG_S) >= now_s)
}

/// Longer than the coarsest time stamps of common file systems (2 s).
const YOUNG_S: i64 = 3;
