//! Whose turn it is: the connections of a shard that have something to look at.
//!
//! One task gives all of them their turns, in the order in which they were woken, so that an idle connection has no task of its own: that
//! would be an eighth of all the memory it takes. What comes of their turns is written behind them, by the flusher, once for all.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use broker::ConnectionId;
use parking_lot::Mutex;

use super::link::After;
use super::shard::Shard;

/// The connections of one shard that are due. Each is in it once at most.
pub(crate) struct Turns<Id = ConnectionId>(Mutex<Due<Id>>);

struct Due<Id> {
    connections: Vec<Id>,
    /// The task that gives the turns, if it waits.
    giver: Option<Waker>,
}

/// What wakes one connection.
pub(crate) struct Turn<Id = ConnectionId> {
    id: Id,
    is_due: AtomicBool,
    turns: Arc<Turns<Id>>,
}

impl<Id: Copy> Turns<Id> {
    /// Nobody is due yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Due { connections: Vec::new(), giver: None })))
    }

    /// What is to wake this connection.
    pub(crate) fn of(self: &Arc<Self>, id: Id) -> Arc<Turn<Id>> {
        Arc::new(Turn { id, is_due: AtomicBool::new(false), turns: Arc::clone(self) })
    }

    fn put(&self, id: Id) {
        let giver = {
            let mut due = self.0.lock();
            due.connections.push(id);
            due.giver.take()
        };
        if let Some(giver) = giver {
            giver.wake();
        }
    }

    /// Takes all that are due; `empty` is the room for those that come next.
    fn poll_take(&self, context: &Context<'_>, empty: &mut Vec<Id>) -> Poll<Vec<Id>> {
        let mut due = self.0.lock();
        if due.connections.is_empty() {
            due.giver = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::replace(&mut due.connections, std::mem::take(empty)))
    }
}

impl<Id> Turn<Id> {
    /// Its turn begins: whatever happens from now on makes it due again.
    pub(crate) fn begin(&self) {
        self.is_due.store(false, Ordering::Release);
    }
}

impl<Id: Copy + Send + Sync> Wake for Turn<Id> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.turns.put(self.id);
        }
    }
}

/// Gives turns for as long as the shard lives.
pub(crate) async fn give(shard: Rc<Shard>) {
    let (mut spare, mut unfinished) = (Vec::new(), Vec::new());
    loop {
        let mut due = poll_fn(|context| shard.turns().poll_take(context, &mut spare)).await;
        for id in due.drain(..) {
            // It may be gone since.
            let Some(link) = shard.link(id) else { continue };
            match link.take_turn(&shard) {
                After::Waits => {}
                After::HasMore => unfinished.push(link),
            }
        }
        if due.capacity() <= DUE_KEPT {
            spare = due;
        }
        if !unfinished.is_empty() {
            // The runtime looks at its sockets before it comes back here: those that have input now come first.
            tokio::task::yield_now().await;
            unfinished.drain(..).for_each(|link| link.wake());
        }
    }
}

/// Places that are kept for those who are due next.
const DUE_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Counts how often the task that gives the turns is woken.
    #[derive(Default)]
    struct Giver(AtomicUsize);

    impl Wake for Giver {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Giver {
        /// Takes those who are due; an empty list means that it waits now.
        fn take(self: &Arc<Self>, turns: &Turns<u8>) -> Vec<u8> {
            let waker = Waker::from(Arc::clone(self));
            match turns.poll_take(&Context::from_waker(&waker), &mut Vec::new()) {
                Poll::Ready(due) => due,
                Poll::Pending => Vec::new(),
            }
        }

        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_connection_is_due_once_however_often_it_is_woken_and_in_its_order() {
        let (turns, giver) = (Turns::new(), Arc::new(Giver::default()));
        let (one, two) = (turns.of(1), turns.of(2));
        for turn in [&two, &one, &two, &two, &one] {
            turn.wake_by_ref();
        }
        assert_eq!(giver.take(&turns), [2, 1]);
        two.wake_by_ref();
        assert_eq!(giver.take(&turns), [0; 0], "its turn has not begun yet");
    }

    #[test]
    fn what_happens_in_its_turn_makes_it_due_again() {
        let (turns, giver) = (Turns::new(), Arc::new(Giver::default()));
        let turn = turns.of(1);
        turn.wake_by_ref();
        assert_eq!(giver.take(&turns), [1]);
        turn.begin();
        turn.wake_by_ref();
        assert_eq!(giver.take(&turns), [1]);
    }

    #[test]
    fn the_giver_is_woken_once_for_all_that_become_due_while_it_waits() {
        let (turns, giver) = (Turns::new(), Arc::new(Giver::default()));
        let (one, two) = (turns.of(1), turns.of(2));
        assert_eq!(giver.take(&turns), [0; 0]);
        assert_eq!(giver.woken(), 0);
        one.wake_by_ref();
        two.wake_by_ref();
        assert_eq!(giver.woken(), 1);
        assert_eq!(giver.take(&turns), [1, 2]);
        one.begin();
        one.wake_by_ref();
        assert_eq!(giver.woken(), 1, "it does not wait: it looks again before it does");
    }
}
