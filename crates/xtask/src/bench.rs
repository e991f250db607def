//! The table of speed: this broker and its peers, in turns in one run, by `countersign bench`.
//!
//! What counts is the ratio of what a second of CPU time buys, for the machine is never the same twice and rarely
//! idle. Every broker asks for a password and judges permissions, and runs with what it ships with, except
//! for what the page says.

pub(crate) mod brokers;
mod client;
mod disk;
mod page;
mod peers;
mod rows;
mod scale;

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::programs;
use brokers::Broker;
use rows::ROWS;

/// One line of the table.
pub(crate) struct Row {
    name: &'static str,
    /// What `countersign bench` is asked for.
    arguments: &'static [&'static str],
    way: Way,
    /// Whom this broker is compared with.
    beside: Beside,
    figure: Figure,
}

/// How the generator comes to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By TCP with a password.
    Plain,
    /// By TLS with a password.
    Tls,
    /// By TLS with a certificate.
    MutualTls,
}

/// Whom a row compares this broker with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Other brokers.
    Peers,
    /// Itself, where the user has 1,000 rules and there are 100,000 in store.
    ManyRules,
    /// The disk alone, with writes as large as the broker's. No peer keeps what it acknowledges.
    Disk,
}

/// Which figure of a result is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    /// More is better.
    DeliveredPerCpuSecond,
    /// More is better.
    DeliveredPerSecond,
    /// Less is better.
    CpuPerLogin,
    /// Less is better.
    BytesPerConnection,
    /// Less is better.
    P99,
}

/// What one broker did in one row, each time.
pub(crate) struct Measured {
    row: usize,
    broker: usize,
    /// An object, or a text that says why there is none.
    result: Value,
}

/// What a start has taken is given back in this time.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(2);
/// Times each broker does each row; the median is shown.
const TURNS: usize = 3;
pub(crate) const SECONDS_DEFAULT: u32 = 5;

/// Measures everything and writes the page of today.
pub(crate) fn run(seconds: u32) -> anyhow::Result<()> {
    programs::run("cargo", &["build", "--release", "--quiet", "-p", "server"])?;
    let program = crate::instructions::target_directory()?.join("release/countersign");
    let directory = std::env::temp_dir().join(format!("countersign-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let brokers = brokers::start(&program, &directory)?;
    let measured = measure(&program, &brokers, seconds);
    let mut brokers = brokers;
    let page = measured.and_then(|mut measured| {
        // Nothing else is to run beside what comes now.
        brokers.iter_mut().for_each(Broker::stop);
        measured.extend(measure_fresh(&program, &directory, seconds)?);
        let scales = scale::measure(&program, &directory)?;
        page::write(ROWS, (&brokers, &measured), &scales, seconds)
    });
    drop(brokers);
    std::fs::remove_dir_all(&directory)?;
    println!("written: {}", page?);
    Ok(())
}

fn measure(program: &Path, brokers: &[Broker], seconds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for turn in 1..=TURNS {
        for (row, it) in ROWS.iter().enumerate().filter(|(_, it)| !it.needs_fresh_brokers()) {
            measured.extend(measure_row(program, (row, it), brokers, turn, seconds)?);
        }
    }
    Ok(measured)
}

/// The rows that need brokers with nothing behind them.
fn measure_fresh(program: &Path, directory: &Path, seconds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for turn in 1..=TURNS {
        for (row, it) in ROWS.iter().enumerate().filter(|(_, it)| it.needs_fresh_brokers()) {
            let directory = directory.join(format!("fresh-{turn}-{row}"));
            let brokers = brokers::start(program, &directory)?;
            for peer in brokers.iter().filter(|peer| it.is_for(peer)) {
                // Its first login costs memory that it gives back.
                let first = Row { arguments: &["connect", "--logins", "1"], ..*it };
                drop(once(program, &first, peer, seconds));
            }
            std::thread::sleep(SETTLE);
            measured.extend(measure_row(program, (row, it), &brokers, turn, seconds)?);
        }
    }
    Ok(measured)
}

fn measure_row(
    program: &Path,
    (row, it): (usize, &Row),
    brokers: &[Broker],
    turn: usize,
    seconds: u32,
) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (broker, peer) in brokers.iter().enumerate().filter(|(_, peer)| it.is_for(peer)) {
        let result = match once(program, it, peer, seconds) {
            Ok(result) => result,
            // A peer may lack what the row is about; this broker may not.
            Err(error) if !peer.is_own => {
                println!("SKIPPED: {}: {}: {error:#}", it.name, peer.name);
                Value::String(format!("{error:#}"))
            }
            Err(error) => return Err(error),
        };
        if result.is_object() {
            let figure = it.figure.of(&result);
            println!("{turn}/{TURNS} {}: {}: {figure}", it.name, peer.name);
        }
        measured.push(Measured { row, broker, result });
    }
    Ok(measured)
}

/// The time, for what the generator does not measure.
#[expect(clippy::disallowed_methods, reason = "a span is measured, nothing is judged by it")]
fn now() -> Instant {
    Instant::now()
}

/// One run. A broker that loses messages is not an error here: the page says so.
fn once(program: &Path, row: &Row, broker: &Broker, seconds: u32) -> anyhow::Result<Value> {
    let mut command = Command::new(program);
    command.arg("bench").args(row.arguments).args(["--json", "--quiet"]);
    let port = broker.port(row.way).context("the broker is asked for a way that it has")?;
    command.args(["--port", &port.to_string(), "--pid", &broker.pid().to_string()]);
    match row.way {
        Way::Plain => {}
        Way::Tls => {
            command.arg("--tls").arg("--ca-file").arg(broker.file("ca.crt"));
        }
        Way::MutualTls => {
            command.arg("--tls").arg("--ca-file").arg(broker.file("ca.crt"));
            command.arg("--cert").arg(broker.file("device.crt"));
            command.arg("--key").arg(broker.file("device.key"));
        }
    }
    if row.way != Way::MutualTls {
        command.args(["--user", brokers::USER]);
        command.arg("--password-file").arg(broker.file("password"));
    }
    if row.arguments.first() != Some(&"connect") {
        command.args(["--seconds", &seconds.to_string()]);
    }
    let written = match row.beside {
        Beside::Disk => Some(disk::Written::look(broker)?),
        Beside::Peers | Beside::ManyRules => None,
    };
    let output = command.output().context("cannot start the generator")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!text.trim().is_empty(), "{} on {}: {complaint}", row.name, broker.name);
    let mut result = serde_json::from_str(&text)?;
    if let Some(written) = written {
        written.compare(broker, &mut result)?;
    }
    Ok(result)
}

