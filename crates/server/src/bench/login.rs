//! Many logins at once, each a connection of its own: connect, CONNECT, CONNACK, and then stay or leave.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mqtt::{Decoded, Packet, ReasonCode};
use socket2::{Domain, Socket, Type};

use super::BenchError;
use super::dialog::{Dialog, decode};
use super::histogram::Histogram;
use super::line::{Line, is_passing};
use super::poller::{Interest, Poller};
use super::process::Watched;
use super::say;
use super::stopwatch::{Seconds, Stopwatch};
use super::target::{Account, Stay};

/// How many, how many at a time, and what then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) logins: u32,
    pub(super) concurrency: u32,
    pub(super) then: Then,
    pub(super) on_failure: OnFailure,
    pub(super) is_quiet: bool,
}

/// What a client does when it is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It disconnects, and waits for the broker to close the connection.
    Leave,
    /// It stays.
    Hold,
}

/// What becomes of a client whose connection failed before CONNACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// It counts as failed.
    Count,
    /// It waits for a moment and comes again, as real clients do.
    ComeAgain,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) logins: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    /// Attempts that failed and were made again.
    pub(super) repeated: u64,
    pub(super) elapsed_us: u64,
    pub(super) latency: Histogram,
    /// Handshakes that went on with a session from before.
    pub(super) resumed: u64,
    pub(super) held: Vec<Line>,
}

/// Connections under way, by the poller's number.
struct Logins<'a> {
    account: &'a Account,
    plan: Plan,
    clock: Stopwatch,
    poller: Poller,
    slots: Vec<Option<Attempt>>,
    /// Clients that come again: when, in which slot, and who.
    again: VecDeque<(u64, usize, u32)>,
    begun: u32,
    under_way: u32,
    outcome: Outcome,
}

struct Attempt {
    line: Line,
    client: u32,
    began_ns: u64,
    /// What is still to be sent.
    output: Vec<u8>,
    input: Vec<u8>,
    is_sending: bool,
    is_leaving: bool,
}

/// How an attempt stands.
enum Step {
    Waits,
    LoggedIn,
    Refused,
    Failed,
    Left,
}

/// One login before the measurement, so that the broker has seen the password once.
pub(super) fn warm_up(account: &Account) -> Result<(), BenchError> {
    Dialog::log_in(account, "warm-up").map(drop)
}

/// Does all of them.
pub(super) fn run(
    account: &Account,
    plan: Plan,
    broker: &mut Option<Watched>,
) -> Result<Outcome, BenchError> {
    let clock = Stopwatch::start();
    let outcome = Outcome {
        logins: 0,
        refused: 0,
        failed: 0,
        repeated: 0,
        elapsed_us: 0,
        latency: Histogram::new(),
        resumed: 0,
        held: Vec::new(),
    };
    let concurrency = usize::try_from(plan.concurrency.max(1)).unwrap_or(usize::MAX);
    let slots = std::iter::repeat_with(|| None).take(concurrency).collect();
    let poller = Poller::new()?;
    let again = VecDeque::new();
    let mut logins =
        Logins { account, plan, clock, poller, slots, again, begun: 0, under_way: 0, outcome };
    logins.run(broker)?;
    Ok(logins.outcome)
}

