//! What other threads may ask of a shard, and how much of it may wait.
//!
//! The channels between shards never block a sender, so shards cannot wait for each other in a circle: a shard always
//! gets through its own inbox. What bounds them is the source: a shard that has put too many batches into an inbox stops
//! reading from its clients until that inbox has fallen to half ([`Inbox::is_full`], [`Inbox::room`]).
//! New connections in an inbox are bounded by the connections that may be pending.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use access::{Authenticated, Policy, UserId};
use broker::{Attach, Census, ClientView, Counters, Forecast, Message, PolicyMoved, ShardMessage};
use pki::PeerIdentity;
use tokio::sync::{Notify, mpsc, oneshot};

use super::intake::Seat;
use super::transport::Detached;

/// One thing for a shard to do.
pub(crate) enum Order {
    /// Serve this client.
    Adopt(Box<Newcomer>),
    /// Take this from another shard.
    Message(ShardMessage),
    /// Tell all clients.
    Clients(oneshot::Sender<Vec<ClientView>>),
    /// Tell one client.
    Client(UserId, String, oneshot::Sender<Option<ClientView>>),
    /// Tell what was counted, and what is held.
    Counters(oneshot::Sender<(Counters, Census)>),
    /// Send these values of the broker to those who read them.
    System(Vec<Arc<Message>>),
    /// There is less memory than before, or more again.
    MemoryChanged,
    /// Tell what clients would lose by a policy made from the one of this generation.
    Foresee(u64, Arc<Policy>, oneshot::Sender<Result<Forecast, PolicyMoved>>),
    /// End a client's connection and session.
    Kick(UserId, String, oneshot::Sender<bool>),
    /// Say goodbye to all clients and stop.
    Stop,
}

/// A client that has proven who it is.
pub(crate) struct Newcomer {
    /// Its connection.
    pub(crate) detached: Detached,
    /// What it sent after its CONNECT.
    pub(crate) rest: Vec<u8>,
    /// Who it is.
    pub(crate) authenticated: Authenticated,
    /// What its CONNECT asked for.
    pub(crate) attach: Attach,
    /// Its place among the connections.
    pub(crate) seat: Seat,
    /// The certificate that has proven it, or part of the proof.
    pub(crate) identity: Option<Box<PeerIdentity>>,
}

/// The sending side of a shard's inbox.
pub(crate) struct Inbox {
    orders: mpsc::UnboundedSender<Order>,
    /// Messages of other shards that wait.
    batches: AtomicUsize,
    batches_max: usize,
    emptied: Notify,
}

impl Inbox {
    /// An inbox in which at most about `batches_max` batches of other shards wait, and its receiving side.
    pub(crate) fn channel(batches_max: usize) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let batches = AtomicUsize::new(0);
        (Self { orders, batches, batches_max, emptied: Notify::new() }, receiver)
    }

    /// Puts an order in; gives it back when the shard has stopped.
    pub(crate) fn send(&self, order: Order) -> Result<(), Order> {
        let is_batch = matches!(order, Order::Message(_));
        if is_batch {
            self.batches.fetch_add(1, Ordering::AcqRel);
        }
        self.orders.send(order).map_err(|refused| refused.0)
    }

    /// Notes that the shard has dealt with some batches.
    pub(crate) fn done(&self, batches: usize) {
        let before = self.batches.fetch_sub(batches, Ordering::AcqRel);
        let half = self.batches_max / 2;
        if before > half && before.saturating_sub(batches) <= half {
            self.emptied.notify_waiters();
        }
    }

    /// Whether those who send batches should stop taking more work.
    pub(crate) fn is_full(&self) -> bool {
        self.batches.load(Ordering::Acquire) > self.batches_max
    }

    /// Messages of other shards that wait.
    pub(crate) fn batches(&self) -> usize {
        self.batches.load(Ordering::Acquire)
    }

    /// Waits until the inbox is at most half full.
    pub(crate) async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Listening first, looking second: an inbox that empties in between is not missed.
            emptied.as_mut().enable();
            if self.batches.load(Ordering::Acquire) <= self.batches_max / 2 {
                return;
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_inbox_has_room_again_at_half() {
        let (inbox, _orders) = Inbox::channel(4);
        inbox.batches.store(5, Ordering::Release);
        assert!(inbox.is_full());
        let mut room = Box::pin(inbox.room());
        let mut is_open = || {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            room.as_mut().poll(&mut context).is_ready()
        };
        assert!(!is_open());
        inbox.done(2);
        assert!(!inbox.is_full(), "no longer full, but those held back wait for half");
        assert!(!is_open());
        inbox.done(1);
        assert!(is_open());
    }

    #[test]
    fn orders_of_the_server_itself_do_not_count_as_batches() {
        let (inbox, orders) = Inbox::channel(1);
        assert!(inbox.send(Order::Stop).is_ok());
        assert_eq!(inbox.batches.load(Ordering::Acquire), 0);
        drop(orders);
        assert!(inbox.send(Order::Stop).is_err(), "a stopped shard gives the order back");
    }
}
