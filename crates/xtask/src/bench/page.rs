//! The page that a run leaves behind.

use std::{fmt::Write, fs, process::Command};

use anyhow::Context;
use serde_json::Value;

use super::{
    Beside, Figure, Measured, Row, TURNS, Way,
    brokers::Broker,
    peers::MOSQUITTO_SETTINGS,
    scale::{self, Scale},
};

/// Writes `docs/bench/DATE.md` and returns its name.
pub(crate) fn write(
    rows: &[Row],
    (brokers, measured): (&[Broker], &[Measured]),
    scales: &[Scale],
    seconds: u32,
) -> anyhow::Result<String> {
    let date = said_by("date", &["-u", "+%F"])?;
    let mut page = format!("# Speed on {date}\n\n");
    writeln!(
        page,
        "Commit `{}`, by `cargo xtask bench`.",
        said_by("git", &["rev-parse", "--short", "HEAD"])?
    )?;
    writeln!(page, "{}.\n", machine()?)?;
    for broker in brokers {
        writeln!(page, "- {}: {}", broker.name, broker.version)?;
    }
    writeln!(
        page,
        "\nEach row {TURNS} times for each broker, in turns, {seconds} s each; shown is the run with the median figure.\n\
         Password and permissions are checked by all, but that rumqttd has no permissions; payload 64 bytes, MQTT 3.1.1, loopback, generator on the same machine.\n\
         Countersign runs with its defaults, except that certificates are taken beside passwords (`authentication = \"either\"`). TLS is 1.3 \
         with certificates of P-256 made by Countersign, key exchange X25519 unless the row says otherwise. Mosquitto is given a password file, an ACL file and:\n\
         ```\n{MOSQUITTO_SETTINGS}```\n\
         `ratio` is how many times better the first broker's figure is. CPU is the generator's and the broker's time in the run shown.\n\
         Where the runs of one broker lie further apart than the two brokers do, the row says nothing: most of all latency and round trips,\n\
         which are told by the clock on the wall, on a machine that others use as well.\n\
         Rows told in memory and the durable one are measured on brokers that have just been started; of the memory of\n\
         connections the largest figure counts.\n\
         Where Countersign has more than one shard (`shards`, by default one for each core but one), a hash decides which one a\n\
         session is on, and whether publisher and subscriber share one makes more than a quarter of the figure."
    )?;
    for (index, row) in rows.iter().enumerate() {
        write_row(&mut page, (index, row), brokers, measured)?;
    }
    page.push_str(&scale::section(scales)?);
    let name = format!("docs/bench/{date}.md");
    fs::create_dir_all("docs/bench")?;
    fs::write(&name, page)?;
    Ok(name)
}

fn write_row(
    page: &mut String,
    (index, row): (usize, &Row),
    brokers: &[Broker],
    measured: &[Measured],
) -> anyhow::Result<()> {
    let way = match row.way {
        Way::Plain => "",
        Way::Tls => " --tls",
        Way::MutualTls => " --tls --cert",
    };
    writeln!(page, "\n## {}\n`countersign bench {}{way}`\n", row.name, row.arguments.join(" "))?;
    writeln!(
        page,
        "| broker | {} | ratio | a second | p50 / p99 / p99.9 µs | lost, disordered | memory KB | CPU ms: broker, generator | all runs |",
        row.figure.name()
    )?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
    let mut own = 0;
    for (number, broker) in brokers.iter().enumerate() {
        if !row.is_for(broker) {
            continue;
        }
        let results = measured.iter().filter(|it| it.row == index && it.broker == number);
        let all: Vec<&Value> = results.map(|it| &it.result).collect();
        let mut results: Vec<&Value> = all.iter().copied().filter(|it| it.is_object()).collect();
        let Some(median) = median(&mut results, row.figure) else {
            let why = all.iter().find_map(|it| it.as_str()).unwrap_or_default();
            let why = why.replace(['|', '\n'], " ");
            writeln!(page, "| {} | not possible: {why} | | | | | | | |", broker.name)?;
            continue;
        };
        let figure = row.figure.of(median);
        let all: Vec<_> = results.iter().map(|it| grouped(row.figure.of(it))).collect();
        if number == 0 {
            own = figure;
        }
        let ratio = row.figure.ratio_hundredths(own, figure);
        let at = |pointer: &str| median.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        writeln!(
            page,
            "| {} | {} | {}.{:02} | {} | {} / {} / {} | {}, {} | {} | {}, {} | {} |",
            broker.name,
            grouped(figure),
            ratio / 100,
            ratio % 100,
            grouped(at("/deliveredPerSecond") + at("/loginsPerSecond")),
            at("/latency/p50Us"),
            at("/latency/p99Us"),
            at("/latency/p999Us"),
            grouped(at("/lost") + at("/failed") + at("/refused")),
            grouped(at("/outOfOrder")),
            grouped(at("/broker/rssKbMax")),
            at("/broker/cpuUs") / 1_000,
            at("/generatorCpuUs") / 1_000,
            all.join(" "),
        )?;
        if row.beside == Beside::Disk {
            write_disk(page, figure, median)?;
        }
    }
    Ok(())
}

/// The disk's own row, and what the commits were.
fn write_disk(page: &mut String, figure: u64, result: &Value) -> anyhow::Result<()> {
    let of = |name: &str| {
        let pointer = format!("/disk/{name}");
        result.pointer(&pointer).and_then(Value::as_u64).unwrap_or(0)
    };
    let allowed = of("deliveredPerSecondAllowed");
    let ratio = (figure * 100).checked_div(allowed).unwrap_or(0);
    writeln!(
        page,
        "| the disk alone | {} | {}.{:02} | {} commits a second | | | | | |\n\n\
         The broker made {} commits a second, of {} messages and {} bytes each. The disk alone is given as many bytes at once, with \
         `fdatasync`, and its figure is its commits a second times the messages of one of the broker's.",
        grouped(allowed),
        ratio / 100,
        ratio % 100,
        grouped(of("commitsPerSecondAlone")),
        grouped(of("commitsPerSecond")),
        grouped(of("messagesACommit")),
        grouped(of("bytesACommit")),
    )?;
    Ok(())
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Figure::DeliveredPerCpuSecond => "delivered for a CPU second",
            Figure::DeliveredPerSecond => "delivered a second",
            Figure::CpuPerLogin => "CPU ns a login",
            Figure::BytesPerConnection => "bytes a connection",
            Figure::P99 => "p99 µs",
        }
    }
}

fn median<'a>(results: &mut [&'a Value], figure: Figure) -> Option<&'a Value> {
    results.sort_by_key(|result| figure.of(result));
    results.get(results.len() / 2).copied()
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine() -> anyhow::Result<String> {
    let about = fs::read_to_string("/proc/cpuinfo")?;
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = about.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = said_by("uname", &["-sr"])?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or_default();
    Ok(format!(
        "{cores} × {}, {kernel}; load of the machine at the end: {load}",
        model.unwrap_or("processor").trim()
    ))
}

fn said_by(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start `{program}`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Figure, grouped, median};
    use serde_json::json;

    #[test]
    fn the_median_is_the_run_in_the_middle() {
        let runs = [5, 1, 9].map(|it| json!({"deliveredPerSecond": it}));
        let mut results: Vec<_> = runs.iter().collect();
        let found = median(&mut results, Figure::DeliveredPerSecond);
        assert_eq!(found.map(|it| Figure::DeliveredPerSecond.of(it)), Some(5));
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(grouped), ["7", "999", "1,000", "1,234,567"]);
    }
}
