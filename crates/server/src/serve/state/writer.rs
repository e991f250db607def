//! The thread that writes: it takes what all shards have recorded, brings it together, and writes it as one group while the disk
//! works on the one before.
//!
//! What the disk did not take it keeps, and writes again together with what has come since.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use broker::{Hub, Storage};
use ledger::Bundles;
use store::{StateLog, StateSyncer, StoreError, Synced};

use super::flight::{Batch, Flight, Trouble, Turn};
use super::journal::{Group, Progress};
use crate::serve::clock::Stopwatch;

/// What it is told.
pub(super) enum Message {
    /// By a shard.
    Group(Group),
    /// The thread that syncs has done something that it waits for.
    News,
    /// Nothing more comes.
    End,
}

pub(super) struct Writer {
    messages: Receiver<Message>,
    log: StateLog,
    bundles: Bundles,
    hub: Arc<Hub>,
    progress: Arc<Progress>,
    flight: Arc<Flight>,
    /// For what it makes durable by itself.
    syncer: StateSyncer,
    /// What is gathered for the next group.
    batch: Batch,
    /// So much comes that the disk need not wait for it. Otherwise the way over another thread is a detour.
    is_busy: bool,
    /// How often, one after the other, the disk had nothing to do when there was something to write.
    calm: u32,
    /// How long writing one took lately.
    usual: Duration,
    /// When it was last looked whether all files of the log are in place.
    inspected: Stopwatch,
    /// What it cannot write for, and since when.
    outage: Option<(Storage, Stopwatch)>,
    is_last: bool,
}

impl Writer {
    pub(super) fn new(
        messages: Receiver<Message>,
        log: StateLog,
        bundles: Bundles,
        hub: Arc<Hub>,
        progress: Arc<Progress>,
        flight: Arc<Flight>,
    ) -> Self {
        Self {
            messages,
            syncer: log.syncer(),
            log,
            bundles,
            hub,
            progress,
            flight,
            batch: Batch::default(),
            is_busy: false,
            calm: 0,
            usual: Duration::ZERO,
            inspected: Stopwatch::start(),
            outage: None,
            is_last: false,
        }
    }

    pub(super) fn run(mut self) {
        while !self.is_last {
            match self.next() {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.is_last = true,
            }
            // All that came meanwhile belongs to it, but for what the disk would have to wait for.
            for _ in 0..GROUPS_A_COMMIT {
                let Ok(message) = self.messages.try_recv() else { break };
                self.take(message);
                if self.batch.bytes > BYTES_WAITED_FOR && self.flight.is_idle() {
                    break;
                }
            }
            self.attend();
            self.write_if_due();
        }
        self.finish();
    }

    fn next(&self) -> Result<Message, RecvTimeoutError> {
        match self.patience() {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => self.messages.recv_timeout(patience),
        }
    }

    /// How long it waits for more; `None`: until there is something.
    fn patience(&self) -> Option<Duration> {
        if self.outage.is_some() {
            return Some(RETRY);
        }
        if self.batch.groups.is_empty() {
            return None;
        }
        match self.flight.turn(self.usual) {
            Turn::Now => Some(Duration::ZERO),
            Turn::In(left) => Some(left),
            Turn::AfterNews => None,
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Group(Group { shard, number, mut records }) => {
                self.batch.bytes += records.bytes;
                if self.batch.groups.is_empty() {
                    std::mem::swap(&mut self.batch.changes, &mut records.changes);
                } else {
                    self.batch.changes.append(&records.changes);
                }
                self.batch.groups.push((shard, number));
                self.progress.give_back(shard, records);
            }
            Message::News => {}
            Message::End => self.is_last = true,
        }
    }

    /// Sees to what the thread that syncs could not do.
    fn attend(&mut self) {
        match self.flight.trouble() {
            None => {}
            Some(Trouble::Failed(error)) => {
                self.log.distrust();
                self.failed(&error);
            }
            Some(Trouble::Displaced) => match self.log.settle() {
                Ok(()) => {
                    for batch in self.flight.take_back() {
                        self.tell_durable(&batch);
                    }
                }
                Err(error) => self.failed(&error),
            },
        }
    }

    fn write_if_due(&mut self) {
        if self.outage.is_some() {
            self.write_again();
        } else if !self.batch.groups.is_empty() && self.flight.turn(self.usual) == Turn::Now {
            self.write();
        }
    }

    fn write(&mut self) {
        let begun = Stopwatch::start();
        let is_idle = self.flight.is_idle();
        let changes = self.batch.changes.fold(&mut self.bundles, &self.hub);
        // Most sessions' messages are acknowledged before they reach the disk: then there is nothing left to write.
        if changes.is_empty() {
            if is_idle {
                return self.done();
            }
        } else {
            let written = self.log.write(changes.removed_prefixes(), changes.entries());
            if let Err(error) = written.and_then(|()| self.inspect()) {
                return self.failed(&error);
            }
            self.batch.begun = Some(begun);
            self.usual = (self.usual * 7 + begun.elapsed()) / 8;
            self.calm = if is_idle { self.calm.saturating_add(1) } else { 0 };
            self.is_busy &= self.calm < CALM;
            // A small one is synced sooner than another thread is woken.
            if is_idle && (!self.is_busy || self.batch.bytes <= BYTES_WAITED_FOR) {
                return self.sync();
            }
        }
        self.batch = self.flight.push(std::mem::take(&mut self.batch));
    }

