//! The table of speed: this broker and its peers, in turns in one run, by `countersign bench`.
//!
//! What counts is the ratio of what a second of CPU time buys, for the machine is never the same twice and rarely
//! idle. Every broker asks for a password and judges permissions, and runs with what it ships with, except
//! for what the page says.

pub(crate) mod brokers;
mod page;

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::programs;
use brokers::Broker;

/// One line of the table.
pub(crate) struct Row {
    name: &'static str,
    /// What `countersign bench` is asked for.
    arguments: &'static [&'static str],
    figure: Figure,
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
    P99,
}

/// What one broker did in one row, each time.
pub(crate) struct Measured {
    row: usize,
    broker: usize,
    result: Value,
}

const ROWS: &[Row] = &[
    Row {
        name: "QoS 0, 1 to 1, at most 1,000 in transit",
        arguments: &["pubsub", "--in-transit", "1000"],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "QoS 0, 1 to 1, flat out",
        arguments: &["pubsub"],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "QoS 1, 10 to 10, at most 100 in transit each",
        arguments: &[
            "pubsub",
            "--publishers",
            "10",
            "--subscribers",
            "10",
            "--qos",
            "1",
            "--in-transit",
            "100",
        ],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "QoS 1, 10 to 10, publishers' window of 100 only",
        arguments: &["pubsub", "--publishers", "10", "--subscribers", "10", "--qos", "1"],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "QoS 2, 10 to 10, at most 100 in transit each",
        arguments: &[
            "pubsub",
            "--publishers",
            "10",
            "--subscribers",
            "10",
            "--qos",
            "2",
            "--in-transit",
            "100",
        ],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "fan-out 1 to 200, QoS 0, 100 in transit",
        arguments: &["fanout", "--in-transit", "100"],
        figure: Figure::DeliveredPerCpuSecond,
    },
    Row {
        name: "one message at a time, QoS 1, 1 to 1",
        arguments: &["pubsub", "--qos", "1", "--window", "1", "--in-transit", "1"],
        figure: Figure::DeliveredPerSecond,
    },
    Row {
        name: "latency, QoS 1, 10 to 10, 10,000 messages a second",
        arguments: &[
            "pubsub",
            "--publishers",
            "10",
            "--subscribers",
            "10",
            "--qos",
            "1",
            "--rate",
            "10000",
        ],
        figure: Figure::P99,
    },
    Row {
        name: "logins with a proven password",
        arguments: &["connect", "--logins", "10000"],
        figure: Figure::CpuPerLogin,
    },
];

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
    let page = measured.and_then(|measured| page::write(ROWS, &brokers, &measured, seconds));
    drop(brokers);
    std::fs::remove_dir_all(&directory)?;
    println!("written: {}", page?);
    Ok(())
}

fn measure(program: &Path, brokers: &[Broker], seconds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for turn in 1..=TURNS {
        for (row, it) in ROWS.iter().enumerate() {
            for (broker, peer) in brokers.iter().enumerate() {
                let result = once(program, it, peer, seconds)?;
                println!("{turn}/{TURNS} {}: {}: {}", it.name, peer.name, it.figure.of(&result));
                measured.push(Measured { row, broker, result });
            }
        }
    }
    Ok(measured)
}

/// One run. A broker that loses messages is not an error here: the page says so.
fn once(program: &Path, row: &Row, broker: &Broker, seconds: u32) -> anyhow::Result<Value> {
    let mut command = Command::new(program);
    command.arg("bench").args(row.arguments).args(["--json", "--quiet", "--user", brokers::USER]);
    command.args(["--port", &broker.port.to_string(), "--pid", &broker.pid().to_string()]);
    command.arg("--password-file").arg(&broker.password_file);
    if row.arguments.first() != Some(&"connect") {
        command.args(["--seconds", &seconds.to_string()]);
    }
    let output = command.output().context("cannot start the generator")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!text.trim().is_empty(), "{} on {}: {complaint}", row.name, broker.name);
    Ok(serde_json::from_str(&text)?)
}

impl Figure {
    fn of(self, result: &Value) -> u64 {
        let pointer = match self {
            Figure::DeliveredPerCpuSecond => "/deliveredPerBrokerCpuSecond",
            Figure::DeliveredPerSecond => "/deliveredPerSecond",
            Figure::CpuPerLogin => "/brokerCpuNsPerLogin",
            Figure::P99 => "/latency/p99Us",
        };
        result.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// How many tenths as good the first figure is as the second.
    fn ratio_tenths(self, own: u64, other: u64) -> u64 {
        let (better, worse) = match self {
            Figure::DeliveredPerCpuSecond | Figure::DeliveredPerSecond => (own, other),
            Figure::CpuPerLogin | Figure::P99 => (other, own),
        };
        (better * 10).checked_div(worse).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Figure;
    use serde_json::json;

    #[test]
    fn a_ratio_above_one_means_better_whatever_is_measured() {
        assert_eq!(Figure::DeliveredPerCpuSecond.ratio_tenths(3_000, 1_000), 30);
        assert_eq!(Figure::CpuPerLogin.ratio_tenths(20, 50), 25);
        assert_eq!(Figure::P99.ratio_tenths(0, 5), 0);
    }

    #[test]
    fn a_figure_is_found_in_the_result() {
        let result = json!({"latency": {"p99Us": 7}, "deliveredPerBrokerCpuSecond": null});
        assert_eq!(Figure::P99.of(&result), 7);
        assert_eq!(Figure::DeliveredPerCpuSecond.of(&result), 0);
    }
}
