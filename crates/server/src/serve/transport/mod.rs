//! How bytes reach a client. The rest of the connection code does not know which it is.
//!
//! A [`Pipe`] carries bytes, in clear or by TLS; a [`Transport`] carries MQTT, on a pipe or in the WebSocket frames on one.
//! None of them waits or owns a task, and none keeps a buffer while it is idle. A connection can be taken from the runtime
//! that accepted it to the one that serves it.

mod frames;
mod pipe;
mod tls;
mod websocket;

use std::io;
use std::task::{Context, Poll};

pub(crate) use pipe::{DetachedPipe, Pipe};
pub(crate) use tls::TlsStream;
pub(crate) use websocket::WebSocket;

/// A connection that carries MQTT, on the runtime that serves it.
pub(crate) enum Transport {
    /// MQTT directly on TCP or TLS.
    Direct(Pipe),
    /// In WebSocket frames.
    WebSocket(Box<WebSocket<Pipe>>),
}

/// A connection on its way from one runtime to another.
pub(crate) enum Detached {
    /// MQTT directly on TCP or TLS.
    Direct(DetachedPipe),
    /// In WebSocket frames.
    WebSocket(Box<WebSocket<DetachedPipe>>),
}

impl Transport {
    /// Whether nothing but TCP is under it, which needs no farewell of its own.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self, Transport::Direct(Pipe::Tcp(_)))
    }

    /// Registers the connection with the current runtime.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub(crate) fn adopt(detached: Detached) -> io::Result<Self> {
        match detached {
            Detached::Direct(pipe) => Pipe::adopt(pipe).map(Self::Direct),
            Detached::WebSocket(socket) => {
                socket.try_map(Pipe::adopt).map(|socket| Self::WebSocket(Box::new(socket)))
            }
        }
    }

    /// Takes the connection away from the current runtime.
    ///
    /// # Errors
    /// The runtime cannot let go of it.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Direct(pipe) => pipe.detach().map(Detached::Direct),
            Self::WebSocket(socket) => {
                socket.try_map(Pipe::detach).map(|socket| Detached::WebSocket(Box::new(socket)))
            }
        }
    }

    /// Reads what is there, at most `buffer`; 0 is the end. A short read also tells the runtime that there is no more,
    /// which saves the system call that would find that out.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Direct(pipe) => pipe.poll_read(context, buffer),
            Self::WebSocket(socket) => socket.poll_read(context, buffer),
        }
    }

    /// Whether a write that would have blocked is worth another try.
    pub(crate) fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Direct(pipe) => pipe.poll_write_ready(context),
            Self::WebSocket(socket) => socket.poll_write_ready(context),
        }
    }

    /// Takes what can be taken now. What is taken may still wait here: see [`Transport::has_pending`].
    ///
    /// # Errors
    /// `WouldBlock` if that is nothing; all others are the end of the connection.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Direct(pipe) => pipe.try_write(&[io::IoSlice::new(bytes)]),
            Self::WebSocket(socket) => socket.try_write(bytes),
        }
    }

    /// Hands what waits here to the system.
    ///
    /// # Errors
    /// `WouldBlock` if some of it still waits; all others are the end of the connection.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Direct(pipe) => pipe.try_flush(),
            Self::WebSocket(socket) => socket.try_flush(),
        }
    }

    /// Whether bytes that were taken wait here, encrypted or framed. A bounded number ever does.
    pub(crate) fn has_pending(&self) -> bool {
        match self {
            Self::Direct(pipe) => pipe.has_pending(),
            Self::WebSocket(socket) => socket.has_pending(),
        }
    }

    /// Says that no more bytes will come, in the words of every layer.
    pub(crate) fn shut_down_write(&mut self) {
        match self {
            Self::Direct(pipe) => pipe.shut_down_write(),
            Self::WebSocket(socket) => socket.shut_down_write(),
        }
    }
}
