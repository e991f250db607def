//! One non-blocking connection with a buffer each way.

use std::io::{Read, Write};

use super::BenchError;
use super::line::{Line, is_passing};
use super::poller::{Interest, Poller};

#[derive(Debug)]
pub(super) struct Wire {
    line: Line,
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
    pub(super) fn new(line: Line, number: usize, poller: &Poller) -> Result<Wire, BenchError> {
        let failed = || BenchError::io("socket");
        line.socket().set_nonblocking(true).map_err(failed())?;
        line.socket().set_nodelay(true).map_err(failed())?;
        poller.add(&line, number, Interest::Read)?;
        Ok(Wire {
            line,
            number,
            input: vec![0; BUFFER_BYTES].into(),
            filled: 0,
            output: Vec::new(),
            written: 0,
            is_blocked: false,
            is_lost: false,
        })
    }

    /// Reads and hands all whole packets to `take`, which returns how many bytes it used. Without TLS one read a turn;
    /// with it until there is nothing more, for what is decrypted already wakes nobody.
    pub(super) fn read(
        &mut self,
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, BenchError>,
    ) -> Result<(), BenchError> {
        loop {
            let room = self.input.get_mut(self.filled..).unwrap_or_default();
            if room.is_empty() {
                let reason = "a packet is larger than the buffer for it";
                return Err(BenchError::Broker(reason.to_owned()));
            }
            let before = self.filled;
            match self.line.read(room) {
                Ok(0) => self.is_lost = true,
                Ok(length) => self.filled += length,
                Err(error) if is_passing(&error) => {}
                Err(_) => self.is_lost = true,
            }
            let is_more = self.filled > before && self.line.is_tls();
            let used = take(self.input.get(..self.filled).unwrap_or_default(), &mut self.output)?;
            self.input.copy_within(used..self.filled, 0);
            self.filled -= used;
            if !is_more {
                return Ok(());
            }
        }
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
                return match self.line.flush() {
                    Ok(()) => self.block(false, poller),
                    Err(error) if is_passing(&error) => self.block(true, poller),
                    Err(_) => {
                        self.is_lost = true;
                        Ok(())
                    }
                };
            }
            match self.line.write(left) {
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
        poller.change(&self.line, self.number, interest)
    }
}

/// Bytes read at once, and written.
const BUFFER_BYTES: usize = 64 << 10;
