//! `cert ca`.

use clap::Args;
use serde_json::json;

use super::AUTHORITY;
use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;

/// What `cert ca` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct Ca {}

impl Ca {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let authority = session.read_text(AUTHORITY).await?;
        let text = authority.trim_end().to_owned();
        Ok(Answer::done(json!({ "ca": authority }), text))
    }
}
