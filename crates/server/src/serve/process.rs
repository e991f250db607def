//! What the whole process needs before anything else happens.

use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Every file is the owner's alone, and there may be as many connections as the system grants.
pub(crate) fn prepare() {
    umask(Mode::from_bits_truncate(0o077));
    raise_open_files();
    abort_on_shard_panic();
}

/// Descriptors that the process may have.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Descriptors that the process has.
pub(crate) fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// What the process has used, as the system sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Bytes of virtual memory.
    pub(crate) virtual_bytes: u64,
    /// Seconds of CPU time.
    pub(crate) cpu_s: f64,
    /// Threads.
    pub(crate) threads: u64,
    /// When it started, in seconds since the Unix epoch.
    pub(crate) started_s: f64,
}

/// What the process has used; `None` where the system does not tell.
pub(crate) fn usage() -> Option<Usage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now_s = Duration::from_millis(super::clock::unix_ms()).as_secs_f64();
    read_usage(&stat, &uptime, rustix::param::clock_ticks_per_second(), now_s)
}

fn read_usage(stat: &str, uptime: &str, ticks_per_s: u64, now_s: f64) -> Option<Usage> {
    // The name stands in brackets and may hold anything, brackets and blanks too.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number)?.parse::<u64>().ok();
    let seconds = |ticks: u64| {
        let ms = ticks.checked_mul(1000)?.checked_div(ticks_per_s)?;
        Some(Duration::from_millis(ms).as_secs_f64())
    };
    let up_s: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Usage {
        cpu_s: seconds(field(11)?.checked_add(field(12)?)?)?,
        threads: field(17)?,
        started_s: now_s - up_s + seconds(field(19)?)?,
        virtual_bytes: field(20)?,
    })
}

/// Processor cores that the process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it cannot be raised, the old limit holds; what it is gets logged.
    setrlimit(Resource::Nofile, raised).unwrap_or_default();
}

/// An engine that was left in the middle of something may decide wrongly, and a broker must not go on that does.
/// No input of a peer is known to cause it.
fn abort_on_shard_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with(super::shards::THREAD_NAME)) {
            std::process::abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_a_process_is_read_whatever_the_process_is_called() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 300 4096 5 6";
        let usage = read_usage(stat, "10.00 5.00", 100, 1_000.0);
        let expected = Usage { virtual_bytes: 4096, cpu_s: 2.0, threads: 9, started_s: 993.0 };
        assert_eq!(usage, Some(expected));
        assert_eq!(read_usage("7 (x) S 1", "1 1", 100, 1.0), None);
        assert!(super::usage().is_some_and(|usage| usage.threads >= 1));
    }
}
