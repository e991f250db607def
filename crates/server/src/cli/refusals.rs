//! `refusals`, `user refusals` and `client refusals`: what was refused lately.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::answer::Answer;
use super::failure::Failure;
use super::http::percent_encode;
use super::session::{Session, USERS};
use super::show::text;
use super::table::table;

/// What `refusals` takes.
#[derive(Debug, Args)]
pub(super) struct Refusals {
    /// Only under exactly this user name, whether there is such a user or not
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only of clients with this id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Only of this action
    #[arg(long)]
    action: Option<Deed>,
}

/// What `user refusals` takes.
#[derive(Debug, Args)]
pub(super) struct OfUser {
    /// Name of the user
    name: String,
}

/// What `client refusals` takes.
#[derive(Debug, Args)]
pub(super) struct OfClient {
    /// Name of the user that the client has logged in as
    user: String,
    /// Its client id
    client_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deed {
    Login,
    Publish,
    Subscribe,
    Will,
    Subscription,
    Delivery,
}

impl Refusals {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let mut query = Vec::new();
        let mut ask = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                query.push(format!("{}={}", percent_encode(name), percent_encode(value)));
            }
        };
        ask("user[eq]", self.user.as_deref());
        ask("clientId[eq]", self.client_id.as_deref());
        let action = self.action.and_then(|deed| deed.to_possible_value());
        ask("action[eq]", action.as_ref().map(|value| value.get_name()));
        let mark = if query.is_empty() { "" } else { "?" };
        list(session, &format!("/api/refusals{mark}{}", query.join("&"))).await
    }
}

impl OfUser {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let id = session.find_id(&USERS, &self.name).await?;
        list(session, &format!("/api/users/{}/refusals", percent_encode(&id))).await
    }
}

impl OfClient {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let (user, client_id) = (percent_encode(&self.user), percent_encode(&self.client_id));
        list(session, &format!("/api/clients/{user}/{client_id}/refusals")).await
    }
}

async fn list(session: &mut Session, path: &str) -> Result<Answer, Failure> {
    let refusals = session.list(path).await?;
    let rows: Vec<_> = refusals
        .iter()
        .map(|refusal| {
            ["lastAt", "id", "user", "clientId", "address", "action", "resource", "count", "reason"]
                .map(|field| text(refusal, field))
        })
        .collect();
    let heading =
        ["LAST", "DECISION", "USER", "CLIENT ID", "ADDRESS", "ACTION", "TOPIC", "COUNT", "REASON"];
    let shown = table(heading, &rows);
    Ok(Answer::done(Value::Array(refusals), shown))
}
