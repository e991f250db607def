//! A stream of bytes, in clear or by TLS.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::TlsStream;

/// A stream of bytes on the current runtime.
pub(crate) enum Pipe {
    /// In clear.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream>),
}

/// A stream of bytes that no runtime has.
pub(crate) enum DetachedPipe {
    /// In clear.
    Tcp(std::net::TcpStream),
    /// Encrypted.
    Tls(std::net::TcpStream, Box<ServerConnection>),
}

impl Pipe {
    /// Registers the stream with the current runtime.
    pub(super) fn adopt(detached: DetachedPipe) -> io::Result<Self> {
        match detached {
            DetachedPipe::Tcp(socket) => TcpStream::from_std(socket).map(Self::Tcp),
            DetachedPipe::Tls(socket, session) => {
                let stream = TlsStream::new(TcpStream::from_std(socket)?, session);
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// Takes the stream away from the current runtime.
    pub(super) fn detach(self) -> io::Result<DetachedPipe> {
        match self {
            Self::Tcp(socket) => socket.into_std().map(DetachedPipe::Tcp),
            Self::Tls(stream) => {
                let (socket, session) = stream.into_parts();
                Ok(DetachedPipe::Tls(socket.into_std()?, session))
            }
        }
    }

    /// See [`super::Transport::poll_read`].
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => poll_read(socket, context, buffer),
            Self::Tls(stream) => stream.poll_read(context, buffer),
        }
    }

    /// See [`super::Transport::poll_write_ready`].
    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_write_ready(context)
    }

    /// See [`super::Transport::try_write`].
    pub(crate) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            Self::Tls(stream) => stream.try_write(slices),
        }
    }

    /// See [`super::Transport::try_flush`].
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(stream) => stream.try_flush(),
        }
    }

    /// See [`super::Transport::has_pending`].
    pub(crate) fn has_pending(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.has_pending(),
        }
    }

    /// See [`super::Transport::shut_down_write`].
    pub(crate) fn shut_down_write(&mut self) {
        if let Self::Tls(stream) = self {
            stream.say_goodbye();
        }
        // It fails only on a connection that is already gone.
        drop(SockRef::from(self.socket()).shutdown(Shutdown::Write));
    }

    /// Bounds the time for which the peer may leave bytes unacknowledged, or take none.
    pub(crate) fn limit_unacknowledged(&self, time: Option<Duration>) {
        // Where the system does not know it, the bound is not there.
        SockRef::from(self.socket()).set_tcp_user_timeout(time).unwrap_or_default();
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }
}

/// For the HTTP library, which wants its streams so.
impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pipe::poll_read(&mut self, context, buffer.initialize_unfilled());
        read.map_ok(|count| buffer.advance(count))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.poll_write_ready(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.poll_write_ready(context))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(context))?;
        self.shut_down_write();
        Poll::Ready(Ok(()))
    }
}

/// Reads from a socket; a short read tells the runtime that there is no more.
pub(super) fn poll_read(
    socket: &mut TcpStream,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    let read = Pin::new(socket).poll_read(context, &mut buffer);
    read.map_ok(|()| buffer.filled().len())
}
