//! A few dedicated threads that hash passwords, and the bounded, fair queue before them.
//!
//! Hashing is the one thing an unknown peer can make this broker spend a lot on, so it happens here and nowhere else: on
//! threads that yield to traffic, at most [`HashPoolLimits::queue_max`] waiting, each source in turn. One that sends
//! thousands of wrong passwords waits behind itself and never before others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::hash::Hasher;
use crate::settings::{HashCost, HashPoolLimits};

/// The threads; they end when the pool is dropped.
pub(crate) struct HashPool {
    shared: Arc<Shared>,
}

/// What runs on a thread. It is dropped unrun if the queue is full, so whoever waits must notice that.
pub(crate) type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// For whom a hash is made: one queue each, served in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Administrative calls and local logins.
    Local,
    /// A network address; of IPv6 the /64, since a host picks freely among those.
    Network(u64),
}

impl Source {
    pub(crate) fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source::Network(u64::from(u32::from(v4))),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Source::Network(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Local => f.write_str("local"),
            Source::Network(number) => match u32::try_from(*number) {
                Ok(v4) => std::net::Ipv4Addr::from(v4).fmt(f),
                Err(_) => {
                    let address = std::net::Ipv6Addr::from(u128::from(*number) << 64);
                    write!(f, "{address}/64")
                }
            },
        }
    }
}

/// How the hashing of passwords is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingView {
    /// Logins and new passwords that wait.
    pub waiting: usize,
    /// How many may.
    pub queue_max: usize,
    /// How many were hashed since the start.
    pub done: u64,
    /// How many were not, because too many waited.
    pub rejected: u64,
}

/// The queue is full, and the newcomer's source has the most waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl HashPool {
    /// Starts the threads.
    pub(crate) fn start(limits: HashPoolLimits, cost: HashCost) -> std::io::Result<HashPool> {
        // Room for one at least, or nothing would ever be hashed.
        let queue = Mutex::new(FairQueue::new(limits.queue_max.max(1)));
        let (done, rejected) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { queue, ready: Condvar::new(), done, rejected });
        let pool = HashPool { shared };
        for number in 0..thread_count(limits.threads) {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new().name(format!("hash-{number}")).spawn(move || {
                lower_priority(limits.nice);
                let mut hasher = Hasher::new(cost);
                while let Some(job) = shared.next(&mut hasher) {
                    job(&mut hasher);
                    shared.done.fetch_add(1, Ordering::Relaxed);
                }
            })?;
        }
        Ok(pool)
    }

    /// Queues a job. When the queue is full, the source with the most waiting jobs loses its newest.
    pub(crate) fn submit(&self, source: Source, job: Job) -> Result<(), QueueFull> {
        let pushed = self.shared.queue.lock().push(source, job);
        if !matches!(pushed, Ok(None)) {
            self.shared.rejected.fetch_add(1, Ordering::Relaxed);
        }
        // The displaced job is dropped here, outside the lock: it wakes whoever waits for it.
        let displaced = pushed.map_err(|_refused| QueueFull)?;
        drop(displaced);
        self.shared.ready.notify_one();
        Ok(())
    }

    /// How it is doing.
    pub(crate) fn view(&self) -> HashingView {
        let queue = self.shared.queue.lock();
        HashingView {
            waiting: queue.len,
            queue_max: queue.len_max,
            done: self.shared.done.load(Ordering::Relaxed),
            rejected: self.shared.rejected.load(Ordering::Relaxed),
        }
    }

    /// Jobs that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.queue.lock().len
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shared.queue.lock().close();
        self.shared.ready.notify_all();
    }
}

struct Shared {
    queue: Mutex<FairQueue<Source, Job>>,
    ready: Condvar,
    done: AtomicU64,
    rejected: AtomicU64,
}

impl Shared {
    /// Waits for a job; `None` when the pool is gone. After a while without one the hasher gives its memory back.
    fn next(&self, hasher: &mut Hasher) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            if hasher.is_rested() {
                self.ready.wait(&mut queue);
            } else if self.ready.wait_for(&mut queue, MEMORY_KEPT).timed_out() {
                MutexGuard::unlocked(&mut queue, || hasher.rest());
            }
        }
    }
}

/// How long the memory of a hash is kept for the next one.
const MEMORY_KEPT: Duration = Duration::from_secs(1);

/// A bounded queue that serves its sources in turn.
struct FairQueue<S, J> {
    waiting: HashMap<S, VecDeque<J>>,
    /// Each source that has something waiting, once, in the order of service.
    turns: VecDeque<S>,
    len: usize,
    len_max: usize,
    is_closed: bool,
}

