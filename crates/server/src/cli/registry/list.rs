//! `registry list`.

use clap::Args;
use serde_json::Value;

use super::REQUESTS;
use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::{items, text, yes_no};
use crate::cli::table::table;

/// What `registry list` takes.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Also those that were granted or denied lately
    #[arg(long)]
    all: bool,
}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let query = if self.all { "" } else { "?status=pending" };
        let requests = session.list(&format!("{REQUESTS}{query}")).await?;
        let rows: Vec<_> = requests
            .iter()
            .map(|request| {
                let wishes = items(request, "roles").len() + items(request, "permissions").len();
                [
                    text(request, "id"),
                    name(request),
                    text(request, "status"),
                    text(request, "origin"),
                    text(request, "address"),
                    text(request, "password"),
                    yes_no(request, "hasCsr"),
                    wishes.to_string(),
                    text(request, "createdAt"),
                ]
            })
            .collect();
        let heading =
            ["ID", "NAME", "STATUS", "BY", "ADDRESS", "PASSWORD", "CSR", "WISHES", "SINCE"];
        let shown = table(heading, &rows);
        Ok(Answer::done(Value::Array(requests), shown))
    }
}

/// The name that is asked for, with a mark if it is taken.
fn name(request: &Value) -> String {
    let name = text(request, "username");
    let is_taken = request.get("userExists").and_then(Value::as_bool).unwrap_or_default();
    if is_taken { format!("{name} (exists)") } else { name }
}
