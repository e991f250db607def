//! `user remove`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::dry_run;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};

/// What `user remove` takes.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name of the user
    name: String,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

impl Remove {
    /// The JSON answer is the user as it was.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let user = session.find(&USERS, &self.name).await?;
        if self.dry_run {
            return Ok(dry_run::answer(session.try_remove(&user.path).await?));
        }
        session.remove(&user.path).await?;
        Ok(Answer::done(user.object, format!("user `{}` removed; its connections end", self.name)))
    }
}
