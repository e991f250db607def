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

use super::Way;

/// Who the generator is.
pub(crate) const USER: &str = "bench";
const PASSWORD: &str = "a-password-for-one-hour";
const TOPICS: &str = "bench/#";

/// Whom its certificate names.
const DEVICE: &str = "device";

/// A running broker; it ends with this value.
pub(crate) struct Broker {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) is_own: bool,
    /// Its user has 1,000 rules, and others have 100,000.
    pub(crate) has_many_rules: bool,
    port: u16,
    tls_port: Option<u16>,
    mutual_tls_port: Option<u16>,
    /// Where password, certificates and keys are.
    directory: PathBuf,
    process: Child,
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

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.process.kill().unwrap_or_default();
        let _status = self.process.wait();
    }
}

/// This broker twice, and those of its peers that are installed.
pub(crate) fn start(program: &Path, directory: &Path) -> anyhow::Result<Vec<Broker>> {
    let own = countersign(program, &directory.join("own"), None, &[])?;
    let many = countersign(program, &directory.join("many"), Some(&many_rules()?), &[])?;
    let mosquitto = mosquitto(&directory.join("mosquitto"), &own)?;
    let mut brokers = vec![own];
    match mosquitto {
        Some(mosquitto) => brokers.push(mosquitto),
        None => println!("SKIPPED: mosquitto is not installed: nobody to compare with"),
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

fn countersign(
    program: &Path,
    directory: &Path,
    policy: Option<&str>,
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
    let broker = Broker {
        name: if policy.is_some() { "Countersign, 101,000 rules" } else { "Countersign" },
        version: first_line(Command::new(program).arg("--version"))?,
        is_own: true,
        has_many_rules: policy.is_some(),
        port: port("mqtt=").with_context(|| format!("countersign is not ready: {line}"))?,
        tls_port: mutual_tls_port,
        mutual_tls_port,
        directory: directory.to_owned(),
        process,
    };
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

/// Debian's package, with queues that do not drop and no delay of small packets: its defaults lose messages here.
pub(crate) const MOSQUITTO_SETTINGS: &str = "\
max_inflight_messages 1000
max_queued_messages 0
set_tcp_nodelay true
";

/// With the certificates that the other broker has made.
fn mosquitto(directory: &Path, own: &Broker) -> anyhow::Result<Option<Broker>> {
    let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
    let Some(program) = places.iter().map(Path::new).find(|place| place.exists()) else {
        return Ok(None);
    };
    fs::create_dir_all(directory)?;
    for name in ["password", "ca.crt", "server.crt", "server.key", "device.crt", "device.key"] {
        fs::copy(own.file(name), directory.join(name))?;
    }
    let (users, rights) = (directory.join("users"), directory.join("rights"));
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&users)
        .args([USER, PASSWORD])
        .status()
        .context("cannot start mosquitto_passwd")?;
    ensure!(made.success(), "mosquitto_passwd ended with {made}");
    let rules = [USER, DEVICE].map(|user| format!("user {user}\ntopic readwrite {TOPICS}\n"));
    fs::write(&rights, rules.concat())?;
    // Nothing else is going to take the ports in this moment; if it does, the start fails.
    let [port, tls_port, mutual_tls_port] = [free_port()?, free_port()?, free_port()?];
    let place = directory.display();
    let certificates =
        format!("cafile {place}/ca.crt\ncertfile {place}/server.crt\nkeyfile {place}/server.key\n");
    let owner = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let settings = directory.join("mosquitto.conf");
    fs::write(
        &settings,
        format!(
            "allow_anonymous false\npassword_file {}\nacl_file {}\nuser {owner}\n{MOSQUITTO_SETTINGS}\
             listener {port} 127.0.0.1\n\
             listener {tls_port} 127.0.0.1\n{certificates}\
             listener {mutual_tls_port} 127.0.0.1\n{certificates}require_certificate true\nuse_identity_as_username true\n",
            users.display(),
            rights.display()
        ),
    )?;
    let process = Command::new(program)
        .arg("-c")
        .arg(&settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start mosquitto")?;
    let broker = Broker {
        name: "Mosquitto",
        version: first_line(Command::new(program).arg("-h"))?,
        is_own: false,
        has_many_rules: false,
        port,
        tls_port: Some(tls_port),
        mutual_tls_port: Some(mutual_tls_port),
        directory: directory.to_owned(),
        process,
    };
    wait_for(port)?;
    Ok(Some(broker))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_for(port: u16) -> anyhow::Result<()> {
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("nobody listens on port {port}")
}

fn first_line(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
