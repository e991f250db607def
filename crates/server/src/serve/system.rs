//! `$SYS`: what the broker publishes about itself, under the names that Mosquitto has made usual.
//!
//! Every value is a sum over the whole broker; no name of a user, client or topic is among them. The values are taken
//! at an interval, and sent only if they have changed and somebody reads them.

use std::sync::Arc;
use std::time::Duration;

use broker::{Census, Counters, SystemValue};
use topic::TopicName;

use super::clock;
use super::inbox::Order;
use super::memory;
use super::metrics::Counts;
use super::sources::Sources;

/// Publishes the values until the server stops. An interval of zero is off.
pub(crate) async fn publish(sources: Arc<Sources>, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    let mut system = System::new(interval);
    loop {
        let (counters, census) = sources.shards().await;
        let moment = Moment {
            counters,
            census,
            counts: sources.metrics.counts(),
            retained: sources.hub.retained_usage(),
            uptime_s: sources.uptime_s(),
            memory: memory::resident().unwrap_or(0),
        };
        let read = sources.hub.set_system(system.values(&moment), clock::now());
        if let Some(first) = sources.inboxes.first()
            && !read.is_empty()
        {
            drop(first.send(Order::System(read)));
        }
        tokio::time::sleep(interval).await;
    }
}

/// The figures of one moment.
#[derive(Debug, Default)]
struct Moment {
    counters: Counters,
    census: Census,
    counts: Counts,
    /// Messages and bytes.
    retained: (usize, usize),
    uptime_s: u64,
    memory: u64,
}

/// What has to be remembered from moment to moment.
struct System {
    interval: Duration,
    loads: [Load; LOADS.len()],
    clients_maximum: usize,
    memory_maximum: u64,
}

/// How much of something a minute, on average over the last minutes.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    before: u64,
    averages: [f64; WINDOWS.len()],
}

impl System {
    fn new(interval: Duration) -> Self {
        let loads = [Load::default(); LOADS.len()];
        Self { interval, loads, clients_maximum: 0, memory_maximum: 0 }
    }

    fn values(&mut self, moment: &Moment) -> Vec<SystemValue> {
        let online: usize = moment.census.online.values().sum();
        self.clients_maximum = self.clients_maximum.max(online);
        self.memory_maximum = self.memory_maximum.max(moment.memory);
        let mut values = Vec::new();
        let mut say = |name: &str, text: String| {
            // The names are our own and valid.
            values.extend(
                TopicName::parse(&format!("{ROOT}{name}")).map(|topic| SystemValue { topic, text }),
            );
        };
        say("version", format!("countersign version {}", env!("CARGO_PKG_VERSION")));
        say("uptime", format!("{} seconds", moment.uptime_s));
        let sizes = [
            ("clients/connected", online),
            ("clients/active", online),
            ("clients/disconnected", moment.census.offline),
            ("clients/inactive", moment.census.offline),
            ("clients/total", online + moment.census.offline),
            ("clients/maximum", self.clients_maximum),
            ("messages/stored", moment.census.queued_messages + moment.retained.0),
            ("store/messages/count", moment.census.queued_messages + moment.retained.0),
            ("store/messages/bytes", moment.census.queued_bytes + moment.retained.1),
            ("messages/inflight", moment.census.in_flight),
            ("retained messages/count", moment.retained.0),
            ("subscriptions/count", moment.census.subscriptions),
            ("shared_subscriptions/count", moment.census.shared_subscriptions),
        ];
        for (name, value) in sizes {
            say(name, value.to_string());
        }
        let Counters { payload_bytes_in, payload_bytes_out, bytes_in, bytes_out, .. } =
            moment.counters;
        let counts = [
            ("clients/expired", moment.counts.sessions_expired),
            ("messages/received", packets_in(moment)),
            ("messages/sent", packets_out(moment)),
            ("publish/messages/received", moment.counters.messages_in),
            ("publish/messages/sent", moment.counters.messages_out),
            ("publish/messages/dropped", moment.counters.dropped.total()),
            ("publish/bytes/received", payload_bytes_in),
            ("publish/bytes/sent", payload_bytes_out),
            ("bytes/received", bytes_in),
            ("bytes/sent", bytes_out),
            ("heap/current", moment.memory),
            ("heap/maximum", self.memory_maximum),
        ];
        for (name, value) in counts {
            say(name, value.to_string());
        }
        for (load, (name, of)) in self.loads.iter_mut().zip(LOADS) {
            load.step(of(moment), self.interval);
            for (average, (window, _)) in load.averages.iter().zip(WINDOWS) {
                say(&format!("load/{name}/{window}"), format!("{average:.2}"));
            }
        }
        values
    }
}

