//! A policy of a million users: how long a start takes, how much memory, and how soon a change is felt by a client that is
//! connected.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::{
    brokers::{self, Broker},
    client::{Answer, Client},
    now,
};
use crate::programs;

const USERS: u32 = 1_000_000;
const ROLES: u32 = 10_000;
/// Starts of each shape; the median is shown.
const STARTS: usize = 3;
/// Users whose rights are changed, and how often.
const CHANGED: [u32; 5] = [7, 250_000, 500_000, 750_000, 999_999];
const TOPIC: &str = "scale/here";
const RIGHT: &str = "readWrite:scale/#";

/// What one shape of the policy takes.
pub(super) struct Scale {
    /// Permissions of each user beside its role.
    permissions: u32,
    /// Sorted.
    starts_ms: Vec<u128>,
    cpu_ms: u64,
    peak_kb: u64,
    resident_kb: u64,
    /// Sorted, each from the call of the command line to what the client sees.
    allowed_us: Vec<u128>,
    refused_us: Vec<u128>,
    cut_us: Vec<u128>,
}

/// Makes and measures both shapes.
pub(super) fn measure(program: &Path, directory: &Path) -> anyhow::Result<Vec<Scale>> {
    programs::run(
        "cargo",
        &["build", "--release", "--quiet", "-p", "store", "--example", "many_users"],
    )?;
    let filler = crate::instructions::target_directory()?.join("release/examples/many_users");
    [0, 1].into_iter().map(|permissions| one(program, &filler, directory, permissions)).collect()
}

fn one(program: &Path, filler: &Path, directory: &Path, permissions: u32) -> anyhow::Result<Scale> {
    let directory = directory.join(format!("scale-{permissions}"));
    // Its first start makes the schema, and the user whose password all others have.
    drop(brokers::own(program, &directory, &[])?);
    let data = directory.join("data");
    let filled = Command::new(filler)
        .arg(&data)
        .args([USERS, ROLES, permissions].map(|number| number.to_string()))
        .arg(brokers::USER)
        .status()?;
    ensure!(filled.success(), "the store could not be filled: {filled}");
    let mut scale = Scale {
        permissions,
        starts_ms: Vec::new(),
        cpu_ms: 0,
        peak_kb: 0,
        resident_kb: 0,
        allowed_us: Vec::new(),
        refused_us: Vec::new(),
        cut_us: Vec::new(),
    };
    for _ in 0..STARTS {
        let begun = now();
        let broker = brokers::started(program, &directory, &[])?;
        scale.starts_ms.push(begun.elapsed().as_millis());
        scale.cpu_ms = cpu_ms(broker.pid())?;
        // Before the first login, whose hash takes memory for a second.
        scale.peak_kb = scale.peak_kb.max(status_kb(broker.pid(), "VmHWM:")?);
        scale.changes(program, &broker, &data)?;
        scale.resident_kb = scale.resident_kb.max(status_kb(broker.pid(), "VmRSS:")?);
        println!(
            "policy scale, {permissions} own: {} ms, {} KB",
            scale.starts_ms.last().unwrap_or(&0),
            scale.peak_kb
        );
    }
    fs::remove_dir_all(&directory)?;
    let Scale { starts_ms, allowed_us, refused_us, cut_us, .. } = &mut scale;
    for all in [starts_ms, allowed_us, refused_us, cut_us] {
        all.sort_unstable();
    }
    Ok(scale)
}

impl Scale {
    fn changes(&mut self, program: &Path, broker: &Broker, data: &Path) -> anyhow::Result<()> {
        let password = fs::read_to_string(broker.file("password"))?;
        for number in CHANGED {
            let user = format!("machine-{number:07}");
            let mut client = Client::log_in(broker.plain_port(), &user, password.trim_end())?;
            ensure!(client.publish(TOPIC)? == Answer::Refused, "{user} may publish already");
            let ask = Ask { program, data, user: &user };
            let is = |wanted: Answer| move |answer: Answer| answer == wanted;
            let (allow, revoke) = (["set", "--allow", RIGHT], ["set", "--revoke", RIGHT]);
            self.allowed_us.push(ask.until(&mut client, allow, is(Answer::Allowed))?);
            self.refused_us.push(ask.until(&mut client, revoke, is(Answer::Refused))?);
            self.cut_us.push(ask.until(&mut client, ["disable", "", ""], is(Answer::Closed))?);
            ask.command(["enable", "", ""])?.wait()?;
        }
        Ok(())
    }

