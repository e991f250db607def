//! `user enable` and `user disable`.

use clap::Args;
use serde_json::json;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};

/// What `user enable` takes.
#[derive(Debug, Args)]
pub(crate) struct Enable {
    /// Name of the user
    name: String,
}

/// What `user disable` takes.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    /// Name of the user
    name: String,
}

impl Enable {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let patch = json!({"enabled": true});
        let user = session.change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
        Ok(Answer::done(user, format!("user `{}` enabled", self.name)))
    }
}

impl Disable {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let patch = json!({"enabled": false});
        let user = session.change(&USERS, &self.name, |_| Ok(patch.clone())).await?;
        Ok(Answer::done(user, format!("user `{}` disabled; its connections end", self.name)))
    }
}
