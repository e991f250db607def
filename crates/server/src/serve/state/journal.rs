//! The way from the shards to the threads of the state log, and back.
//!
//! A shard never waits for them. Its records wait here, in the order in which they came, until they are durable; how
//! many bytes of them may, is limited: see [`Journal::is_full`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{Fetch, Fetched, Hub, Record, ShardId};
use ledger::{Bundles, Changes};
use parking_lot::Mutex;
use store::StateLog;
use tokio::sync::Notify;

use super::flight::{Flight, Syncer};
use super::reader::Reader;
use super::stall::{self, Work};
use super::writer::{Message, Writer};
use crate::serve::histogram::{Histogram, Times};

/// The way to the thread that writes.
pub(crate) struct Journal {
    groups: Mutex<Option<Sender<Message>>>,
    questions: Mutex<Option<Sender<(ShardId, Fetch)>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    progress: Arc<Progress>,
    waiting_bytes_max: usize,
}

/// What the threads let others know.
pub(super) struct Progress {
    shards: Box<[ShardProgress]>,
    waiting_bytes: AtomicUsize,
    /// Times that the disk has answered the thread that writes, whatever it said.
    answers: AtomicU64,
    failures: AtomicU64,
    /// Questions that the thread that reads was asked, and those that it has answered.
    asked: AtomicU64,
    answered: AtomicU64,
    commits: Histogram,
    reads: Histogram,
}

#[derive(Default)]
struct ShardProgress {
    committed: AtomicU64,
    /// What was read from disk for it.
    fetched: Mutex<Vec<Fetched>>,
    changed: Notify,
    /// Empty ones, to be used again.
    spare: Mutex<Vec<Records>>,
}

/// What one shard has recorded, as the log is to have it: made on the thread of the shard, where it is at hand.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(super) changes: Changes,
    /// About how many bytes they hold as objects.
    pub(super) bytes: usize,
}

impl Records {
    pub(crate) fn put(&mut self, record: &Record) {
        ledger::put(record, &mut self.changes);
        self.bytes += record.size();
    }
}

/// Records of one shard that are durable together.
pub(super) struct Group {
    pub(super) shard: ShardId,
    pub(super) number: u64,
    pub(super) records: Records,
}

/// How far the threads are with what a shard has given them.
#[derive(Debug)]
pub(crate) struct News {
    /// The last group that is durable.
    pub(crate) committed: u64,
    /// How often the disk has failed.
    pub(crate) failures: u64,
    /// What was read.
    pub(crate) fetched: Vec<Fetched>,
}

impl Progress {
    /// These groups, of so many bytes, are durable.
    pub(super) fn tell_committed(&self, groups: &[(ShardId, u64)], bytes: usize) {
        self.answers.fetch_add(1, Ordering::AcqRel);
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        let mut told: Vec<ShardId> = Vec::new();
        for (shard, number) in groups {
            if let Some(progress) = self.shards.get(usize::from(shard.0)) {
                progress.committed.fetch_max(*number, Ordering::AcqRel);
                if !told.contains(shard) {
                    told.push(*shard);
                }
            }
        }
        for shard in told {
            if let Some(progress) = self.shards.get(usize::from(shard.0)) {
                progress.changed.notify_one();
            }
        }
    }

    /// What was in them is taken over.
    pub(super) fn give_back(&self, shard: ShardId, mut records: Records) {
        records.changes.clear();
        records.bytes = 0;
        if let Some(progress) = self.shards.get(usize::from(shard.0)) {
            let mut spare = progress.spare.lock();
            if spare.len() < SPARES {
                spare.push(records);
            }
        }
    }

    /// The disk has failed once more.
    pub(super) fn tell_failed(&self) {
        self.answers.fetch_add(1, Ordering::AcqRel);
        self.tell_failure();
    }

    /// How long a commit took.
    pub(super) fn count_commit(&self, took: Duration) {
        self.commits.count(took);
    }

    pub(super) fn count_read(&self, took: Duration) {
        self.reads.count(took);
    }

    pub(super) fn tell_fetched(&self, shard: ShardId, fetched: Fetched) {
        self.answered.fetch_add(1, Ordering::AcqRel);
        if let Some(progress) = self.shards.get(usize::from(shard.0)) {
            progress.fetched.lock().push(fetched);
            progress.changed.notify_one();
        }
    }
}

impl Progress {
    fn tell_failure(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
        for progress in &self.shards {
            progress.changed.notify_one();
        }
    }
}

