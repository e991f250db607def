//! `countersign registry …`: clients that ask to be let in.

mod decide;
mod list;
mod lock;
mod show;

use clap::Subcommand;

use super::answer::Answer;
use super::failure::Failure;
use super::session::Session;

/// The commands under `registry`.
#[derive(Debug, Subcommand)]
pub(super) enum RegistryCommand {
    /// Take requests of new clients for a time
    Unlock(lock::Unlock),
    /// Take no more requests; those that are there stay
    Lock(lock::Lock),
    /// List the requests that wait for a decision
    List(list::List),
    /// Show one request with all that its client says
    Show(show::Show),
    /// Let a client in, with these roles and permissions and no others
    Grant(decide::Grant),
    /// Refuse requests
    Deny(decide::Deny),
}

impl RegistryCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            RegistryCommand::Unlock(command) => command.run(session).await,
            RegistryCommand::Lock(command) => command.run(session).await,
            RegistryCommand::List(command) => command.run(session).await,
            RegistryCommand::Show(command) => command.run(session).await,
            RegistryCommand::Grant(command) => command.run(session).await,
            RegistryCommand::Deny(command) => command.run(session).await,
        }
    }
}

/// The list of requests.
const REQUESTS: &str = "/api/client-registry/requests";
