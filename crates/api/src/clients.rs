//! The way from the API to the shards, which own the clients.
//!
//! The API asks by messages and the server answers from its shards. It never waits without end, and a list of
//! 100,000 clients is asked for once, not once a page: the first page is always fresh, and the pages after it show
//! the same moment.

use std::sync::Arc;
use std::time::Duration;

use access::{Policy, UserId};
use broker::{ClientLoss, ClientView, PolicyMoved, SessionKey};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// A question or order about clients; the server answers each on its `reply`.
#[derive(Debug)]
pub enum ClientRequest {
    /// All clients of all shards, in any order.
    List {
        /// Takes the answer.
        reply: oneshot::Sender<Vec<ClientView>>,
    },
    /// What clients would lose by another policy.
    Foresee {
        /// The generation of the policy that the other was made from.
        base: u64,
        /// The other policy.
        next: Arc<Policy>,
        /// Takes the answer.
        reply: oneshot::Sender<Result<Foresight, PolicyMoved>>,
    },
    /// One client.
    Show {
        /// The user it logged in as.
        user: UserId,
        /// Its client id.
        client_id: String,
        /// Takes the answer: `None` if there is neither a connection nor a session.
        reply: oneshot::Sender<Option<ClientView>>,
    },
    /// End a client's connection and session.
    Kick {
        /// The user it logged in as.
        user: UserId,
        /// Its client id.
        client_id: String,
        /// Takes the answer: whether there was such a client.
        reply: oneshot::Sender<bool>,
    },
}

/// What clients would lose.
#[derive(Debug, Default)]
pub struct Foresight {
    /// Each that would lose anything, in any order.
    pub clients: Vec<(SessionKey, ClientLoss)>,
    /// Since when publishers are known, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Whether all publishers of the last day were noted.
    pub are_publishers_complete: bool,
}

/// The API's handle to the clients.
#[derive(Debug, Clone)]
pub struct Clients {
    requests: mpsc::Sender<ClientRequest>,
    snapshot: Arc<Mutex<Snapshot>>,
}

/// The shards do not answer: they are stopping, or far too busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker does not answer")]
pub struct Unavailable;

/// All clients at one moment, kept for those who turn its pages.
#[derive(Debug, Default)]
struct Snapshot {
    /// Counts the snapshots, so that the timer of an old one leaves a new one alone.
    number: u64,
    clients: Option<Arc<[ClientView]>>,
}

impl Clients {
    /// A handle whose requests come out of the receiver, at most `queue_max` waiting.
    #[must_use]
    pub fn channel(queue_max: usize) -> (Clients, mpsc::Receiver<ClientRequest>) {
        let (requests, receiver) = mpsc::channel(queue_max);
        (Clients { requests, snapshot: Arc::default() }, receiver)
    }

    /// All clients, ordered by user name and client id.
    ///
    /// # Errors
    /// If the shards do not answer.
    pub async fn list(&self) -> Result<Arc<[ClientView]>, Unavailable> {
        let mut clients = self.ask(|reply| ClientRequest::List { reply }).await?;
        clients.sort_unstable_by(|a, b| {
            (a.user_name.as_str(), &a.client_id).cmp(&(b.user_name.as_str(), &b.client_id))
        });
        Ok(clients.into())
    }

    /// The same for one page of them: fresh for the first page, of the same moment for those after it.
    ///
    /// # Errors
    /// If the shards do not answer.
    pub async fn list_for_page(&self, page_number: u32) -> Result<Arc<[ClientView]>, Unavailable> {
        if page_number > 1
            && let Some(clients) = self.snapshot.lock().clients.clone()
        {
            return Ok(clients);
        }
        let clients = self.list().await?;
        self.keep(&clients);
        Ok(clients)
    }

    /// One client.
    ///
    /// # Errors
    /// If the shards do not answer.
    pub async fn show(
        &self,
        user: UserId,
        client_id: String,
    ) -> Result<Option<ClientView>, Unavailable> {
        self.ask(|reply| ClientRequest::Show { user, client_id, reply }).await
    }

    /// What clients would lose by a policy that was made from the one of generation `base`.
    ///
    /// # Errors
    /// If the shards do not answer.
    pub async fn foresee(
        &self,
        base: u64,
        next: Arc<Policy>,
    ) -> Result<Result<Foresight, PolicyMoved>, Unavailable> {
        self.ask(|reply| ClientRequest::Foresee { base, next, reply }).await
    }

    /// Ends a client's connection and session, and says whether there was one.
    ///
    /// # Errors
    /// If the shards do not answer.
    pub async fn kick(&self, user: UserId, client_id: String) -> Result<bool, Unavailable> {
        self.ask(|reply| ClientRequest::Kick { user, client_id, reply }).await
    }

    /// Whether somebody takes requests.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> ClientRequest,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.requests.send(request(reply)).await.map_err(|_| Unavailable)?;
            answer.await.map_err(|_| Unavailable)
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(Unavailable))
    }

    fn keep(&self, clients: &Arc<[ClientView]>) {
        let number = {
            let mut snapshot = self.snapshot.lock();
            snapshot.number = snapshot.number.wrapping_add(1);
            snapshot.clients = Some(Arc::clone(clients));
            snapshot.number
        };
        let kept = Arc::downgrade(&self.snapshot);
        tokio::spawn(async move {
            tokio::time::sleep(SNAPSHOT_KEPT).await;
            if let Some(kept) = kept.upgrade() {
                let mut snapshot = kept.lock();
                if snapshot.number == number {
                    snapshot.clients = None;
                }
            }
        });
    }
}

/// How long the shards may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the pages after the first show the moment of the first.
const SNAPSHOT_KEPT: Duration = Duration::from_secs(30);
