//! `user enable` and `user disable`.

use clap::Args;
use serde_json::json;

use crate::cli::answer::Answer;
use crate::cli::dry_run;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};

/// What `user enable` takes.
#[derive(Debug, Args)]
pub(crate) struct Enable {
    /// Name of the user
    name: String,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

/// What `user disable` takes.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    /// Name of the user
    name: String,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

impl Enable {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let patch = json!({"enabled": true});
        if self.dry_run {
            let outcome = session.try_change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
            return Ok(dry_run::answer(outcome));
        }
        let user = session.change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
        Ok(Answer::done(user, format!("user `{}` enabled", self.name)))
    }
}

impl Disable {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let patch = json!({"enabled": false});
        if self.dry_run {
            let outcome = session.try_change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
            return Ok(dry_run::answer(outcome));
        }
        let user = session.change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
        Ok(Answer::done(user, format!("user `{}` disabled; its connections end", self.name)))
    }
}
