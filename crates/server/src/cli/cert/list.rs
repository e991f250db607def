//! `cert list`.

use clap::Args;
use serde_json::Value;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::http::percent_encode;
use crate::cli::session::{Session, USERS};
use crate::cli::show::text;
use crate::cli::table::table;

/// What `cert list` takes.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only certificates that were issued for a user of this name
    #[arg(long)]
    user: Option<String>,
    /// Only certificates that are good now and end within so many days
    #[arg(long, value_name = "N")]
    expiring_within_days: Option<u32>,
}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let certificates = session.list(&self.path()).await?;
        if let (Some(user), true) = (&self.user, certificates.is_empty()) {
            // A removed user's certificates are listed; without any, the name may be a slip.
            session.find_id(&USERS, user).await?;
        }
        let rows: Vec<_> = certificates
            .iter()
            .map(|certificate| {
                [
                    text(certificate, "username"),
                    status(certificate),
                    text(certificate, "expiresAt"),
                    text(certificate, "serial"),
                    text(certificate, "fingerprint"),
                ]
            })
            .collect();
        let shown = table(["USER", "STATUS", "EXPIRES", "SERIAL", "FINGERPRINT"], &rows);
        Ok(Answer::done(Value::Array(certificates), shown))
    }

    fn path(&self) -> String {
        let mut query = Vec::new();
        if let Some(user) = &self.user {
            query.push(format!("{}={}", percent_encode("username[eq]"), percent_encode(user)));
        }
        if let Some(days) = self.expiring_within_days {
            query.push(format!("expiringWithinDays={days}"));
        }
        if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{}", query.join("&")) }
    }
}

/// `valid`, `expires-soon`, `not-yet-valid`, `expired` or `revoked`.
fn status(certificate: &Value) -> String {
    let ends_soon = certificate.get("expiresSoon").and_then(Value::as_bool).unwrap_or_default();
    match text(certificate, "status").as_str() {
        "valid" if ends_soon => "expires-soon".to_owned(),
        "notYetValid" => "not-yet-valid".to_owned(),
        other => other.to_owned(),
    }
}

const PATH: &str = "/api/certificates";
