//! The memory ceiling: how much the process uses, read at intervals, and what the engines are told of it.
//!
//! What counts is the resident memory of the process, since that is what the system ends a process for. What the
//! allocator has been given back and keeps for later is taken off where it can be told: memory that sessions held when it
//! was at its most and hold no longer. Close to the ceiling nothing is taken off, so that it holds whatever happens.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::{Hub, Memory};

use super::inbox::Order;
use super::sources::Sources;

/// The ceiling, and how far from it the process is.
#[derive(Debug)]
pub(crate) struct Ceiling {
    /// Bytes; 0 is none.
    bytes: u64,
    used: AtomicU64,
}

impl Ceiling {
    /// The configured ceiling, or what the machine and the control group of the process allow: three quarters of it.
    pub(crate) fn new(configured: u64) -> Arc<Self> {
        let bytes = if configured > 0 { configured } else { available().unwrap_or(0) / 4 * 3 };
        Arc::new(Self { bytes, used: AtomicU64::new(resident().unwrap_or(0)) })
    }

    /// Bytes that may be used; 0 is no bound.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes in use, without those that only the allocator still has.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn part(&self, percent: u64) -> u64 {
        self.bytes / 100 * percent
    }

    /// How short memory is with so much in use. What it takes to be better again is less than what it took to get there.
    fn judge(&self, used: u64, now: Memory) -> Memory {
        let (to_full, to_short) = match now {
            Memory::Full => (FULL_UNTIL, SHORT_UNTIL),
            Memory::Short => (FULL_FROM, SHORT_UNTIL),
            Memory::Ample => (FULL_FROM, SHORT_FROM),
        };
        if used >= self.part(to_full) {
            Memory::Full
        } else if used >= self.part(to_short) {
            Memory::Short
        } else {
            Memory::Ample
        }
    }
}

/// Sees to it that the engines know how short memory is.
pub(crate) async fn watch(sources: Arc<Sources>) {
    let ceiling = &sources.ceiling;
    if ceiling.bytes == 0 || resident().is_none() {
        return;
    }
    let mut most = Most::default();
    let mut looks = 0_u32;
    loop {
        let resident = resident().unwrap_or(0);
        let level = sources.hub.memory();
        if level == Memory::Ample && resident < ceiling.part(SHORT_UNTIL) {
            // As long as the allocator keeps what it was given back, it has to be known how much that is.
            most = Most::default();
        } else if looks.is_multiple_of(LOOKS_A_COUNT) {
            most.held(sources.held_bytes().await);
        }
        looks = looks.wrapping_add(1);
        let is_close = resident >= ceiling.part(CLOSE);
        let used = if is_close { resident } else { resident.saturating_sub(most.freed()) };
        ceiling.used.store(used, Ordering::Relaxed);
        let next = ceiling.judge(used, level);
        if next != level {
            change(&sources, level, next, used);
            // From here on less is kept: the most that was held may never be seen again.
            most.held(sources.held_bytes().await);
        }
        let is_near = resident >= ceiling.part(NEAR);
        tokio::time::sleep(if is_near { LOOK_NEAR } else { LOOK }).await;
    }
}

fn change(sources: &Sources, before: Memory, now: Memory, used: u64) {
    sources.hub.set_memory(now);
    for inbox in &*sources.inboxes {
        // A shard that has stopped needs no memory.
        drop(inbox.send(Order::MemoryChanged));
    }
    let ceiling = sources.ceiling.bytes;
    match (before, now) {
        (_, Memory::Full) => tracing::error!(
            used,
            ceiling,
            "memory is full: new connections, subscriptions and messages to be kept are refused with 0x97"
        ),
        (Memory::Full, _) => tracing::warn!(
            used,
            ceiling,
            "there is memory again: what was refused for want of it is taken"
        ),
        (_, Memory::Short) => {
            tracing::warn!(used, ceiling, "memory gets short: publishers are slowed");
        }
        (_, Memory::Ample) => tracing::info!(used, ceiling, "memory is ample again"),
    }
}

