//! Changes that wait for the next commit, each key once: what was put and removed in between never reaches the disk.
//!
//! They are noted one behind the other, all bytes in one buffer, and brought together when they are asked for: noting takes no
//! memory of its own, and most of what is noted is written once. Messages of one session that follow each other become one entry then.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;

use broker::{Hub, SessionKey, StoredDelivery};
use topic::TopicName;

use crate::bundles::{BUNDLE_MESSAGES_MAX, Bundles, Left, Touched};
use crate::bytes::Output;
use crate::messages::NEW_HEAD;
use crate::record::{self, MARK, MESSAGE, VERSION};
use crate::runs::{BUNDLE_BYTES_MAX, Piece, RemovedMessage, Runs};

/// What the next commit changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys with their values behind them.
    bytes: Vec<u8>,
    steps: Vec<Step>,
    /// Messages of sessions that come and go.
    messages: Runs,
    /// Keys that begin with one of these are removed, unless they are put again. None of them begins with another.
    prefixes: BTreeMap<Vec<u8>, Removal>,
    /// Topics on which something else is retained than before.
    retained: Vec<TopicName>,
    is_folded: bool,
    /// Memory for steps.
    spare: Vec<Step>,
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

/// A bundle that is being made.
#[derive(Debug)]
struct Open {
    /// Where its key begins.
    start: usize,
    session: Range<usize>,
    first: u64,
    count: u8,
    /// Where its value begins.
    value: usize,
}

/// What is to be removed.
#[derive(Debug, Clone, Copy)]
struct Removal {
    /// Steps that begin here or behind put again.
    before: usize,
    /// It has not been brought together with anything yet.
    is_new: bool,
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

    /// Notes that a message of a session is put, which has no other of this place.
    pub(crate) fn put_message(
        &mut self,
        session: &SessionKey,
        sequence: u64,
        delivery: &StoredDelivery,
    ) {
        self.messages.put(session, sequence, delivery, &mut self.bytes);
        self.is_folded = false;
    }

    /// Notes that a message of a session is removed.
    pub(crate) fn remove_message(&mut self, session: &SessionKey, sequence: u64) {
        self.messages.remove(session, sequence, &mut self.bytes);
        self.is_folded = false;
    }

    /// Removes all keys that begin with this, which must not begin with what another call gives, nor the other way round.
    pub(crate) fn remove_all(&mut self, prefix: Vec<u8>) {
        self.prefixes.insert(prefix, Removal { before: self.bytes.len(), is_new: true });
        self.is_folded = false;
    }

    /// Notes that something else is retained on a topic.
    pub(crate) fn note_retained(&mut self, topic: &TopicName) {
        self.retained.push(topic.clone());
        self.is_folded = false;
    }

