//! `countersign login` and `countersign token …`: bearer tokens.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::answer::Answer;
use super::failure::Failure;
use super::password::read_password;
use super::session::{Session, USERS};
use super::show::text;
use super::table::table;

/// What `login` takes.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Name of the user
    name: String,
    /// Read the password from standard input (one line)
    #[arg(long, required = true)]
    password_stdin: bool,
    /// End the token after this many hours
    #[arg(long, value_name = "N")]
    expires_in_hours: Option<u32>,
    /// What the token is for, shown in lists
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// The commands under `token`.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// List the tokens of a user
    List(List),
    /// End a token of a user, or all
    Revoke(Revoke),
}

/// What `token list` takes.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Name of the user
    user: String,
}

/// What `token revoke` takes.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Revoke {
    /// Name of the user
    user: String,
    /// Id of the token
    #[arg(required_unless_present = "all")]
    id: Option<String>,
    /// End all tokens of the user
    #[arg(long, conflicts_with = "id")]
    all: bool,
}

impl Login {
    /// Prints the token and nothing else; the JSON answer is that of `POST /api/login`.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let mut body = json!({"username": self.name, "password": read_password()?.as_str()});
        if let Some(object) = body.as_object_mut() {
            object.extend(
                self.expires_in_hours.map(|it| ("expireTimeInHours".to_owned(), it.into())),
            );
            object.extend(self.label.map(|it| ("label".to_owned(), it.into())));
        }
        let login = session.post("/api/login", &body).await?;
        let token = text(&login, "token");
        Ok(Answer::done(login, token))
    }
}

impl TokenCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            TokenCommand::List(command) => command.run(session).await,
            TokenCommand::Revoke(command) => command.run(session).await,
        }
    }
}

impl List {
    async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let id = session.find_id(&USERS, &self.user).await?;
        let tokens = session.list(&format!("/api/users/{id}/tokens")).await?;
        let fields = ["id", "label", "createdAt", "expiresAt", "lastUsedAt"];
        let rows: Vec<_> =
            tokens.iter().map(|token| fields.map(|field| text(token, field))).collect();
        let shown = table(["ID", "LABEL", "CREATED", "EXPIRES", "LAST USED"], &rows);
        Ok(Answer::done(Value::Array(tokens), shown))
    }
}

impl Revoke {
    /// The JSON answer is what was asked for.
    async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let id = session.find_id(&USERS, &self.user).await?;
        let tokens = format!("/api/users/{id}/tokens");
        let (path, what) = match &self.id {
            Some(token) => (format!("{tokens}/{}", super::http::percent_encode(token)), "token"),
            None => (tokens, "all tokens"),
        };
        session.remove(&path).await?;
        let answer = json!({"user": self.user, "token": self.id});
        Ok(Answer::done(answer, format!("{what} of user `{}` ended", self.user)))
    }
}
