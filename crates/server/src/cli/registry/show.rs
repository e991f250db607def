//! `registry show`, and how a request is named.

use clap::Args;
use serde_json::Value;

use super::REQUESTS;
use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::http::percent_encode;
use crate::cli::session::Session;
use crate::cli::show::{items, permissions, text, yes_no};
use crate::cli::table::fields;

/// What `registry show` takes.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Id of the request, or the name that it asks for
    id: String,
}

impl Show {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let path = path(session, &self.id).await?;
        let request = session.read(&path).await?;
        let roles = items(&request, "roles").iter().filter_map(Value::as_str);
        let shown = fields(&[
            ("name", vec![text(&request, "username")]),
            ("id", vec![text(&request, "id")]),
            ("status", vec![text(&request, "status")]),
            ("user exists", vec![yes_no(&request, "userExists")]),
            ("by", vec![text(&request, "origin")]),
            ("from", vec![text(&request, "address")]),
            ("listener", vec![text(&request, "listener")]),
            ("client id", vec![text(&request, "clientId")]),
            ("password", vec![text(&request, "password")]),
            ("signing request", vec![yes_no(&request, "hasCsr")]),
            ("wished roles", roles.map(str::to_owned).collect()),
            ("wished permissions", permissions(&request)),
            ("says of itself", vec![text(&request, "context")]),
            ("since", vec![text(&request, "createdAt")]),
            ("until", vec![text(&request, "expiresAt")]),
            ("came back", vec![text(&request, "attempts")]),
            ("other passwords", vec![text(&request, "otherPasswords")]),
            ("last from", vec![text(&request, "lastAddress")]),
            ("last at", vec![text(&request, "lastSeenAt")]),
        ]);
        Ok(Answer::done(request, shown))
    }
}

/// The path of the request with this id or name. What looks like an id is one.
pub(super) async fn path(session: &mut Session, key: &str) -> Result<String, Failure> {
    if uuid::Uuid::try_parse(key).is_ok() {
        return Ok(format!("{REQUESTS}/{}", percent_encode(&key.to_ascii_lowercase())));
    }
    let requests = session.list(REQUESTS).await?;
    let mut found = requests.iter().filter(|request| text(request, "username") == key);
    match (found.next(), found.next()) {
        (Some(request), None) => Ok(format!("{REQUESTS}/{}", percent_encode(&text(request, "id")))),
        (Some(_), Some(_)) => {
            let several = "two requests ask for this name, by MQTT and by REST: take one's id";
            Err(Failure::Missing(several.to_owned()))
        }
        (None, _) => Err(Failure::Missing(format!("no request `{key}`"))),
    }
}
