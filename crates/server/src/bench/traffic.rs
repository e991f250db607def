//! The loop of one measurement of messages: whoever may send sends, whoever has received is read.

use std::time::Duration;

use super::BenchError;
use super::dialog::DISCONNECT;
use super::poller::Poller;
use super::process::Watched;
use super::publisher::Publisher;
use super::say;
use super::stopwatch::{Seconds, Stopwatch};
use super::subscriber::{Seen, Subscriber};

/// When to send, and when to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) duration_ns: u64,
    /// All publishers together; `None`: as many as there is time for.
    pub(super) messages_max: Option<u64>,
    /// Messages a second of all publishers together; `None`: as many as their limits allow.
    pub(super) rate: Option<u64>,
    pub(super) is_quiet: bool,
    /// Subscribers are away: a message is done when the broker has acknowledged it.
    pub(super) is_offline: bool,
}

/// Everybody who takes part. A socket's number is its publisher's, or that of the subscriber plus all publishers.
pub(super) struct Traffic {
    pub(super) poller: Poller,
    pub(super) publishers: Vec<Publisher>,
    pub(super) subscribers: Vec<Subscriber>,
    /// Publishers that may have something to send.
    ready: Vec<usize>,
    /// Publishers that have their turn now; kept for its memory, as the next is.
    sending: Vec<usize>,
    /// Sockets with something to do.
    active: Vec<usize>,
    plan: Plan,
    sent: u64,
    seen: Seen,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) expected: u64,
    pub(super) refused: u64,
    pub(super) connections_lost: u64,
    pub(super) seen: Seen,
}

impl Traffic {
    pub(super) fn new(
        poller: Poller,
        publishers: Vec<Publisher>,
        subscribers: Vec<Subscriber>,
        plan: Plan,
    ) -> Traffic {
        let (ready, sending, active) = (Vec::new(), Vec::new(), Vec::new());
        Traffic {
            poller,
            publishers,
            subscribers,
            ready,
            sending,
            active,
            plan,
            sent: 0,
            seen: Seen::new(),
        }
    }

    /// Runs to the end: all is sent and received, or what is missing does not come any more.
    pub(super) fn run(mut self, broker: &mut Option<Watched>) -> Result<Outcome, BenchError> {
        let clock = Stopwatch::start();
        let (mut seconds, mut last_count) = (Seconds::default(), (0, 0));
        let mut last_progress_ns = 0;
        self.queue_all();
        loop {
            let now_ns = clock.ns();
            let is_sending = now_ns < self.plan.duration_ns
                && self.plan.messages_max.is_none_or(|most| self.sent < most)
                && self.publishers.iter().any(|publisher| !publisher.wire.is_lost);
            if is_sending {
                self.send(&clock)?;
            } else if self.seen.delivered >= self.expected() {
                break;
            }
            self.receive(&clock, is_sending)?;
            if (self.sent, self.seen.delivered) != last_count {
                last_count = (self.sent, self.seen.delivered);
                last_progress_ns = clock.ns();
            } else if now_ns.saturating_sub(last_progress_ns) > STALL_NS {
                if !is_sending {
                    break;
                }
                self.publishers.iter_mut().for_each(Publisher::forgive);
                self.queue_all();
            }
            if seconds.has_passed(now_ns) {
                self.progress(now_ns, broker);
            }
        }
        self.say_goodbye()?;
        Ok(self.outcome())
    }

    fn send(&mut self, clock: &Stopwatch) -> Result<(), BenchError> {
        if self.plan.rate.is_some() {
            self.queue_all();
        }
        let due = self.due(clock.ns());
        std::mem::swap(&mut self.ready, &mut self.sending);
        let mut sending = std::mem::take(&mut self.sending);
        for index in sending.drain(..) {
            let count = self.publishers.len();
            let Some(publisher) = self.publishers.get_mut(index) else { continue };
            publisher.is_queued = false;
            // Of all messages due, those in turn are this publisher's.
            let own = due.map_or(u64::MAX, |due| {
                let turn = u64::try_from(count - 1 - index).unwrap_or(0);
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                ((due + turn) / count).saturating_sub(publisher.sent())
            });
            let left =
                self.plan.messages_max.map_or(u64::MAX, |most| most.saturating_sub(self.sent));
            let (sent, has_more) = publisher.send(own.min(left), clock.ns(), &self.poller)?;
            self.sent += sent;
            if has_more {
                queue(publisher, index, &mut self.ready);
            }
        }
        self.sending = sending;
        Ok(())
    }

