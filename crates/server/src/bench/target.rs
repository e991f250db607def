//! The broker that is measured, and who the generator is to it.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mqtt::{Connect, Packet, ProtocolVersion, Secret};

use super::BenchError;
use super::process::Watched;
use super::tls::{Tls, TlsOptions};

/// Options of every measurement.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Host of the broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the broker
    #[arg(long, default_value_t = 1883)]
    port: u16,
    /// User name; without one, clients log in anonymously
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsOptions,
    /// Version of MQTT
    #[arg(long, value_enum, default_value = "3.1.1")]
    mqtt: Version,
    /// What the client ids begin with
    #[arg(long, value_name = "TEXT", default_value = "bench")]
    client_id: String,
    /// Process id of the broker on this machine, to measure its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Print no progress
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

/// What is to become of a session when its client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// It ends, and what there was before ends now.
    Ended,
    /// The broker keeps it, and what comes for it.
    Kept,
}

/// What is needed to log in.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) address: SocketAddr,
    pub(super) version: ProtocolVersion,
    pub(super) tls: Option<Tls>,
    user: Option<String>,
    password: Option<Vec<u8>>,
    client_id: String,
}

impl Target {
    pub(super) fn account(&self) -> Result<Account, BenchError> {
        let name = format!("`{}:{}`", self.host, self.port);
        let mut addresses =
            (self.host.as_str(), self.port).to_socket_addrs().map_err(BenchError::io(&name))?;
        let address =
            addresses.next().ok_or_else(|| BenchError::Usage(format!("{name} has no address")))?;
        let version = match self.mqtt {
            Version::V311 => ProtocolVersion::V311,
            Version::V5 => ProtocolVersion::V5,
        };
        let password = self.password_file.as_ref().map(|path| {
            let text = fs::read_to_string(path)
                .map_err(BenchError::io(format!("`{}`", path.display())))?;
            Ok(text.lines().next().unwrap_or_default().as_bytes().to_vec())
        });
        Ok(Account {
            address,
            version,
            tls: self.tls.tls(&self.host, address)?,
            user: self.user.clone(),
            password: password.transpose()?,
            client_id: self.client_id.clone(),
        })
    }

    /// Begins to measure the broker's process, if it was named.
    pub(super) fn watch(&self) -> Result<Option<Watched>, BenchError> {
        self.pid.map(Watched::begin).transpose()
    }
}

impl Account {
    /// The CONNECT of one client; `name` tells it from the others.
    pub(super) fn connect(&self, name: &str, stay: Stay) -> Vec<u8> {
        let mut connect = Connect::new(self.version, &format!("{}-{name}", self.client_id));
        // Longer than anything is measured. `rumqttd` refuses clients that would never have to speak.
        connect.keep_alive_s = u16::MAX;
        if stay == Stay::Kept {
            connect.clean_start = false;
            if self.version == ProtocolVersion::V5 {
                connect.properties.session_expiry_interval_s = Some(KEPT_S);
            }
        }
        connect.username.clone_from(&self.user);
        connect.password = self.password.clone().map(Secret::new);
        let mut bytes = Vec::new();
        mqtt::encode(&Packet::Connect(Box::new(connect)), self.version, &mut bytes);
        bytes
    }
}

/// Far longer than any measurement, and short enough for what a crash leaves behind.
const KEPT_S: u32 = 3600;
