//! `cargo xtask crash`: the broker killed again and again under load, for longer than in `ci`.

use crate::programs;

/// Kills the broker so many times and checks what clients were told.
pub(crate) fn run(rounds: u32) -> anyhow::Result<()> {
    programs::run_with(
        "cargo",
        &[
            "nextest",
            "run",
            "--profile",
            "long",
            "--release",
            "-p",
            "server",
            "--no-capture",
            "crash::",
        ],
        &[("CRASH_ROUNDS", &rounds.to_string())],
    )
}

/// Some minutes.
pub(crate) const ROUNDS_DEFAULT: u32 = 200;
