//! Results: for people as lines, for programs as JSON.

use serde::Serialize;

use super::histogram::Percentiles;
use super::process::BrokerUse;

/// What every measurement has to say.
pub(super) trait Summary {
    /// For people.
    fn lines(&self) -> Vec<String>;
    /// Whether the broker did all that was asked of it.
    fn is_good(&self) -> bool;
}

/// Messages.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagesResult {
    pub(super) sent: u64,
    /// Messages that subscribers should have got, and did.
    pub(super) expected: u64,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) out_of_order: u64,
    /// Messages the broker answered with an error.
    pub(super) refused: u64,
    pub(super) connections_lost: u64,
    /// From the first message sent to the last one delivered.
    pub(super) elapsed_us: u64,
    pub(super) delivered_per_second: u64,
    pub(super) latency: Percentiles,
    pub(super) generator_cpu_us: u64,
    pub(super) broker: Option<BrokerUse>,
    /// The figure to compare by.
    pub(super) delivered_per_broker_cpu_second: Option<u64>,
}

/// Logins.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginsResult {
    pub(super) logins: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    /// Attempts that failed and were made again, in a storm.
    pub(super) repeated: u64,
    /// TLS handshakes that went on with a session from before.
    pub(super) resumed: u64,
    pub(super) elapsed_us: u64,
    pub(super) logins_per_second: u64,
    /// From the first packet of TCP to CONNACK.
    pub(super) latency: Percentiles,
    pub(super) generator_cpu_us: u64,
    pub(super) broker: Option<BrokerUse>,
    /// The figure to compare by.
    pub(super) broker_cpu_ns_per_login: Option<u64>,
    /// Where connections are held: what one takes of the broker's memory.
    pub(super) broker_bytes_per_connection: Option<u64>,
}

impl Summary for MessagesResult {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "sent {}, delivered {} of {}, lost {}, out of order {}, refused {}, connections lost {}",
                self.sent,
                self.delivered,
                self.expected,
                self.lost,
                self.out_of_order,
                self.refused,
                self.connections_lost
            ),
            format!("{} a second for {}", self.delivered_per_second, seconds(self.elapsed_us)),
            latency(&self.latency),
        ];
        lines.extend(cpu(self.generator_cpu_us, self.broker.as_ref()));
        if let Some(figure) = self.delivered_per_broker_cpu_second {
            lines.push(format!("{figure} delivered for a second of the broker's CPU time"));
        }
        lines
    }

    fn is_good(&self) -> bool {
        self.lost + self.out_of_order + self.refused + self.connections_lost == 0 && self.sent > 0
    }
}

impl Summary for LoginsResult {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} logins ({} of them resumed), {} refused, {} failed, {} attempts repeated",
                self.logins, self.resumed, self.refused, self.failed, self.repeated
            ),
            format!("{} a second for {}", self.logins_per_second, seconds(self.elapsed_us)),
            latency(&self.latency),
        ];
        lines.extend(cpu(self.generator_cpu_us, self.broker.as_ref()));
        if let Some(ns) = self.broker_cpu_ns_per_login {
            lines.push(format!(
                "{}.{} µs of the broker's CPU time a login",
                ns / 1_000,
                ns / 100 % 10
            ));
        }
        if let Some(bytes) = self.broker_bytes_per_connection {
            lines.push(format!("{bytes} bytes of the broker's memory a connection"));
        }
        lines
    }

    fn is_good(&self) -> bool {
        self.refused + self.failed == 0 && self.logins > 0
    }
}

/// `count` for each million microseconds of `us`.
pub(super) fn per_second(count: u64, us: u64) -> u64 {
    let each = u128::from(count) * 1_000_000 / u128::from(us.max(1));
    u64::try_from(each).unwrap_or(u64::MAX)
}

fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000)
}

fn latency(it: &Percentiles) -> String {
    format!(
        "latency in µs: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        it.p50_us, it.p90_us, it.p99_us, it.p999_us, it.max_us
    )
}

fn cpu(generator_us: u64, broker: Option<&BrokerUse>) -> Vec<String> {
    let mut lines = vec![format!("CPU time: generator {}", seconds(generator_us))];
    if let Some(broker) = broker {
        lines.push(format!(
            "CPU time: broker {}; its memory: {} KB before, {} KB after, {} KB at most",
            seconds(broker.cpu_us),
            broker.rss_kb_before,
            broker.rss_kb,
            broker.rss_kb_max
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::per_second;

    #[test]
    fn rates_do_not_overflow_and_nothing_in_no_time_is_nothing() {
        assert_eq!(per_second(3_000_000, 1_500_000), 2_000_000);
        assert_eq!(per_second(0, 0), 0);
        assert_eq!(per_second(u64::MAX / 2, 1_000_000), u64::MAX / 2);
    }
}
