//! A permission check costs the same with 10 and with 100,000 permissions in store, and a message costs no more than it did.
//!
//! Instructions are counted, not seconds: the count is the same on a busy machine. Each cost is the difference of two
//! runs of an example that differ in how often the thing is done only, so that what comes before cancels out.

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

/// A way of a message whose cost must not grow unseen.
struct HotPath {
    name: &'static str,
    example: &'static str,
    /// What the example is told behind the number of messages.
    arguments: &'static [&'static str],
    fewer: u64,
    more: u64,
    /// Deliveries of one message: the cost is one delivery's.
    deliveries: u64,
    /// Instructions, a few in a hundred above what was measured when it was set.
    ceiling: u64,
}

const HOT_PATHS: &[HotPath] = &[
    HotPath {
        name: "decode a PUBLISH",
        example: "decode_hot",
        arguments: &[],
        fewer: 20_000,
        more: 60_000,
        deliveries: 1,
        ceiling: 620,
    },
    HotPath {
        name: "QoS 0, publish to deliver",
        example: "route_hot",
        arguments: &["0", "1"],
        fewer: 20_000,
        more: 60_000,
        deliveries: 1,
        ceiling: 1_170,
    },
    HotPath {
        name: "QoS 1, publish to deliver, all acknowledgements",
        example: "route_hot",
        arguments: &["1", "1"],
        fewer: 20_000,
        more: 60_000,
        deliveries: 1,
        ceiling: 2_620,
    },
    HotPath {
        name: "QoS 2, publish to deliver, all acknowledgements",
        example: "route_hot",
        arguments: &["2", "1"],
        fewer: 20_000,
        more: 60_000,
        deliveries: 1,
        ceiling: 3_590,
    },
    HotPath {
        name: "QoS 0, fan-out to 200, each delivery",
        example: "route_hot",
        arguments: &["0", "200"],
        fewer: 800,
        more: 2_400,
        deliveries: 200,
        ceiling: 420,
    },
];

/// Counts and prints all costs, and fails when one is too high.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut build = vec!["build", "--release", "--quiet"];
    for (package, example) in
        [("access", "permit_check"), ("broker", "route_hot"), ("mqtt", "decode_hot")]
    {
        build.extend(["-p", package, "--example", example]);
    }
    programs::run("cargo", &build)?;
    let examples = target_directory()?.join("release/examples");
    // All are counted before the first that is too high ends it.
    let mut complaints = Vec::new();
    for path in HOT_PATHS {
        let cost = cost_of(path, &examples)?;
        println!("instructions of {}: {cost}, at most {}", path.name, path.ceiling);
        complaints.extend(judge(path, cost));
    }
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    permission_check(&examples.join("permit_check"))
}

fn cost_of(path: &HotPath, examples: &Path) -> anyhow::Result<u64> {
    let count = |messages: u64| {
        let mut arguments = vec![messages.to_string()];
        arguments.extend(path.arguments.iter().map(|it| (*it).to_owned()));
        count(&examples.join(path.example), &arguments)
    };
    let difference = count(path.more)?.checked_sub(count(path.fewer)?);
    let difference = difference.context("more messages cost fewer instructions")?;
    Ok(difference / ((path.more - path.fewer) * path.deliveries))
}

/// What is to be done about a cost that is too high.
fn judge(path: &HotPath, cost: u64) -> Option<String> {
    (cost > path.ceiling).then(|| {
        format!(
            "`{}` takes {cost} instructions, the ceiling is {}. `valgrind --tool=callgrind target/release/examples/{} {} {}` \
             and `callgrind_annotate --inclusive=yes` say where they go. If what they buy is worth it, raise the ceiling in \
             crates/xtask/src/instructions.rs and say in docs/performance.md what that is.",
            path.name,
            path.ceiling,
            path.example,
            path.more,
            path.arguments.join(" ")
        )
    })
}

/// The same cost with few and with many permissions in store.
fn permission_check(example: &Path) -> anyhow::Result<()> {
    let few = instructions_per_check(example, FEW_PERMISSIONS)?;
    let many = instructions_per_check(example, MANY_PERMISSIONS)?;
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
    let fewer = count(example, &[permissions.to_string(), FEWER_CHECKS.to_string()])?;
    let more = count(example, &[permissions.to_string(), MORE_CHECKS.to_string()])?;
    let difference = more.checked_sub(fewer).context("more checks cost fewer instructions")?;
    Ok(difference / (MORE_CHECKS - FEWER_CHECKS))
}

fn count(example: &Path, arguments: &[String]) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(example)
        .args(arguments)
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
    use super::{HOT_PATHS, compare, judge, read_count};

    #[test]
    fn the_count_is_read_from_the_report() {
        let report = "==1== Cachegrind\n==1== I refs:        1,234,567\n";
        assert_eq!(read_count(report), Some(1_234_567));
        assert_eq!(read_count("==1== nothing\n"), None);
    }

    #[test]
    fn a_cost_above_its_ceiling_fails_and_says_what_to_do() {
        for path in HOT_PATHS {
            assert!(path.ceiling > 0 && path.more > path.fewer && path.deliveries > 0);
            assert_eq!(judge(path, path.ceiling), None);
            let complaint = judge(path, path.ceiling + 1).unwrap();
            assert!(complaint.contains("callgrind") && complaint.contains("docs/performance.md"));
        }
    }

    #[test]
    fn costs_more_than_a_tenth_apart_fail_in_either_direction() {
        assert!(compare(1000, 1100).is_ok());
        assert!(compare(1000, 1101).is_err());
        assert!(compare(1101, 1000).is_err());
        assert!(compare(0, 0).is_err(), "nothing was measured");
    }
}
