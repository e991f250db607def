//! `user show`.

use clap::Args;
use serde_json::Value;

use crate::cli::answer::Answer;
use crate::cli::budget;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};
use crate::cli::show::{RoleNames, grant_types, items, permissions, text, yes_no};
use crate::cli::table::fields;

/// What `user show` takes.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name of the user
    name: String,
}

impl Show {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let user = session.find(&USERS, &self.name).await?.object;
        let roles = RoleNames::load(session).await?;
        let prefix = text(&user, "mqttPublishPrefix");
        let shown = fields(&[
            ("name", vec![text(&user, "username")]),
            ("id", vec![text(&user, "id")]),
            ("enabled", vec![yes_no(&user, "enabled")]),
            ("login", grant_types(&user)),
            ("passwords", passwords(&user)),
            ("certificates", certificates(&user)),
            ("roles", roles.of(&user)),
            ("permissions", permissions(&user)),
            ("publish prefix", vec![prefix]),
            ("publish budget", vec![budget::shown(&user)]),
        ]);
        Ok(Answer::done(user, shown))
    }
}

/// One line a password: which, since when, until when, and when a login last used it.
fn passwords(user: &Value) -> Vec<String> {
    let describe = |password: &Value| {
        let mut line = format!("{}, set {}", text(password, "slot"), text(password, "createdAt"));
        for (field, word) in [("expiresAt", "ends"), ("lastUsedAt", "last used")] {
            let time = text(password, field);
            if !time.is_empty() {
                line.push_str(&format!(", {word} {time}"));
            }
        }
        line
    };
    items(user, "passwords").iter().map(describe).collect()
}

/// One line a certificate.
fn certificates(user: &Value) -> Vec<String> {
    let describe = |certificate: &Value| {
        let mut line = format!(
            "serial {}, ends {}",
            text(certificate, "serial"),
            text(certificate, "expiresAt")
        );
        let revoked_at = text(certificate, "revokedAt");
        if !revoked_at.is_empty() {
            line.push_str(&format!(", revoked {revoked_at}"));
        }
        line
    };
    items(user, "certificates").iter().map(describe).collect()
}
