//! `apply`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::{read, show};
use crate::cli::answer::Answer;
use crate::cli::dry_run;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::items;

/// What `apply` takes.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Policy file (YAML), or a commissioning file with `Cybus::User` and `Cybus::Role` resources; `-` is standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: PathBuf,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
    /// Also remove the users and roles that the file does not name
    #[arg(long)]
    prune: bool,
    /// Value of a parameter of a commissioning file
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Of a commissioning file: what stands before the names of its resources; its `metadata.name` if absent
    #[arg(long, value_name = "ID")]
    service_id: Option<String>,
}

impl Apply {
    pub(crate) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let parameters: BTreeMap<_, _> = self.parameters.into_iter().collect();
        let document = read::document(&self.file, &parameters, self.service_id.as_deref())?;
        let prune = if self.prune { "&prune=true" } else { "" };
        let plan = session.post(&format!("/api/policy?dryRun=true{prune}"), &document).await?;
        if self.dry_run || items(&plan, "changes").is_empty() {
            return Ok(dry_run::answer(plan));
        }
        let difference = show::steps(items(&plan, "changes"));
        if session.is_for_a_person() {
            Answer::done(plan, difference).say()?;
        }
        let done = session.post(&format!("/api/policy?dryRun=false{prune}"), &document).await?;
        let count = items(&done, "changes").len();
        Ok(Answer::done(done, format!("{count} changes made")))
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}
