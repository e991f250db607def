//! `countersign cert …`: one file a command.

mod ca;
mod files;
mod issue;
mod list;
mod revoke;
mod sign;

use clap::Subcommand;

use super::answer::Answer;
use super::failure::Failure;
use super::session::Session;

/// The commands under `cert`.
#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Issue a certificate with a new key for a user, and write both to files
    Issue(issue::Issue),
    /// Sign a certificate signing request of a user
    Sign(sign::Sign),
    /// List the certificates that were issued
    List(list::List),
    /// Revoke a certificate and end the connections that it has proven
    Revoke(revoke::Revoke),
    /// Print the certificate of the built-in authority, which clients need to trust the server
    Ca(ca::Ca),
}

impl CertCommand {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        match self {
            CertCommand::Issue(command) => command.run(session).await,
            CertCommand::Sign(command) => command.run(session).await,
            CertCommand::List(command) => command.run(session).await,
            CertCommand::Revoke(command) => command.run(session).await,
            CertCommand::Ca(command) => command.run(session).await,
        }
    }
}

/// The path of the API at which the server gives its authority's certificate away.
const AUTHORITY: &str = "/api/ca.crt";
