//! Where figures about the running broker come from: for metrics, for `$SYS`, and for the memory ceiling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use admin::Admin;
use broker::{Census, Counters, Hub};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::clock;
use super::histogram::Histogram;
use super::inbox::{Inbox, Order};
use super::intake::Intake;
use super::memory::Ceiling;
use super::metrics::Metrics;
use super::places::Places;
use super::state::Journal;

/// Everything that knows a figure.
pub(crate) struct Sources {
    /// The shared part of the broker.
    pub(crate) hub: Arc<Hub>,
    /// The ways to the shards.
    pub(crate) inboxes: Arc<[Inbox]>,
    /// How the shards are doing.
    pub(crate) pulses: Arc<[Pulse]>,
    /// What is kept on disk; `None` if nothing is.
    pub(crate) journal: Option<Arc<Journal>>,
    /// Connections before their login.
    pub(crate) intake: Arc<Intake>,
    /// Users, and the hashing of their passwords.
    pub(crate) admin: Admin,
    /// What is counted outside of the shards.
    pub(crate) metrics: Arc<Metrics>,
    /// The memory ceiling.
    pub(crate) ceiling: Arc<Ceiling>,
    /// Places left for connections that speak HTTP and no MQTT.
    pub(crate) http_places: Arc<Places>,
    /// The last census and when it was taken.
    pub(crate) census: Mutex<(u64, Census)>,
    /// When the server started, by its own clock.
    pub(crate) started_ms: u64,
}

/// How one shard is doing.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// How long its rounds take.
    pub(crate) rounds: Histogram,
    /// Its longest round since this was last asked for, in microseconds.
    longest_us: AtomicU64,
}

impl Pulse {
    /// A round is over.
    pub(crate) fn count(&self, took: Duration) {
        self.rounds.count(took);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest_us.fetch_max(us, Ordering::Relaxed);
    }

    /// The longest round since this was last asked for, in seconds.
    pub(crate) fn take_longest_s(&self) -> f64 {
        Duration::from_micros(self.longest_us.swap(0, Ordering::Relaxed)).as_secs_f64()
    }
}

impl Sources {
    /// What all shards have done and hold.
    pub(crate) async fn shards(&self) -> (Counters, Census) {
        let (mut counters, mut census) = (Counters::default(), Census::default());
        for inbox in &*self.inboxes {
            let (sender, answer) = oneshot::channel();
            drop(inbox.send(Order::Counters(sender)));
            // A shard that does not answer is stopping.
            if let Ok((done, held)) = answer.await {
                counters.add(&done);
                census.add(&held);
            }
        }
        *self.census.lock() = (clock::now().0, census.clone());
        (counters, census)
    }

    /// What all shards hold, or held so long ago at most: a census goes through all sessions, and one is enough for all who
    /// ask.
    pub(crate) async fn recent_census(&self, age_ms: u64) -> Census {
        let (taken_ms, census) = self.census.lock().clone();
        if taken_ms > 0 && clock::now().0.saturating_sub(taken_ms) <= age_ms {
            return census;
        }
        self.shards().await.1
    }

    /// Bytes of messages and output that the broker holds.
    pub(crate) async fn held_bytes(&self) -> u64 {
        let (_, census) = self.shards().await;
        let waiting = self.journal.as_ref().map_or(0, |it| it.waiting_bytes());
        let held = census.held_bytes().saturating_add(self.hub.retained_usage().1);
        u64::try_from(held.saturating_add(waiting)).unwrap_or(u64::MAX)
    }

    /// Seconds since the start.
    pub(crate) fn uptime_s(&self) -> u64 {
        clock::now().0.saturating_sub(self.started_ms) / 1000
    }
}
