//! A permission check costs the same with 10 and with 100,000 permissions in store.
//!
//! Instructions are counted, not seconds: the count is the same on a busy machine. The example
//! `permit_check PERMISSIONS CHECKS` builds a policy and asks it; the cost of one check is the difference
//! of two runs that differ in the number of checks only, so that building the policy cancels out.

use std::{path::Path, process::Command};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::programs;

const FEW_PERMISSIONS: u64 = 10;
const MANY_PERMISSIONS: u64 = 100_000;
const FEWER_CHECKS: u64 = 10_000;
const MORE_CHECKS: u64 = 30_000;
/// How far the two costs may be apart, in percent of the smaller one.
const DIFFERENCE_PERCENT_MAX: u64 = 10;

/// Counts, prints both costs, and fails when they are too far apart.
pub(crate) fn run() -> anyhow::Result<()> {
    programs::run(
        "cargo",
        &["build", "--release", "--quiet", "-p", "access", "--example", "permit_check"],
    )?;
    let example = target_directory()?.join("release/examples/permit_check");
    let few = instructions_per_check(&example, FEW_PERMISSIONS)?;
    let many = instructions_per_check(&example, MANY_PERMISSIONS)?;
    println!(
        "instructions of one check: {few} with {FEW_PERMISSIONS} permissions, \
         {many} with {MANY_PERMISSIONS}"
    );
    compare(few, many)
}

fn compare(few: u64, many: u64) -> anyhow::Result<()> {
    let (low, high) = (few.min(many), few.max(many));
    ensure!(low > 0, "a check that costs nothing was not made");
    ensure!(
        (high - low) * 100 <= low * DIFFERENCE_PERCENT_MAX,
        "{few} and {many} instructions are more than {DIFFERENCE_PERCENT_MAX} % apart"
    );
    Ok(())
}

fn instructions_per_check(example: &Path, permissions: u64) -> anyhow::Result<u64> {
    let fewer = count(example, permissions, FEWER_CHECKS)?;
    let more = count(example, permissions, MORE_CHECKS)?;
    let difference = more.checked_sub(fewer).context("more checks cost fewer instructions")?;
    Ok(difference / (MORE_CHECKS - FEWER_CHECKS))
}

fn count(example: &Path, permissions: u64, checks: u64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(example)
        .args([permissions.to_string(), checks.to_string()])
        .output()
        .context("cannot start `valgrind`")?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind ended with {}: {report}", output.status);
    }
    read_count(&report).with_context(|| format!("no count in valgrind's report: {report}"))
}

fn read_count(report: &str) -> Option<u64> {
    let line =
        report.lines().find(|line| line.contains("I refs:") || line.contains("I   refs:"))?;
    let number: String = line.rsplit(':').next()?.chars().filter(char::is_ascii_digit).collect();
    number.parse().ok()
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> anyhow::Result<std::path::PathBuf> {
    let metadata = crate::tidy::metadata()?;
    let directory = metadata.get("target_directory").and_then(Value::as_str);
    Ok(directory.context("cargo metadata names the target directory")?.into())
}

#[cfg(test)]
mod tests {
    use super::{compare, read_count};

    #[test]
    fn the_count_is_read_from_the_report() {
        let report = "==1== Cachegrind\n==1== I refs:        1,234,567\n";
        assert_eq!(read_count(report), Some(1_234_567));
        assert_eq!(read_count("==1== nothing\n"), None);
    }

    #[test]
    fn costs_more_than_a_tenth_apart_fail_in_either_direction() {
        assert!(compare(1000, 1100).is_ok());
        assert!(compare(1000, 1101).is_err());
        assert!(compare(1101, 1000).is_err());
        assert!(compare(0, 0).is_err(), "nothing was measured");
    }
}
