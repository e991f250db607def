//! What the disk gives: groups a second with nothing around them.
//!
//! `cargo run --release -p store --example group_commit [SECONDS] [ENTRIES A GROUP] [DIRECTORY]`

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measuring tool, not the broker"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use store::{Safety, StateLog};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number =
        |default: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, entries) = (number(3), number(100));
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("group-commit-{}", std::process::id()));
    let (mut log, _) = StateLog::open(&directory, Safety::Synced).expect("a log");
    let (start, mut groups, mut sequence) = (Instant::now(), 0_u64, 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let keys: Vec<_> = (0..entries).map(|it| (sequence + it).to_be_bytes()).collect();
        sequence += entries;
        let group = keys.iter().map(|key| (&key[..], Some(&[7; 150][..])));
        log.commit([], group).expect("committed");
        groups += 1;
    }
    println!("{} groups/s, {} entries/s", groups / seconds, sequence / seconds);
    drop(log);
    std::fs::remove_dir_all(&directory).expect("removed");
}