    /// Nothing else is on its way to the disk: it takes this without the detour.
    fn sync(&mut self) {
        let synced = match self.syncer.sync() {
            Ok(Synced::Durable) => Ok(()),
            Ok(Synced::Displaced) => self.log.settle(),
            Err(error) => {
                self.log.distrust();
                Err(error)
            }
        };
        // Looked at before anybody can answer to what is told now: this could have been written meanwhile.
        let waiting = self.messages.try_recv().ok();
        let is_large = self.batch.bytes > BYTES_WAITED_FOR;
        match synced {
            Ok(()) => self.done(),
            Err(error) => self.failed(&error),
        }
        if let Some(message) = waiting {
            if is_large {
                (self.is_busy, self.calm) = (true, 0);
            }
            self.take(message);
        }
    }

    fn inspect(&mut self) -> Result<(), StoreError> {
        if self.inspected.elapsed() < INSPECTION {
            return Ok(());
        }
        self.inspected = Stopwatch::start();
        self.log.inspect()
    }

    /// The disk has failed: nothing else is on its way to it.
    fn write_again(&mut self) {
        if !self.batch.changes.fold(&mut self.bundles, &self.hub).is_empty() {
            self.batch.begun = Some(Stopwatch::start());
            if let Err(error) =
                super::commit(&mut self.log, &mut self.batch.changes, &mut self.bundles, &self.hub)
            {
                return self.failed(&error);
            }
        }
        if let Some((_, since)) = self.outage.take() {
            self.hub.set_storage(Storage::Working);
            tracing::info!(
                after_s = since.elapsed().as_secs(),
                "the state of sessions is written again; nothing that was confirmed is lost"
            );
        }
        self.done();
    }

    /// What is gathered is durable, and nothing is on its way that is not.
    fn done(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        self.tell_durable(&batch);
        batch.clear();
        self.batch = batch;
    }

    fn tell_durable(&self, batch: &Batch) {
        if let Some(begun) = batch.begun {
            self.progress.count_commit(begun.elapsed());
        }
        self.progress.tell_committed(&batch.groups, batch.bytes);
    }

    fn failed(&mut self, error: &StoreError) {
        // What was written before and is not durable is written again as well, before the rest.
        let mut former = self.flight.take_back().into_iter();
        if let Some(mut first) = former.next() {
            former.for_each(|batch| first.append(&batch));
            first.append(&self.batch);
            self.batch = first;
        }
        self.batch.changes.are_perhaps_there();
        let storage = if error.is_full() { Storage::Full } else { Storage::Failing };
        let former = self.outage.take();
        // A line when it begins, and when it turns out to be something else.
        if former.as_ref().is_none_or(|(known, _)| *known != storage) {
            self.hub.set_storage(storage);
            tell(storage, error);
        }
        let since = former.map_or_else(Stopwatch::start, |(_, since)| since);
        self.outage = Some((storage, since));
        self.progress.tell_failed();
    }

    /// Makes durable what there still is.
    fn finish(mut self) {
        if self.outage.is_none() && !self.batch.groups.is_empty() {
            self.write();
        }
        self.flight.wait();
        self.attend();
        if self.outage.is_some() {
            self.write_again();
        }
        // The server stops, and the disk still takes nothing.
        if self.outage.is_some() {
            tracing::error!(
                groups = self.batch.groups.len(),
                bytes = self.batch.bytes,
                "the state of sessions cannot be written to the end: what is left was confirmed to nobody"
            );
        }
    }
}

impl Drop for Writer {
    /// However it ends, nobody waits for the other thread in vain.
    fn drop(&mut self) {
        self.flight.end();
    }
}

fn tell(storage: Storage, error: &StoreError) {
    if storage == Storage::Full {
        tracing::error!(
            %error,
            "the state of sessions cannot be written, for the disk is full: what needs that is refused with 0x97 until \
             there is room; make some, and it goes on by itself"
        );
    } else {
        tracing::error!(
            %error,
            "the state of sessions cannot be written: what needs that is refused with 0x83 until it can; look after the \
             disk, and it goes on by itself"
        );
    }
}

/// How long a disk that has failed is left alone.
const RETRY: Duration = Duration::from_millis(500);
/// How often it is looked, while something is written, whether all files of the log are in place. The journal is looked after at each commit.
const INSPECTION: Duration = Duration::from_millis(100);
/// Groups of one commit, so that none waits for ever while more come.
const GROUPS_A_COMMIT: usize = 4096;
/// How often the disk had nothing to do before it is taken for granted that it will have nothing to do.
const CALM: u32 = 16;
/// Bytes of records that are brought together even if the disk has nothing to do.
const BYTES_WAITED_FOR: usize = 16 << 10;
