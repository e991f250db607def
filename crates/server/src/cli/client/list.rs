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
                    text(client, "tlsVersion").trim_start_matches("TLSv").to_owned(),
                    certificate_ends(client),
                    items(client, "subscriptions").len().to_string(),
                ]
            })
            .collect();
        let heading = [
            "USER",
            "CLIENT ID",
            "ONLINE",
            "LISTENER",
            "ADDRESS",
            "PROOF",
            "TLS",
            "CERT UNTIL",
            "SUBS",
        ];
        let shown = table(heading, &rows);
        Ok(Answer::done(Value::Array(clients), shown))
    }
}

/// The day on which the client's certificate ends, and the connection with it.
fn certificate_ends(client: &Value) -> String {
    let ends = client.get("certificate").map(|certificate| text(certificate, "expiresAt"));
    ends.unwrap_or_default().chars().take_while(|letter| *letter != 'T').collect()
}
