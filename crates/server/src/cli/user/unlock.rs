//! `user unlock`.

use clap::Args;
use serde_json::json;

use crate::cli::answer::{Answer, printable};
use crate::cli::failure::Failure;
use crate::cli::http::percent_encode;
use crate::cli::session::Session;

/// What `user unlock` takes.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// Name of the user
    name: String,
}

impl Unlock {
    /// The JSON answer is the name.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let path = format!("/api/protection/users/{}", percent_encode(&self.name));
        session.remove(&path).await?;
        let text =
            format!("user `{}` unlocked: its failed logins are forgotten", printable(&self.name));
        Ok(Answer::done(json!({"username": self.name}), text))
    }
}
