//! A TLS session on a socket.
//!
//! The library does no I/O of its own and keeps nothing once its buffers are drained, but for one of 4 KiB that
//! ciphertext goes through. Reads go into the caller's buffer and are decrypted there, so that one system call can
//! fetch many records; writes become records of up to 16 KiB, handed to the system in one call.

use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use rustls::{ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;

use super::pipe;

/// A TLS session after its handshake.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Box<ServerConnection>,
}

impl TlsStream {
    /// The session on its socket.
    pub(crate) fn new(socket: TcpStream, session: Box<ServerConnection>) -> Self {
        Self { socket, session }
    }

    /// The socket and the session.
    pub(super) fn into_parts(self) -> (TcpStream, Box<ServerConnection>) {
        (self.socket, self.session)
    }

    /// The socket, which is to be read and written by this only.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The session: what the handshake has settled.
    pub(crate) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// Reads and writes until the handshake is over. Does not bound its time.
    ///
    /// # Errors
    /// What the socket or the TLS library says. The alert is then on its way.
    pub(crate) async fn shake_hands(&mut self, mut on_hello: impl FnMut()) -> io::Result<()> {
        loop {
            if !self.session.is_handshaking() && self.is_heard_out() {
                return Ok(());
            }
            std::future::poll_fn(|context| self.poll_flush(context)).await?;
            if !self.session.is_handshaking() {
                return Ok(());
            }
            if std::future::poll_fn(|context| self.poll_take(context)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            on_hello();
        }
    }

    /// See [`super::Transport::poll_read`]. A socket that ends without TLS's own goodbye ends here as well: MQTT
    /// and HTTP/1.1 with lengths say themselves where something is complete.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if buffer.len() >= READ_AT_ONCE_BYTES_MIN {
                let count = ready!(self.poll_read_at_once(context, buffer))?;
                if count > 0 {
                    return Poll::Ready(Ok(count));
                }
            } else {
                ready!(self.poll_take(context))?;
            }
        }
    }

    /// See [`super::Transport::try_write`].
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        // The library takes a bounded amount at once, the beginning of the slices.
        let mut rest = [IoSlice::new(&[]); SLICES_MAX];
        for (to, from) in rest.iter_mut().zip(slices) {
            *to = *from;
        }
        let mut rest = rest.as_mut_slice();
        while !rest.is_empty() {
            let count = self.session.writer().write_vectored(rest)?;
            taken += count;
            IoSlice::advance_slices(&mut rest, count);
            // What was encrypted before goes with it, and bounds how much is taken.
            match self.try_flush() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// See [`super::Transport::try_flush`].
    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut ToSocket(&self.socket))?;
        }
        Ok(())
    }

    /// See [`super::Transport::has_pending`].
    pub(super) fn has_pending(&self) -> bool {
        self.session.wants_write()
    }

    /// Sends TLS's own end, as far as the socket takes it now.
    pub(super) fn say_goodbye(&mut self) {
        self.session.send_close_notify();
        self.try_flush().unwrap_or_default();
    }

    /// Whether the client waits for nothing of the handshake any more: in TLS 1.3 what is left is a ticket, which
    /// goes with the first answer.
    fn is_heard_out(&self) -> bool {
        self.session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    /// Takes what one read of the socket gives into the library's own buffer.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut socket = FromSocket { socket: &mut self.socket, context };
        match self.session.read_tls(&mut socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
            Ok(count) => Poll::Ready(self.process().map(|()| count)),
        }
    }

    /// Reads ciphertext into all of the buffer but its beginning, and decrypts it record by record to the beginning.
    /// Plaintext never catches up with ciphertext: of earlier bytes the library holds less than one record.
    fn poll_read_at_once(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let raw = buffer.get_mut(RECORD_BYTES_MAX..).unwrap_or_default();
        let count = ready!(pipe::poll_read(&mut self.socket, context, raw))?;
        if count == 0 {
            // The library is to know of the end too.
            self.session.read_tls(&mut io::empty())?;
            return Poll::Ready(Ok(0));
        }
        let end = RECORD_BYTES_MAX.saturating_add(count);
        let (mut at, mut filled) = (RECORD_BYTES_MAX, 0);
        while at < end {
            let (done, unread) = buffer.split_at_mut(at);
            let mut ciphertext = unread.get(..end.saturating_sub(at)).unwrap_or_default();
            let used = self.session.read_tls(&mut ciphertext)?;
            if used == 0 {
                // TLS's own end came before; what follows it counts for nothing.
                break;
            }
            at = at.saturating_add(used);
            self.process()?;
            filled += self.drain(done.get_mut(filled..).unwrap_or_default())?;
        }
        Poll::Ready(Ok(filled))
    }

    /// Moves plaintext that the library holds.
    fn drain(&mut self, mut to: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !to.is_empty() {
            match self.session.reader().read(to) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    to = to.get_mut(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn process(&mut self) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        if self.session.wants_write() {
            // Alerts and key updates; what the socket does not take now goes with the next write.
            self.try_flush().unwrap_or_default();
        }
        processed.map(|_| ()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The library's view of the socket, to read from.
struct FromSocket<'a, 'b> {
    socket: &'a mut TcpStream,
    context: &'a mut Context<'b>,
}

impl Read for FromSocket<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match pipe::poll_read(self.socket, self.context, buffer) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The library's view of the socket, to write to.
struct ToSocket<'a>(&'a TcpStream);

impl Write for ToSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Slices that one write takes; the rest is for the next.
const SLICES_MAX: usize = 4;
/// More than one TLS record on the wire: 16 KiB, 2 KiB of expansion and a header.
const RECORD_BYTES_MAX: usize = 20 * 1024;
/// Below it, records are read one by one through the library's buffer.
const READ_AT_ONCE_BYTES_MIN: usize = 2 * RECORD_BYTES_MAX;
