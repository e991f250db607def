//! `user remove`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};

/// What `user remove` takes.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name of the user
    name: String,
}

impl Remove {
    /// The JSON answer is the user as it was.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let user = session.find(&USERS, &self.name).await?;
        session.remove(&user.path).await?;
        Ok(Answer::done(user.object, format!("user `{}` removed; its connections end", self.name)))
    }
}