    /// A row of the page's table.
    pub(super) fn row(&self) -> anyhow::Result<String> {
        let mut row = String::new();
        let median = |all: &[u128]| all.get(all.len() / 2).copied().unwrap_or(0);
        let span = |all: &[u128]| {
            let worst = all.last().copied().unwrap_or(0);
            format!("{} / {}", tenths(median(all)), tenths(worst))
        };
        write!(
            row,
            "| {} | {} ms (of {} CPU) | {} / {} | {} | {} | {} |",
            self.permissions,
            median(&self.starts_ms),
            self.cpu_ms,
            self.peak_kb / 1024,
            self.resident_kb / 1024,
            span(&self.allowed_us),
            span(&self.refused_us),
            span(&self.cut_us),
        )?;
        Ok(row)
    }
}

/// The section of the page.
pub(super) fn section(scales: &[Scale]) -> anyhow::Result<String> {
    let mut text = format!(
        "\n## policy scale: {USERS} users, {ROLES} roles of ten permissions\n\
         Each user has a password and one role. A change is made by the command line, its start included, and counts from there to \
         what a connected client of that user sees, which publishes with QoS 1 all the time: the first PUBACK that allows, the first \
         that refuses, the end of its connection. {} changes of each kind, {STARTS} starts.\n\n\
         | permissions of each user's own | start, median | MiB: at most during the start, after the changes | ms to allowed: median / worst | to refused | to cut off |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        CHANGED.len() * STARTS
    );
    for scale in scales {
        writeln!(text, "{}", scale.row()?)?;
    }
    Ok(text)
}

/// A call of the command line about one user.
struct Ask<'a> {
    program: &'a Path,
    data: &'a Path,
    user: &'a str,
}

impl Ask<'_> {
    fn command(&self, [verb, option, value]: [&str; 3]) -> anyhow::Result<Child> {
        let mut command = Command::new(self.program);
        command.arg("--data-dir").arg(self.data).args(["user", verb, self.user]);
        if !option.is_empty() {
            command.args([option, value]);
        }
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
    }

    /// Microseconds from the call to the first answer that is the right one.
    fn until(
        &self,
        client: &mut Client,
        words: [&str; 3],
        is_right: impl Fn(Answer) -> bool,
    ) -> anyhow::Result<u128> {
        let begun = now();
        let mut child = self.command(words)?;
        let took = loop {
            if is_right(client.publish(TOPIC)?) {
                break begun.elapsed();
            }
            if begun.elapsed() > FELT_MAX {
                bail!("`{}` of `{}` was not felt", words.join(" "), self.user);
            }
            thread::sleep(PAUSE);
        };
        ensure!(child.wait()?.success(), "`{}` of `{}` failed", words.join(" "), self.user);
        Ok(took.as_micros())
    }
}

/// Microseconds as milliseconds with one digit.
fn tenths(us: u128) -> String {
    format!("{}.{}", us / 1_000, us / 100 % 10)
}

fn status_kb(pid: u32, field: &str) -> anyhow::Result<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(path)?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let value = value.and_then(|value| value.split_ascii_whitespace().next());
    Ok(value.with_context(|| format!("no {field}"))?.parse()?)
}

fn cpu_ms(pid: u32) -> anyhow::Result<u64> {
    let schedule = fs::read_dir(format!("/proc/{pid}/task"))?;
    let mut ns = 0;
    for task in schedule {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        ns += text.split_ascii_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(ns / 1_000_000)
}

/// Between two messages of the client, so that it takes no processor from what is measured.
const PAUSE: Duration = Duration::from_micros(200);
const FELT_MAX: Duration = Duration::from_secs(10);
