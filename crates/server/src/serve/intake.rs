//! Bounds on connections that nobody has vouched for yet.
//!
//! A connection is *silent* until its CONNECT is complete and *pending* until it is logged in. Both are bounded.
//! One that has begun a TLS handshake waits for our processor as much as we for it, so it does not count as silent for a
//! moment: otherwise a storm of honest clients would push each other out in the middle of their handshakes.
//! When all pending places are taken, the connection that has been silent for longest makes room: under an attack that is
//! the attacker's. In a storm of honest clients none has been silent for longer than it takes to speak, and then new ones
//! wait in the kernel's queue instead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::clock;
use crate::config::IntakeLimits;

/// All places of connections.
pub(crate) struct Intake {
    limits: IntakeLimits,
    places: Mutex<Places>,
    left: Notify,
}

#[derive(Default)]
struct Places {
    next: u64,
    pending: usize,
    /// By age.
    silent: BTreeMap<u64, Silent>,
    /// In a TLS handshake, by the time in milliseconds from which on they count as silent, and by age.
    busy: BTreeMap<(u64, u64), Silent>,
    sources: HashMap<Source, OfSource>,
    /// Of large CONNECTs.
    connect_bytes: usize,
}

struct Silent {
    source: Source,
    since_ms: u64,
    /// Ends the connection; absent until its task runs.
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct OfSource {
    silent: BTreeSet<u64>,
    connections: usize,
    connect_bytes: usize,
}

/// Where connections come from, as far as bounds go: one IPv4 address, or the /64 that one IPv6 site has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

/// The place of one connection; dropping it leaves the place.
pub(crate) struct Ticket {
    intake: Arc<Intake>,
    number: u64,
    source: Source,
    stage: Stage,
    /// Of a large CONNECT.
    connect_bytes: usize,
}

/// What a ticket is good for once its client is logged in, in less memory; dropping it leaves the place.
pub(crate) struct Seat {
    intake: Arc<Intake>,
    source: Source,
}

/// Connections that are not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Their CONNECT is not complete.
    pub(crate) silent: usize,
    /// They are in a TLS handshake.
    pub(crate) busy: usize,
    /// Their CONNECT is complete.
    pub(crate) speaking: usize,
    /// The silent ones of the source that has the most.
    pub(crate) most_of_a_source: usize,
    /// All connections of the source that has the most.
    pub(crate) most_connections_of_a_source: usize,
    /// Bytes that large CONNECTs hold.
    pub(crate) connect_bytes: usize,
}

impl Pending {
    /// All of them.
    pub(crate) fn all(&self) -> usize {
        self.silent.saturating_add(self.busy).saturating_add(self.speaking)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Silent,
    /// Until this time in milliseconds; silent from then on.
    Busy(u64),
    Pending,
    LoggedIn,
    /// Its place is a seat's.
    Seated,
}

impl Intake {
    /// No connections yet.
    pub(crate) fn new(limits: IntakeLimits) -> Arc<Self> {
        Arc::new(Self { limits, places: Mutex::default(), left: Notify::new() })
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> &IntakeLimits {
        &self.limits
    }

    /// Who is not logged in.
    pub(crate) fn pending(&self) -> Pending {
        let places = self.places.lock();
        let (silent, busy) = (places.silent.len(), places.busy.len());
        let most = |count: fn(&OfSource) -> usize| places.sources.values().map(count).max();
        Pending {
            silent,
            busy,
            speaking: places.pending.saturating_sub(silent.saturating_add(busy)),
            most_of_a_source: most(|it| it.silent.len()).unwrap_or(0),
            most_connections_of_a_source: most(|it| it.connections).unwrap_or(0),
            connect_bytes: places.connect_bytes,
        }
    }

    /// Waits until one more connection can be taken in, if need be at the cost of a silent one.
    pub(crate) async fn room(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            {
                let (mut places, now_ms) = (self.places.lock(), clock::now().0);
                places.end_patience(now_ms);
                if places.pending < self.limits.pending_connections_max
                    || places.silent.values().next().is_some_and(|it| it.is_overdue(now_ms))
                {
                    return;
                }
            }
            // Whoever runs out of patience meanwhile makes room as well.
            tokio::time::timeout(LOOK_AGAIN, left).await.unwrap_or_default();
        }
    }

    /// Takes a place for a new, silent connection from this address; `None` if its source has too many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        self.enter_at(address, clock::now().0)
    }

