//! `bench storm`: a whole fleet is cut off and comes back at once.

use clap::Args;

use super::BenchError;
use super::connect::result;
use super::login::{self, OnFailure, Plan, Then};
use super::process::own_cpu_us;
use super::result::LoginsResult;
use super::say;
use super::target::Target;

/// All clients are cut off and come back at once
#[derive(Debug, Args)]
pub(super) struct Storm {
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    clients: u32,
    /// Logins under way at a time when they come back [default: all]
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    #[command(flatten)]
    target: Target,
}

impl Storm {
    pub(super) fn run(self) -> Result<LoginsResult, BenchError> {
        let account = self.target.account()?;
        login::warm_up(&account)?;
        let calm = Plan {
            logins: self.clients,
            concurrency: CALM_CONCURRENCY,
            then: Then::Hold,
            on_failure: OnFailure::ComeAgain,
            is_quiet: self.target.quiet,
        };
        let before = login::run(&account, calm, &mut None)?;
        if before.refused + before.failed > 0 {
            let (refused, failed) = (before.refused, before.failed);
            return Err(BenchError::Broker(format!(
                "before the storm {refused} clients were refused and {failed} failed"
            )));
        }
        if !self.target.quiet {
            say(&format!("{} clients are connected; now they are cut off", before.logins));
        }
        drop(before);
        let mut broker = self.target.watch()?;
        let own_before_us = own_cpu_us();
        let concurrency = self.concurrency.unwrap_or(self.clients);
        let after = login::run(&account, Plan { concurrency, ..calm }, &mut broker)?;
        let generator_cpu_us = own_cpu_us().saturating_sub(own_before_us);
        let broker = broker.map(super::process::Watched::end).transpose()?;
        let mut result = result(&after, generator_cpu_us, broker);
        // Memory was in use before as well: the difference says nothing.
        result.broker_bytes_per_connection = None;
        Ok(result)
    }
}

const CALM_CONCURRENCY: u32 = 50;
