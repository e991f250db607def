//! Programs that the checks call, and what it means when one is missing.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Runs a program with the terminal's output; anything but success is an error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with(program, arguments, &[])
}

/// The same, with these environment variables.
pub(crate) fn run_with(
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    println!("$ {program} {}", arguments.join(" "));
    let variables = variables.iter().copied();
    let status = Command::new(program).args(arguments).envs(variables).status();
    let status = status.with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether the program runs at all and ends well.
pub(crate) fn is_there(program: &str, arguments: &[&str]) -> bool {
    let silent = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    silent.is_ok_and(|status| status.success())
}

/// Whether this is a run in which nothing may be missing.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some()
}
