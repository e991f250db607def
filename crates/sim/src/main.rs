//! `sim --seed N`, `sim --seeds A..B`, `sim --bytes FILE` (what the fuzz target `session` found): see `cargo xtask sim`.
#![allow(clippy::print_stdout, reason = "it is what the command is for")]

use std::ops::Range;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seed", seed] => match seed.parse() {
            Ok(seed) => run(seed..seed.saturating_add(1), true),
            Err(_) => usage(),
        },
        ["--seeds", range] => match parse(range) {
            Some(seeds) => run(seeds, false),
            None => usage(),
        },
        ["--bytes", file] => match std::fs::read(file) {
            Ok(bytes) => tell(&sim::run_bytes(&bytes)),
            Err(error) => {
                eprintln!("cannot read `{file}`: {error}");
                ExitCode::FAILURE
            }
        },
        _ => usage(),
    }
}

/// Says all that happened, and what of it must not.
fn tell(outcome: &sim::Outcome) -> ExitCode {
    println!("{}", outcome.trace.join("\n"));
    if outcome.violation.is_none() {
        return ExitCode::SUCCESS;
    }
    println!("{}", outcome.report());
    ExitCode::FAILURE
}

fn parse(range: &str) -> Option<Range<u64>> {
    let (first, end) = range.split_once("..")?;
    Some(first.parse().ok()?..end.parse().ok()?)
}

fn usage() -> ExitCode {
    eprintln!("usage: sim --seed N | --seeds A..B | --bytes FILE");
    ExitCode::FAILURE
}

/// Runs all seeds, and says of each that fails how and on which way.
fn run(seeds: Range<u64>, is_told: bool) -> ExitCode {
    let (mut failures, mut messages, mut deliveries, mut crashes) = (0, 0, 0, 0);
    let mut forgotten = 0;
    for seed in seeds.clone() {
        // A panic names no seed by itself.
        let outcome = std::panic::catch_unwind(|| sim::run(seed, sim::STEPS, None));
        let Ok(outcome) = outcome else {
            println!("seed {seed}: the engine panicked");
            failures += 1;
            continue;
        };
        messages += outcome.messages;
        deliveries += outcome.deliveries;
        crashes += outcome.crashes;
        forgotten += outcome.forgotten;
        if is_told {
            println!("{}", outcome.trace.join("\n"));
        }
        if outcome.violation.is_some() {
            println!("seed {seed}:\n{}\n", outcome.report());
            failures += 1;
        } else if is_told {
            println!("seed {seed} holds, trace {:016x}", outcome.trace_hash);
        }
    }
    println!(
        "{} seeds, {messages} messages, {deliveries} deliveries, {crashes} crashes, {forgotten} commits lost by the disk: \
         {failures} failed",
        seeds.count()
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