    fn enter_at(self: &Arc<Self>, address: IpAddr, now_ms: u64) -> Option<Ticket> {
        let source = Source::of(address);
        let mut guard = self.places.lock();
        let places = &mut *guard;
        let of_source = places.sources.entry(source).or_default();
        let connections_max = self.limits.connections_per_source_max;
        if connections_max > 0 && of_source.connections >= connections_max {
            return None;
        }
        of_source.connections = of_source.connections.saturating_add(1);
        let is_full = places.pending >= self.limits.pending_connections_max;
        let too_many = of_source.silent.len().saturating_add(1);
        let too_many = too_many.saturating_sub(self.limits.pending_per_source_max);
        // While there is room for all, nobody is pushed out before it could have spoken; then two go for one that
        // comes, until the source has no more than its share.
        let oldest_of_source: Vec<_> =
            of_source.silent.iter().copied().take(too_many.min(2)).collect();
        let mut is_displaced = false;
        for number in oldest_of_source {
            let is_overdue = places.silent.get(&number).is_some_and(|it| it.is_overdue(now_ms));
            if is_overdue || (is_full && !is_displaced) {
                places.displace(number);
                is_displaced = true;
            }
        }
        let oldest = places.silent.keys().next().copied();
        if let Some(number) = oldest.filter(|_| is_full && !is_displaced) {
            places.displace(number);
        }
        places.pending = places.pending.saturating_add(1);
        let number = places.next;
        places.next = number.wrapping_add(1);
        places.silent.insert(number, Silent { source, since_ms: now_ms, task: None });
        places.sources.entry(source).or_default().silent.insert(number);
        drop(guard);
        let intake = Arc::clone(self);
        Some(Ticket { intake, number, source, stage: Stage::Silent, connect_bytes: 0 })
    }

    /// Names the task that serves a silent connection, so that it can be displaced.
    pub(crate) fn served_by(&self, number: u64, task: AbortHandle) {
        let places = &mut *self.places.lock();
        let mut busy = places.busy.iter_mut().filter(|((_, busy), _)| *busy == number);
        // It hardly ever has begun its handshake already.
        let silent = places.silent.get_mut(&number).or_else(|| busy.next().map(|(_, it)| it));
        if let Some(silent) = silent {
            silent.task = Some(task);
        }
    }
}

impl Silent {
    /// Whether it has had the time to speak.
    fn is_overdue(&self, now_ms: u64) -> bool {
        self.since_ms.saturating_add(GRACE_MS) <= now_ms
    }
}

impl Places {
    /// Ends a silent connection. Its ticket leaves the place when its task is gone.
    fn displace(&mut self, number: u64) {
        if let Some(silent) = self.silent.remove(&number) {
            if let Some(of_source) = self.sources.get_mut(&silent.source) {
                of_source.silent.remove(&number);
            }
            if let Some(task) = silent.task {
                task.abort();
            }
        }
    }

    /// A connection has begun its TLS handshake.
    fn busy(&mut self, number: u64, until_ms: u64) {
        if let Some(silent) = self.silent.remove(&number) {
            if let Some(of_source) = self.sources.get_mut(&silent.source) {
                of_source.silent.remove(&number);
            }
            self.busy.insert((until_ms, number), silent);
        }
    }

    /// Those who take too long for their handshake are silent again.
    fn end_patience(&mut self, now_ms: u64) {
        while let Some(first) = self.busy.first_entry()
            && first.key().0 <= now_ms
        {
            let ((_, number), silent) = first.remove_entry();
            self.sources.entry(silent.source).or_default().silent.insert(number);
            self.silent.insert(number, silent);
        }
    }

    /// A connection is no longer silent.
    fn spoke(&mut self, number: u64, source: Source, stage: Stage) {
        if let Stage::Busy(until_ms) = stage {
            self.busy.remove(&(until_ms, number));
        }
        self.silent.remove(&number);
        if let Some(of_source) = self.sources.get_mut(&source) {
            of_source.silent.remove(&number);
        }
    }

    /// Takes room for a large CONNECT. Who is alone gets it whatever the size, so that no limit shuts anybody out for
    /// good; and no source can keep all of it from the others.
    fn take_room(&mut self, source: Source, bytes: usize, bytes_max: usize) -> bool {
        let of_source = self.sources.entry(source).or_default();
        let fits = |taken: usize, max: usize| taken == 0 || taken.saturating_add(bytes) <= max;
        let is_free = fits(self.connect_bytes, bytes_max)
            && fits(of_source.connect_bytes, bytes_max / SHARE_OF_SOURCE);
        if is_free {
            self.connect_bytes = self.connect_bytes.saturating_add(bytes);
            of_source.connect_bytes = of_source.connect_bytes.saturating_add(bytes);
        }
        is_free
    }

