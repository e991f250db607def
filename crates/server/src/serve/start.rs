//! From a configuration to a running broker, and to its end.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::{Admin, AuthenticationMode, Opened};
use api::{ApiState, Clients};
use broker::{Hub, Limits};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::admin_socket::AdminSocket;
use super::data_dir::DataDir;
use super::error::ServeError;
use super::intake::Intake;
use super::listener::Listener;
use super::login::Front;
use super::shards::Shards;
use super::state::State;
use super::{clients, clock, process};
use crate::config::{Config, authentication_word};

/// Serves until a signal says to stop.
pub(crate) async fn serve(config: Config, data_dir: &Path) -> Result<(), ServeError> {
    let system = |what| move |reason| ServeError::System { what, reason };
    let data_dir = DataDir::open(data_dir)?;
    let listeners = bind(&config)?;
    let mut stop = StopSignals::listen().map_err(system("signals"))?;
    // Served only later; but what is wrong with it is to be known before the first password is told.
    let socket = AdminSocket::bind(&data_dir)?;
    let admin = open_admin(&config, &data_dir).await?;

    let limits =
        Limits { persistence: config.server.durability.persistence(), ..config.broker.clone() };
    let hub = Hub::new(Arc::clone(admin.policy()), shard_count(&config), limits, seed());
    let state = State::open(config.server.durability, data_dir.path(), &hub)?;
    let shards = Shards::start(
        &hub,
        state,
        config.intake.shard_inbox_batches_max,
        admin.policy_changes(),
        config.server.stop_timeout,
    )
    .map_err(system("the shards"))?;

    let mut tasks = JoinSet::new();
    let (clients, requests) = Clients::channel(CLIENT_REQUESTS_MAX);
    tasks.spawn(clients::answer(requests, Arc::clone(&shards.inboxes)));
    tasks.spawn(socket.serve(api::router(ApiState { admin: admin.clone(), clients })));
    tasks.spawn(watch_clock());

    log_start(&config, &data_dir, &hub, &listeners);
    let ready = ready_line(&listeners);
    let intake = Intake::new(config.intake.clone());
    let front = Arc::new(Front { intake, admin, hub, inboxes: Arc::clone(&shards.inboxes) });
    for listener in listeners {
        tasks.spawn(listener.accept(Arc::clone(&front)));
    }
    say_ready(&ready).map_err(system("stdout"))?;

    stop.wait().await;
    tracing::info!("stopping");
    // Ends accepting and the API; then the clients get their last bytes.
    tasks.shutdown().await;
    let stopping = tokio::task::spawn_blocking(move || shards.stop());
    tokio::select! {
        _ = stopping => {}
        // Asked twice, it is meant at once.
        () = stop.wait() => {}
    }
    tracing::info!("stopped");
    Ok(())
}

/// Binds what is to be opened. Only the plain MQTT listener exists in this version.
fn bind(config: &Config) -> Result<Vec<Listener>, ServeError> {
    if config.login.authentication == AuthenticationMode::MutualTls {
        return Ok(Vec::new());
    }
    config.listeners.mqtt.map(|address| Listener::bind("mqtt", address)).into_iter().collect()
}

async fn open_admin(config: &Config, data_dir: &DataDir) -> Result<Admin, ServeError> {
    let refuse = |error: String| ServeError::Admin(error.replace('\n', "; "));
    let store = Store::open(data_dir.path()).await.map_err(|error| refuse(error.to_string()))?;
    let opened = Admin::open(store, config.login.clone(), clock::unix_ms).await;
    let Opened { admin, first_admin_password } =
        opened.map_err(|error| refuse(error.to_string()))?;
    if let Some(password) = &first_admin_password
        && let Some(password) = password.expose_text()
    {
        // Not through the log: it has a level and may be kept, and this is to be seen once.
        let told = writeln!(
            std::io::stderr(),
            "first start: user `admin` has the password {password} (it is shown only now)"
        );
        told.map_err(|reason| ServeError::System { what: "stderr", reason })?;
    }
    Ok(admin)
}

/// Flaw 27: what each listener demands is told at every start.
fn log_start(config: &Config, data_dir: &DataDir, hub: &Hub, listeners: &[Listener]) {
    let authentication = authentication_word(config.login.authentication);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %data_dir.path().display(),
        shards = hub.shards(),
        open_files_max = process::open_files_max(),
        authentication,
        "starting"
    );
    let anonymous = config.login.anonymous_user.as_ref().map_or("refused", |user| user.as_str());
    for listener in listeners {
        tracing::info!(
            listener = listener.name, address = %listener.address, transport = "tcp",
            authentication = "password", anonymous, "listening"
        );
        if !listener.address.ip().is_loopback() {
            tracing::warn!(
                listener = listener.name, address = %listener.address,
                "passwords cross this listener in clear, and it is open to other machines"
            );
        }
    }
    if config.login.authentication == AuthenticationMode::MutualTls {
        tracing::warn!(
            "authentication is mutual-tls: the plain listeners `mqtt` and `ws` are not opened, and this version has no TLS \
             listener, so no client can connect"
        );
    } else if config.listeners.mqtts.is_some() || config.listeners.https.is_some() {
        tracing::info!(
            "this version has no TLS or WebSocket listener: `mqtts`, `https` and `ws` are not opened"
        );
    }
}

fn ready_line(listeners: &[Listener]) -> String {
    let mut line = "ready".to_owned();
    for listener in listeners {
        line = format!("{line} {}={}", listener.name, listener.address);
    }
    line
}

fn say_ready(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn shard_count(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if config.server.shards == 0 {
        cores().min(SHARDS_BY_DEFAULT_MAX)
    } else {
        config.server.shards
    }
}

fn seed() -> u64 {
    let (one, other) = uuid::Uuid::new_v4().as_u64_pair();
    // Each half has a few fixed bits, at different places.
    one ^ other.rotate_left(17)
}

/// Says so when the wall clock was set while the server ran, since its own does not follow.
async fn watch_clock() {
    let mut told_ms = 0;
    loop {
        tokio::time::sleep(CLOCK_LOOK).await;
        let drift_ms = clock::drift_ms();
        if drift_ms.abs_diff(told_ms) > CLOCK_DRIFT_MS_MAX {
            told_ms = drift_ms;
            tracing::warn!(
                drift_ms,
                "the system's clock was set; a restart makes this server follow it"
            );
        }
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const CLIENT_REQUESTS_MAX: usize = 64;
const SHARDS_BY_DEFAULT_MAX: usize = 16;
const CLOCK_LOOK: Duration = Duration::from_secs(60);
const CLOCK_DRIFT_MS_MAX: u64 = 60_000;
