//! From a configuration to a running broker, and to its end.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::{Admin, Opened};
use api::{ApiState, Clients};
use axum::Router;
use broker::{Hub, Limits, Storage};
use parking_lot::Mutex;
use pki::Pki;
use store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::admin_socket::AdminSocket;
use super::data_dir::DataDir;
use super::entrances::Entrances;
use super::error::ServeError;
use super::intake::Intake;
use super::logging::LogGuard;
use super::login::Front;
use super::memory::Ceiling;
use super::metrics::{self, Metrics};
use super::places::Places;
use super::shard::Watched;
use super::shards::Shards;
use super::sources::{Pulse, Sources};
use super::state::State;
use super::{certificates, clients, clock, memory, near, process, repeats, state, system};
use crate::config::{Config, authentication_word};

/// Serves until a signal says to stop.
pub(crate) async fn serve(
    config: Config,
    data_dir: &Path,
    log: &LogGuard,
) -> Result<(), ServeError> {
    let system = |what| move |reason| ServeError::System { what, reason };
    let data_dir = DataDir::open(data_dir)?;
    let entrances = Entrances::bind(&config)?;
    let mut stop = StopSignals::listen().map_err(system("signals"))?;
    // Served only later; but what is wrong with it is to be known before the first password is told.
    let socket = AdminSocket::bind(&data_dir)?;
    let pki = certificates::open(&config.pki, data_dir.path()).await?;
    let admin = open_admin(&config, &data_dir, &pki).await?;

    let hub = open_hub(&config, &admin);
    let metrics = Arc::new(Metrics::default());
    let pulses: Arc<[Pulse]> = (0..hub.shards()).map(|_| Pulse::default()).collect();
    let watched = Watched {
        pulses: Arc::clone(&pulses),
        metrics: Arc::clone(&metrics),
        refusals: admin.refusal_sink(),
    };
    let state = State::open(config.server.durability, data_dir.path(), &hub)?;
    let shards = Shards::start(
        &hub,
        state,
        &pki,
        &admin,
        watched,
        config.intake.shard_inbox_batches_max,
        config.server.stop_timeout,
    )
    .map_err(system("the shards"))?;

    let mut tasks = JoinSet::new();
    let (clients, requests) = Clients::channel(CLIENT_REQUESTS_MAX);
    tasks.spawn(clients::answer(requests, Arc::clone(&shards.inboxes), clock::unix_ms()));
    let intake = Intake::new(config.intake.clone());
    let http_places = Places::new(&config.intake);
    let sources = Arc::new(Sources {
        hub: Arc::clone(&hub),
        inboxes: Arc::clone(&shards.inboxes),
        pulses,
        journal: shards.journal.clone(),
        intake: Arc::clone(&intake),
        admin: admin.clone(),
        metrics: Arc::clone(&metrics),
        ceiling: Ceiling::new(config.server.memory_bytes_max),
        http_places: Arc::clone(&http_places),
        census: Mutex::default(),
        started_ms: clock::now().0,
    });
    let router = router(&config, &sources, clients);
    tasks.spawn(socket.serve(router.clone()));
    tasks.spawn(watch_clock());
    watch(&mut tasks, &sources, &config);
    tasks.spawn(certificates::watch(Arc::clone(&pki)));

    log_start(&config, &data_dir, &hub, &entrances);
    let ready = entrances.ready_line();
    let inboxes = Arc::clone(&shards.inboxes);
    let books = admin.clone();
    let refused = repeats::watched(&mut tasks);
    let repeats = Arc::clone(&refused);
    let front = Arc::new(Front { intake, admin, pki, hub, inboxes, metrics, repeats });
    for (listener, door) in entrances.open(&config, &router, &http_places) {
        tasks.spawn(listener.accept(door, Arc::clone(&front)));
    }
    // Whoever reads the ready line finds in the log how the listeners were opened.
    log.settle().await;
    say_ready(&ready).map_err(system("stdout"))?;

    stop.wait().await;
    tracing::info!("stopping");
    // Ends accepting and the API; then the clients get their last bytes.
    tasks.shutdown().await;
    end(shards, stop, &books, config.server.disk_patience).await;
    refused.tell();
    tracing::info!("stopped");
    Ok(())
}

