//! What processes cost, as `/proc` says.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::BenchError;

/// The broker's process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    pid: u32,
    cpu_us_before: u64,
    rss_kb_before: u64,
    rss_kb_max: u64,
}

/// What a broker's process used during a measurement.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BrokerUse {
    /// User and system time of all threads, as exact as the system's tick: 10 ms.
    pub(super) cpu_us: u64,
    /// Resident memory before, after, and the most that was seen (once a second).
    pub(super) rss_kb_before: u64,
    pub(super) rss_kb: u64,
    pub(super) rss_kb_max: u64,
}

impl Watched {
    /// Begins to measure the process.
    pub(super) fn begin(pid: u32) -> Result<Watched, BenchError> {
        let cpu_us_before = cpu_us(pid)?;
        let rss_kb_before = rss_kb(pid)?;
        Ok(Watched { pid, cpu_us_before, rss_kb_before, rss_kb_max: rss_kb_before })
    }

    /// Looks at the memory.
    pub(super) fn look(&mut self) {
        if let Ok(rss_kb) = rss_kb(self.pid) {
            self.rss_kb_max = self.rss_kb_max.max(rss_kb);
        }
    }

    pub(super) fn end(mut self) -> Result<BrokerUse, BenchError> {
        self.look();
        Ok(BrokerUse {
            cpu_us: cpu_us(self.pid)?.saturating_sub(self.cpu_us_before),
            rss_kb_before: self.rss_kb_before,
            rss_kb: rss_kb(self.pid)?,
            rss_kb_max: self.rss_kb_max,
        })
    }
}

/// As many connections as the system grants.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it cannot be raised, the attempt that is one too many says so.
    setrlimit(Resource::Nofile, raised).unwrap_or_default();
}

/// CPU time of this process.
pub(super) fn own_cpu_us() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(spent.tv_sec * 1_000_000 + spent.tv_nsec / 1_000).unwrap_or(0)
}

fn cpu_us(pid: u32) -> Result<u64, BenchError> {
    let stat = read(pid, "stat")?;
    ticks(&stat).map(|ticks| ticks * TICK_US).ok_or_else(|| unknown(pid))
}

/// Fields 14 and 15; the name of the program, field 2, may hold anything, so counting begins behind it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_kb(pid: u32) -> Result<u64, BenchError> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| unknown(pid))
}

fn read(pid: u32, name: &str) -> Result<String, BenchError> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).map_err(BenchError::io(path))
}

fn unknown(pid: u32) -> BenchError {
    BenchError::Usage(format!("`/proc/{pid}` does not say what process {pid} uses"))
}

/// The kernel counts for programs in hundredths of a second on every architecture of today.
const TICK_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::{Watched, own_cpu_us, ticks};

    #[test]
    fn the_name_of_a_program_cannot_shift_the_fields() {
        let rest = "S 1 1 1 0 -1 4194560 10 0 0 0 250 30 0 0 20 0 3 0 100";
        assert_eq!(ticks(&format!("7 (mosquitto) {rest}")), Some(280));
        assert_eq!(ticks(&format!("7 (a) b (c) {rest}")), Some(280));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        assert!(own_cpu_us() > 0);
        let used = Watched::begin(std::process::id()).unwrap().end().unwrap();
        assert!(used.rss_kb > 0);
    }
}
