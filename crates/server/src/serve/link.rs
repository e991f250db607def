//! One client's connection on its shard: bytes in to the engine, bytes out from it.
//!
//! A connection reads when it has its turn (`turns.rs`). Writing is done by the shard's flusher once a round for all connections
//! that have something to say; the connection takes part only when the socket would block. It has a task of its own for its
//! end alone.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use broker::{ConnectionId, ConnectionLost, HeldInput};
use pki::PeerIdentity;

use super::intake::Seat;
use super::remainder::{READ_BYTES_MAX, Remainder};
use super::shard::Shard;
use super::transport::Transport;
use super::turns::Turn;

/// One connection.
pub(crate) struct Link {
    id: ConnectionId,
    transport: RefCell<Transport>,
    rest: Cell<Remainder>,
    /// What gives it a turn.
    turn: Arc<Turn>,
    /// The task of its end, once it has come to that.
    task: OnceCell<Waker>,
    /// The last write would have blocked.
    is_blocked: Cell<bool>,
    /// The certificate that its client has proven itself by.
    identity: Option<Box<PeerIdentity>>,
    reading: Cell<Reading>,
    ending: Cell<Ending>,
    _seat: Seat,
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
    /// It has no turns any more.
    Over,
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

/// How a connection is left when its turn is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Something has to happen first.
    Waits,
    /// It may have more, but the others come first.
    HasMore,
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
        turn: Arc<Turn>,
        seat: Seat,
        identity: Option<Box<PeerIdentity>>,
    ) -> Rc<Self> {
        let reading = if rest.is_empty() { Reading::On } else { Reading::Resumed };
        Rc::new(Self {
            id,
            transport: RefCell::new(transport),
            rest: Cell::new(rest),
            turn,
            task: OnceCell::new(),
            is_blocked: Cell::new(false),
            identity,
            reading: Cell::new(reading),
            ending: Cell::new(Ending::No),
            _seat: seat,
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
        if matches!(self.reading.get(), Reading::On | Reading::Resumed) {
            self.reading.set(Reading::Pausing);
            self.wake();
        }
    }

    fn is_paused(&self) -> bool {
        matches!(self.reading.get(), Reading::Pausing | Reading::Paused | Reading::PausedAtEnd)
    }

    /// The engine takes input again.
    pub(crate) fn resume(&self) {
        if self.reading.get() != Reading::Over {
            self.reading.set(Reading::Resumed);
            self.wake();
        }
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

    /// Its turn: reads once, and learns what else there is. A connection that ends is left to a task of its own.
    pub(crate) fn take_turn(self: &Rc<Self>, shard: &Rc<Shard>) -> After {
        self.turn.begin();
        if self.reading.get() == Reading::Over {
            return After::Waits;
        }
        let waker = Waker::from(Arc::clone(&self.turn));
        let mut context = Context::from_waker(&waker);
        while let Poll::Ready(event) = self.poll_event(&mut context, shard) {
            match event {
                Event::Received(length) => {
                    shard.received(self, length);
                    if length >= READ_BYTES_MAX {
                        return After::HasMore;
                    }
                }
                Event::Resumed => {
                    shard.received(self, 0);
                    if self.reading.get() == Reading::On && self.look(Remainder::is_held) {
                        self.reading.set(Reading::Resumed);
                        return After::HasMore;
                    }
                }
                Event::Writable => shard.has_output(self.id),
                Event::Lost(lost) => {
                    self.reading.set(Reading::Over);
                    drop(shard.ended(self, lost));
                    return After::Waits;
                }
                Event::Closing => {
                    self.reading.set(Reading::Over);
                    tokio::task::spawn_local(Rc::clone(self).close_gently(Rc::clone(shard)));
                    return After::Waits;
                }
            }
        }
        After::Waits
    }

    /// The engine has closed it: sees to its last bytes. It does not count as a connection any more, so when there are as many as
    /// there may be it gets no time: whoever takes over its own one again and again would have many sockets.
    async fn close_gently(self: Rc<Self>, shard: Rc<Shard>) {
        let is_full = shard.engine().is_full();
        let linger = if is_full { Duration::ZERO } else { shard.linger() };
        let said = tokio::time::timeout(linger, self.last_words(&shard)).await;
        let _leaving = shard.ended(&self, ConnectionLost::Failed);
        if said.is_ok() && self.ending.get() == Ending::Flushed && !is_full {
            self.leave(&shard).await;
        }
    }

    /// Waits until the last bytes are written, or cannot be.
    async fn last_words(&self, shard: &Shard) {
        poll_fn(|context| {
            self.task.get_or_init(|| context.waker().clone());
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
        let mut rest = self.rest.take();
        rest.feed(scratch, length, receive);
        self.rest.set(rest);
    }

    /// Keeps what has just been read until the engine takes input again, but for what `look` takes out of it.
    pub(crate) fn hold(&self, scratch: &[u8], length: usize, look: impl FnOnce(&mut HeldInput)) {
        let mut rest = self.rest.take();
        rest.hold(scratch, length, look);
        self.rest.set(rest);
    }

    /// How much of its input is held back; `None`: it is not.
    pub(crate) fn held_bytes(&self) -> Option<usize> {
        self.look(|rest| rest.is_held().then(|| rest.len()))
    }

    /// Looks at what is left over.
    fn look<T>(&self, at: impl FnOnce(&Remainder) -> T) -> T {
        let rest = self.rest.take();
        let seen = at(&rest);
        self.rest.set(rest);
        seen
    }

    fn poll_event(&self, context: &mut Context<'_>, shard: &Shard) -> Poll<Event> {
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
            Reading::PausedAtEnd | Reading::Over => return Poll::Pending,
            Reading::Pausing | Reading::Paused
                if !shard.engine().may_hold(self.id, self.look(Remainder::len)) =>
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
            // What it has sent before comes first. It may be held back since just now.
            _ if self.reading.get() == Reading::Paused || shard.engine().is_held_back(self.id) => {
                self.reading.set(Reading::PausedAtEnd);
                Poll::Ready(Event::Received(0))
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

    /// Lets it look again at what it waits for.
    pub(crate) fn wake(&self) {
        match self.task.get() {
            Some(task) => task.wake_by_ref(),
            None => self.turn.wake_by_ref(),
        }
    }
}

const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);
const LEAVE_TIME_AT_STOP: Duration = Duration::from_secs(1);
/// Of what the client had already sent, or still sends.
const LEAVE_BYTES_MAX: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::{Link, Turn};

    #[test]
    fn an_idle_connection_takes_little_memory() {
        // Both are counted, which takes 16 bytes, and an allocation 8 more, in steps of 16.
        assert!(size_of::<Link>() <= 152, "{}", size_of::<Link>());
        assert!(size_of::<Turn>() <= 24, "{}", size_of::<Turn>());
    }
}
