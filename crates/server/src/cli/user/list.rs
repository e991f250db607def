//! `user list`.

use clap::Args;
use serde_json::Value;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{RoleNames, grant_types, items, text, yes_no};
use crate::cli::table::table;

/// What `user list` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let users = session.list("/api/users").await?;
        let roles = RoleNames::load(session).await?;
        let rows: Vec<_> = users
            .iter()
            .map(|user| {
                [
                    text(user, "username"),
                    yes_no(user, "enabled"),
                    grant_types(user).join(","),
                    roles.of(user).join(","),
                    items(user, "permissions").len().to_string(),
                    text(user, "mqttPublishPrefix"),
                ]
            })
            .collect();
        let heading = ["NAME", "ENABLED", "LOGIN", "ROLES", "PERMISSIONS", "PREFIX"];
        let shown = table(heading, &rows);
        Ok(Answer::done(Value::Array(users), shown))
    }
}