/// Sees to what is used of memory and of other bounds, to a disk that does not answer, and to what the broker says of itself.
fn watch(tasks: &mut JoinSet<()>, sources: &Arc<Sources>, config: &Config) {
    memory::log_start(&sources.ceiling, &sources.hub);
    tasks.spawn(memory::watch(Arc::clone(sources)));
    tasks.spawn(near::watch(Arc::clone(sources)));
    tasks.spawn(system::publish(Arc::clone(sources), config.server.sys_interval));
    if let Some(journal) = sources.journal.clone() {
        let hub = Arc::clone(&sources.hub);
        tasks.spawn(state::watch(journal, hub, config.server.disk_patience));
    }
}

/// The API and the metrics.
fn router(config: &Config, sources: &Arc<Sources>, clients: Clients) -> Router {
    let (admin, hub) = (sources.admin.clone(), Arc::clone(&sources.hub));
    let counted = metrics::router(Arc::clone(sources));
    let counted = if config.metrics.public { counted } else { api::guarded(&admin, counted) };
    let is_impaired = Arc::new(move || hub.storage() != Storage::Working);
    let bodies = config.http.bodies;
    api::router(ApiState { admin, clients, is_impaired, bodies }).merge(counted)
}

/// Ends the shards, and writes down what is only in memory yet.
async fn end(shards: Shards, mut stop: StopSignals, books: &Admin, disk_patience: Duration) {
    let uses = tokio::time::timeout(disk_patience, books.write_down_uses());
    if uses.await.is_err() {
        tracing::error!("the disk does not answer: when passwords were last used is not written");
    }
    let stopping = tokio::task::spawn_blocking(move || shards.stop(disk_patience));
    tokio::select! {
        _ = stopping => {}
        // Asked twice, it is meant at once.
        () = stop.wait() => {}
    }
    match tokio::time::timeout(disk_patience, books.write_refusals()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the last refusals could not be written"),
        Err(_) => tracing::error!("the disk does not answer: the last refusals are not written"),
    }
}

fn open_hub(config: &Config, admin: &Admin) -> Arc<Hub> {
    let limits =
        Limits { persistence: config.server.durability.persistence(), ..config.broker.clone() };
    Hub::of_run(admin.run(), Arc::clone(admin.policy()), shard_count(config), limits, seed())
}

async fn open_admin(
    config: &Config,
    data_dir: &DataDir,
    pki: &Arc<Pki>,
) -> Result<Admin, ServeError> {
    let refuse = |error: String| ServeError::Admin(error.replace('\n', "; "));
    let store = Store::open(data_dir.path()).await.map_err(|error| refuse(error.to_string()))?;
    let opened = Admin::open(store, Arc::clone(pki), config.login.clone(), clock::unix_ms).await;
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

fn log_start(config: &Config, data_dir: &DataDir, hub: &Hub, entrances: &Entrances) {
    let authentication = authentication_word(config.login.authentication);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %data_dir.path().display(),
        shards = hub.shards(),
        open_files_max = process::open_files_max(),
        authentication,
        "starting"
    );
    entrances.log(config);
}

fn say_ready(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn shard_count(config: &Config) -> usize {
    if config.server.shards == 0 {
        // One core is left to what is not traffic: the kernel's network, handshakes, password hashes, the database.
        process::cores().saturating_sub(1).clamp(1, SHARDS_BY_DEFAULT_MAX)
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
                "the system's clock was set: certificates and records follow it at once, spans of time run on"
            );
        }
    }
}

/// SIGTERM and SIGINT; and two that must not stop anything.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Asks other servers to read their files again, and comes when a terminal is closed.
    hang_up: tokio::signal::unix::Signal,
    /// A write beyond the size that a file may have is an error like a full disk, and not the end of the process.
    _file_too_large: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let file_too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _file_too_large: signal(file_too_large)?,
        })
    }

    async fn wait(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => tracing::info!(
                    "SIGHUP: changed files of certificates are always taken into use by themselves, the configuration at a start only"
                ),
            }
        }
    }
}

const CLIENT_REQUESTS_MAX: usize = 64;
const SHARDS_BY_DEFAULT_MAX: usize = 16;
const CLOCK_LOOK: Duration = Duration::from_secs(60);
const CLOCK_DRIFT_MS_MAX: u64 = 60_000;
