//! `import`: the users and rules of another broker as a policy document, applied like one.
//!
//! Two things hold throughout. Nothing gets wider: what cannot be said here exactly is left out, or said so that less is
//! allowed. And nothing of that is silent: each is listed with the file and line it comes from.

mod acl;
mod acl_rules;
mod dynsec;
mod dynsec_rules;
mod findings;
mod passwd;
mod resource;
mod run;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::answer::Answer;
use super::failure::Failure;
use super::session::Session;

/// `import …`
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Take over the users and rules of a Mosquitto broker
    Mosquitto(Box<Mosquitto>),
}

/// What `import mosquitto` takes.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true))]
pub(super) struct Mosquitto {
    /// Its password file (`password_file`), made by `mosquitto_passwd`
    #[arg(long, value_name = "FILE", group = "source")]
    passwd: Option<PathBuf>,
    /// Its rules (`acl_file`)
    #[arg(long, value_name = "FILE", group = "source")]
    acl: Option<PathBuf>,
    /// The file of its dynamic security plugin (JSON)
    #[arg(long, value_name = "FILE", group = "source", conflicts_with_all = ["passwd", "acl"])]
    dynsec: Option<PathBuf>,
    /// Leave this user out
    #[arg(long = "skip", value_name = "NAME")]
    skipped: Vec<String>,
    /// Make the users that have rules but no password, to log in by certificate
    #[arg(long, requires = "acl")]
    certificate_users: bool,
    /// Also change users and roles that are there already
    #[arg(long)]
    replace: bool,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Change nothing if any line cannot be taken over exactly
    #[arg(long)]
    strict: bool,
}

impl ImportCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            ImportCommand::Mosquitto(command) => run::run(*command, session).await,
        }
    }
}
