//! Messages of sessions that come and go until the next commit. Those that follow each other are noted in the form that a bundle has, each
//! run of them once: what they have in common is neither noted nor carried again.

use std::ops::Range;

use broker::{SessionKey, StoredDelivery};

use crate::bundles::BUNDLE_MESSAGES_MAX;
use crate::bytes::{Input, Output};
use crate::messages::{NEW_HEAD, SAME_HEAD, put_delivery, put_message_head, skip_head};
use crate::record::put_session_key;

/// What comes and goes; the bytes are in a buffer beside it.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) put: Vec<Run>,
    pub(crate) removed: Vec<RemovedMessage>,
}

/// Messages of one session that follow each other.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Where in the buffer it is said what the keys of all entries of their session begin with. Before all else of the run.
    pub(crate) session: Range<usize>,
    pub(crate) first: u64,
    pub(crate) count: u8,
    /// Where they are, as in a bundle.
    pub(crate) body: Range<usize>,
    /// What the last of them says before its payload.
    head: Range<usize>,
    /// A bit for each that is removed again, the lowest for the first.
    pub(crate) gone: u64,
}

/// A message of a session that is removed.
#[derive(Debug, Clone)]
pub(crate) struct RemovedMessage {
    pub(crate) session: Range<usize>,
    pub(crate) sequence: u64,
    /// How long the buffer was then: what was put before begins before.
    pub(crate) at: usize,
}

/// Messages of a run that are left, without a gap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: u64,
    pub(crate) count: u8,
    /// What the first of them says before its payload, if it has that from one that is not left.
    pub(crate) head: Option<Range<usize>>,
    pub(crate) body: Range<usize>,
}

impl Runs {
    pub(crate) fn put(
        &mut self,
        key: &SessionKey,
        sequence: u64,
        delivery: &StoredDelivery,
        bytes: &mut Vec<u8>,
    ) {
        let start = bytes.len();
        put_session_key(key, &mut Output(bytes));
        let takes = |run: &&mut Run| {
            run.body.end == start
                && run.has_room_for(sequence, delivery.message.size())
                && bytes.get(run.session.clone()) == bytes.get(start..)
        };
        if let Some(run) = self.put.last_mut().filter(takes) {
            bytes.truncate(start);
            return run.push(delivery, bytes);
        }
        let (session, body) = (start..bytes.len(), bytes.len()..bytes.len());
        let mut run = Run { session, first: sequence, count: 0, head: body.clone(), body, gone: 0 };
        run.push(delivery, bytes);
        self.put.push(run);
    }

    pub(crate) fn remove(&mut self, key: &SessionKey, sequence: u64, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        put_session_key(key, &mut Output(bytes));
        let last = self.removed.last().map(|it| it.session.clone());
        let known = last.filter(|it| bytes.get(it.clone()) == bytes.get(start..));
        if known.is_some() {
            bytes.truncate(start);
        }
        let session = known.unwrap_or(start..bytes.len());
        self.removed.push(RemovedMessage { session, sequence, at: bytes.len() });
    }

    /// Adds what was noted after all of this, in a buffer that stands behind its own.
    pub(crate) fn append(&mut self, later: &Runs, shift: usize) {
        let moved = |it: &Range<usize>| it.start + shift..it.end + shift;
        self.put.extend(later.put.iter().map(|run| Run {
            session: moved(&run.session),
            body: moved(&run.body),
            head: moved(&run.head),
            ..*run
        }));
        self.removed.extend(later.removed.iter().map(|it| RemovedMessage {
            session: moved(&it.session),
            at: it.at + shift,
            ..*it
        }));
    }

    /// Runs in the order of their sessions and places, and what is removed likewise.
    pub(crate) fn sort(&mut self, bytes: &[u8]) {
        let session = |it: &Range<usize>| bytes.get(it.clone()).unwrap_or_default();
        self.put.sort_by(|one, other| {
            let sessions = session(&one.session).cmp(session(&other.session));
            sessions.then(one.first.cmp(&other.first))
        });
        self.removed.sort_by(|one, other| {
            let sessions = session(&one.session).cmp(session(&other.session));
            sessions.then(one.sequence.cmp(&other.sequence))
        });
    }

    /// Takes a message out of the run that has put it. Says whether there is one.
    pub(crate) fn take_out(&mut self, removed: &RemovedMessage, bytes: &[u8]) -> bool {
        let RemovedMessage { session, sequence, at } = removed;
        let name = bytes.get(session.clone()).unwrap_or_default();
        let behind = self.put.partition_point(|run| {
            let other = bytes.get(run.session.clone()).unwrap_or_default();
            (other, run.first) <= (name, *sequence)
        });
        // Places are given once: no other run can have it.
        let run = behind.checked_sub(1).and_then(|it| self.put.get_mut(it));
        let holds = |run: &&mut Run| {
            *sequence < run.end()
                && run.session.start < *at
                && bytes.get(run.session.clone()) == Some(name)
        };
        let Some(run) = run.filter(holds) else { return false };
        run.gone |= 1 << (sequence - run.first);
        true
    }

    pub(crate) fn clear(&mut self, kept: usize) {
        self.put.clear();
        self.put.shrink_to(kept / size_of::<Run>());
        self.removed.clear();
        self.removed.shrink_to(kept / size_of::<RemovedMessage>());
    }
}

impl Run {
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    fn has_room_for(&self, sequence: u64, size: usize) -> bool {
        self.end() == sequence
            && usize::from(self.count) < BUNDLE_MESSAGES_MAX
            && self.body.len() + size <= BUNDLE_BYTES_MAX
    }

    fn push(&mut self, delivery: &StoredDelivery, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let mut out = Output(bytes);
        put_delivery(delivery, out.byte(NEW_HEAD));
        put_message_head(&delivery.message, &mut out);
        let head = start + 1..bytes.len();
        if bytes.get(head.clone()) == bytes.get(self.head.clone()) {
            bytes.truncate(start);
            bytes.push(SAME_HEAD);
        } else {
            self.head = head;
        }
        Output(bytes).bytes(delivery.message.payload());
        self.count += 1;
        self.body.end = bytes.len();
    }

    /// What is left of it.
    pub(crate) fn pieces(&self, bytes: &[u8]) -> Vec<Piece> {
        let whole =
            Piece { first: self.first, count: self.count, head: None, body: self.body.clone() };
        if self.gone == 0 {
            return vec![whole];
        }
        let (mut pieces, mut head): (Vec<Piece>, _) = (Vec::new(), 0..0);
        let mut input = Input(bytes.get(self.body.clone()).unwrap_or_default());
        let at = |input: &Input<'_>| self.body.end - input.0.len();
        for index in 0..u64::from(self.count) {
            let start = at(&input);
            let has_head = input.byte() == Some(NEW_HEAD);
            if has_head {
                let begin = at(&input);
                skip_head(&mut input);
                head = begin..at(&input);
            }
            let payload = at(&input);
            input.bytes();
            if self.gone >> index & 1 == 1 {
                continue;
            }
            match pieces.last_mut().filter(|it| it.body.end == start) {
                Some(piece) => {
                    piece.count += 1;
                    piece.body.end = at(&input);
                }
                None => pieces.push(Piece {
                    first: self.first + index,
                    count: 1,
                    head: (!has_head).then(|| head.clone()),
                    body: if has_head { start } else { payload }..at(&input),
                }),
            }
        }
        pieces
    }
}

/// Bytes of the messages of a bundle: who wants one of them reads all.
pub(crate) const BUNDLE_BYTES_MAX: usize = 32 << 10;
