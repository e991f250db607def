//! One non-blocking connection with a buffer each way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use super::BenchError;
use super::poller::{Interest, Poller};

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// Its number with the poller.
    number: usize,
    input: Box<[u8]>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
    is_blocked: bool,
    /// The broker has closed it, or it has failed.
    pub(super) is_lost: bool,
}

impl Wire {
    pub(super) fn new(
        stream: TcpStream,
        number: usize,
        poller: &Poller,
    ) -> Result<Wire, BenchError> {
        let failed = || BenchError::io("socket");
        stream.set_nonblocking(true).map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        poller.add(&stream, number, Interest::Read)?;
        Ok(Wire {
            stream,
            number,
            input: vec![0; BUFFER_BYTES].into(),
            filled: 0,
            output: Vec::new(),
            written: 0,
            is_blocked: false,
            is_lost: false,
        })
    }

    /// Reads once and hands all whole packets to `take`, which returns how many bytes it used.
    pub(super) fn read(
        &mut self,
        take: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<usize, BenchError>,
    ) -> Result<(), BenchError> {
        let room = self.input.get_mut(self.filled..).unwrap_or_default();
        if room.is_empty() {
            return Err(BenchError::Broker("a packet is larger than the buffer for it".to_owned()));
        }
        match self.stream.read(room) {
            Ok(0) => self.is_lost = true,
            Ok(length) => self.filled += length,
            Err(error) if is_passing(&error) => {}
            Err(_) => self.is_lost = true,
        }
        let used = take(self.input.get(..self.filled).unwrap_or_default(), &mut self.output)?;
        self.input.copy_within(used..self.filled, 0);
        self.filled -= used;
        Ok(())
    }

    /// Where packets are appended; [`Wire::flush`] sends them.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes that may be appended now without piling up what the broker does not take.
    pub(super) fn room(&self) -> usize {
        if self.is_blocked || self.is_lost {
            return 0;
        }
        BUFFER_BYTES.saturating_sub(self.output.len())
    }

    /// Writes what there is, and asks the poller for more room if it was too much.
    pub(super) fn flush(&mut self, poller: &Poller) -> Result<(), BenchError> {
        while !self.is_lost {
            let left = self.output.get(self.written..).unwrap_or_default();
            if left.is_empty() {
                self.output.clear();
                self.written = 0;
                return self.block(false, poller);
            }
            match self.stream.write(left) {
                Ok(written) => self.written += written,
                Err(error) if is_passing(&error) => return self.block(true, poller),
                Err(_) => self.is_lost = true,
            }
        }
        Ok(())
    }

    fn block(&mut self, is_blocked: bool, poller: &Poller) -> Result<(), BenchError> {
        if self.is_blocked == is_blocked {
            return Ok(());
        }
        self.is_blocked = is_blocked;
        let interest = if is_blocked { Interest::ReadAndWrite } else { Interest::Read };
        poller.change(&self.stream, self.number, interest)
    }
}

/// Whether the call may be made again.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Bytes read at once, and written.
const BUFFER_BYTES: usize = 64 << 10;
