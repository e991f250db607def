//! The project's own commands:
//! `cargo xtask ci | tidy | instructions | fuzz [--seconds N] | crash [--rounds N] |
//! sim --seed N | sim --seeds A..B | sim --bytes FILE | bench [--seconds N] | overload [--seconds N]`.

mod bench;
mod ci;
mod crash;
mod fuzz;
mod instructions;
mod overload;
mod programs;
mod sim;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    // Every path below is relative to the root of the tree, wherever the command was typed.
    env::set_current_dir(root()?)?;
    match words {
        ["ci"] => ci::run(),
        ["tidy"] => tidy::run(),
        ["instructions"] => instructions::run(),
        ["fuzz"] => fuzz::run(fuzz::SECONDS_DEFAULT),
        ["fuzz", "--seconds", seconds] => {
            fuzz::run(seconds.parse().with_context(|| format!("`{seconds}` is no number"))?)
        }
        ["crash"] => crash::run(crash::ROUNDS_DEFAULT),
        ["crash", "--rounds", rounds] => {
            crash::run(rounds.parse().with_context(|| format!("`{rounds}` is no number"))?)
        }
        ["sim", arguments @ ..] => sim::run(arguments),
        ["bench"] => bench::run(bench::SECONDS_DEFAULT),
        ["bench", "--seconds", seconds] => {
            bench::run(seconds.parse().with_context(|| format!("`{seconds}` is no number"))?)
        }
        ["overload"] => overload::run(overload::SECONDS_DEFAULT),
        ["overload", "--seconds", seconds] => {
            overload::run(seconds.parse().with_context(|| format!("`{seconds}` is no number"))?)
        }
        _ => bail!(
            "usage: cargo xtask ci | tidy | instructions | fuzz [--seconds N] | crash [--rounds N] | \
             sim --seed N | sim --seeds A..B | sim --bytes FILE | bench [--seconds N] | overload [--seconds N]"
        ),
    }
}

fn root() -> anyhow::Result<PathBuf> {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = crate_dir.ancestors().nth(2).context("xtask is two folders below the root")?;
    Ok(root.to_owned())
}
