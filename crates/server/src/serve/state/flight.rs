//! What was written and is not durable yet, and the thread that makes it so: while the disk works on one part, the next is written.
//!
//! Batches become durable in the order in which they were written, so a shard's groups do as well. Each keeps its changes until
//! then: if the disk fails, all of them are written again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use broker::ShardId;
use ledger::Changes;
use parking_lot::{Condvar, Mutex};
use store::{StateSyncer, StoreError, Synced};

use super::journal::Progress;
use super::writer::Message;
use crate::serve::clock::Stopwatch;

/// Groups that are written at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) changes: Changes,
    /// Shards and groups in `changes`.
    pub(super) groups: Vec<(ShardId, u64)>,
    /// Bytes of their records.
    pub(super) bytes: usize,
    /// When its writing began; `None`: there was nothing left to write.
    pub(super) begun: Option<Stopwatch>,
}

/// Batches on their way to the disk, between the thread that writes and the one that syncs.
#[derive(Debug, Default)]
pub(super) struct Flight {
    state: Mutex<State>,
    /// There is something to do for the thread that syncs.
    written: Condvar,
    /// The thread that syncs has done something.
    synced: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    batches: VecDeque<Batch>,
    /// So many of them are being synced, since then.
    under_way: usize,
    since: Option<Stopwatch>,
    /// How long the disk took lately.
    usual: Duration,
    /// What the writer does not know of yet.
    trouble: Option<Trouble>,
    /// Nothing is synced until the writer has seen to the trouble.
    is_halted: bool,
    /// The writer waits until there is room.
    is_awaited: bool,
    is_over: bool,
    /// Batches that are durable, to be used again.
    spent: Vec<Batch>,
}

/// Why nothing is synced.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk did not take it.
    Failed(StoreError),
    /// It is not known where the journal is.
    Displaced,
}

/// When the next batch is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// The disk is busy for so long as it seems; until then there may come more.
    In(Duration),
    /// One batch waits already: there will be news when the disk takes it.
    AfterNews,
}

impl Flight {
    /// When the next batch is to be written, if writing takes so long: early enough that the disk does not wait for it, and late enough
    /// that it holds what came meanwhile, and not what was removed again meanwhile.
    pub(super) fn turn(&self, writing: Duration) -> Turn {
        let mut state = self.state.lock();
        if state.batches.len() > state.under_way {
            state.is_awaited = true;
            return Turn::AfterNews;
        }
        let Some(since) = state.since else { return Turn::Now };
        let begin = state.usual.saturating_sub(writing * MARGIN);
        let left = begin.saturating_sub(since.elapsed());
        if left.is_zero() { Turn::Now } else { Turn::In(left) }
    }

    /// Whether the disk has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().batches.is_empty()
    }

    /// Adds what was written. Gives a batch to use again.
    pub(super) fn push(&self, batch: Batch) -> Batch {
        let mut state = self.state.lock();
        state.batches.push_back(batch);
        self.written.notify_one();
        state.spent.pop().unwrap_or_default()
    }

    /// What is the matter, once. Nothing is synced any more until all is taken back.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.state.lock().trouble.take()
    }

    /// Takes back all that is not durable, the oldest first. Waits for the disk if that is at work.
    pub(super) fn take_back(&self) -> Vec<Batch> {
        let mut state = self.state.lock();
        while state.under_way > 0 {
            self.synced.wait(&mut state);
        }
        (state.trouble, state.is_halted) = (None, false);
        state.batches.drain(..).collect()
    }

    /// Waits until all of it is durable, or there is trouble.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        while !state.batches.is_empty() && !state.is_halted {
            self.synced.wait(&mut state);
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.state.lock().is_over = true;
        self.written.notify_one();
    }
}

/// The thread that syncs.
pub(super) struct Syncer {
    pub(super) log: StateSyncer,
    pub(super) flight: Arc<Flight>,
    pub(super) progress: Arc<Progress>,
    pub(super) news: Sender<Message>,
}

impl Syncer {
    pub(super) fn run(self) {
        while let Some(since) = self.begin() {
            let synced = self.log.sync();
            self.finish(synced, since);
        }
    }

    /// Waits for something to sync. `None`: it is over.
    fn begin(&self) -> Option<Stopwatch> {
        let mut state = self.flight.state.lock();
        while state.batches.is_empty() || state.is_halted {
            if state.is_over {
                return None;
            }
            self.flight.written.wait(&mut state);
        }
        let since = Stopwatch::start();
        (state.under_way, state.since) = (state.batches.len(), Some(since));
        if std::mem::take(&mut state.is_awaited) {
            self.tell();
        }
        Some(since)
    }

