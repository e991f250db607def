//! `countersign user …`: one file a command.

mod add;
mod enable;
mod list;
mod passwd;
mod remove;
mod set;
mod show;
mod unlock;

use clap::Subcommand;

use super::answer::Answer;
use super::failure::Failure;
use super::refusals;
use super::session::Session;

/// The commands under `user`.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user
    Add(add::Add),
    /// List all users
    List(list::List),
    /// Show one user
    Show(show::Show),
    /// Change a user's rights and ways to log in
    Set(set::Set),
    /// Change a user's password
    Passwd(passwd::Passwd),
    /// Let a disabled user log in again
    Enable(enable::Enable),
    /// Disable a user and end its connections
    Disable(enable::Disable),
    /// Let a user log in again that too many failed logins have locked
    Unlock(unlock::Unlock),
    /// What the user was refused lately, and logins under its name
    Refusals(refusals::OfUser),
    /// Remove a user and end its connections
    Remove(remove::Remove),
}

impl UserCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            UserCommand::Add(command) => command.run(session).await,
            UserCommand::List(command) => command.run(session).await,
            UserCommand::Show(command) => command.run(session).await,
            UserCommand::Set(command) => command.run(session).await,
            UserCommand::Passwd(command) => command.run(session).await,
            UserCommand::Enable(command) => command.run(session).await,
            UserCommand::Disable(command) => command.run(session).await,
            UserCommand::Unlock(command) => command.run(session).await,
            UserCommand::Refusals(command) => command.run(session).await,
            UserCommand::Remove(command) => command.run(session).await,
        }
    }
}
