//! The threads of the shards.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use admin::{Admin, RevokedCertificates};
use broker::{Engine, Hub, ShardId};
use pki::Pki;
use tokio::sync::{mpsc, watch};

use super::inbox::{Inbox, Order};
use super::proven::Proven;
use super::shard::{self, Shard, Watched};
use super::state::{Journal, State};

/// All shards, running.
pub(crate) struct Shards {
    /// The way to each of them.
    pub(crate) inboxes: Arc<[Inbox]>,
    threads: Vec<JoinHandle<()>>,
    /// What keeps their state; `None` if nothing does.
    pub(crate) journal: Option<Arc<Journal>>,
}

/// What every shard is given.
#[derive(Clone)]
struct Common {
    hub: Arc<Hub>,
    inboxes: Arc<[Inbox]>,
    journal: Option<Arc<Journal>>,
    pki: Arc<Pki>,
    revoked: watch::Receiver<RevokedCertificates>,
    watched: Watched,
    policy_changes: watch::Receiver<u64>,
    stop_timeout: Duration,
}

impl Shards {
    /// Starts a thread for each shard of the hub.
    ///
    /// # Errors
    /// A thread or its runtime is not to be had.
    pub(crate) fn start(
        hub: &Arc<Hub>,
        state: State,
        pki: &Arc<Pki>,
        admin: &Admin,
        watched: Watched,
        batches_max: usize,
        stop_timeout: Duration,
    ) -> io::Result<Self> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..hub.shards()).map(|_| Inbox::channel(batches_max)).unzip();
        let inboxes: Arc<[Inbox]> = inboxes.into();
        let common = Common {
            hub: Arc::clone(hub),
            inboxes: Arc::clone(&inboxes),
            journal: state.journal.clone(),
            pki: Arc::clone(pki),
            revoked: admin.identity_changes(),
            policy_changes: admin.policy_changes(),
            watched,
            stop_timeout,
        };
        let threads = (0..)
            .map(ShardId)
            .zip(state.engines.into_iter().zip(receivers))
            .map(|(id, (engine, orders))| start_thread(id, engine, orders, common.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { inboxes, threads, journal: state.journal })
    }

    /// Ends all connections and waits until the threads are done, which takes no longer than the stop timeout, and than the disk
    /// may be silent.
    pub(crate) fn stop(self, disk_patience: Duration) {
        for inbox in &*self.inboxes {
            // One that has stopped already needs no telling.
            drop(inbox.send(Order::Stop));
        }
        for thread in self.threads {
            drop(thread.join());
        }
        if let Some(journal) = self.journal {
            journal.close(disk_patience);
        }
    }
}

fn start_thread(
    id: ShardId,
    engine: Engine,
    orders: mpsc::UnboundedReceiver<Order>,
    common: Common,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("{THREAD_NAME}{}", id.0)).spawn(move || {
        let Common { hub, inboxes, journal, pki, revoked, policy_changes, watched, stop_timeout } =
            common;
        let linger = Duration::from_millis(hub.limits().close_linger_ms);
        let proven = Proven::new(pki, revoked);
        let shard = Shard::new(id, engine, inboxes, journal, proven, watched, linger);
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(
            &runtime,
            shard::run(Rc::clone(&shard), orders, policy_changes, stop_timeout),
        );
    })
}

/// What the names of the threads begin with.
pub(crate) const THREAD_NAME: &str = "shard-";
