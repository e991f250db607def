//! `role list`.

use clap::Args;
use serde_json::Value;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{items, text, yes_no};
use crate::cli::table::table;

/// What `role list` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let roles = session.list("/api/roles").await?;
        let rows: Vec<_> = roles
            .iter()
            .map(|role| {
                [
                    text(role, "name"),
                    items(role, "permissions").len().to_string(),
                    yes_no(role, "builtIn"),
                    text(role, "id"),
                ]
            })
            .collect();
        let shown = table(["NAME", "PERMISSIONS", "BUILT IN", "ID"], &rows);
        Ok(Answer::done(Value::Array(roles), shown))
    }
}
