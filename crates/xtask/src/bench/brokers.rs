//! The brokers of one run, each with a user for passwords and one for certificates that may use `bench/#` and nothing else.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::{Way, peers};

/// Who the generator is.
pub(crate) const USER: &str = "bench";
pub(super) const PASSWORD: &str = "a-password-for-one-hour";
pub(super) const TOPICS: &str = "bench/#";

/// Whom its certificate names.
pub(super) const DEVICE: &str = "device";

/// A running broker; it ends with this value.
pub(crate) struct Broker {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) is_own: bool,
    /// Its user has 1,000 rules, and others have 100,000.
    pub(crate) has_many_rules: bool,
    pub(super) port: u16,
    pub(super) tls_port: Option<u16>,
    pub(super) mutual_tls_port: Option<u16>,
    /// Where password, certificates and keys are.
    pub(super) directory: PathBuf,
    pub(super) process: Child,
}

impl Broker {
    /// Where it listens, if it does.
    pub(crate) fn port(&self, way: Way) -> Option<u16> {
        match way {
            Way::Plain => Some(self.port),
            Way::Tls => self.tls_port,
            Way::MutualTls => self.mutual_tls_port,
        }
    }

    /// Where it takes MQTT in clear.
    pub(crate) fn plain_port(&self) -> u16 {
        self.port
    }

    /// A file that the generator needs.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Broker {
    /// Ends it. It may have ended by itself; then there is nothing to end.
    pub(super) fn stop(&mut self) {
        self.process.kill().unwrap_or_default();
        let _status = self.process.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// This broker twice, and those of its peers that are installed.
pub(crate) fn start(program: &Path, directory: &Path) -> anyhow::Result<Vec<Broker>> {
    let own = countersign(program, &directory.join("own"), None, &[])?;
    let many = countersign(program, &directory.join("many"), Some(&many_rules()?), &[])?;
    let mut brokers = vec![own];
    for peer in peers::ALL {
        let found = brokers.first().map(|own| peer.start(directory, own));
        match found.transpose() {
            Ok(Some(Some(broker))) => brokers.push(broker),
            Ok(_) => println!("SKIPPED: {} is not installed", peer.program),
            // A peer of another version may want other settings.
            Err(error) => println!("SKIPPED: {} does not start: {error:#}", peer.program),
        }
    }
    brokers.push(many);
    Ok(brokers)
}

/// This broker alone, with these variables.
pub(crate) fn own(
    program: &Path,
    directory: &Path,
    variables: &[(&str, &str)],
) -> anyhow::Result<Broker> {
    countersign(program, directory, None, variables)
}

/// This broker with what its directory holds, ready to be used.
pub(super) fn started(
    program: &Path,
    directory: &Path,
    variables: &[(&str, &str)],
) -> anyhow::Result<Broker> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("password"), format!("{PASSWORD}\n"))?;
    let data = directory.join("data");
    let mut process = Command::new(program)
        .arg("serve")
        .arg("--data-dir")
        .arg(&data)
        .env("COUNTERSIGN_LISTENERS_MQTT", "127.0.0.1:0")
        .env("COUNTERSIGN_LISTENERS_MQTTS", "127.0.0.1:0")
        .env("COUNTERSIGN_LISTENERS_HTTPS", "off")
        .env("COUNTERSIGN_LISTENERS_WS", "off")
        .env("COUNTERSIGN_AUTHENTICATION", "either")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start countersign")?;
    let output = process.stdout.take().context("the output is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let port = |listener: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(listener))
            .and_then(|address| address.rsplit(':').next()?.parse().ok())
    };
    let mutual_tls_port = port("mqtts=");
    Ok(Broker {
        name: "Countersign",
        version: first_line(Command::new(program).arg("--version"))?,
        is_own: true,
        has_many_rules: false,
        port: port("mqtt=").with_context(|| format!("countersign is not ready: {line}"))?,
        tls_port: mutual_tls_port,
        mutual_tls_port,
        directory: directory.to_owned(),
        process,
    })
}

fn countersign(
    program: &Path,
    directory: &Path,
    policy: Option<&str>,
    variables: &[(&str, &str)],
) -> anyhow::Result<Broker> {
    let mut broker = started(program, directory, variables)?;
    if policy.is_some() {
        broker.name = "Countersign, 101,000 rules";
        broker.has_many_rules = true;
    }
    let data = directory.join("data");
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(&data).args(arguments);
        command
    };
    let allow = format!("readWrite:{TOPICS}");
    give(&mut ask(&["user", "add", USER, "--password-stdin", "--allow", &allow]), PASSWORD)?;
    give(&mut ask(&["user", "add", DEVICE, "--certificate", "--allow", &allow]), "")?;
    let place = directory.to_string_lossy();
    give(&mut ask(&["cert", "issue", DEVICE, "--out", &place]), "")?;
    for name in ["server.crt", "server.key"] {
        fs::copy(data.join("certs").join(name), directory.join(name))?;
    }
    if let Some(policy) = policy {
        let file = directory.join("policy.yaml");
        fs::write(&file, policy)?;
        give(&mut ask(&["apply", "-f", &file.to_string_lossy()]), "")?;
    }
    Ok(broker)
}

/// Runs a command with one line of input.
fn give(command: &mut Command, input: &str) -> anyhow::Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut pipe = child.stdin.take().context("the input is piped")?;
    // Who reads nothing may have closed it.
    writeln!(pipe, "{input}").unwrap_or_default();
    drop(pipe);
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The user of the measurement with 1,000 rules, and 100 others with as many.
fn many_rules() -> anyhow::Result<String> {
    let mut text = String::from("users:\n");
    for number in 0..=100 {
        let name = if number == 0 { USER.to_owned() } else { format!("other-{number}") };
        writeln!(text, "  - username: {name}\n    permissions:")?;
        if number == 0 {
            writeln!(text, "      - {{ resource: \"{TOPICS}\", operation: readWrite }}")?;
        }
        for rule in 1..=1_000 {
            writeln!(
                text,
                "      - {{ resource: \"plant/{number}/line-{rule}/#\", operation: readWrite }}"
            )?;
        }
    }
    Ok(text)
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

pub(super) fn wait_for(port: u16) -> anyhow::Result<()> {
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("nobody listens on port {port}")
}

pub(super) fn first_line(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
