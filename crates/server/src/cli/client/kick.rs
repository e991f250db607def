//! `client kick`.

use clap::Args;

use crate::cli::answer::{Answer, printable};
use crate::cli::failure::Failure;
use crate::cli::http::percent_encode;
use crate::cli::session::Session;

/// What `client kick` takes.
#[derive(Debug, Args)]
pub(crate) struct Kick {
    /// Name of the user that the client has logged in as
    user: String,
    /// Its client id
    client_id: String,
}

impl Kick {
    /// The JSON answer is the client as it was.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let Kick { user, client_id } = self;
        let path = format!("/api/clients/{}/{}", percent_encode(&user), percent_encode(&client_id));
        let client = session.read(&path).await?;
        session.remove(&path).await?;
        let text = format!("client `{}` of user `{user}` kicked", printable(&client_id));
        Ok(Answer::done(client, text))
    }
}
