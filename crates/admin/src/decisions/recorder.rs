//! What goes on in the background: from the queue into the book, and from the book to disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Handed;
use super::book::Book;
use super::record::{Record, RefusedRequest};
use crate::admin::{Admin, Shared};
use crate::refused_logins::RefusedLogin;

/// The end of the queue that refusals come out of.
pub(crate) struct Inlet {
    queue: mpsc::Receiver<Handed>,
    book: Arc<Mutex<Book>>,
    left_out: Arc<AtomicU64>,
}

impl Inlet {
    pub(super) fn new(
        queue: mpsc::Receiver<Handed>,
        book: Arc<Mutex<Book>>,
        left_out: Arc<AtomicU64>,
    ) -> Inlet {
        Inlet { queue, book, left_out }
    }

    async fn run(mut self, shared: Weak<Shared>) {
        while let Some(handed) = self.queue.recv().await {
            match handed {
                // Whoever asked may have gone.
                Handed::Mark(reply) => reply.send(()).unwrap_or_default(),
                Handed::Refused(refused) => {
                    let left_out = self.left_out.swap(0, Ordering::Relaxed);
                    if left_out > 0 {
                        tracing::warn!(left_out, "refusals came too fast to be kept");
                    }
                    for request in refused {
                        record_in_audit(&request, &shared);
                        self.book.lock().note(Record::of_request(request));
                    }
                }
            }
        }
    }
}

/// Starts both.
pub(crate) fn start(inlet: Inlet, shared: &Arc<Shared>) {
    tokio::spawn(inlet.run(Arc::downgrade(shared)));
    tokio::spawn(write(Arc::downgrade(shared)));
}

/// A connection that is refused to somebody who has proven who it is, is a refused login like any other.
fn record_in_audit(request: &RefusedRequest, shared: &Weak<Shared>) {
    let (true, Some(shared)) = (request.is_at_login, shared.upgrade()) else { return };
    Admin { shared }.audit_refused_login(RefusedLogin {
        username: Some(request.user.as_str()),
        client_id: Some(&request.client_id),
        address: &request.address.to_string(),
        listener: &request.listener,
        reason: &request.reason,
    });
}

async fn write(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(shared) = shared.upgrade() else { return };
        if let Err(error) = (Admin { shared }).write_refusals().await {
            tracing::error!(%error, "refusals could not be written");
        }
    }
}

/// The time between two rounds of writing: so much of the last refusals a crash may take.
const PAUSE: Duration = Duration::from_secs(1);
