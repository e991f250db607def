//! `client list`.

use clap::Args;
use serde_json::Value;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{items, text, yes_no};
use crate::cli::table::table;

/// What `client list` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let clients = session.list("/api/clients").await?;
        let rows: Vec<_> = clients
            .iter()
            .map(|client| {
                [
                    text(client, "user"),
                    text(client, "clientId"),
                    yes_no(client, "connected"),
                    text(client, "listener"),
                    text(client, "address"),
                    text(client, "authMethod"),
                    items(client, "subscriptions").len().to_string(),
                ]
            })
            .collect();
        let heading =
            ["USER", "CLIENT ID", "CONNECTED", "LISTENER", "ADDRESS", "LOGIN", "SUBSCRIPTIONS"];
        let shown = table(heading, &rows);
        Ok(Answer::done(Value::Array(clients), shown))
    }
}
