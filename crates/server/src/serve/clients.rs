//! Answers the API's questions about clients from the shards, which own them.

use std::sync::Arc;

use access::{Policy, UserId};
use api::{ClientRequest, Foresight};
use broker::{ClientView, PolicyMoved, shard_of};
use tokio::sync::{mpsc, oneshot};

use super::inbox::{Inbox, Order};

/// Answers requests until there are no more who could ask. What publishers did is known since `since_ms`.
pub(crate) async fn answer(
    mut requests: mpsc::Receiver<ClientRequest>,
    inboxes: Arc<[Inbox]>,
    since_ms: u64,
) {
    while let Some(request) = requests.recv().await {
        match request {
            // Waits for all shards, in a task of its own: a kick must not wait behind it.
            ClientRequest::List { reply } => {
                tokio::spawn(list(Arc::clone(&inboxes), reply));
            }
            ClientRequest::Foresee { base, next, reply } => {
                tokio::spawn(foresee(Arc::clone(&inboxes), base, next, since_ms, reply));
            }
            ClientRequest::Show { user, client_id, reply } => {
                let inbox = owner(&inboxes, user, &client_id);
                tell(inbox, Order::Client(user, client_id, reply));
            }
            ClientRequest::Kick { user, client_id, reply } => {
                let inbox = owner(&inboxes, user, &client_id);
                tell(inbox, Order::Kick(user, client_id, reply));
            }
        }
    }
}

async fn list(inboxes: Arc<[Inbox]>, reply: oneshot::Sender<Vec<ClientView>>) {
    let mut answers = Vec::with_capacity(inboxes.len());
    for inbox in &*inboxes {
        let (sender, answer) = oneshot::channel();
        tell(Some(inbox), Order::Clients(sender));
        answers.push(answer);
    }
    let mut clients = Vec::new();
    for answer in answers {
        // A shard without an answer is stopping; half a list would be a wrong one.
        let Ok(some) = answer.await else { return };
        clients.extend(some);
    }
    // Whoever asked may have gone.
    drop(reply.send(clients));
}

async fn foresee(
    inboxes: Arc<[Inbox]>,
    base: u64,
    next: Arc<Policy>,
    since_ms: u64,
    reply: oneshot::Sender<Result<Foresight, PolicyMoved>>,
) {
    let mut answers = Vec::with_capacity(inboxes.len());
    for inbox in &*inboxes {
        let (sender, answer) = oneshot::channel();
        tell(Some(inbox), Order::Foresee(base, Arc::clone(&next), sender));
        answers.push(answer);
    }
    let mut foresight = Foresight { clients: Vec::new(), since_ms, are_publishers_complete: true };
    for answer in answers {
        // As with a list: half of it would be wrong.
        let Ok(answer) = answer.await else { return };
        match answer {
            Ok(forecast) => {
                foresight.are_publishers_complete &= forecast.are_publishers_complete;
                foresight.clients.extend(forecast.into_clients());
            }
            Err(moved) => return drop(reply.send(Err(moved))),
        }
    }
    drop(reply.send(Ok(foresight)));
}

fn owner<'a>(inboxes: &'a [Inbox], user: UserId, client_id: &str) -> Option<&'a Inbox> {
    inboxes.get(usize::from(shard_of(user, client_id, inboxes.len()).0))
}

/// A refused order is dropped with its reply in it, which tells the one who asked.
fn tell(inbox: Option<&Inbox>, order: Order) {
    if let Some(inbox) = inbox {
        drop(inbox.send(order));
    }
}