impl Journal {
    /// Starts the threads on an open log: one that writes, one that makes durable what was written, and one that reads.
    ///
    /// # Errors
    /// A thread is not to be had.
    pub(crate) fn start(log: StateLog, bundles: Bundles, hub: Arc<Hub>) -> io::Result<Arc<Self>> {
        let progress = Arc::new(Progress {
            shards: (0..hub.shards()).map(|_| ShardProgress::default()).collect(),
            waiting_bytes: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            commits: Histogram::default(),
            reads: Histogram::default(),
        });
        let waiting_bytes_max = hub.limits().commit_bytes_max;
        let (sender, groups) = mpsc::channel();
        let (asker, questions) = mpsc::channel();
        let reader =
            Reader { entries: log.reader(), progress: Arc::clone(&progress), is_failing: false };
        let flight = Arc::new(Flight::default());
        let syncer = Syncer {
            log: log.syncer(),
            flight: Arc::clone(&flight),
            progress: Arc::clone(&progress),
            news: sender.clone(),
        };
        let writer = Writer::new(groups, log, bundles, hub, Arc::clone(&progress), flight);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = vec![
            thread("state-read").spawn(move || reader.run(&questions))?,
            thread("state-sync").spawn(move || syncer.run())?,
            thread("state").spawn(move || writer.run())?,
        ];
        Ok(Arc::new(Self {
            groups: Mutex::new(Some(sender)),
            questions: Mutex::new(Some(asker)),
            threads: Mutex::new(threads),
            progress,
            waiting_bytes_max,
        }))
    }

    /// Hands over what a shard has recorded, and gives empty ones for what it records next. Groups of one shard come in the order of their
    /// numbers.
    pub(crate) fn write(&self, shard: ShardId, number: u64, records: Records) -> Records {
        self.progress.waiting_bytes.fetch_add(records.bytes, Ordering::AcqRel);
        if let Some(groups) = &*self.groups.lock() {
            // It ends only after all shards.
            drop(groups.send(Message::Group(Group { shard, number, records })));
        }
        let progress = self.progress.shards.get(usize::from(shard.0));
        progress.and_then(|it| it.spare.lock().pop()).unwrap_or_default()
    }

    /// Has messages read that wait on disk only. They come with [`Journal::changed`].
    pub(crate) fn fetch(&self, shard: ShardId, fetch: Fetch) {
        self.progress.asked.fetch_add(1, Ordering::AcqRel);
        if let Some(questions) = &*self.questions.lock() {
            // It ends only after all shards.
            drop(questions.send((shard, fetch)));
        }
    }

    /// Whether so much waits that those who make more of it are not to be read.
    pub(crate) fn is_full(&self) -> bool {
        self.progress.waiting_bytes.load(Ordering::Acquire) > self.waiting_bytes_max
    }

    /// Whether those who were not read may be read again.
    pub(crate) fn has_room(&self) -> bool {
        self.progress.waiting_bytes.load(Ordering::Acquire) <= self.waiting_bytes_max / 2
    }

    /// Bytes of records that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.progress.waiting_bytes.load(Ordering::Acquire)
    }

    /// Whether anything waits to be written, and how often the disk has answered.
    pub(super) fn writing(&self) -> Work {
        let answers = self.progress.answers.load(Ordering::Acquire);
        Work { is_any: self.waiting_bytes() > 0, answers }
    }

    /// The same of what waits to be read.
    pub(super) fn reading(&self) -> Work {
        let answers = self.progress.answered.load(Ordering::Acquire);
        Work { is_any: self.progress.asked.load(Ordering::Acquire) > answers, answers }
    }

    /// Lets go of those who wait for a disk that does not answer.
    pub(super) fn give_up_waiting(&self) {
        self.progress.tell_failure();
    }

    /// How often the disk has failed.
    pub(crate) fn failures(&self) -> u64 {
        self.progress.failures.load(Ordering::Acquire)
    }

    /// How long it took to make groups durable.
    pub(crate) fn commit_times(&self) -> Times {
        self.progress.commits.times()
    }

    /// How long it took to read messages that wait on disk only.
    pub(crate) fn read_times(&self) -> Times {
        self.progress.reads.times()
    }

    /// Waits until there is something new for this shard.
    pub(crate) async fn changed(&self, shard: ShardId) -> News {
        let failures = || self.progress.failures.load(Ordering::Acquire);
        let Some(progress) = self.progress.shards.get(usize::from(shard.0)) else {
            return News { committed: 0, failures: failures(), fetched: Vec::new() };
        };
        progress.changed.notified().await;
        let committed = progress.committed.load(Ordering::Acquire);
        let fetched = std::mem::take(&mut *progress.fetched.lock());
        News { committed, failures: failures(), fetched }
    }

    /// Waits until everything is durable that was handed over, and ends the threads. A disk that does not answer is not waited
    /// for longer than `patience`.
    pub(crate) fn close(&self, patience: Duration) {
        drop(self.questions.lock().take());
        if let Some(groups) = self.groups.lock().take() {
            // It ends when this comes.
            drop(groups.send(Message::End));
        }
        let ends = |thread| stall::join(thread, patience, || self.writing().answers);
        // One that waits for the disk is left behind, and so are those that wait for it.
        if !self.threads.lock().drain(..).all(ends) {
            tracing::error!(
                bytes = self.waiting_bytes(),
                "the disk does not answer: the state of sessions is not written to the end; what is left was confirmed to \
                 nobody"
            );
        }
    }
}

/// Empty records that a shard finds when it has handed over others.
const SPARES: usize = 4;
