//! Clients that talk to themselves while something else happens: what others notice of it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::login,
    process::BrokerProcess,
    wire::{Publish, Version},
};

/// Round trips of those whom it does not concern.
#[derive(Debug)]
pub struct RoundTrips {
    /// How many there were.
    pub count: usize,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub longest: Duration,
}

/// Measures round trips of a few clients of a user that may read and write below `echo/`, on whichever shards they are,
/// while `act` runs.
pub fn round_trips(
    broker: &BrokerProcess,
    user: &str,
    password: &str,
    act: impl FnOnce(),
) -> RoundTrips {
    let stop = &AtomicBool::new(false);
    let bystand = |id: String| {
        let mut client = login(Version::V5, &id).user(user, password).connect(broker.mqtt());
        let topic = format!("echo/{id}");
        assert_eq!(client.subscribe(&topic, 0), 0);
        let mut times = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let sent = Instant::now();
            client.publish(Publish::new(&topic, b"x"));
            client.message();
            times.push(sent.elapsed());
            // Leaves the processor to what is measured.
            thread::sleep(Duration::from_millis(2));
        }
        times
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || bystand(format!("bystander-{number}"))))
            .collect();
        act();
        stop.store(true, Ordering::Relaxed);
        let mut times: Vec<_> = running.into_iter().flat_map(|it| it.join().unwrap()).collect();
        times.sort_unstable();
        let longest = times.last().copied().unwrap_or_default();
        let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(longest);
        RoundTrips { count: times.len(), p99, longest }
    })
}