    /// Brings together what was noted. It is to be written before what another is brought together to with these bundles, or added to
    /// what is.
    ///
    /// What is retained is asked of the hub now: shards may report changes of one topic in another order than they made them.
    pub fn fold(&mut self, bundles: &mut Bundles, hub: &Hub) -> Folded<'_> {
        if !self.is_folded {
            for topic in std::mem::take(&mut self.retained) {
                record::put_retained(&topic, hub, self);
            }
            for (session, removal) in &mut self.prefixes {
                if std::mem::take(&mut removal.is_new) {
                    bundles.forget(session);
                }
            }
            self.fold_messages(bundles);
            self.bring_together();
            self.is_folded = true;
        }
        Folded(self)
    }

    /// What the last call of [`Changes::fold`] gave. Nothing may have been noted since.
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        debug_assert!(self.is_folded, "it is not brought together");
        Folded(self)
    }

    /// Removes marks that are of nothing.
    pub fn remove_stray_marks(&mut self, bundles: &mut Bundles) {
        for (session, first) in bundles.take_stray_marks() {
            self.note(Act::Remove, |out| put_mark_key(&session, first, out), |_| ());
        }
    }

    /// One step for each key, in their order.
    fn bring_together(&mut self) {
        let (bytes, prefixes) = (&*self.bytes, &self.prefixes);
        // Those of one key stay in the order in which they were noted.
        self.steps.sort_by(|one, other| one.key(bytes).cmp(other.key(bytes)));
        let of_one_key = self.steps.chunk_by(|one, other| one.key(bytes) == other.key(bytes));
        self.spare.clear();
        self.spare.extend(of_one_key.filter_map(|steps| fold(steps, bytes, prefixes)));
        std::mem::swap(&mut self.steps, &mut self.spare);
    }

    /// Makes entries of messages that come and stay, and removes those that go.
    fn fold_messages(&mut self, bundles: &mut Bundles) {
        let mut messages = std::mem::take(&mut self.messages);
        // What was before the session was removed has gone with it.
        messages.put.retain(|run| run.session.start >= self.removed_before(&run.session));
        messages.removed.retain(|it| it.at >= self.removed_before(&it.session));
        messages.sort(&self.bytes);
        let mut touched = Vec::new();
        for removed in std::mem::take(&mut messages.removed) {
            if !messages.take_out(&removed, &self.bytes) {
                self.remove_entry(&removed, bundles, &mut touched);
            }
        }
        for (session, touched) in touched {
            self.put_mark(&session, touched, bundles);
        }
        let mut open = None;
        for run in &messages.put {
            for piece in run.pieces(&self.bytes) {
                open = Some(self.put_piece(open, &run.session, &piece, bundles));
            }
        }
        self.close(open, bundles);
        messages.clear(BYTES_KEPT);
        self.messages = messages;
    }

    /// Removes a message that the disk may have: alone, or in a bundle, which is touched then.
    fn remove_entry(
        &mut self,
        removed: &RemovedMessage,
        bundles: &mut Bundles,
        touched: &mut Vec<(Range<usize>, Touched)>,
    ) {
        let session = removed.session.clone();
        let Some(it) = bundles.remove(self.at(&session), removed.sequence) else {
            let session = self.at(&session).to_vec();
            let key = |out: &mut Output<'_>| {
                out.raw(&session).byte(MESSAGE).u64(removed.sequence);
            };
            return self.note(Act::Remove, key, |_| ());
        };
        let is_known = touched.last().is_some_and(|(other, known)| {
            known.first == it.first && self.at(other) == self.at(&session)
        });
        if !is_known {
            touched.push((session, it));
        }
    }

    /// Puts messages into an entry, the one that is open if they follow what is in it and there is room.
    fn put_piece(
        &mut self,
        open: Option<Open>,
        session: &Range<usize>,
        piece: &Piece,
        bundles: &mut Bundles,
    ) -> Open {
        let follows = |open: &Open| {
            open.first.saturating_add(u64::from(open.count)) == piece.first
                && usize::from(open.count) + usize::from(piece.count) <= BUNDLE_MESSAGES_MAX
                && self.bytes.len() - open.value + piece.body.len() <= BUNDLE_BYTES_MAX
                && self.at(&open.session) == self.at(session)
        };
        let mut open = match open {
            Some(open) if follows(&open) => open,
            other => {
                self.close(other, bundles);
                self.open(session, piece.first)
            }
        };
        if let Some(head) = &piece.head {
            self.bytes.push(NEW_HEAD);
            self.bytes.extend_from_within(head.clone());
        }
        self.bytes.extend_from_within(piece.body.clone());
        open.count += piece.count;
        open
    }

    fn open(&mut self, session: &Range<usize>, first: u64) -> Open {
        let start = self.bytes.len();
        self.bytes.extend_from_within(session.clone());
        // How many there are is not known yet.
        Output(&mut self.bytes).byte(MESSAGE).u64(first).byte(0).byte(VERSION);
        Open { start, session: session.clone(), first, count: 0, value: self.bytes.len() - 1 }
    }

    /// Nothing more comes into this one. One message alone is an entry of the simple form.
    fn close(&mut self, open: Option<Open>, bundles: &mut Bundles) {
        let Some(Open { start, session, first, count, value }) = open else { return };
        let end = self.bytes.len();
        if count > 1 {
            if let Some(place) = self.bytes.get_mut(value - 1) {
                *place = count;
            }
            bundles.insert(self.at(&session), first, count);
            let (key_length, value_length) = (value - start, end - value);
            return self.steps.push(Step { start, key_length, value_length, act: Act::Put });
        }
        self.bytes.extend_from_within(start..value - 1);
        let key_length = self.bytes.len() - end;
        self.bytes.push(VERSION);
        // It says all by itself.
        self.bytes.extend_from_within(value + 2..end);
        let value_length = self.bytes.len() - end - key_length;
        self.steps.push(Step { start: end, key_length, value_length, act: Act::PutNew });
    }

    /// What was noted of this session before is removed.
    fn removed_before(&self, session: &Range<usize>) -> usize {
        self.prefixes.get(self.at(session)).map_or(0, |it| it.before)
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// What is left of a bundle from which messages go.
    fn put_mark(&mut self, session: &Range<usize>, touched: Touched, bundles: &mut Bundles) {
        let Touched { first, was_marked } = touched;
        let session = self.at(session).to_vec();
        let mark = |out: &mut Output<'_>| put_mark_key(&session, first, out);
        match bundles.left(&session, first) {
            None => {}
            Some(Left::AllBut { gone }) => {
                self.note(Act::Put, mark, |out| {
                    out.byte(VERSION).u64(gone);
                });
            }
            Some(Left::Nothing { count }) => {
                if was_marked {
                    self.note(Act::Remove, mark, |_| ());
                }
                let key = |out: &mut Output<'_>| {
                    out.raw(&session).byte(MESSAGE).u64(first).byte(count);
                };
                self.note(Act::Remove, key, |_| ());
            }
        }
    }

    /// Adds what was noted after all of this.
    pub fn append(&mut self, later: &Changes) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        self.messages.append(&later.messages, shift);
        self.retained.extend_from_slice(&later.retained);
        let shifted = |step: &Step| Step { start: step.start + shift, ..*step };
        self.steps.extend(later.steps.iter().map(shifted));
        let prefixes = later.prefixes.iter();
        self.prefixes
            .extend(prefixes.map(|(prefix, it)| {
                (prefix.clone(), Removal { before: it.before + shift, ..*it })
            }));
        self.is_folded = false;
    }

    /// All of it is durable.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // A burst is no reason to hold its memory for ever.
        self.bytes.shrink_to(BYTES_KEPT);
        self.steps.clear();
        self.steps.shrink_to(BYTES_KEPT / size_of::<Step>());
        self.messages.clear(BYTES_KEPT);
        self.prefixes.clear();
        self.retained.clear();
        self.spare.clear();
        self.spare.shrink_to(BYTES_KEPT / size_of::<Step>());
        self.is_folded = false;
    }

    /// A commit failed: nothing that was brought together for it is surely not on disk any more.
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
    fn key_range(self) -> Range<usize> {
        self.start..self.start + self.key_length
    }

    fn key(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.key_range()).unwrap_or_default()
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        let start = self.start + self.key_length;
        bytes.get(start..start + self.value_length).unwrap_or_default()
    }
}

fn put_mark_key(session: &[u8], first: u64, out: &mut Output<'_>) {
    out.raw(session).byte(MARK).u64(first);
}

/// What becomes of one key by its steps, which are in order.
fn fold(steps: &[Step], bytes: &[u8], prefixes: &BTreeMap<Vec<u8>, Removal>) -> Option<Step> {
    let key = steps.first()?.key(bytes);
    let removed = prefixes.range::<[u8], _>((Unbounded, Included(key))).next_back();
    let removed =
        removed.filter(|(prefix, _)| key.starts_with(prefix)).map_or(0, |(_, it)| it.before);
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
