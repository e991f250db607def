//! `export`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;

/// What `export` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct Export {}

impl Export {
    pub(crate) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let policy = session.read("/api/policy").await?;
        let yaml = serde_yaml_ng::to_string(&policy);
        let yaml = yaml.map_err(|error| Failure::Transport(format!("no YAML: {error}")))?;
        Ok(Answer::done(policy, yaml.trim_end()))
    }
}
