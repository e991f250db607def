//! Which sockets are ready: `epoll`, level-triggered, with a number for each socket.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::BenchError;

pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What to wait for on a socket, besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    Read,
    ReadAndWrite,
}

impl Poller {
    pub(super) fn new() -> Result<Poller, BenchError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        Ok(Poller { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub(super) fn add(
        &self,
        socket: impl AsFd,
        number: usize,
        interest: Interest,
    ) -> Result<(), BenchError> {
        epoll::add(&self.epoll, socket, data(number), interest.flags()).map_err(failed)
    }

    pub(super) fn change(
        &self,
        socket: impl AsFd,
        number: usize,
        interest: Interest,
    ) -> Result<(), BenchError> {
        epoll::modify(&self.epoll, socket, data(number), interest.flags()).map_err(failed)
    }

    /// Forgets a socket that stays open.
    pub(super) fn remove(&self, socket: impl AsFd) -> Result<(), BenchError> {
        epoll::delete(&self.epoll, socket).map_err(failed)
    }

    /// Waits for at most `timeout` and puts the numbers of those sockets that are ready into `ready`.
    pub(super) fn wait(
        &mut self,
        timeout: Duration,
        ready: &mut Vec<usize>,
    ) -> Result<(), BenchError> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
        ready.clear();
        ready.extend(self.events.iter().filter_map(|event| usize::try_from(event.data.u64()).ok()));
        Ok(())
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Read => EventFlags::IN,
            Interest::ReadAndWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

fn data(number: usize) -> EventData {
    EventData::new_u64(u64::try_from(number).unwrap_or(u64::MAX))
}

fn failed(error: rustix::io::Errno) -> BenchError {
    BenchError::Io { what: "epoll".to_owned(), error: error.into() }
}

const EVENTS_MAX: usize = 1_024;
