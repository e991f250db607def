//! `bench connect`: what a login costs, and what a connection takes.

use std::time::Duration;

use clap::Args;

use super::BenchError;
use super::login::{self, OnFailure, Outcome, Plan, Then};
use super::process::{BrokerUse, own_cpu_us};
use super::result::{LoginsResult, per_second};
use super::target::Target;

/// Log in again and again, or log in and hold the connections
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// Logins in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    logins: u32,
    /// Logins under way at a time
    #[arg(long, value_name = "N", default_value_t = 50)]
    concurrency: u32,
    /// Keep all connections for so many seconds, to see what memory they take [default: disconnect at once]
    #[arg(long, value_name = "SECONDS")]
    hold: Option<u32>,
    #[command(flatten)]
    target: Target,
}

impl Connect {
    pub(super) fn run(self) -> Result<LoginsResult, BenchError> {
        let account = self.target.account()?;
        login::warm_up(&account)?;
        let mut broker = self.target.watch()?;
        let own_before_us = own_cpu_us();
        let plan = Plan {
            logins: self.logins,
            concurrency: self.concurrency,
            then: if self.hold.is_some() { Then::Hold } else { Then::Leave },
            on_failure: OnFailure::Count,
            is_quiet: self.target.quiet,
        };
        let outcome = login::run(&account, plan, &mut broker)?;
        let generator_cpu_us = own_cpu_us().saturating_sub(own_before_us);
        if let Some(seconds) = self.hold {
            std::thread::sleep(Duration::from_secs(seconds.into()));
        }
        let broker = broker.map(super::process::Watched::end).transpose()?;
        Ok(result(&outcome, generator_cpu_us, broker))
    }
}

/// What there is to say about so many logins.
pub(super) fn result(
    outcome: &Outcome,
    generator_cpu_us: u64,
    broker: Option<BrokerUse>,
) -> LoginsResult {
    let held = u64::try_from(outcome.held.len()).unwrap_or(u64::MAX);
    LoginsResult {
        logins: outcome.logins,
        refused: outcome.refused,
        failed: outcome.failed,
        repeated: outcome.repeated,
        resumed: outcome.resumed,
        elapsed_us: outcome.elapsed_us,
        logins_per_second: per_second(outcome.logins, outcome.elapsed_us),
        latency: outcome.latency.percentiles(),
        generator_cpu_us,
        broker,
        broker_cpu_ns_per_login: broker
            .and_then(|broker| (broker.cpu_us * 1_000).checked_div(outcome.logins)),
        broker_bytes_per_connection: broker.and_then(|broker| {
            (broker.rss_kb.saturating_sub(broker.rss_kb_before) * 1_024).checked_div(held)
        }),
    }
}
