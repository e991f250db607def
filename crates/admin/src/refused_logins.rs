//! Refused logins on their way to the audit log: in the background, a few at a time, and never faster than the log can
//! bear. What is too much is counted, and the count is recorded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::{Map, Value};
use store::{AuditChain, AuditEntry, Change};
use tokio::sync::mpsc;

use crate::admin::{Admin, Shared};
use crate::decisions::record::DecisionId;

/// A login that was refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedLogin<'a> {
    /// The user name as it was sent, if one was.
    pub username: Option<&'a str>,
    /// The client id, if known.
    pub client_id: Option<&'a str>,
    /// Where the client is.
    pub address: &'a str,
    /// The listener that it came to.
    pub listener: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// The way of refusals to the log.
pub(crate) struct RefusedLogins {
    queue: mpsc::Sender<AuditEntry>,
    left_out: Arc<AtomicU64>,
}

impl Admin {
    /// Records a refused login and names the decision, by which it can be explained. Waits for nothing.
    pub fn record_refused_login(&self, refused: RefusedLogin<'_>) -> DecisionId {
        self.audit_refused_login(refused);
        self.keep_refused_login(&refused)
    }

    /// Records it in the audit log only: under a flood some are only counted, and the log says how many.
    pub(crate) fn audit_refused_login(&self, refused: RefusedLogin<'_>) {
        let refused_logins = &self.shared.refused_logins;
        let entry = entry(refused, self.now_ms());
        if refused_logins.queue.try_send(entry).is_err() {
            refused_logins.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl RefusedLogins {
    pub(crate) fn new() -> (RefusedLogins, Recorder) {
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        let left_out = Arc::new(AtomicU64::new(0));
        (RefusedLogins { queue, left_out: Arc::clone(&left_out) }, Recorder { entries, left_out })
    }
}

/// Writes what is in the queue.
pub(crate) struct Recorder {
    entries: mpsc::Receiver<AuditEntry>,
    left_out: Arc<AtomicU64>,
}

impl Recorder {
    /// Writes until nobody uses the administration any more.
    pub(crate) async fn run(mut self, shared: Weak<Shared>) {
        let (mut batch, mut changes) = (Vec::with_capacity(BATCH_MAX), Vec::new());
        let mut is_failing = false;
        loop {
            if changes.is_empty() && self.entries.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            let Some(shared) = shared.upgrade() else { return };
            if changes.is_empty() {
                let left_out = self.left_out.swap(0, Ordering::Relaxed);
                if left_out > 0 {
                    batch.push(summary(left_out, (shared.clock)()));
                }
                changes.extend(batch.drain(..).map(Change::Record));
            }
            match shared.store.commit(&changes).await {
                Ok(()) => {
                    changes.clear();
                    is_failing = false;
                }
                // That passes: they are kept, and others wait behind them or are counted.
                Err(error) if error.is_busy() || error.is_full() => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "refused logins cannot be recorded for now: they wait");
                    }
                }
                Err(error) => {
                    let refusals = changes.len();
                    tracing::error!(%error, refusals, "refused logins could not be recorded");
                    changes.clear();
                }
            }
            drop(shared);
            // Also the bound on the rate: no more than a batch each time.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn entry(refused: RefusedLogin<'_>, at_ms: u64) -> AuditEntry {
    let mut details = Map::new();
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            details.insert(name.to_owned(), Value::from(cut(value)));
        }
    };
    field("username", refused.username);
    field("clientId", refused.client_id);
    field("address", Some(refused.address));
    field("listener", Some(refused.listener));
    field("reason", Some(refused.reason));
    AuditEntry {
        chain: AuditChain::Refusals,
        at_ms,
        actor: cut(refused.username.unwrap_or_default()),
        action: "login.refused".to_owned(),
        details,
    }
}

fn summary(left_out: u64, at_ms: u64) -> AuditEntry {
    let mut details = Map::new();
    details.insert("count".to_owned(), Value::from(left_out));
    AuditEntry {
        chain: AuditChain::Refusals,
        at_ms,
        actor: "the broker".to_owned(),
        action: "login.refused.left-out".to_owned(),
        details,
    }
}

/// What a peer sent is as long as it likes; the record of it is not.
fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARACTERS_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

/// Refusals that wait to be written.
const QUEUE_MAX: usize = 256;
/// Refusals written together.
const BATCH_MAX: usize = 32;
/// The time between two batches: at most 64 refusals are written in a second.
const PAUSE: Duration = Duration::from_millis(500);
/// Characters of a text that a peer sent.
const TEXT_CHARACTERS_MAX: usize = 256;
