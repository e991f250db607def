//! A connection to the broker, with or without TLS: bytes out, bytes in, on a blocking or a non-blocking socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::{ClientConnection, HandshakeKind};

use super::tls::Tls;

/// A socket and what is spoken on it.
#[derive(Debug)]
pub(super) struct Line {
    socket: TcpStream,
    tls: Option<Box<Session>>,
}

#[derive(Debug)]
struct Session {
    connection: ClientConnection,
    /// What was read from the socket and not yet taken in.
    raw: Vec<u8>,
    taken: usize,
}

impl Line {
    /// Puts TLS on a socket, if there is any; it need not be connected yet.
    pub(super) fn new(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Line> {
        let session = |tls: &Tls| {
            let connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
            let connection = connection.map_err(io::Error::other)?;
            Ok::<_, io::Error>(Box::new(Session { connection, raw: Vec::new(), taken: 0 }))
        };
        Ok(Line { socket, tls: tls.map(session).transpose()? })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether TLS is spoken on it.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether it went on with a session from before, once the handshake is over.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| {
            session.connection.handshake_kind() == Some(HandshakeKind::Resumed)
        })
    }

    /// Whether bytes of TLS wait for the socket.
    pub(super) fn has_pending(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.connection.wants_write())
    }

    /// Sends what TLS has to say.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.tls else { return Ok(()) };
        while session.connection.wants_write() {
            session.connection.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Write for Line {
    /// With TLS, what is taken is on its way once [`Line::has_pending`] says no.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.tls else { return self.socket.write(bytes) };
        if session.connection.wants_write() && !session.connection.is_handshaking() {
            self.flush()?;
        }
        let Some(session) = &mut self.tls else { return Ok(0) };
        let written = session.connection.writer().write(bytes)?;
        match Line::flush(self) {
            Ok(()) => Ok(written),
            Err(error) if is_passing(&error) || error.kind() == ErrorKind::NotConnected => {
                Ok(written)
            }
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Line::flush(self)
    }
}

impl Read for Line {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.tls else { return self.socket.read(room) };
        loop {
            match session.connection.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.taken == session.raw.len() {
                session.raw.resize(RAW_BYTES, 0);
                session.taken = 0;
                let read = self.socket.read(&mut session.raw);
                session.raw.truncate(read.as_ref().copied().unwrap_or(0));
                if read? == 0 {
                    return Ok(0);
                }
            }
            let mut rest = session.raw.get(session.taken..).unwrap_or_default();
            session.taken += session.connection.read_tls(&mut rest)?;
            session.connection.process_new_packets().map_err(io::Error::other)?;
            while session.connection.wants_write() {
                match session.connection.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if is_passing(&error) => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Whether the call may be made again.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

const RAW_BYTES: usize = 16 << 10;
