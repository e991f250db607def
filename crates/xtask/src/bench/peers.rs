//! Other brokers, where they are installed, each with its own configuration, made for the run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};

use super::brokers::{Broker, DEVICE, PASSWORD, TOPICS, USER, first_line, free_port, wait_for};

/// A broker that may be installed.
pub(super) struct Peer {
    /// Looked for on `PATH`, and where the variable `BENCH_` and its name in capitals says.
    pub(super) program: &'static str,
    start: fn(&Path, &Path) -> anyhow::Result<Broker>,
}

/// In the order of the table.
pub(super) const ALL: &[Peer] =
    &[Peer { program: "mosquitto", start: mosquitto }, Peer { program: "rumqttd", start: rumqttd }];

impl Peer {
    /// Starts it, with the certificates that the other broker has made.
    pub(super) fn start(&self, within: &Path, own: &Broker) -> anyhow::Result<Option<Broker>> {
        let Some(program) = self.find() else { return Ok(None) };
        let directory = within.join(self.program);
        fs::create_dir_all(&directory)?;
        for name in ["password", "ca.crt", "server.crt", "server.key", "device.crt", "device.key"] {
            fs::copy(own.file(name), directory.join(name))?;
        }
        (self.start)(&program, &directory).map(Some)
    }

    fn find(&self) -> Option<PathBuf> {
        let variable = format!("BENCH_{}", self.program.to_uppercase());
        if let Some(path) = env::var_os(variable) {
            return Some(PathBuf::from(path));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        // Not on everybody's `PATH`.
        let beside = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let mut places = env::split_paths(&path).chain(beside);
        places.find_map(|place| Some(place.join(self.program)).filter(|program| program.is_file()))
    }
}

/// Debian's package, with queues that do not drop and no delay of small packets: its defaults lose messages here.
pub(crate) const MOSQUITTO_SETTINGS: &str = "\
max_inflight_messages 1000
max_queued_messages 0
set_tcp_nodelay true
";

fn mosquitto(program: &Path, directory: &Path) -> anyhow::Result<Broker> {
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
    let process = quietly(Command::new(program).arg("-c").arg(&settings))?;
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
    Ok(broker)
}

/// It knows passwords, and no permissions: who is let in may do everything. A listener that takes certificates asks for no
/// password. What may be in transit is its default of 100.
fn rumqttd(program: &Path, directory: &Path) -> anyhow::Result<Broker> {
    let [port, tls_port, mutual_tls_port] = [free_port()?, free_port()?, free_port()?];
    let place = directory.display();
    let certificates =
        format!("certpath = \"{place}/server.crt\"\nkeypath = \"{place}/server.key\"\n");
    let mut text =
        "id = 0\n[router]\nid = 0\nmax_connections = 10010\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n"
            .to_owned();
    let trust = format!("[v4.NAME.tls]\ncapath = \"{place}/ca.crt\"\n{certificates}");
    let no_trust = format!("[v4.NAME.tls]\n{certificates}");
    let password = format!("[v4.NAME.connections.auth]\n{USER} = \"{PASSWORD}\"\n");
    for (name, port, more) in [
        ("plain", port, password.clone()),
        ("tls", tls_port, format!("{no_trust}{password}")),
        ("mutual", mutual_tls_port, trust),
    ] {
        let listener = format!(
            "[v4.{name}]\nname = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n\
             [v4.{name}.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\n\
             max_inflight_count = 100\ndynamic_filters = true\n"
        );
        text.push_str(&listener);
        text.push_str(&more.replace("NAME", name));
    }
    let settings = directory.join("rumqttd.toml");
    fs::write(&settings, text)?;
    let process = quietly(Command::new(program).arg("--quiet").arg("-c").arg(&settings))?;
    let broker = Broker {
        name: "rumqttd",
        version: first_line(Command::new(program).arg("--version"))?,
        is_own: false,
        has_many_rules: false,
        port,
        tls_port: Some(tls_port),
        mutual_tls_port: Some(mutual_tls_port),
        directory: directory.to_owned(),
        process,
    };
    wait_for(port)?;
    Ok(broker)
}

fn quietly(command: &mut Command) -> anyhow::Result<Child> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.spawn().with_context(|| format!("cannot start {command:?}"))
}
