//! What the disk alone gives for the same work: as many bytes at once as the broker wrote in one commit, made durable, again
//! and again.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{brokers::Broker, now};

/// What the broker has written since it was started.
pub(super) struct Written {
    commits: u64,
    bytes: u64,
}

impl Written {
    /// As of now.
    pub(super) fn look(broker: &Broker) -> anyhow::Result<Written> {
        let commits = metric(&broker.file("data/admin.sock"), "countersign_state_commits_total")?;
        let counted = fs::read_to_string(format!("/proc/{}/io", broker.pid()))?;
        let bytes = counted.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Written { commits, bytes: bytes.context("no write_bytes")?.parse()? })
    }

    /// Adds to a result what the disk of the broker allows, with commits of the size that the broker made since then.
    pub(super) fn compare(self, broker: &Broker, result: &mut Value) -> anyhow::Result<()> {
        let now = Written::look(broker)?;
        let commits = now.commits.saturating_sub(self.commits);
        ensure!(commits > 0, "the broker has made nothing durable");
        let number = |pointer: &str| result.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let (messages, elapsed_us) = (number("/delivered"), number("/elapsedUs"));
        let bytes_a_commit = now.bytes.saturating_sub(self.bytes) / commits;
        let (made, took) = write_down(&broker.file("disk"), bytes_a_commit)?;
        let took_us = u64::try_from(took.as_micros())?;
        // Messages of a commit, times commits a second.
        let allowed = u128::from(messages) * u128::from(made) * 1_000_000
            / u128::from(commits)
            / u128::from(took_us.max(1));
        let a_second = |count: u64, us: u64| count * 1_000_000 / us.max(1);
        if let Some(result) = result.as_object_mut() {
            result.insert(
                "disk".to_owned(),
                json!({
                    "messagesACommit": messages / commits,
                    "bytesACommit": bytes_a_commit,
                    "commitsPerSecond": a_second(commits, elapsed_us),
                    "commitsPerSecondAlone": a_second(made, took_us),
                    "deliveredPerSecondAllowed": u64::try_from(allowed)?,
                }),
            );
        }
        Ok(())
    }
}

/// Commits of this size, for a while. How many, and how long that took.
fn write_down(path: &Path, bytes: u64) -> anyhow::Result<(u64, Duration)> {
    let batch = vec![0x5a; usize::try_from(bytes)?.max(1)];
    let mut file = File::create(path)?;
    let (begun, mut made) = (now(), 0);
    while begun.elapsed() < BASELINE && made * bytes < BASELINE_BYTES_MAX {
        file.write_all(&batch)?;
        file.sync_data()?;
        made += 1;
    }
    let took = begun.elapsed();
    drop(file);
    fs::remove_file(path)?;
    Ok((made, took))
}

/// A counter of the broker, by its admin socket.
fn metric(socket: &Path, name: &str) -> anyhow::Result<u64> {
    let mut link = UnixStream::connect(socket).context("the admin socket")?;
    link.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    link.read_to_string(&mut answer)?;
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("no {name} in {answer}"))?;
    Ok(value.trim().parse()?)
}

const BASELINE: Duration = Duration::from_secs(3);
const BASELINE_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::write_down;

    #[test]
    fn the_baseline_leaves_nothing_behind() {
        let path = std::env::temp_dir().join(format!("countersign-disk-{}", std::process::id()));
        // So large that a few are enough.
        let (made, took) = write_down(&path, super::BASELINE_BYTES_MAX / 16).unwrap();
        assert!((1..=16).contains(&made) && !took.is_zero());
        assert!(!path.exists());
    }
}