impl Logins<'_> {
    fn run(&mut self, broker: &mut Option<Watched>) -> Result<(), BenchError> {
        let mut seconds = Seconds::default();
        let (mut last_event_ns, mut ready) = (0, Vec::new());
        let mut unbegun = 0..self.slots.len();
        while self.under_way > 0 || !unbegun.is_empty() {
            // Those that are through with connecting speak before the next begin, as if each were a machine of its own.
            for slot in unbegun.by_ref().take(BURST) {
                self.begin(slot)?;
            }
            let timeout = if unbegun.is_empty() { TURN } else { Duration::ZERO };
            self.poller.wait(timeout, &mut ready)?;
            let now_ns = self.clock.ns();
            while let Some((_, slot, client)) = self.again.pop_front_if(|it| it.0 <= now_ns) {
                self.begin_client(slot, client)?;
            }
            if !ready.is_empty() {
                last_event_ns = now_ns;
            } else if now_ns.saturating_sub(last_event_ns) > STALL_NS {
                self.outcome.failed += u64::from(self.under_way);
                return Err(BenchError::Broker(format!(
                    "the broker has not answered for ten seconds: {} logins, {} under way",
                    self.outcome.logins, self.under_way
                )));
            }
            for slot in ready.drain(..) {
                self.go_on(slot)?;
            }
            if seconds.has_passed(now_ns) {
                if let Some(broker) = broker {
                    broker.look();
                }
                if !self.plan.is_quiet {
                    say(&format!("{} s: {} logins", now_ns / 1_000_000_000, self.outcome.logins));
                }
            }
        }
        self.outcome.elapsed_us = self.clock.us();
        Ok(())
    }

    /// Begins the next login in this slot, if there is one to do.
    fn begin(&mut self, slot: usize) -> Result<(), BenchError> {
        if self.begun >= self.plan.logins {
            return Ok(());
        }
        self.begun += 1;
        self.under_way += 1;
        self.begin_client(slot, self.begun)
    }

    fn begin_client(&mut self, slot: usize, client: u32) -> Result<(), BenchError> {
        let began_ns = self.clock.ns();
        let output = self.account.connect(&format!("c{client}"), Stay::Ended);
        let stream = connect(self.account).map_err(BenchError::io("connect"))?;
        let line = Line::new(stream, self.account.tls.as_ref()).map_err(BenchError::io("TLS"))?;
        self.poller.add(&line, slot, Interest::ReadAndWrite)?;
        let attempt = Attempt {
            line,
            client,
            began_ns,
            output,
            input: Vec::new(),
            is_sending: true,
            is_leaving: false,
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(attempt);
        }
        Ok(())
    }

    fn go_on(&mut self, slot: usize) -> Result<(), BenchError> {
        let Some(attempt) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(());
        };
        if attempt.is_sending {
            if !attempt.send() {
                return self.fail(slot);
            }
            if attempt.output.is_empty() && !attempt.line.has_pending() {
                attempt.is_sending = false;
                self.poller.change(&attempt.line, slot, Interest::Read)?;
            }
            return Ok(());
        }
        match attempt.receive(self.account)? {
            Step::Waits => Ok(()),
            Step::Refused => self.end(slot, |outcome| outcome.refused += 1),
            Step::Failed => self.fail(slot),
            Step::Left => self.end(slot, |_| {}),
            Step::LoggedIn => {
                let spent_ns = self.clock.ns().saturating_sub(attempt.began_ns);
                self.outcome.latency.record(spent_ns);
                self.outcome.logins += 1;
                self.outcome.resumed += u64::from(attempt.line.is_resumed());
                if self.plan.then == Then::Hold {
                    return self.hold(slot);
                }
                attempt.is_leaving = true;
                attempt.output.extend_from_slice(&DISCONNECT);
                // A few bytes always fit into the buffer of a socket whose peer has read everything.
                let _sent = attempt.send();
                Ok(())
            }
        }
    }

    fn fail(&mut self, slot: usize) -> Result<(), BenchError> {
        if self.plan.on_failure == OnFailure::Count {
            return self.end(slot, |outcome| outcome.failed += 1);
        }
        if let Some(attempt) = self.slots.get_mut(slot).and_then(Option::take) {
            self.outcome.repeated += 1;
            self.again.push_back((self.clock.ns() + PAUSE_NS, slot, attempt.client));
        }
        Ok(())
    }

    fn end(&mut self, slot: usize, count: impl FnOnce(&mut Outcome)) -> Result<(), BenchError> {
        count(&mut self.outcome);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
        self.under_way -= 1;
        self.begin(slot)
    }

    fn hold(&mut self, slot: usize) -> Result<(), BenchError> {
        if let Some(attempt) = self.slots.get_mut(slot).and_then(Option::take) {
            self.poller.remove(&attempt.line)?;
            self.outcome.held.push(attempt.line);
        }
        self.under_way -= 1;
        self.begin(slot)
    }
}

impl Attempt {
    /// False if the connection has failed.
    fn send(&mut self) -> bool {
        let sent = if self.output.is_empty() {
            self.line.flush().map(|()| 0)
        } else {
            self.line.write(&self.output)
        };
        match sent {
            Ok(written) => {
                self.output.drain(..written);
                true
            }
            Err(error) => is_passing(&error) || error.kind() == ErrorKind::NotConnected,
        }
    }

    fn receive(&mut self, account: &Account) -> Result<Step, BenchError> {
        let mut room = [0; 512];
        let length = match self.line.read(&mut room) {
            Err(error) if is_passing(&error) => return Ok(Step::Waits),
            Ok(0) | Err(_) if self.is_leaving => return Ok(Step::Left),
            Ok(0) | Err(_) => return Ok(Step::Failed),
            Ok(length) => length,
        };
        self.input.extend_from_slice(room.get(..length).unwrap_or_default());
        match decode(&self.input, account.version)? {
            Decoded::Packet { packet: Packet::ConnAck(connack), .. } if !self.is_leaving => {
                Ok(match connack.reason {
                    ReasonCode::Success => Step::LoggedIn,
                    _ => Step::Refused,
                })
            }
            Decoded::Packet { .. } | Decoded::Incomplete => Ok(Step::Waits),
        }
    }
}

/// A socket that is being connected.
fn connect(account: &Account) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(account.address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&account.address.into()) {
        Ok(()) => {}
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

const STALL_NS: u64 = 10_000_000_000;
/// Logins begun in one turn.
const BURST: usize = 256;
const TURN: Duration = Duration::from_millis(20);
/// How long a client waits before it comes again.
const PAUSE_NS: u64 = 100_000_000;
const DISCONNECT: [u8; 2] = [0xE0, 0];
