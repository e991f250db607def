//! Changes that wait for the next commit, each key once: what was put and removed in between never reaches the disk.
//!
//! They are noted one behind the other, all bytes in one buffer, and brought together when they are asked for: noting takes no
//! memory of its own, and most of what is noted is written once. Messages of one session that follow each other become one entry then.

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};
use std::ops::Range;

use crate::bundles::{BUNDLE_MESSAGES_MAX, Bundles, Left, Touched};
use crate::bytes::Output;
use crate::record::{MARK, MESSAGE, VERSION};

/// What the next commit changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Keys with their values behind them.
    bytes: Vec<u8>,
    steps: Vec<Step>,
    /// Keys that begin with one of these are removed, unless they are put again. None of them begins with another.
    prefixes: BTreeMap<Vec<u8>, Removal>,
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
    /// The same of a message of a session, whose payload begins in its value there.
    PutMessage {
        payload: usize,
    },
    /// There is such a key: on the disk, or only here.
    Update,
    Remove,
    /// Of a message of a session, which may be in a bundle.
    RemoveMessage,
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

    /// Notes that a message of a session is put: its key, what its value says before the payload, and the payload.
    pub(crate) fn note_message(
        &mut self,
        key: impl FnOnce(&mut Output<'_>),
        head: impl FnOnce(&mut Output<'_>),
        payload: &[u8],
    ) {
        self.note(Act::PutNew, key, head);
        if let Some(step) = self.steps.last_mut() {
            step.act = Act::PutMessage { payload: step.value_length };
            let before = self.bytes.len();
            Output(&mut self.bytes).bytes(payload);
            step.value_length += self.bytes.len() - before;
        }
    }

    /// Removes all keys that begin with this, which must not begin with what another call gives, nor the other way round.
    pub(crate) fn remove_all(&mut self, prefix: Vec<u8>) {
        self.prefixes.insert(prefix, Removal { before: self.bytes.len(), is_new: true });
        self.is_folded = false;
    }

    /// Brings together what was noted. It is to be written before what another is brought together to with these bundles, or added to
    /// what is.
    pub fn fold(&mut self, bundles: &mut Bundles) -> Folded<'_> {
        if !self.is_folded {
            for (session, removal) in &mut self.prefixes {
                if std::mem::take(&mut removal.is_new) {
                    bundles.forget(session);
                }
            }
            self.bring_together();
            if self.bundle(bundles) {
                self.bring_together();
            }
            self.is_folded = true;
        }
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
        self.steps = of_one_key.filter_map(|steps| fold(steps, bytes, prefixes)).collect();
    }

    /// Makes bundles of messages that follow each other, and marks of messages that go and are in one. Says whether there are any.
    fn bundle(&mut self, bundles: &mut Bundles) -> bool {
        let steps = std::mem::take(&mut self.steps);
        self.steps.reserve(steps.len());
        let (mut touched, mut is_any): (Vec<(Step, Touched)>, _) = (Vec::new(), false);
        let mut rest = &*steps;
        while let Some(first) = rest.first() {
            let (these, others) = rest.split_at(bundled(rest, &self.bytes));
            rest = others;
            if these.len() > 1 {
                self.put_bundle(these, bundles);
                is_any = true;
                continue;
            }
            let gone = (first.act == Act::RemoveMessage)
                .then(|| bundles.remove(first.session(&self.bytes), first.sequence(&self.bytes)));
            let Some(Some(touch)) = gone else {
                self.steps.push(*first);
                continue;
            };
            let is_known = touched.last().is_some_and(|(other, known)| {
                known.first == touch.first
                    && other.session(&self.bytes) == first.session(&self.bytes)
            });
            if !is_known {
                touched.push((*first, touch));
            }
        }
        for (step, touch) in &touched {
            self.put_mark(*step, *touch, bundles);
        }
        is_any || !touched.is_empty()
    }

    /// A bundle of these messages.
    fn put_bundle(&mut self, steps: &[Step], bundles: &mut Bundles) {
        let (Some(first), Ok(count)) = (steps.first(), u8::try_from(steps.len())) else { return };
        bundles.insert(first.session(&self.bytes), first.sequence(&self.bytes), count);
        let start = self.bytes.len();
        self.bytes.extend_from_within(first.key_range());
        self.bytes.push(count);
        let key_length = self.bytes.len() - start;
        self.bytes.push(VERSION);
        let mut former: Option<Range<usize>> = None;
        for step in steps {
            let (head, payload) = step.head_and_payload();
            let is_same =
                former.is_some_and(|it| self.bytes.get(it) == self.bytes.get(head.clone()));
            self.bytes.push(u8::from(is_same));
            if !is_same {
                self.bytes.extend_from_within(head.clone());
            }
            self.bytes.extend_from_within(payload);
            former = Some(head);
        }
        let value_length = self.bytes.len() - start - key_length;
        self.steps.push(Step { start, key_length, value_length, act: Act::Put });
    }

    /// What is left of a bundle from which this message and perhaps others go.
    fn put_mark(&mut self, step: Step, touched: Touched, bundles: &mut Bundles) {
        let Touched { first, was_marked } = touched;
        let session = step.session(&self.bytes).to_vec();
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
        self.prefixes.clear();
    }

    /// A commit failed: nothing is surely not on disk any more.
    pub fn are_perhaps_there(&mut self) {
        for step in &mut self.steps {
            if step.act.is_new() {
                step.act = Act::Put;
            }
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
        self.0
            .steps
            .iter()
            .map(move |step| (step.key(bytes), (!step.act.removes()).then(|| step.value(bytes))))
    }
}

impl Act {
    /// Whether the disk surely has no such key before.
    fn is_new(self) -> bool {
        matches!(self, Act::PutNew | Act::PutMessage { .. })
    }

    fn removes(self) -> bool {
        matches!(self, Act::Remove | Act::RemoveMessage)
    }
}

impl Step {
    fn key_range(self) -> Range<usize> {
        self.start..self.start + self.key_length
    }

    fn key(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.key_range()).unwrap_or_default()
    }

    /// Of a message: what the keys of all entries of its session begin with.
    fn session(self, bytes: &[u8]) -> &[u8] {
        self.key(bytes).split_last_chunk::<9>().map_or(&[], |(session, _)| session)
    }

    /// Of a message: its place.
    fn sequence(self, bytes: &[u8]) -> u64 {
        self.key(bytes).last_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    /// Of a message that is put: where its value lies, without the version, before the payload and from there.
    fn head_and_payload(self) -> (Range<usize>, Range<usize>) {
        let start = self.start + self.key_length;
        let payload = match self.act {
            Act::PutMessage { payload } => start + payload,
            _ => start + self.value_length,
        };
        (start + 1..payload, payload..start + self.value_length)
    }

    /// Whether it puts the message behind the one that `former` puts.
    fn follows(self, former: Step, bytes: &[u8]) -> bool {
        former.sequence(bytes).checked_add(1) == Some(self.sequence(bytes))
            && former.session(bytes) == self.session(bytes)
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        let start = self.start + self.key_length;
        bytes.get(start..start + self.value_length).unwrap_or_default()
    }
}

fn put_mark_key(session: &[u8], first: u64, out: &mut Output<'_>) {
    out.raw(session).byte(MARK).u64(first);
}

/// How many of these steps, from the first, make one entry.
fn bundled(steps: &[Step], bytes: &[u8]) -> usize {
    let (mut count, mut size, mut former) = (0, 0, None);
    for step in steps.iter().take(BUNDLE_MESSAGES_MAX) {
        size += step.value_length;
        let is_message = matches!(step.act, Act::PutMessage { .. }) && size <= BUNDLE_BYTES_MAX;
        if !is_message || former.is_some_and(|it| !step.follows(it, bytes)) {
            break;
        }
        former = Some(*step);
        count += 1;
    }
    count.max(1)
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
            (Some(former), act) if former.is_new() && act.removes() => return None,
            (_, Act::Remove | Act::RemoveMessage) => step.act,
            (None | Some(Act::PutNew), Act::PutNew) | (Some(Act::PutNew), Act::Update) => {
                Act::PutNew
            }
            (None | Some(Act::PutMessage { .. }), Act::PutMessage { .. }) => step.act,
            (_, Act::Put | Act::PutNew | Act::PutMessage { .. } | Act::Update) => Act::Put,
        };
        Some(Step { act, ..*step })
    })
}

/// Memory for bytes that stays when they are durable.
const BYTES_KEPT: usize = 1 << 20;
/// Bytes of the messages of a bundle, each as if it were alone: who wants one of them reads all.
const BUNDLE_BYTES_MAX: usize = 32 << 10;
