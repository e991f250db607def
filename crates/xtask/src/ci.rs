//! Everything that must hold before a change is taken, in one command.
//!
//! Cheap checks come first. All run, even after a failure, so that one run shows everything; the last
//! line counts tests and checks together.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{fuzz, instructions, programs, tidy};

/// Runs all checks and prints the closing line.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut tally = Tally::default();
    tally.check("format", || programs::run("cargo", &["fmt", "--all", "--check"]));
    tally.check("clippy", || {
        let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        programs::run("cargo", &lints)
    });
    tally.check("tidy", tidy::run);
    for client in REAL_CLIENTS {
        let is_there = programs::is_there(client.program, client.probe);
        tally.program(client.name, is_there, "the tests with it are left out");
    }
    tally.add(tests()?);
    if tally.program("valgrind", programs::is_there("valgrind", &["--version"]), "no counts") {
        tally.check("instructions of a permission check and of a message", instructions::run);
    }
    if fuzz::is_possible() {
        tally.check("fuzz smoke", || fuzz::run(FUZZ_SMOKE_SECONDS));
    } else {
        // A nightly compiler is a convenience: the seeds run in the ordinary tests as well.
        println!("SKIPPED: fuzz smoke: there is no nightly compiler, or no C++ compiler");
        tally.skipped += 1;
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed > 0 {
        bail!("failed: {}", tally.failures.join(", "));
    }
    Ok(())
}

/// A client of somebody else, MQTT or HTTP, that the end-to-end tests run where it is installed.
struct RealClient {
    name: &'static str,
    program: &'static str,
    probe: &'static [&'static str],
}

const REAL_CLIENTS: &[RealClient] = &[
    RealClient {
        name: "mosquitto_pub and mosquitto_sub",
        program: "sh",
        probe: &["-c", "command -v mosquitto_pub && command -v mosquitto_sub"],
    },
    RealClient {
        name: "paho-mqtt for Python",
        program: "python3",
        probe: &["-c", "import paho.mqtt.client"],
    },
    RealClient {
        name: "schemathesis for Python",
        program: "python3",
        probe: &["-c", "import schemathesis"],
    },
    RealClient { name: "MQTT.js for Node", program: "node", probe: &["-e", "require('mqtt')"] },
];

/// Seconds each fuzz target runs here; long runs are `cargo xtask fuzz --seconds 600`.
const FUZZ_SMOKE_SECONDS: u32 = 10;

/// What passed, failed and was left out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Tally {
    fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<()>) {
        println!("== {name}");
        match check() {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("FAILED: {name}: {error:#}");
                self.failed += 1;
                self.failures.push(name.to_owned());
            }
        }
    }

    /// Says loudly when a program is missing; where CI is set that is a failure.
    fn program(&mut self, name: &str, is_there: bool, consequence: &str) -> bool {
        if !is_there && programs::is_ci() {
            println!("FAILED: {name} is not installed");
            self.failed += 1;
            self.failures.push(format!("{name} is missing"));
        } else if !is_there {
            println!("SKIPPED: {name} is not installed: {consequence}");
            self.skipped += 1;
        }
        is_there
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }

    /// Adds what a closing line of a test runner counts; other lines count nothing.
    fn read_line(&mut self, line: &str) {
        let is_closing = line.contains(" tests run: ")
            || line.contains(" test run: ")
            || line.starts_with("test result: ");
        if !is_closing {
            return;
        }
        let words: Vec<&str> =
            line.split([' ', ',', ';', '(', ')']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let [count, what] = pair else { continue };
            let Ok(count) = count.parse::<u64>() else { continue };
            match *what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

fn tests() -> anyhow::Result<Tally> {
    println!("== tests");
    let mut tally = Tally::default();
    let has_nextest = programs::is_there("cargo", &["nextest", "--version"]);
    let arguments: &[&str] = if has_nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]
    } else {
        &["test", "--workspace", "--no-fail-fast", "--quiet"]
    };
    let is_success = run_counting(arguments, &mut tally)?;
    if !is_success {
        // A build that fails counts no test: it is still a failure.
        tally.failed = tally.failed.max(1);
        tally.failures.push("tests".to_owned());
    }
    if tally.passed == 0 {
        tally.failed += 1;
        tally.failures.push("no test ran".to_owned());
    }
    Ok(tally)
}

/// Runs cargo, shows every line, and counts from the closing ones.
fn run_counting(arguments: &[&str], tally: &mut Tally) -> anyhow::Result<bool> {
    // The test runners write to both outputs; the shell joins them so that one reader is enough.
    let mut child = Command::new("sh")
        .args(["-c", "exec cargo \"$@\" 2>&1", "cargo"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("the output is piped")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tally.read_line(line.trim_start());
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn check(lines: &[&str], expected: (u64, u64, u64)) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read_line(line);
        }
        assert_eq!((tally.passed, tally.failed, tally.skipped), expected, "{lines:?}");
    }

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        check(
            &["Summary [  12.1s] 340 tests run: 338 passed (1 slow), 2 failed, 3 skipped"],
            (338, 2, 3),
        );
        check(
            &[
                "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
                "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured",
            ],
            (6, 2, 1),
        );
    }

    #[test]
    fn lines_of_tests_themselves_count_nothing() {
        check(&["PASS [ 0.1s] topic 12 passed", "we saw 7 passed and 3 failed"], (0, 0, 0));
    }
}