impl Load {
    fn step(&mut self, total: u64, interval: Duration) {
        let came = total.saturating_sub(self.before);
        self.before = total;
        let seconds = interval.as_secs_f64();
        let a_minute = f64::from(u32::try_from(came).unwrap_or(u32::MAX)) * 60.0 / seconds;
        for (average, (_, window_s)) in self.averages.iter_mut().zip(WINDOWS) {
            let weight = (-seconds / window_s).exp();
            *average = a_minute + weight * (*average - a_minute);
        }
    }
}

/// CONNECT comes before there is a shard that counts.
fn packets_in(moment: &Moment) -> u64 {
    moment.counters.packets_in.saturating_add(moment.counts.connects)
}

fn packets_out(moment: &Moment) -> u64 {
    moment.counters.answers_out.saturating_add(moment.counters.messages_out)
}

const ROOT: &str = "$SYS/broker/";
/// Seconds.
const WINDOWS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];
type Figure = fn(&Moment) -> u64;
const LOADS: [(&str, Figure); 9] = [
    ("messages/received", packets_in),
    ("messages/sent", packets_out),
    ("publish/received", |it| it.counters.messages_in),
    ("publish/sent", |it| it.counters.messages_out),
    ("publish/dropped", |it| it.counters.dropped.total()),
    ("bytes/received", |it| it.counters.bytes_in),
    ("bytes/sent", |it| it.counters.bytes_out),
    ("sockets", |it| it.counts.sockets),
    ("connections", |it| it.counts.connects),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn value(values: &[SystemValue], name: &str) -> String {
        let topic = format!("{ROOT}{name}");
        let found = values.iter().find(|it| it.topic.as_str() == topic);
        found.unwrap_or_else(|| panic!("no {topic}")).text.clone()
    }

    #[test]
    fn every_name_is_there_once_and_none_is_too_much() {
        let values = System::new(Duration::from_secs(10)).values(&Moment::default());
        let mut names: Vec<_> = values.iter().map(|it| it.topic.as_str().to_owned()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(count, names.len());
        assert_eq!(count, 2 + 13 + 12 + LOADS.len() * 3);
        let page = include_str!("../../../../docs/operations.md");
        for name in names {
            let name = name.trim_end_matches("1min").trim_end_matches("/5min");
            let name = name.trim_end_matches("/15min").trim_end_matches('/');
            assert!(page.contains(&format!("`{name}")), "docs/operations.md does not tell {name}");
        }
    }

    #[test]
    fn the_most_clients_are_remembered() {
        let mut system = System::new(Duration::from_secs(10));
        for (online, most) in [(3, "3"), (7, "7"), (2, "7")] {
            let mut moment = Moment::default();
            moment.census.online.insert("mqtt".into(), online);
            moment.census.offline = 5;
            let values = system.values(&moment);
            assert_eq!(value(&values, "clients/maximum"), most);
            assert_eq!(value(&values, "clients/total"), (online + 5).to_string());
        }
    }

    #[test]
    fn a_steady_load_is_its_own_average_in_the_end_and_fades_when_it_is_over() {
        let mut load = Load::default();
        let ten = Duration::from_secs(10);
        for tick in 1..=1_000 {
            load.step(tick * 100, ten);
        }
        for average in load.averages {
            assert!((average - 600.0).abs() < 0.1, "{average}");
        }
        for _ in 0..6 {
            load.step(100_000, ten);
        }
        let [one, five, fifteen] = load.averages;
        assert!((one - 600.0 / std::f64::consts::E).abs() < 1.0, "{one}");
        assert!(one < five && five < fifteen);
    }
}
