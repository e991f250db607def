//! `countersign role …`: one file a command.

mod add;
mod list;
mod remove;
mod set;
mod show;

use clap::Subcommand;

use super::answer::Answer;
use super::failure::Failure;
use super::session::Session;

/// The commands under `role`.
#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// Add a role
    Add(add::Add),
    /// List all roles
    List(list::List),
    /// Show one role
    Show(show::Show),
    /// Change a role's permissions or name
    Set(set::Set),
    /// Remove a role
    Remove(remove::Remove),
}

impl RoleCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            RoleCommand::Add(command) => command.run(session).await,
            RoleCommand::List(command) => command.run(session).await,
            RoleCommand::Show(command) => command.run(session).await,
            RoleCommand::Set(command) => command.run(session).await,
            RoleCommand::Remove(command) => command.run(session).await,
        }
    }
}
