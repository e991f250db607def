//! `registry grant` and `registry deny`.

use clap::Args;
use serde_json::{Value, json};

use super::show::path;
use crate::cli::answer::Answer;
use crate::cli::edit::NewPermissions;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::text;

/// What `registry grant` takes.
#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// Id of the request, or the name that it asks for
    id: String,
    /// Give the user this role; what the client wished for is not given by itself
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    #[command(flatten)]
    permissions: NewPermissions,
}

/// What `registry deny` takes.
#[derive(Debug, Args)]
pub(crate) struct Deny {
    /// Ids of requests, or the names that they ask for
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

impl Grant {
    /// The JSON answer is the request, with the id of the new user.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let path = path(session, &self.id).await?;
        let body = json!({ "roles": self.role, "permissions": self.permissions.to_json() });
        let request = session.post(&format!("{path}/grant"), &body).await?;
        let shown = format!("user `{}` added", text(&request, "username"));
        Ok(Answer::done(request, shown))
    }
}

impl Deny {
    /// The JSON answer is the request; of several a list.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let (mut denied, mut lines) = (Vec::new(), Vec::new());
        for id in &self.ids {
            let path = path(session, id).await?;
            let request = session.post(&format!("{path}/deny"), &json!({})).await?;
            lines.push(format!("request of `{}` denied", text(&request, "username")));
            denied.push(request);
        }
        let json = match <[Value; 1]>::try_from(denied) {
            Ok([one]) => one,
            Err(all) => Value::Array(all),
        };
        Ok(Answer::done(json, lines.join("\n")))
    }
}
