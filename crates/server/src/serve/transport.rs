//! How bytes reach a client. The rest of the connection code does not know which it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// A connection on the runtime that serves it.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
}

/// A connection on its way from one runtime to another.
#[derive(Debug)]
pub(crate) enum Detached {
    /// Plain TCP.
    Tcp(std::net::TcpStream),
}

impl Transport {
    /// Registers the connection with the current runtime.
    ///
    /// # Errors
    /// The runtime cannot take it.
    pub(crate) fn adopt(detached: Detached) -> io::Result<Self> {
        match detached {
            Detached::Tcp(stream) => TcpStream::from_std(stream).map(Self::Tcp),
        }
    }

    /// Takes the connection away from the current runtime.
    ///
    /// # Errors
    /// The runtime cannot let go of it.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Detached::Tcp),
        }
    }

    /// Reads what is there, at most `buffer`; 0 is the end. A short read also tells the runtime that there is no more,
    /// which saves the system call that would find that out.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Whether a write that would have blocked is worth another try.
    pub(crate) fn poll_write_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
        }
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock` if that is nothing; all others are the end of the connection.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }

    /// Says that no more bytes will come.
    pub(crate) fn shut_down_write(&mut self) {
        match self {
            // It fails only on a connection that is already gone.
            Self::Tcp(stream) => drop(SockRef::from(&*stream).shutdown(std::net::Shutdown::Write)),
        }
    }
}
