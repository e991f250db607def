//! One client's connection on its shard: bytes in to the engine, bytes out from it.
//!
//! The connection's task only waits and reads. Writing is done by the shard's flusher once a round for all connections
//! that have something to say; the task takes part only when the socket would block.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use broker::{ConnectionId, ConnectionLost, HeldInput};
use pki::PeerIdentity;

use super::intake::Ticket;
use super::remainder::{READ_BYTES_MAX, Remainder};
use super::shard::Shard;
use super::transport::Transport;

/// One connection.
pub(crate) struct Link {
    id: ConnectionId,
    transport: RefCell<Transport>,
    rest: RefCell<Remainder>,
    task: RefCell<Option<Waker>>,
    /// The last write would have blocked.
    is_blocked: Cell<bool>,
    /// The certificate that its client has proven itself by.
    identity: Option<Box<PeerIdentity>>,
    reading: Cell<Reading>,
    ending: Cell<Ending>,
    _ticket: Ticket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    /// A receiver of this client's messages is behind, since just now.
    Pausing,
    /// And what was left over has been looked through. It is read on for acknowledgements.
    Paused,
    /// The same, and there is nothing more to come.
    PausedAtEnd,
    /// What was left over is to be looked at first.
    Resumed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It lives.
    No,
    /// The engine has closed it; its last bytes are on their way.
    Closing,
    /// All is said.
    Flushed,
    /// The socket failed.
    Failed,
}

enum Event {
    Received(usize),
    Resumed,
    Writable,
    Lost(ConnectionLost),
    Closing,
}

impl Link {
    /// A connection that the engine knows as `id`.
    pub(crate) fn new(
        id: ConnectionId,
        transport: Transport,
        rest: Remainder,
        ticket: Ticket,
        identity: Option<Box<PeerIdentity>>,
    ) -> Rc<Self> {
        let reading = if rest.is_empty() { Reading::On } else { Reading::Resumed };
        Rc::new(Self {
            id,
            transport: RefCell::new(transport),
            rest: RefCell::new(rest),
            task: RefCell::new(None),
            is_blocked: Cell::new(false),
            identity,
            reading: Cell::new(reading),
            ending: Cell::new(Ending::No),
            _ticket: ticket,
        })
    }

    /// The engine's name for it.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The certificate that its client has proven itself by, if it has.
    pub(crate) fn identity(&self) -> Option<&PeerIdentity> {
        self.identity.as_deref()
    }

    /// The engine wants no more input for now.
    pub(crate) fn pause(&self) {
        if self.reading.get() != Reading::PausedAtEnd {
            self.reading.set(Reading::Pausing);
            self.wake();
        }
    }

    fn is_paused(&self) -> bool {
        matches!(self.reading.get(), Reading::Pausing | Reading::Paused | Reading::PausedAtEnd)
    }

    /// The engine takes input again.
    pub(crate) fn resume(&self) {
        self.reading.set(Reading::Resumed);
        self.wake();
    }

    /// The engine has closed it: what it still has to say is written, then it ends.
    pub(crate) fn close(&self) {
        if self.ending.get() == Ending::No {
            self.ending.set(Ending::Closing);
            // The task starts the time that the last bytes have.
            self.wake();
        }
    }

    /// Writes what the engine has for it, once. Says whether there is more that can be written at once.
    pub(crate) fn flush(&self, shard: &Shard) -> bool {
        if self.is_blocked.get() || matches!(self.ending.get(), Ending::Failed | Ending::Flushed) {
            return false;
        }
        let (wanted, written) = {
            let engine = shard.engine();
            let output = engine.output(self.id);
            let mut transport = self.transport.borrow_mut();
            if output.is_empty() {
                (0, transport.try_flush().map(|()| 0))
            } else {
                (output.len(), transport.try_write(output))
            }
        };
        let more = match written {
            Ok(written) => {
                let more = written > 0 && shard.advance_output(self.id, written);
                if self.is_paused() {
                    // Now it may owe an acknowledgement.
                    self.wake();
                }
                if written < wanted || self.transport.borrow().has_pending() {
                    self.block();
                }
                more
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                self.block();
                true
            }
            Err(_) => {
                self.ending.set(Ending::Failed);
                self.wake();
                return false;
            }
        };
        if !more
            && !self.is_blocked.get()
            && self.ending.get() == Ending::Closing
            && !shard.engine().is_held(self.id)
        {
            self.ending.set(Ending::Flushed);
            self.wake();
        }
        more && !self.is_blocked.get()
    }

    /// Serves the connection to its end.
    pub(crate) async fn serve(self: Rc<Self>, shard: Rc<Shard>) {
        if let Some(lost) = self.live(&shard).await {
            drop(shard.ended(&self, lost));
            return;
        }
        // Boxed, so that the many live connections do not carry the room for their end with them.
        let said = Box::pin(tokio::time::timeout(shard.linger(), self.last_words(&shard))).await;
        let _leaving = shard.ended(&self, ConnectionLost::Failed);
        if said.is_ok() && self.ending.get() == Ending::Flushed {
            Box::pin(self.leave(&shard)).await;
        }
    }