    fn leave_room(&mut self, source: Source, bytes: usize) {
        self.connect_bytes = self.connect_bytes.saturating_sub(bytes);
        if let Some(of_source) = self.sources.get_mut(&source) {
            of_source.connect_bytes = of_source.connect_bytes.saturating_sub(bytes);
        }
    }

    fn leave_source(&mut self, source: Source) {
        if let Some(of_source) = self.sources.get_mut(&source) {
            of_source.connections = of_source.connections.saturating_sub(1);
            if of_source.connections == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl Ticket {
    /// The number to name the task by.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Its TLS handshake has begun, and may take a moment.
    pub(crate) fn greeted(&mut self) {
        if self.stage == Stage::Silent {
            let until_ms = clock::now().0.saturating_add(PATIENCE_MS);
            self.intake.places.lock().busy(self.number, until_ms);
            self.stage = Stage::Busy(until_ms);
        }
    }

    /// Waits until there is room for a CONNECT as large as this, and takes it until the client is logged in.
    pub(crate) async fn reserve(&mut self, bytes: usize) {
        if self.connect_bytes > 0 {
            return;
        }
        let bytes_max = self.intake.limits.connect_bytes_max;
        while !self.intake.places.lock().take_room(self.source, bytes, bytes_max) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.connect_bytes = bytes;
    }

    /// The CONNECT is complete.
    pub(crate) fn spoke(&mut self) {
        if self.is_pending() {
            self.intake.places.lock().spoke(self.number, self.source, self.stage);
            self.stage = Stage::Pending;
        }
    }

    /// The client is logged in: others may be taken in now.
    pub(crate) fn logged_in(&mut self) {
        self.leave_pending();
        self.stage = Stage::LoggedIn;
        self.connect_bytes = 0;
    }

    /// The same, where nothing else will become of it.
    pub(crate) fn into_seat(mut self) -> Seat {
        self.logged_in();
        self.stage = Stage::Seated;
        Seat { intake: Arc::clone(&self.intake), source: self.source }
    }

    fn is_pending(&self) -> bool {
        !matches!(self.stage, Stage::LoggedIn | Stage::Seated)
    }

    fn leave_pending(&self) {
        if !self.is_pending() {
            return;
        }
        let mut places = self.intake.places.lock();
        places.spoke(self.number, self.source, self.stage);
        places.pending = places.pending.saturating_sub(1);
        places.leave_room(self.source, self.connect_bytes);
        drop(places);
        self.intake.left.notify_one();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave_pending();
        if self.stage != Stage::Seated {
            self.intake.places.lock().leave_source(self.source);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.intake.places.lock().leave_source(self.source);
    }
}

impl Source {
    /// The source of this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let site = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(site))
            }
        })
    }
}

