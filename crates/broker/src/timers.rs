//! What is due when. Armed and disarmed exactly, so that no peer can pile up dead entries.

use std::collections::BTreeSet;

use mqtt::Timestamp;

use crate::identity::{ConnectionId, SessionRef};

/// Something to look at once its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Has the client been heard of?
    KeepAlive(ConnectionId),
    /// Does the receiver still hold its publishers back?
    Pressure(ConnectionId),
    /// May the publisher go on, which has waited for its budget, or for memory?
    Wait(ConnectionId),
    /// Has the closed connection taken its last bytes?
    Linger(ConnectionId),
    /// The will delay is over.
    Will(SessionRef),
    /// The session's time is over.
    SessionExpiry(SessionRef),
    /// May the disk be asked again for what waits there?
    Fetch(SessionRef),
    /// Refusals that were only counted are to be reported.
    Refusals,
    /// An hour is over: permits are forgotten, and publishers noted anew.
    Publishers,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Timestamp, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, at: Option<Timestamp>, timer: Timer) {
        if let Some(at) = at {
            self.due.remove(&(at, timer));
        }
    }

    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        Some(timer)
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}
