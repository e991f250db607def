//! `bench pubsub` and `bench fanout`: who publishes what to whom, and how fast.

use clap::Args;
use mqtt::Qos;

use super::BenchError;
use super::dialog::Dialog;
use super::payload::{STAMP_BYTES, Template};
use super::poller::Poller;
use super::process::own_cpu_us;
use super::publisher::{FlowLimits, Publisher};
use super::result::{MessagesResult, per_second};
use super::subscriber::Subscriber;
use super::target::{Stay, Target};
use super::traffic::{Outcome, Plan, Traffic};
use super::wire::Wire;

/// Messages from publishers to subscribers
#[derive(Debug, Args)]
pub(super) struct Pubsub {
    /// Clients that publish
    #[arg(long, value_name = "N", default_value_t = 1)]
    publishers: u32,
    /// Clients that subscribe
    #[arg(long, value_name = "N", default_value_t = 1)]
    subscribers: u32,
    /// Topics; publishers and subscribers take them in turn [default: one for each publisher]
    #[arg(long, value_name = "N")]
    topics: Option<u32>,
    /// Subscribers are away, with sessions that the broker keeps messages for; what it acknowledges counts as delivered
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    target: Target,
}

/// Messages from one publisher to many subscribers
#[derive(Debug, Args)]
pub(super) struct Fanout {
    /// Clients that subscribe
    #[arg(long, value_name = "N", default_value_t = 200)]
    subscribers: u32,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    target: Target,
}

/// The messages.
#[derive(Debug, Clone, Args)]
struct Load {
    /// Quality of service: 0, 1 or 2
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// Bytes of a payload, at least 16
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=32_768))]
    payload: u32,
    /// QoS 1 and 2 messages of a publisher that the broker has not acknowledged
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=30_000))]
    window: u64,
    /// Messages of a publisher that not all its subscribers have received [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    in_transit: Option<u64>,
    /// Messages a second of all publishers [default: as many as can be sent]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// How long messages are sent
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds: u32,
    /// Messages of all publishers, after which the sending ends earlier
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// What topics begin with; a number follows
    #[arg(long, value_name = "TEXT", default_value = "bench/")]
    topic_prefix: String,
}

impl Fanout {
    pub(super) fn run(self) -> Result<MessagesResult, BenchError> {
        let Fanout { subscribers, load, target } = self;
        Pubsub { publishers: 1, subscribers, topics: None, offline: false, load, target }.run()
    }
}

impl Pubsub {
    pub(super) fn run(self) -> Result<MessagesResult, BenchError> {
        if self.publishers == 0 || self.topics == Some(0) {
            return Err(BenchError::Usage("there must be a publisher and a topic".to_owned()));
        }
        if self.offline && self.load.qos == 0 {
            return Err(BenchError::Usage("nothing of QoS 0 is acknowledged or kept".to_owned()));
        }
        let traffic = self.set_up()?;
        let mut broker = self.target.watch()?;
        let own_before_us = own_cpu_us();
        let outcome = traffic.run(&mut broker)?;
        let generator_cpu_us = own_cpu_us().saturating_sub(own_before_us);
        let broker = broker.map(super::process::Watched::end).transpose()?;
        self.end_sessions()?;
        let Outcome { sent, expected, refused, connections_lost, seen } = outcome;
        let elapsed_us = seen.last_ns / 1_000;
        Ok(MessagesResult {
            sent,
            expected,
            delivered: seen.delivered,
            lost: expected.saturating_sub(seen.delivered),
            out_of_order: seen.out_of_order,
            refused,
            connections_lost,
            elapsed_us,
            delivered_per_second: per_second(seen.delivered, elapsed_us),
            latency: seen.latency.percentiles(),
            generator_cpu_us,
            broker,
            delivered_per_broker_cpu_second: broker
                .map(|broker| per_second(seen.delivered, broker.cpu_us)),
        })
    }

    /// Nothing is to be left of sessions that were kept.
    fn end_sessions(&self) -> Result<(), BenchError> {
        if self.offline {
            let account = self.target.account()?;
            for index in 0..self.subscribers {
                Dialog::log_in(&account, &subscriber(index))?.leave()?;
            }
        }
        Ok(())
    }

    fn set_up(&self) -> Result<Traffic, BenchError> {
        let account = self.target.account()?;
        let poller = Poller::new()?;
        let qos = self.load.qos();
        let topics = self.topics.unwrap_or(self.publishers);
        let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
        let publisher_count = count(self.publishers);
        for index in 0..self.subscribers {
            let name = subscriber(index);
            let stay = if self.offline { Stay::Kept } else { Stay::Ended };
            let mut dialog = Dialog::log_in_to(&account, &name, stay)?;
            dialog.subscribe(&self.load.topic(index % topics), qos)?;
            if self.offline {
                dialog.leave()?;
                continue;
            }
            let wire = Wire::new(dialog.into_line(), publisher_count + count(index), &poller)?;
            subscribers.push(Subscriber::new(wire, account.version, publisher_count));
        }
        for index in 0..self.publishers {
            let dialog = Dialog::log_in(&account, &format!("p{index}"))?;
            let limits = FlowLimits {
                window: self.load.window.min(u64::from(dialog.receive_maximum)),
                in_transit: self.load.in_transit,
            };
            let topic = index % topics;
            let payload_bytes = count(self.load.payload).max(STAMP_BYTES);
            let name = self.load.topic(topic);
            let template = Template::new(&name, qos, payload_bytes, account.version);
            let receivers = (0..self.subscribers).filter(|it| it % topics == topic).count();
            let receivers =
                if self.offline { 1 } else { u64::try_from(receivers).unwrap_or(u64::MAX) };
            let wire = Wire::new(dialog.into_line(), count(index), &poller)?;
            publishers.push(Publisher::new(
                wire,
                index,
                account.version,
                (template, qos),
                limits,
                receivers,
            ));
        }
        let plan = Plan {
            duration_ns: u64::from(self.load.seconds) * 1_000_000_000,
            messages_max: self.load.messages,
            rate: self.load.rate,
            is_quiet: self.target.quiet,
            is_offline: self.offline,
        };
        Ok(Traffic::new(poller, publishers, subscribers, plan))
    }
}

/// The name of a subscribing client.
fn subscriber(index: u32) -> String {
    format!("s{index}")
}

impl Load {
    fn qos(&self) -> Qos {
        Qos::from_bits(self.qos).unwrap_or_default()
    }

    fn topic(&self, number: u32) -> String {
        format!("{}{number}", self.topic_prefix)
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
