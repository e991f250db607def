//! `cert revoke`.

use clap::Args;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::http::percent_encode;
use crate::cli::session::Session;
use crate::cli::show::text;

/// What `cert revoke` takes.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// SHA-256 fingerprint or serial number, in hexadecimal digits, with or without colons
    #[arg(value_name = "FINGERPRINT|SERIAL")]
    certificate: String,
}

impl Revoke {
    /// The JSON answer is the certificate as it is now.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let before = session.read(&path(&self.certificate)).await?;
        // By the fingerprint, which is of one certificate only.
        let path = path(&text(&before, "fingerprint"));
        session.remove(&path).await?;
        let now = session.read(&path).await?;
        let user = text(&now, "username");
        let said = match text(&before, "revokedAt").as_str() {
            "" => {
                format!("certificate of `{user}` revoked; the connections that it has proven end")
            }
            at => format!("certificate of `{user}` was revoked already, at {at}"),
        };
        Ok(Answer::done(now, said))
    }
}

fn path(certificate: &str) -> String {
    format!("/api/certificates/{}", percent_encode(certificate))
}