impl<S: Copy + Eq + Hash, J> FairQueue<S, J> {
    fn new(len_max: usize) -> Self {
        let (waiting, turns) = (HashMap::new(), VecDeque::new());
        FairQueue { waiting, turns, len: 0, len_max, is_closed: false }
    }

    /// Queues a job, and gives back the one that had to go for it, if any; or the job itself if that one had to.
    fn push(&mut self, source: S, job: J) -> Result<Option<J>, J> {
        let mut displaced = None;
        if self.is_closed {
            return Err(job);
        }
        if self.len >= self.len_max {
            displaced = self.displace(source);
            if displaced.is_none() {
                return Err(job);
            }
        }
        let queue = self.waiting.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back(job);
        self.len += 1;
        Ok(displaced)
    }

    fn pop(&mut self) -> Option<J> {
        let source = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&source)?;
        let job = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.len -= usize::from(job.is_some());
        job
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
        self.turns.clear();
        self.len = 0;
    }

    /// Takes the newest job of the source that has the most, if it has at least two more than the newcomer's.
    fn displace(&mut self, newcomer: S) -> Option<J> {
        let own = self.waiting.get(&newcomer).map_or(0, VecDeque::len);
        let (_, longest) = self.waiting.iter_mut().max_by_key(|(_, queue)| queue.len())?;
        if longest.len() < own + 2 {
            return None;
        }
        self.len -= 1;
        longest.pop_back()
    }
}

/// Half of the cores, at least one, unless it is configured.
fn thread_count(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// On Linux a nice value belongs to a thread, elsewhere to the process, which must not be slowed down.
fn lower_priority(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(nice) {
        tracing::debug!(%error, "cannot lower the priority of a hashing thread");
    }
    #[cfg(not(target_os = "linux"))]
    drop(nice);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut FairQueue<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn sources_are_served_in_turn() {
        let mut queue = FairQueue::new(100);
        for job in 0..5 {
            assert_eq!(queue.push('a', job), Ok(None));
        }
        assert_eq!(queue.push('b', 10), Ok(None));
        assert_eq!(queue.push('c', 20), Ok(None));
        assert_eq!(drain(&mut queue), [0, 10, 20, 1, 2, 3, 4]);
        assert_eq!(queue.len, 0);
        assert!(queue.waiting.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn a_full_queue_drops_the_newest_of_the_greediest_source() {
        let mut queue = FairQueue::new(4);
        for job in 0..4 {
            assert_eq!(queue.push('a', job), Ok(None));
        }
        assert_eq!(queue.push('a', 4), Err(4), "its own source has the most");
        assert_eq!(queue.push('b', 10), Ok(Some(3)));
        assert_eq!(queue.push('b', 11), Ok(Some(2)));
        assert_eq!(queue.push('b', 12), Err(12), "shared evenly");
        assert_eq!(queue.len, 4);
        assert_eq!(drain(&mut queue), [0, 10, 1, 11]);
    }

    #[test]
    fn nothing_enters_a_closed_queue() {
        let mut queue = FairQueue::new(4);
        assert_eq!(queue.push('a', 1), Ok(None));
        queue.close();
        assert_eq!(queue.push('a', 2), Err(2));
        assert_eq!(queue.pop(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hashing_yields_to_traffic_and_nothing_else_is_slowed_down() {
        let limits = HashPoolLimits { threads: 1, nice: 3, ..HashPoolLimits::default() };
        let cost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
        let pool = HashPool::start(limits, cost).unwrap();
        let before = rustix::process::nice(0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let job = Box::new(move |_: &mut Hasher| {
            tell.send(rustix::process::nice(0).unwrap()).unwrap();
        });
        assert_eq!(pool.submit(Source::Local, job), Ok(()));
        let (hashing, here) = (told.recv().unwrap(), rustix::process::nice(0).unwrap());
        assert_eq!((hashing, here), ((before + 3).min(19), before));
    }

    #[test]
    fn a_host_cannot_be_many_sources_by_picking_among_its_addresses() {
        let check = |a: &str, b: &str, same| {
            let source = |address: &str| Source::of(address.parse().unwrap());
            assert_eq!(source(a) == source(b), same, "{a} {b}");
        };
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("10.0.0.1", "10.0.0.2", false);
        check("10.0.0.1", "::ffff:10.0.0.1", true);
    }
}
