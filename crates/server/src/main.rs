//! The countersign program: `serve` runs the broker, `bench` measures one, every other command talks to a running one.

mod bench;
mod cli;
mod config;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().into_action() {
        cli::Action::Serve(args) => {
            let cli::ServeArgs { config, check, data_dir } = args;
            serve::run(serve::Options { config, data_dir, check })
        }
        cli::Action::Bench(bench, is_json) => bench::run(*bench, is_json),
        cli::Action::Ask(ask) => ask.run(),
    }
}
