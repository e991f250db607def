//! `cargo xtask sim`: the simulation, for one seed with its whole trace, or for many.

use crate::programs;

/// Runs the simulation with these arguments: `--seed N`, `--seeds A..B` or `--bytes FILE`.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let command = [&["run", "--quiet", "--release", "-p", "sim", "--"], arguments].concat();
    programs::run("cargo", &command)
}
