//! The configuration: one TOML file, and every key also as an environment variable.
//!
//! `keys::KEYS` is the one list of keys. Reading the file, reading the environment, `serve --check` and the
//! documentation all walk it, so none of them can know a key that another does not.
//! A value is taken from, in falling order: a variable, the file, the default.

mod environment;
mod error;
mod file;
mod keys;
mod show;
mod slot;
#[cfg(test)]
mod tests;
mod words;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use admin::FirstAdmin;

pub(crate) use error::{ConfigError, Source};
use keys::{KEYS, Key};
use slot::Raw;
pub(crate) use words::{Durability, LogFormat, authentication_word};

/// The effective configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// How clients prove who they are, and what passwords must be like.
    pub(crate) login: admin::Settings,
    /// Where the server listens.
    pub(crate) listeners: Listeners,
    /// Bounds before and around a login.
    pub(crate) intake: IntakeLimits,
    /// Files of certificates and keys that are the operator's.
    pub(crate) pki: PkiFiles,
    /// MQTT over WebSocket.
    pub(crate) websocket: WebSocket,
    /// Requests by HTTP.
    pub(crate) http: HttpLimits,
    /// What is counted.
    pub(crate) metrics: MetricsAccess,
    /// Bounds of the engine.
    pub(crate) broker: broker::Limits,
    /// The first administrator.
    pub(crate) admin: AdminUser,
    /// What is logged, and how.
    pub(crate) log: Log,
    /// The process.
    pub(crate) server: Server,
}

/// Where the server listens; `None` is off.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    /// MQTT over TCP.
    pub(crate) mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub(crate) mqtts: Option<SocketAddr>,
    /// HTTPS: REST, and MQTT over WebSocket.
    pub(crate) https: Option<SocketAddr>,
    /// MQTT over plain WebSocket.
    pub(crate) ws: Option<SocketAddr>,
}

impl Default for Listeners {
    fn default() -> Self {
        let at = |address, port| Some(SocketAddr::from((address, port)));
        Self {
            mqtt: at(Ipv4Addr::LOCALHOST, 1883),
            mqtts: at(Ipv4Addr::UNSPECIFIED, 8883),
            https: at(Ipv4Addr::UNSPECIFIED, 8443),
            ws: at(Ipv4Addr::LOCALHOST, 8080),
        }
    }
}

/// Files of certificates and keys in place of those in the data directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct PkiFiles {
    /// The trust bundle.
    pub(crate) ca_file: Option<PathBuf>,
    /// Key of the issuing authority.
    pub(crate) ca_key_file: Option<PathBuf>,
    /// The server's chain. Set together with its key.
    pub(crate) server_certificate_file: Option<PathBuf>,
    /// The server's key.
    pub(crate) server_key_file: Option<PathBuf>,
    /// Names and addresses for the server's own certificate.
    pub(crate) server_names: Vec<String>,
    /// Revocation lists of other authorities.
    pub(crate) crl_files: Vec<String>,
}

/// MQTT over WebSocket.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebSocket {
    /// Origins whose pages may use the browser's certificate.
    pub(crate) origins: Vec<String>,
}

/// Bounds of one request by HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpLimits {
    /// Bytes of its body.
    pub(crate) bodies: api::BodyLimits,
    /// For its head, be it the first one or the next one of an idle connection.
    pub(crate) head_timeout: Duration,
    /// For reading its body and working on it.
    pub(crate) answer_timeout: Duration,
    /// For a client that does not take its answer.
    pub(crate) stall_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            bodies: api::BodyLimits::default(),
            head_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// Who may read what is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetricsAccess {
    /// Anybody.
    pub(crate) public: bool,
}

/// Bounds on connections that have not logged in, and on how many there may be at all.
#[derive(Debug, Clone)]
pub(crate) struct IntakeLimits {
    /// From the accepted connection to the end of its TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// From the accepted connection to the complete CONNECT.
    pub(crate) connect_timeout: Duration,
    /// Largest CONNECT, in bytes.
    pub(crate) connect_packet_size_max: u32,
    /// Bytes of all large CONNECTs of those who are not logged in.
    pub(crate) connect_bytes_max: usize,
    /// Connections that are not logged in yet.
    pub(crate) pending_connections_max: usize,
    /// Connections of one source address that have not sent their CONNECT yet.
    pub(crate) pending_per_source_max: usize,
    /// Connections of one source address; 0 for no bound.
    pub(crate) connections_per_source_max: usize,
    /// Connections that speak HTTP and not MQTT.
    pub(crate) http_connections_max: usize,
    /// Of them, those of one source address.
    pub(crate) http_connections_per_source_max: usize,
    /// Batches that may wait for one shard before its peers stop reading.
    pub(crate) shard_inbox_batches_max: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            connect_packet_size_max: 256 * 1024,
            connect_bytes_max: 16 << 20,
            pending_connections_max: 20_000,
            pending_per_source_max: 10_000,
            connections_per_source_max: 0,
            http_connections_max: 512,
            http_connections_per_source_max: 256,
            shard_inbox_batches_max: 256,
        }
    }
}