/// The most that sessions have held since memory got short, and what they hold now.
#[derive(Debug, Default)]
struct Most {
    most: u64,
    now: u64,
}

impl Most {
    fn held(&mut self, bytes: u64) {
        self.now = bytes;
        self.most = self.most.max(bytes);
    }

    fn freed(&self) -> u64 {
        self.most.saturating_sub(self.now)
    }
}

/// Resident memory of the process, in bytes.
pub(crate) fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Bytes that the machine has and the control groups of the process allow, whichever is less.
fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = groups.lines().filter_map(|line| group_limit(line, Path::new(GROUPS)));
    machine.into_iter().chain(of_group).min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least of what a group and those around it allow; `line` is one of `/proc/self/cgroup`.
fn group_limit(line: &str, root: &Path) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|it| it == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let read = |group: &Path| {
        let text = std::fs::read_to_string(root.join(group).join(file)).ok()?;
        // `max` is no number, and no limit.
        text.trim().parse::<u64>().ok()
    };
    Path::new(path.trim_start_matches('/')).ancestors().filter_map(read).min()
}

/// Puts what the configuration asks for into words of the log.
pub(crate) fn log_start(ceiling: &Ceiling, hub: &Hub) {
    tracing::info!(
        ceiling = ceiling.bytes,
        used = ceiling.used(),
        retained_bytes_max = hub.limits().retained_bytes_max,
        "memory ceiling"
    );
}

const GROUPS: &str = "/sys/fs/cgroup";
/// Per cent of the ceiling.
const SHORT_FROM: u64 = 80;
const SHORT_UNTIL: u64 = 75;
const FULL_FROM: u64 = 90;
const FULL_UNTIL: u64 = 85;
/// From here on all resident memory counts.
const CLOSE: u64 = 97;
/// From here on it is looked at more often.
const NEAR: u64 = 60;
const LOOK: Duration = Duration::from_millis(100);
const LOOK_NEAR: Duration = Duration::from_millis(20);
/// What sessions hold is counted at every so many looks, and only while so much is resident.
const LOOKS_A_COUNT: u32 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(u64, Memory)]) {
        let ceiling = Ceiling { bytes: 1_000, used: AtomicU64::new(0) };
        let mut level = Memory::Ample;
        for (used, expected) in steps {
            level = ceiling.judge(*used, level);
            assert_eq!(level, *expected, "{used}");
        }
    }

    #[test]
    fn memory_is_short_before_it_is_full_and_gets_better_later_than_it_got_worse() {
        use Memory::{Ample, Full, Short};
        check(&[(799, Ample), (800, Short), (760, Short), (749, Ample)]);
        check(&[(900, Full), (860, Full), (849, Short), (899, Short), (900, Full), (700, Ample)]);
    }

    #[test]
    fn what_sessions_gave_back_is_taken_off() {
        let mut most = Most::default();
        for (held, freed) in [(100, 0), (300, 0), (120, 180), (250, 50)] {
            most.held(held);
            assert_eq!(most.freed(), freed);
        }
    }

    #[test]
    fn the_least_of_all_groups_around_the_process_counts() {
        let dir = tempfile::TempDir::new().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("memory.max", "max\n");
        put("a/memory.max", "5000\n");
        put("a/b/memory.max", "7000\n");
        put("memory/x/memory.limit_in_bytes", "900\n");
        let limit = |line| group_limit(line, dir.path());
        assert_eq!(limit("0::/a/b"), Some(5_000));
        assert_eq!(limit("0::/"), None);
        assert_eq!(limit("4:cpu,memory:/x"), Some(900));
        assert_eq!(limit("4:cpu:/x"), None);
        assert_eq!(limit("nonsense"), None);
        assert_eq!(total("MemTotal:  16 kB\nMemFree: 1 kB"), Some(16 * 1024));
    }

    #[test]
    fn the_process_knows_what_it_uses() {
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