impl Row {
    /// What a broker has freed it uses again, and what many connections or a disk made it keep stays in its figure: such
    /// rows would say little of a broker that has been through others, and others little of one that has been through them.
    fn needs_fresh_brokers(&self) -> bool {
        self.figure == Figure::BytesPerConnection || self.beside == Beside::Disk
    }

    /// Whether this broker is measured in this row.
    fn is_for(&self, broker: &Broker) -> bool {
        let is_compared = match self.beside {
            Beside::Peers => !broker.has_many_rules,
            Beside::ManyRules => broker.is_own,
            Beside::Disk => broker.is_own && !broker.has_many_rules,
        };
        is_compared && broker.port(self.way).is_some()
    }
}

impl Figure {
    fn of(self, result: &Value) -> u64 {
        let pointer = match self {
            Figure::DeliveredPerCpuSecond => "/deliveredPerBrokerCpuSecond",
            Figure::DeliveredPerSecond => "/deliveredPerSecond",
            Figure::CpuPerLogin => "/brokerCpuNsPerLogin",
            Figure::BytesPerConnection => "/brokerBytesPerConnection",
            Figure::P99 => "/latency/p99Us",
        };
        result.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// How many hundredths as good the first figure is as the second.
    fn ratio_hundredths(self, own: u64, other: u64) -> u64 {
        let (better, worse) = match self {
            Figure::DeliveredPerCpuSecond | Figure::DeliveredPerSecond => (own, other),
            Figure::CpuPerLogin | Figure::BytesPerConnection | Figure::P99 => (other, own),
        };
        (better * 100).checked_div(worse).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Figure;
    use serde_json::json;

    #[test]
    fn a_ratio_above_one_means_better_whatever_is_measured() {
        assert_eq!(Figure::DeliveredPerCpuSecond.ratio_hundredths(3_000, 1_000), 300);
        assert_eq!(Figure::CpuPerLogin.ratio_hundredths(20, 50), 250);
        assert_eq!(Figure::P99.ratio_hundredths(0, 5), 0);
    }

    #[test]
    fn a_figure_is_found_in_the_result() {
        let result = json!({"latency": {"p99Us": 7}, "deliveredPerBrokerCpuSecond": null});
        assert_eq!(Figure::P99.of(&result), 7);
        assert_eq!(Figure::DeliveredPerCpuSecond.of(&result), 0);
    }
}
