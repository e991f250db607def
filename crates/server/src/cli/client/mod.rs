//! `countersign client …`: one file a command.

mod kick;
mod list;

use clap::Subcommand;

use super::answer::Answer;
use super::failure::Failure;
use super::refusals;
use super::session::Session;

/// The commands under `client`.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// List the clients that are connected or have a session
    List(list::List),
    /// What the client was refused lately
    Refusals(refusals::OfClient),
    /// End a client's connection and its session
    Kick(kick::Kick),
}

impl ClientCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            ClientCommand::List(command) => command.run(session).await,
            ClientCommand::Refusals(command) => command.run(session).await,
            ClientCommand::Kick(command) => command.run(session).await,
        }
    }
}