/// How long a client may take for its CONNECT, or for the beginning of its handshake, before its connection may be made
/// to leave for another.
const GRACE_MS: u64 = 1000;
/// How long a TLS handshake may take before the connection may be made to leave for another.
const PATIENCE_MS: u64 = 2000;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// One source may have this part of the room for large CONNECTs.
const SHARE_OF_SOURCE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(pending: usize, per_source: usize, connections: usize) -> Arc<Intake> {
        Intake::new(IntakeLimits {
            pending_connections_max: pending,
            pending_per_source_max: per_source,
            connections_per_source_max: connections,
            ..IntakeLimits::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn silent(intake: &Intake) -> Vec<u64> {
        intake.places.lock().silent.keys().copied().collect()
    }

    #[test]
    fn flaw_36_the_longest_silent_connection_makes_room() {
        let intake = intake(2, 10, 0);
        let _tickets: Vec<_> =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|ip| intake.enter(address(ip))).into();
        assert_eq!(silent(&intake), [1, 2]);
    }

    #[tokio::test]
    async fn nobody_has_to_make_room_before_it_could_have_spoken() {
        let intake = intake(2, 10, 0);
        let now_ms = clock::now().0;
        let _tickets =
            ["10.0.0.1", "10.0.0.2"].map(|ip| intake.enter_at(address(ip), now_ms + 60_000));
        let room = tokio::time::timeout(Duration::from_millis(1), intake.room());
        assert!(room.await.is_err(), "the next one waits");
        for silent in intake.places.lock().silent.values_mut() {
            silent.since_ms = now_ms.saturating_sub(GRACE_MS);
        }
        intake.room().await;
    }

    #[test]
    fn a_source_over_its_bound_displaces_only_its_own() {
        let intake = intake(10, 2, 0);
        let mut tickets: Vec<_> = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2"]
            .map(|ip| intake.enter_at(address(ip), 0))
            .into();
        assert_eq!(
            silent(&intake),
            [0, 1, 2, 3],
            "as long as they may still speak, and there is room"
        );
        tickets.push(intake.enter_at(address("10.0.0.2"), GRACE_MS));
        assert_eq!(silent(&intake), [0, 3, 4], "two that are overdue go for one that comes");
        tickets.extend((0..5).map(|_| intake.enter_at(address("10.0.0.2"), GRACE_MS)));
        assert_eq!(silent(&intake), [0, 4, 5, 6, 7, 8, 9]);
        tickets.push(intake.enter_at(address("10.0.0.2"), GRACE_MS));
        assert_eq!(silent(&intake), [0, 5, 6, 7, 8, 9, 10], "all places are taken: its own oldest");
    }

    #[test]
    fn one_ipv6_site_is_one_source_and_a_mapped_ipv4_address_is_itself() {
        let check = |one: &str, other: &str, same: bool| {
            assert_eq!(Source::of(address(one)) == Source::of(address(other)), same);
        };
        check("2001:db8:1:1::1", "2001:db8:1:1:ffff::9", true);
        check("2001:db8:1:1::1", "2001:db8:1:2::1", false);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
    }

    #[test]
    fn connections_of_one_source_are_counted_until_they_end() {
        let intake = intake(10, 10, 1);
        let first = intake.enter(address("10.0.0.1")).unwrap().into_seat();
        assert!(intake.enter(address("10.0.0.1")).is_none());
        assert!(intake.enter(address("10.0.0.2")).is_some());
        drop(first);
        assert!(intake.enter(address("10.0.0.1")).is_some());
    }

    #[test]
    fn a_handshake_in_progress_is_not_pushed_out_until_patience_is_over() {
        let intake = intake(2, 10, 0);
        let mut shaking = intake.enter(address("10.0.0.1")).unwrap();
        shaking.greeted();
        let _others = ["10.0.0.2", "10.0.0.3"].map(|ip| intake.enter(address(ip)));
        assert_eq!(silent(&intake), [2], "the silent one made room, not the older busy one");
        intake.places.lock().end_patience(u64::MAX);
        assert_eq!(silent(&intake), [0, 2]);
        let _fourth = intake.enter(address("10.0.0.4"));
        assert_eq!(silent(&intake), [2, 3]);
    }

    #[test]
    fn large_connects_share_a_room_that_no_source_has_for_itself() {
        let mut places = Places::default();
        let [one, two, three, four, five] =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]
                .map(|it| Source::of(address(it)));
        let mut take = |source, bytes| places.take_room(source, bytes, 100);
        assert!(take(one, 20), "the first");
        assert!(!take(one, 20), "more than a quarter");
        assert!(take(one, 5), "up to a quarter");
        assert!(take(two, 60), "one CONNECT is taken whatever its share");
        assert!(take(three, 10) && !take(four, 10), "up to all of it");
        places.leave_room(two, 60);
        assert!(places.take_room(four, 50, 100));
        assert!(!places.take_room(five, 200, 100));
        for (source, bytes) in [(one, 25), (three, 10), (four, 50)] {
            places.leave_room(source, bytes);
        }
        assert!(places.take_room(five, 200, 100), "nobody is shut out for good");
    }

    #[tokio::test]
    async fn a_large_connect_waits_for_its_room_and_leaves_it_with_the_login() {
        let limits = IntakeLimits { connect_bytes_max: 100, ..IntakeLimits::default() };
        let intake = Intake::new(limits);
        let mut first = intake.enter(address("10.0.0.1")).unwrap();
        let mut second = intake.enter(address("10.0.0.2")).unwrap();
        first.reserve(80).await;
        first.reserve(80).await;
        assert!(tokio::time::timeout(Duration::ZERO, second.reserve(30)).await.is_err());
        first.logged_in();
        assert!(tokio::time::timeout(Duration::ZERO, second.reserve(30)).await.is_ok());
        assert_eq!(intake.places.lock().connect_bytes, 30);
        drop((first, second));
        assert_eq!(intake.places.lock().connect_bytes, 0);
    }

    #[test]
    fn every_place_is_left_whatever_the_stage() {
        let intake = intake(10, 10, 0);
        for stage in 0..4 {
            let mut ticket = intake.enter(address("10.0.0.1")).unwrap();
            if stage == 3 {
                ticket.greeted();
            } else if stage > 0 {
                ticket.spoke();
            }
            if stage == 2 {
                drop(ticket.into_seat());
            } else {
                drop(ticket);
            }
            let places = intake.places.lock();
            assert_eq!((places.pending, places.silent.len(), places.busy.len()), (0, 0, 0));
            assert!(places.sources.is_empty());
        }
    }
}