    /// Serves the connection until it is lost, or closed by the engine: `None`.
    async fn live(&self, shard: &Shard) -> Option<ConnectionLost> {
        loop {
            match poll_fn(|context| self.poll_event(context, shard)).await {
                Event::Received(length) => {
                    shard.received(self, length);
                    if length >= READ_BYTES_MAX {
                        // There is more, but the others come first.
                        tokio::task::yield_now().await;
                    }
                }
                Event::Resumed => {
                    shard.received(self, 0);
                    if self.rest.borrow().is_held() && self.reading.get() == Reading::On {
                        self.reading.set(Reading::Resumed);
                        tokio::task::yield_now().await;
                    }
                }
                Event::Writable => shard.has_output(self.id),
                Event::Lost(lost) => return Some(lost),
                Event::Closing => return None,
            }
        }
    }

    /// Waits until the last bytes are written, or cannot be.
    async fn last_words(&self, shard: &Shard) {
        poll_fn(|context| {
            self.remember(context);
            if self.ending.get() != Ending::Closing {
                return Poll::Ready(());
            }
            let mut transport = self.transport.borrow_mut();
            if self.is_blocked.get() && transport.poll_write_ready(context).is_ready() {
                self.is_blocked.set(false);
                shard.has_output(self.id);
            }
            Poll::Pending
        })
        .await;
    }

    /// Gives the engine what was left over and what has just been read into the shard's scratch buffer.
    pub(crate) fn feed(
        &self,
        scratch: &mut [u8],
        length: usize,
        receive: impl FnMut(&[u8]) -> usize,
    ) {
        self.rest.borrow_mut().feed(scratch, length, receive);
    }

    /// Keeps what has just been read until the engine takes input again, but for what `look` takes out of it.
    pub(crate) fn hold(&self, scratch: &[u8], length: usize, look: impl FnOnce(&mut HeldInput)) {
        self.rest.borrow_mut().hold(scratch, length, look);
    }

    fn poll_event(&self, context: &mut Context<'_>, shard: &Shard) -> Poll<Event> {
        self.remember(context);
        match self.ending.get() {
            Ending::Failed => return Poll::Ready(Event::Lost(ConnectionLost::Failed)),
            Ending::Closing | Ending::Flushed => return Poll::Ready(Event::Closing),
            Ending::No => {}
        }
        let mut transport = self.transport.borrow_mut();
        if self.is_blocked.get() && transport.poll_write_ready(context).is_ready() {
            self.is_blocked.set(false);
            return Poll::Ready(Event::Writable);
        }
        match self.reading.get() {
            Reading::PausedAtEnd => return Poll::Pending,
            Reading::Pausing | Reading::Paused
                if !shard.engine().may_hold(self.id, self.rest.borrow().len()) =>
            {
                return Poll::Pending;
            }
            _ if !shard.may_read(self.id) => return Poll::Pending,
            Reading::Pausing => {
                self.reading.set(Reading::Paused);
                return Poll::Ready(Event::Received(0));
            }
            Reading::Resumed => {
                self.reading.set(Reading::On);
                return Poll::Ready(Event::Resumed);
            }
            Reading::On | Reading::Paused => {}
        }
        let mut scratch = shard.scratch();
        let Some(room) = scratch.get_mut(READ_BYTES_MAX..) else { return Poll::Pending };
        let read = ready!(transport.poll_read(context, room));
        match read {
            Ok(length) if length > 0 => Poll::Ready(Event::Received(length)),
            // What it has sent before comes first.
            _ if self.reading.get() == Reading::Paused => {
                self.reading.set(Reading::PausedAtEnd);
                Poll::Pending
            }
            Ok(_) => Poll::Ready(Event::Lost(ConnectionLost::ByPeer)),
            Err(_) => Poll::Ready(Event::Lost(ConnectionLost::Failed)),
        }
    }

    /// Tells the client that all is said and reads on for a moment: see `farewell`.
    async fn leave(&self, shard: &Shard) {
        self.transport.borrow_mut().shut_down_write();
        let drain = async {
            let mut left = LEAVE_BYTES_MAX;
            while left > 0 {
                let read = poll_fn(|context| {
                    let mut scratch = shard.scratch();
                    self.transport.borrow_mut().poll_read(context, &mut scratch)
                });
                match read.await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => left = left.saturating_sub(length),
                }
            }
        };
        // A client works off what it was sent before it comes to the DISCONNECT, and answers meanwhile: each answer
        // to a closed socket would cost it what it has not read yet.
        let time_max = if shard.is_stopping() { LEAVE_TIME_AT_STOP } else { LEAVE_TIME_MAX };
        tokio::time::timeout(time_max, drain).await.unwrap_or_default();
    }

    fn block(&self) {
        self.is_blocked.set(true);
        self.wake();
    }

    /// Lets the task look again at what it waits for.
    pub(crate) fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    fn remember(&self, context: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            *task = Some(context.waker().clone());
        }
    }
}

const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);
const LEAVE_TIME_AT_STOP: Duration = Duration::from_secs(1);
/// Of what the client had already sent, or still sends.
const LEAVE_BYTES_MAX: usize = 2 * 1024 * 1024;
