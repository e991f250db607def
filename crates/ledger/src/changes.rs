//! Changes that wait for the next commit, each key once: what was put and removed in between never reaches the disk.
//!
//! They are noted one behind the other, all bytes in one buffer, and brought together when they are asked for: noting takes no
//! memory of its own, and most of what is noted is written once.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use crate::bytes::Output;

/// What the next commit changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys with their values behind them.
    bytes: Vec<u8>,
    steps: Vec<Step>,
    /// Keys that begin with one of these are removed, unless they are put again: by a step that begins here or behind. None of them
    /// begins with another.
    prefixes: BTreeMap<Vec<u8>, usize>,
    is_folded: bool,
}

/// Something that happens to a key.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Where the key begins in the buffer: later steps begin behind earlier ones.
    start: usize,
    key_length: usize,
    value_length: usize,
    act: Act,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Put,
    /// The disk has no such key: if it is removed again, there is nothing to do.
    PutNew,
    /// There is such a key: on the disk, or only here.
    Update,
    Remove,
}

/// Changes as they are to be made, no key twice.
#[derive(Debug, Clone, Copy)]
pub struct Folded<'a>(&'a Changes);

impl Changes {
    /// Notes what happens to a key.
    pub(crate) fn note(
        &mut self,
        act: Act,
        key: impl FnOnce(&mut Output<'_>),
        value: impl FnOnce(&mut Output<'_>),
    ) {
        let start = self.bytes.len();
        key(&mut Output(&mut self.bytes));
        let key_length = self.bytes.len() - start;
        value(&mut Output(&mut self.bytes));
        let value_length = self.bytes.len() - start - key_length;
        self.steps.push(Step { start, key_length, value_length, act });
        self.is_folded = false;
    }

    /// Removes all keys that begin with this, which must not begin with what another call gives, nor the other way round.
    pub(crate) fn remove_all(&mut self, prefix: Vec<u8>) {
        self.prefixes.insert(prefix, self.bytes.len());
        self.is_folded = false;
    }

    /// Brings together what was noted.
    pub fn fold(&mut self) -> Folded<'_> {
        if !self.is_folded {
            let mut steps = std::mem::take(&mut self.steps);
            let (bytes, prefixes) = (&*self.bytes, &self.prefixes);
            steps.sort_unstable_by(|one, other| {
                one.key(bytes).cmp(other.key(bytes)).then(one.start.cmp(&other.start))
            });
            let of_one_key = steps.chunk_by(|one, other| one.key(bytes) == other.key(bytes));
            self.steps = of_one_key.filter_map(|steps| fold(steps, bytes, prefixes)).collect();
            self.is_folded = true;
        }
        Folded(self)
    }

    /// Adds what was noted after all of this.
    pub fn append(&mut self, later: &Changes) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        let shifted = |step: &Step| Step { start: step.start + shift, ..*step };
        self.steps.extend(later.steps.iter().map(shifted));
        let prefixes = later.prefixes.iter();
        self.prefixes.extend(prefixes.map(|(prefix, at)| (prefix.clone(), at + shift)));
        self.is_folded = false;
    }

    /// All of it is durable.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // A burst is no reason to hold its memory for ever.
        self.bytes.shrink_to(BYTES_KEPT);
        self.steps.clear();
        self.steps.shrink_to(BYTES_KEPT / size_of::<Step>());
        self.prefixes.clear();
    }

    /// A commit failed: nothing is surely not on disk any more.
    pub fn are_perhaps_there(&mut self) {
        for step in self.steps.iter_mut().filter(|step| step.act == Act::PutNew) {
            step.act = Act::Put;
        }
    }
}

impl<'a> Folded<'a> {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.steps.is_empty() && self.0.prefixes.is_empty()
    }

    /// What the keys begin with that are to go, but for those among [`Folded::entries`].
    pub fn removed_prefixes(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.prefixes.keys().map(Vec::as_slice)
    }

    /// Each key that changes, in their order, with its new value; `None`: it is to go.
    pub fn entries(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let bytes = &*self.0.bytes;
        self.0.steps.iter().map(move |step| {
            (step.key(bytes), (step.act != Act::Remove).then(|| step.value(bytes)))
        })
    }
}

impl Step {
    fn key(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.start + self.key_length).unwrap_or_default()
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        let start = self.start + self.key_length;
        bytes.get(start..start + self.value_length).unwrap_or_default()
    }
}

/// What becomes of one key by its steps, which are in order.
fn fold(steps: &[Step], bytes: &[u8], prefixes: &BTreeMap<Vec<u8>, usize>) -> Option<Step> {
    let key = steps.first()?.key(bytes);
    let removed = prefixes.range::<[u8], _>((Unbounded, Included(key))).next_back();
    let removed = removed.filter(|(prefix, _)| key.starts_with(prefix)).map_or(0, |(_, at)| *at);
    // What was before that goes with the prefix, if it is on disk at all.
    let left = steps.iter().filter(|step| step.start >= removed);
    left.fold(None, |former, step| {
        let act = match (former.map(|it: Step| it.act), step.act) {
            (Some(Act::PutNew), Act::Remove) => return None,
            (_, Act::Remove) => Act::Remove,
            (None | Some(Act::PutNew), Act::PutNew) | (Some(Act::PutNew), Act::Update) => {
                Act::PutNew
            }
            (_, Act::Put | Act::PutNew | Act::Update) => Act::Put,
        };
        Some(Step { act, ..*step })
    })
}

/// Memory for bytes that stays when they are durable.
const BYTES_KEPT: usize = 1 << 20;
