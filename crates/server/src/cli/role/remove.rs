//! `role remove`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::dry_run;
use crate::cli::failure::Failure;
use crate::cli::session::{ROLES, Session};

/// What `role remove` takes.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name of the role
    name: String,
    /// Also take it from the users that have it; without this, a role in use stays
    #[arg(long)]
    force: bool,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

impl Remove {
    /// The JSON answer is the role as it was.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let role = session.find(&ROLES, &self.name).await?;
        let path = if self.force { format!("{}?force=true", role.path) } else { role.path };
        if self.dry_run {
            return Ok(dry_run::answer(session.try_remove(&path).await?));
        }
        session.remove(&path).await?;
        Ok(Answer::done(role.object, format!("role `{}` removed", self.name)))
    }
}
