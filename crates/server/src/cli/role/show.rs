//! `role show`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::budget;
use crate::cli::failure::Failure;
use crate::cli::session::{ROLES, Session};
use crate::cli::show::{permissions, text};
use crate::cli::table::fields;

/// What `role show` takes.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name of the role
    name: String,
}

impl Show {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let role = session.find(&ROLES, &self.name).await?.object;
        let shown = fields(&[
            ("name", vec![text(&role, "name")]),
            ("id", vec![text(&role, "id")]),
            ("permissions", permissions(&role)),
            ("publish budget", vec![budget::shown(&role)]),
        ]);
        Ok(Answer::done(role, shown))
    }
}