    fn finish(&self, synced: Result<Synced, StoreError>, since: Stopwatch) {
        let mut state = self.flight.state.lock();
        let mut count = std::mem::take(&mut state.under_way);
        state.since = None;
        let trouble = match synced {
            Ok(Synced::Durable) => {
                // What needs no sync has waited for those before it only.
                while state.batches.get(count).is_some_and(|batch| batch.begun.is_none()) {
                    count += 1;
                }
                state.usual = (state.usual * 7 + since.elapsed()) / 8;
                let durable = state.batches.drain(..count).collect();
                drop(state);
                return self.tell_durable(durable);
            }
            Ok(Synced::Displaced) => Trouble::Displaced,
            Err(error) => Trouble::Failed(error),
        };
        (state.trouble, state.is_halted) = (Some(trouble), true);
        self.flight.synced.notify_one();
        self.tell();
    }

    fn tell_durable(&self, mut durable: Vec<Batch>) {
        // One commit, whatever it was written in.
        if let Some(begun) = durable.iter().find_map(|batch| batch.begun) {
            self.progress.count_commit(begun.elapsed());
        }
        for batch in &mut durable {
            self.progress.tell_committed(&batch.groups, batch.bytes);
            batch.clear();
        }
        let mut state = self.flight.state.lock();
        state.spent.append(&mut durable);
        state.spent.truncate(SPENT_MAX);
        self.flight.synced.notify_one();
    }

    /// Has the writer look.
    fn tell(&self) {
        drop(self.news.send(Message::News));
    }
}

impl Batch {
    /// Adds one that was gathered after this.
    pub(super) fn append(&mut self, later: &Batch) {
        self.changes.append(&later.changes);
        self.groups.extend_from_slice(&later.groups);
        self.bytes += later.bytes;
    }

    /// All of it is done.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.groups.clear();
        (self.bytes, self.begun) = (0, None);
    }
}

/// How often writing, by what it took lately, would find time before the disk has nothing to do.
const MARGIN: u32 = 2;
/// Batches that are kept to be used again.
const SPENT_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u64, begun: Option<Stopwatch>) -> Batch {
        Batch { groups: vec![(ShardId(0), number)], begun, ..Batch::default() }
    }

    fn numbers(batches: &[Batch]) -> Vec<u64> {
        batches.iter().flat_map(|batch| &batch.groups).map(|(_, number)| *number).collect()
    }

    #[test]
    fn the_next_batch_is_written_while_the_disk_works_and_waits_if_one_waits_already() {
        let flight = Flight::default();
        let hour = Duration::from_secs(3600);
        assert_eq!(flight.turn(hour), Turn::Now, "the disk has nothing to do");
        drop(flight.push(batch(1, Some(Stopwatch::start()))));
        assert_eq!(flight.turn(hour), Turn::AfterNews, "the disk is about to take it");
        {
            let mut state = flight.state.lock();
            assert!(std::mem::take(&mut state.is_awaited));
            (state.under_way, state.since) = (1, Some(Stopwatch::start()));
            state.usual = hour;
        }
        assert_eq!(flight.turn(hour), Turn::Now, "writing takes as long as the disk");
        let Turn::In(left) = flight.turn(Duration::ZERO) else { panic!("there is time") };
        assert!(left <= hour && left > hour / 2, "{left:?}");
        drop(flight.push(batch(2, Some(Stopwatch::start()))));
        assert_eq!(flight.turn(hour), Turn::AfterNews);
    }

    #[test]
    fn what_is_taken_back_comes_in_its_order_and_makes_one_batch() {
        let flight = Flight::default();
        for number in 1..=3 {
            drop(flight.push(batch(number, Some(Stopwatch::start()))));
        }
        flight.state.lock().is_halted = true;
        // Nobody syncs any more: it does not wait for that.
        flight.wait();
        let mut batches = flight.take_back();
        assert_eq!(numbers(&batches), [1, 2, 3]);
        assert!(flight.is_idle() && !flight.state.lock().is_halted);
        let later = batches.split_off(1);
        later.iter().for_each(|one| batches[0].append(one));
        assert_eq!(numbers(&batches), [1, 2, 3]);
    }
}
