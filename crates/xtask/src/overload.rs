//! Overload on loopback: what a flood, a storm and garbage do to the others, in figures from one run.
//!
//! The broker is a release build with what it ships with but for a memory ceiling; the others are `countersign bench`, at a
//! calm pace of their own. Latencies are told as ratios to the idle broker of the same run: the machine is never the same
//! twice.

mod flood;
mod garbage;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{bench::brokers, programs};

/// How long the flood and the garbage last.
pub(crate) const SECONDS_DEFAULT: u32 = 60;
const CEILING_BYTES: u64 = 256 << 20;
const STORM_CLIENTS_MAX: u32 = 20_000;
/// What a process has open beside the connections of its clients.
const FILES_BESIDE: u32 = 500;
const GARBAGE_A_SECOND: u32 = 10_000;
/// The others' messages a second, by QoS 1 from one to one.
const CALM_RATE: u32 = 500;

/// Measures and prints.
pub(crate) fn run(seconds: u32) -> anyhow::Result<()> {
    programs::run("cargo", &["build", "--release", "--quiet", "-p", "server"])?;
    let program = crate::instructions::target_directory()?.join("release/countersign");
    let directory =
        std::env::temp_dir().join(format!("countersign-overload-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let done = measure(&program, &directory, seconds);
    std::fs::remove_dir_all(&directory)?;
    done
}

fn measure(program: &Path, directory: &Path, seconds: u32) -> anyhow::Result<()> {
    let ceiling = CEILING_BYTES.to_string();
    let broker = brokers::own(
        program,
        directory,
        &[
            ("COUNTERSIGN_LIMITS_MEMORY_BYTES_MAX", ceiling.as_str()),
            ("COUNTERSIGN_LOG_LEVEL", "warn"),
        ],
    )?;
    let scene = Scene { program: program.to_owned(), broker: &broker };
    let calm_s = (seconds / 4).clamp(3, 15);
    // The first login and the first messages pay for what is made once.
    scene.latency(3)?;
    let before = scene.latency(calm_s)?;

    let flood = flood::Flood::start(&broker)?;
    let under_flood = scene.latency(seconds)?;
    let most = flood.end()?;
    println!("flood: {most}");

    let between = scene.latency(calm_s)?;
    let garbage = garbage::Garbage::start(broker.plain_port(), GARBAGE_A_SECOND);
    let under_garbage = scene.latency(calm_s)?;
    let thrown = garbage.end();
    let after = scene.latency(calm_s)?;
    // What throwing costs the others on this machine although the broker has nothing to do with it.
    let elsewhere = garbage::Garbage::start(garbage::sink()?, GARBAGE_A_SECOND);
    let under_elsewhere = scene.latency(calm_s)?;
    let thrown_elsewhere = elsewhere.end();
    let storm = scene.storm()?;

    let idle = [&before, &between, &after];
    println!("others, idle (three times): {}", join(&idle));
    tell("others, flood", &under_flood, &idle);
    println!("garbage in {calm_s} s and the start of a client: {thrown}");
    tell("others, garbage", &under_garbage, &idle);
    println!("the same to a listener that only accepts and closes: {thrown_elsewhere}");
    tell("others, garbage elsewhere", &under_elsewhere, &idle);
    println!("storm: {storm}");
    let resident = resident_bytes(broker.pid())?;
    println!("resident at the end: {} MiB of {}", resident >> 20, CEILING_BYTES >> 20);
    ensure!(most.resident_bytes < CEILING_BYTES, "memory went over the ceiling");
    Ok(())
}

struct Scene<'b> {
    program: PathBuf,
    broker: &'b brokers::Broker,
}

/// What other clients see.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {} p99 {} p99.9 {} us", self.p50_us, self.p99_us, self.p999_us)
    }
}

impl Scene<'_> {
    /// Messages of others at a calm pace: how long each takes.
    fn latency(&self, seconds: u32) -> anyhow::Result<Latency> {
        let (rate, seconds) = (CALM_RATE.to_string(), seconds.to_string());
        let result =
            self.bench(&["pubsub", "--qos", "1", "--rate", &rate, "--seconds", &seconds])?;
        let figure = |name: &str| {
            let found = result.pointer(&format!("/latency/{name}")).and_then(Value::as_u64);
            found.with_context(|| format!("no {name} in {result}"))
        };
        ensure!(number(&result, "lost") == Some(0), "messages of others were lost: {result}");
        Ok(Latency {
            p50_us: figure("p50Us")?,
            p99_us: figure("p99Us")?,
            p999_us: figure("p999Us")?,
        })
    }

    fn storm(&self) -> anyhow::Result<String> {
        let clients = STORM_CLIENTS_MAX.min(open_files_max()?.saturating_sub(FILES_BESIDE));
        if clients < STORM_CLIENTS_MAX {
            println!("storm: {clients} clients, for no process may open more files here");
        }
        let result = self.bench(&["storm", "--clients", &clients.to_string()])?;
        let of = |name: &str| number(&result, name).unwrap_or(0);
        let (logins, failed) = (of("logins"), of("failed"));
        let is_whole = logins == u64::from(clients) && failed == 0;
        ensure!(is_whole, "not all came back: {result}");
        Ok(format!(
            "{logins} came back, refused {}, failed {failed}, tried again {}, in {} ms",
            of("refused"),
            of("repeated"),
            of("elapsedUs") / 1000
        ))
    }

    fn bench(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = Command::new(&self.program)
            .arg("bench")
            .args(arguments)
            .args(["--json", "--quiet", "--user", brokers::USER])
            .args(["--port", &self.broker.plain_port().to_string()])
            .arg("--password-file")
            .arg(self.broker.file("password"))
            .stderr(Stdio::piped())
            .output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{arguments:?}: {complaint}"))
    }
}

/// How many files a process may open, by the system's word.
fn open_files_max() -> anyhow::Result<u32> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4));
    match hard.context("/proc/self/limits tells no `Max open files`")? {
        "unlimited" => Ok(u32::MAX),
        number => Ok(number.parse()?),
    }
}

fn number(result: &Value, name: &str) -> Option<u64> {
    result.get(name).and_then(Value::as_u64)
}

fn tell(what: &str, latency: &Latency, idle: &[&Latency]) {
    let mut idle: Vec<_> = idle.iter().map(|it| it.p99_us).collect();
    idle.sort_unstable();
    let median = idle.get(idle.len() / 2).copied().unwrap_or(1).max(1);
    let tenths = latency.p99_us * 10 / median;
    println!("{what}: {latency}: p99 is {}.{} times the idle one", tenths / 10, tenths % 10);
}

fn join(all: &[&Latency]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Resident memory of a process.
fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next());
    let kib: u64 = kib.context("no VmRSS")?.parse()?;
    Ok(kib << 10)
}

const LOOK: Duration = Duration::from_millis(50);