    fn receive(&mut self, clock: &Stopwatch, is_sending: bool) -> Result<(), BenchError> {
        let timeout = self.timeout(clock.ns(), is_sending);
        let mut active = std::mem::take(&mut self.active);
        self.poller.wait(timeout, &mut active)?;
        for number in active.drain(..) {
            if let Some(publisher) = self.publishers.get_mut(number) {
                publisher.receive(&self.poller)?;
                if self.plan.is_offline {
                    self.seen.acknowledged(publisher.deliver_acknowledged(), clock.ns());
                }
                queue(publisher, number, &mut self.ready);
                continue;
            }
            let index = number - self.publishers.len();
            let Traffic { subscribers, publishers, ready, seen, poller, .. } = self;
            let Some(subscriber) = subscribers.get_mut(index) else { continue };
            let credit = |index: usize| {
                if let Some(publisher) = publishers.get_mut(index) {
                    publisher.delivered();
                    queue(publisher, index, ready);
                }
            };
            subscriber.receive(|| clock.ns(), seen, credit, poller)?;
        }
        self.active = active;
        Ok(())
    }

    /// Messages that should have been sent by now; `None`: no rate is kept.
    fn due(&self, now_ns: u64) -> Option<u64> {
        let rate = u128::from(self.plan.rate?);
        u64::try_from(u128::from(now_ns) * rate / 1_000_000_000 + 1).ok()
    }

    /// How long there is nothing to do but wait for sockets.
    fn timeout(&self, now_ns: u64, is_sending: bool) -> Duration {
        if is_sending && !self.ready.is_empty() {
            return Duration::ZERO;
        }
        match self.plan.rate.filter(|_| is_sending) {
            Some(rate) => {
                let next_ns = u128::from(self.sent) * 1_000_000_000 / u128::from(rate.max(1));
                let wait = next_ns.saturating_sub(u128::from(now_ns));
                Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).min(TURN)
            }
            None => TURN,
        }
    }

    fn queue_all(&mut self) {
        for (index, publisher) in self.publishers.iter_mut().enumerate() {
            queue(publisher, index, &mut self.ready);
        }
    }

    fn expected(&self) -> u64 {
        self.publishers.iter().map(Publisher::expected).sum()
    }

    fn progress(&self, now_ns: u64, broker: &mut Option<Watched>) {
        if let Some(broker) = broker {
            broker.look();
        }
        if !self.plan.is_quiet {
            let (seconds, delivered) = (now_ns / 1_000_000_000, self.seen.delivered);
            say(&format!("{seconds} s: {} sent, {delivered} delivered", self.sent));
        }
    }

    fn say_goodbye(&mut self) -> Result<(), BenchError> {
        let Traffic { publishers, subscribers, poller, .. } = self;
        let wires = publishers.iter_mut().map(|it| &mut it.wire);
        for wire in wires.chain(subscribers.iter_mut().map(|it| &mut it.wire)) {
            wire.output().extend_from_slice(&DISCONNECT);
            let was_lost = wire.is_lost;
            wire.flush(poller)?;
            wire.is_lost = was_lost;
        }
        Ok(())
    }

    fn outcome(self) -> Outcome {
        let expected = self.expected();
        let Traffic { publishers, subscribers, sent, seen, .. } = self;
        let wires = publishers.iter().map(|it| &it.wire);
        let wires = wires.chain(subscribers.iter().map(|it| &it.wire));
        let lost = wires.filter(|wire| wire.is_lost).count();
        Outcome {
            sent,
            expected,
            refused: publishers.iter().map(Publisher::refused).sum(),
            connections_lost: u64::try_from(lost).unwrap_or(u64::MAX),
            seen,
        }
    }
}

fn queue(publisher: &mut Publisher, index: usize, ready: &mut Vec<usize>) {
    if !publisher.is_queued {
        publisher.is_queued = true;
        ready.push(index);
    }
}

/// After so long without any progress what is missing is lost.
const STALL_NS: u64 = 2_000_000_000;
/// How often is looked at the clock when nothing happens.
const TURN: Duration = Duration::from_millis(100);
