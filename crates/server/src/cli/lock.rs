//! `countersign lock …`: what too many failed logins have locked.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::answer::{Answer, printable};
use super::failure::Failure;
use super::http::percent_encode;
use super::session::Session;
use super::show::{items, text};
use super::table::table;

/// The commands under `lock`.
#[derive(Debug, Subcommand)]
pub(super) enum LockCommand {
    /// List the users and addresses that are locked
    List(List),
    /// Let an address log in again
    Remove(Remove),
}

/// What `lock list` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// What `lock remove` takes.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The address, or any of its network of 64 bits
    address: String,
}

impl LockCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            LockCommand::List(List {}) => list(session).await,
            LockCommand::Remove(command) => command.run(session).await,
        }
    }
}

/// The JSON answer is an array of locks, each with its `kind`.
async fn list(session: &mut Session) -> Result<Answer, Failure> {
    let locks = session.read("/api/protection").await?;
    let mut all = Vec::new();
    for (kind, field) in [("user", "users"), ("source", "sources")] {
        for lock in items(&locks, field) {
            let mut lock = lock.clone();
            if let Some(object) = lock.as_object_mut() {
                object.insert("kind".to_owned(), Value::from(kind));
            }
            all.push(lock);
        }
    }
    let rows: Vec<_> = all
        .iter()
        .map(|lock| {
            [
                text(lock, "kind"),
                printable(&text(lock, "name")),
                text(lock, "until"),
                text(lock, "repetitions"),
            ]
        })
        .collect();
    let shown = table(["KIND", "NAME", "UNTIL", "IN A ROW"], &rows);
    Ok(Answer::done(Value::Array(all), shown))
}

impl Remove {
    async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let path = format!("/api/protection/sources/{}", percent_encode(&self.address));
        session.remove(&path).await?;
        let shown = format!("address `{}` unlocked", printable(&self.address));
        Ok(Answer::done(json!({"address": self.address}), shown))
    }
}
