//! MQTT in WebSocket frames, on a pipe that was upgraded from HTTP.
//!
//! Each batch of output is one binary frame; input is decoded where it was read. While nothing waits, a connection
//! holds no memory but the place in the frame that is being read.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::frames::{CLOSE_NORMAL, Decoder, OutgoingHeader, close};
use super::pipe::Pipe;

/// The server's end of a WebSocket.
pub(crate) struct WebSocket<P> {
    pipe: P,
    decoder: Decoder,
    /// What came with the HTTP request.
    early: Vec<u8>,
    /// Bytes that were taken and that the pipe did not take yet: the rest of one frame, and answers to control frames.
    waiting: Vec<u8>,
    is_close_sent: bool,
}

impl<P> WebSocket<P> {
    /// On a pipe, with what was already read from it.
    pub(crate) fn new(pipe: P, early: Vec<u8>) -> Self {
        let decoder = Decoder::default();
        Self { pipe, decoder, early, waiting: Vec::new(), is_close_sent: false }
    }

    /// The same on what `map` makes of the pipe.
    pub(super) fn try_map<Q>(
        self,
        map: impl FnOnce(P) -> io::Result<Q>,
    ) -> io::Result<WebSocket<Q>> {
        let Self { pipe, decoder, early, waiting, is_close_sent } = self;
        Ok(WebSocket { pipe: map(pipe)?, decoder, early, waiting, is_close_sent })
    }
}

impl WebSocket<Pipe> {
    /// See [`super::Transport::poll_read`].
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..FRAMES_A_TURN {
            if self.decoder.is_closed() {
                return Poll::Ready(Ok(0));
            }
            if self.has_pending() && self.pipe.poll_write_ready(context).is_ready() {
                self.flush_what_fits()?;
            }
            let count = match self.take_early(buffer) {
                0 => ready!(self.pipe.poll_read(context, buffer))?,
                count => count,
            };
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            let received = buffer.get_mut(..count).unwrap_or_default();
            let decoded = self.decoder.decode(received, &mut self.waiting);
            let filled = decoded.map_err(|violation| {
                self.close(violation.code);
                io::Error::new(io::ErrorKind::InvalidData, violation)
            })?;
            self.is_close_sent |= self.decoder.is_closed();
            self.flush_what_fits()?;
            if filled > 0 {
                return Poll::Ready(Ok(filled));
            }
        }
        // Headers and control frames only: the others come first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// See [`super::Transport::poll_write_ready`].
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_write_ready(context)
    }

    /// See [`super::Transport::try_write`].
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_flush()?;
        if self.is_close_sent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        let mut rest = bytes;
        while let Some((payload, behind)) = rest.split_at_checked(rest.len().min(FRAME_BYTES_MAX))
            && !payload.is_empty()
        {
            let header = OutgoingHeader::binary(payload.len());
            let header = header.as_slice();
            let slices = [IoSlice::new(header), IoSlice::new(payload)];
            let written = match self.pipe.try_write(&slices) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => break,
                Err(error) => return Err(error),
            };
            // A frame that was begun must be ended with what it was begun with, whatever becomes of the output meanwhile.
            let of_payload = written.saturating_sub(header.len());
            self.waiting.extend_from_slice(header.get(written..).unwrap_or_default());
            self.waiting.extend_from_slice(payload.get(of_payload..).unwrap_or_default());
            taken += payload.len();
            rest = behind;
            if !self.waiting.is_empty() {
                break;
            }
        }
        Ok(taken)
    }

    /// See [`super::Transport::try_flush`].
    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let flushed = loop {
            let rest = self.waiting.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break self.pipe.try_flush();
            }
            match self.pipe.try_write(&[IoSlice::new(rest)]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written = written.saturating_add(count),
                Err(error) => break Err(error),
            }
        };
        if written >= self.waiting.len() {
            self.waiting = Vec::new();
        } else {
            self.waiting.drain(..written);
        }
        flushed
    }

    /// See [`super::Transport::has_pending`].
    pub(super) fn has_pending(&self) -> bool {
        !self.waiting.is_empty() || self.pipe.has_pending()
    }

    /// See [`super::Transport::shut_down_write`].
    pub(super) fn shut_down_write(&mut self) {
        self.close(CLOSE_NORMAL);
        self.pipe.shut_down_write();
    }

    /// Sends a close frame, as far as the pipe takes it now.
    fn close(&mut self, code: u16) {
        if !self.is_close_sent {
            self.is_close_sent = true;
            self.waiting.extend_from_slice(&close(code));
        }
        self.try_flush().unwrap_or_default();
    }

    fn flush_what_fits(&mut self) -> io::Result<()> {
        match self.try_flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    fn take_early(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.early.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.early.get(..count)) {
            to.copy_from_slice(from);
        }
        if count == self.early.len() {
            self.early = Vec::new();
        } else {
            self.early.drain(..count);
        }
        count
    }
}

/// Reads that may yield nothing of the stream before the others have their turn.
const FRAMES_A_TURN: usize = 16;
/// The payload of one frame: as much as the TLS library takes at once.
const FRAME_BYTES_MAX: usize = 64 * 1024;
