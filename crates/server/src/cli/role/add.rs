//! `role add`.

use clap::Args;
use serde_json::json;

use crate::cli::answer::Answer;
use crate::cli::budget::NewBudget;
use crate::cli::edit::NewPermissions;
use crate::cli::failure::Failure;
use crate::cli::session::{ROLES, Session};

/// What `role add` takes.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the new role
    name: String,
    #[command(flatten)]
    permissions: NewPermissions,
    #[command(flatten)]
    budget: NewBudget,
}

impl Add {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let mut body = json!({"name": self.name, "permissions": self.permissions.to_json()});
        if let Some(object) = body.as_object_mut() {
            self.budget.put(object);
        }
        let role = session.create(&ROLES, &body).await?;
        Ok(Answer::done(role, format!("role `{}` added", self.name)))
    }
}
