//! The brokers of one run, each with one user that may use `bench/#` and nothing else.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};

/// Who the generator is.
pub(crate) const USER: &str = "bench";
const PASSWORD: &str = "a-password-for-one-hour";
const TOPICS: &str = "bench/#";

/// A running broker; it ends with this value.
pub(crate) struct Broker {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) port: u16,
    pub(crate) password_file: PathBuf,
    process: Child,
}

impl Broker {
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

/// This broker, and those of its peers that are installed.
pub(crate) fn start(program: &Path, directory: &Path) -> anyhow::Result<Vec<Broker>> {
    let password_file = directory.join("password");
    fs::write(&password_file, format!("{PASSWORD}\n"))?;
    let mut brokers = vec![countersign(program, directory, &password_file, &[])?];
    match mosquitto(directory, &password_file)? {
        Some(mosquitto) => brokers.push(mosquitto),
        None => println!("SKIPPED: mosquitto is not installed: nobody to compare with"),
    }
    Ok(brokers)
}

/// This broker alone, with these variables.
pub(crate) fn own(
    program: &Path,
    directory: &Path,
    variables: &[(&str, &str)],
) -> anyhow::Result<Broker> {
    let password_file = directory.join("password");
    fs::write(&password_file, format!("{PASSWORD}\n"))?;
    countersign(program, directory, &password_file, variables)
}

fn countersign(
    program: &Path,
    directory: &Path,
    password_file: &Path,
    variables: &[(&str, &str)],
) -> anyhow::Result<Broker> {
    let data = directory.join("countersign");
    let mut process = Command::new(program)
        .arg("serve")
        .arg("--data-dir")
        .arg(&data)
        .env("COUNTERSIGN_LISTENERS_MQTT", "127.0.0.1:0")
        .env("COUNTERSIGN_LISTENERS_MQTTS", "off")
        .env("COUNTERSIGN_LISTENERS_HTTPS", "off")
        .env("COUNTERSIGN_LISTENERS_WS", "off")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start countersign")?;
    let output = process.stdout.take().context("the output is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let port = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("mqtt="))
        .and_then(|address| address.rsplit(':').next()?.parse().ok());
    let version = first_line(Command::new(program).arg("--version"))?;
    let port = port.with_context(|| format!("countersign is not ready: {line}"));
    let broker = Broker {
        name: "Countersign",
        version,
        port: port?,
        password_file: password_file.to_owned(),
        process,
    };
    let mut add = Command::new(program)
        .arg("--data-dir")
        .arg(&data)
        .args(["user", "add", USER, "--password-stdin", "--allow"])
        .arg(format!("readWrite:{TOPICS}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut input = add.stdin.take().context("the input is piped")?;
    writeln!(input, "{PASSWORD}")?;
    drop(input);
    ensure!(add.wait()?.success(), "the user could not be added");
    Ok(broker)
}

/// Debian's package, with queues that do not drop and no delay of small packets: its defaults lose messages here.
pub(crate) const MOSQUITTO_SETTINGS: &str = "\
max_inflight_messages 1000
max_queued_messages 0
set_tcp_nodelay true
";

fn mosquitto(directory: &Path, password_file: &Path) -> anyhow::Result<Option<Broker>> {
    let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
    let Some(program) = places.iter().map(Path::new).find(|place| place.exists()) else {
        return Ok(None);
    };
    let (users, rights) = (directory.join("mosquitto.users"), directory.join("mosquitto.rights"));
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&users)
        .args([USER, PASSWORD])
        .status()
        .context("cannot start mosquitto_passwd")?;
    ensure!(made.success(), "mosquitto_passwd ended with {made}");
    fs::write(&rights, format!("user {USER}\ntopic readwrite {TOPICS}\n"))?;
    // Nothing else is going to take the port in this moment; if it does, the start fails.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let settings = directory.join("mosquitto.conf");
    let owner = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    fs::write(
        &settings,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\nuser {owner}\n\
             {MOSQUITTO_SETTINGS}",
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
    let version = first_line(Command::new(program).arg("-h"))?;
    let password_file = password_file.to_owned();
    let broker = Broker { name: "Mosquitto", version, port, password_file, process };
    wait_for(port)?;
    Ok(Some(broker))
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