/// The administrator that a new data directory gets.
#[derive(Debug, Clone)]
pub(crate) struct AdminUser {
    /// Whether there is to be one.
    pub(crate) user_enabled: bool,
    /// Its first password; random and printed once if absent.
    pub(crate) initial_password: Option<admin::Secret>,
}

impl AdminUser {
    fn first(&self) -> FirstAdmin {
        match (self.user_enabled, &self.initial_password) {
            (false, _) => FirstAdmin::None,
            (true, Some(password)) => FirstAdmin::Password(password.clone()),
            (true, None) => FirstAdmin::RandomPassword,
        }
    }
}

impl Default for AdminUser {
    fn default() -> Self {
        Self { user_enabled: true, initial_password: None }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// The least severe level that is logged.
    pub(crate) level: tracing::Level,
    /// Text or JSON lines.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: tracing::Level::INFO, format: LogFormat::default() }
    }
}

/// The process.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Threads that serve connections; 0 for one for each core but one, and 1 to 16.
    pub(crate) shards: usize,
    /// How long a stopping server waits for its clients to take their last bytes.
    pub(crate) stop_timeout: Duration,
    /// How long a disk may take before it counts as one that does not answer.
    pub(crate) disk_patience: Duration,
    /// What a restart keeps.
    pub(crate) durability: Durability,
    /// Bytes the process may use; 0 for what the machine allows.
    pub(crate) memory_bytes_max: u64,
    /// How often the values on `$SYS/` are taken; zero for never.
    pub(crate) sys_interval: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            shards: 0,
            stop_timeout: Duration::from_secs(2),
            disk_patience: Duration::from_secs(10),
            durability: Durability::default(),
            memory_bytes_max: 0,
            sys_interval: Duration::from_secs(10),
        }
    }
}

/// A configuration with the source of each of its values.
#[derive(Debug)]
pub(crate) struct Effective {
    /// The values.
    pub(crate) config: Config,
    /// Where each value of `KEYS` comes from, in its order.
    sources: Vec<Source>,
    /// Variables of Connectware that are set and mean nothing here.
    pub(crate) ignored: Vec<String>,
}

impl Effective {
    /// Reads the file, if there is one, and the variables.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing is ignored.
    pub(crate) fn load(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut effective = Self::default();
        if let Some(path) = path {
            file::read(path, &mut effective)?;
        }
        environment::read(variables, &mut effective)?;
        effective.check_pairs()?;
        effective.config.login.first_admin = effective.config.admin.first();
        Ok(effective)
    }

    /// Gives the key at `index` of `KEYS` a value.
    fn set(&mut self, index: usize, raw: &Raw, source: Source) -> Result<(), ConfigError> {
        let Some(key) = KEYS.get(index) else { return Ok(()) };
        if let Err(reason) = (key.slot)(&mut self.config).set(raw, key.range) {
            return Err(key.refuse(raw, reason, source));
        }
        self.mark(index, source)
    }

    /// What makes sense only together.
    fn check_pairs(&self) -> Result<(), ConfigError> {
        let pki = &self.config.pki;
        let (set, other) = match (&pki.server_certificate_file, &pki.server_key_file) {
            (Some(_), None) => ("server_certificate_file", "server_key_file"),
            (None, Some(_)) => ("server_key_file", "server_certificate_file"),
            (None, None) | (Some(_), Some(_)) => return Ok(()),
        };
        let place = KEYS.iter().zip(&self.sources).find(|(key, _)| key.name == set);
        Err(ConfigError::BadValue {
            place: place.map_or(Source::Default, |(_, source)| source.clone()),
            key: format!("pki.{set}"),
            value: "the given file".to_owned(),
            reason: format!("`pki.{other}` must be set with it"),
        })
    }

    /// Notes where a value comes from. Two variables for one key are a contradiction waiting to happen.
    fn mark(&mut self, index: usize, source: Source) -> Result<(), ConfigError> {
        let Some(known) = self.sources.get_mut(index) else { return Ok(()) };
        let same_strength = matches!(
            (&*known, &source),
            (Source::Variable(_), Source::Variable(_)) | (Source::File { .. }, Source::File { .. })
        );
        if same_strength {
            let key = KEYS.get(index).map(Key::path).unwrap_or_default();
            return Err(ConfigError::SetTwice { key, first: known.clone(), second: source });
        }
        *known = source;
        Ok(())
    }
}

impl Default for Effective {
    fn default() -> Self {
        let sources = vec![Source::Default; KEYS.len()];
        Self { config: Config::default(), sources, ignored: Vec::new() }
    }
}

/// A secret kept in a file of its own. A line break at the end is the editor's, not the secret's.
fn secret_from_file(key: &Key, path: &Path, place: &Source) -> Result<Raw, ConfigError> {
    let refuse = |reason: String| ConfigError::BadValue {
        place: place.clone(),
        key: key.path(),
        value: format!("read from `{}`", path.display()),
        reason,
    };
    let size = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if size > SECRET_BYTES_MAX {
        return Err(refuse(format!("the file has more than {SECRET_BYTES_MAX} bytes")));
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let kept = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(kept);
    Ok(Raw::Text(text))
}

const SECRET_BYTES_MAX: u64 = 64 << 10;
