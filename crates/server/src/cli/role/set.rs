//! `role set`.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::answer::Answer;
use crate::cli::budget::BudgetChange;
use crate::cli::dry_run;
use crate::cli::edit::PermissionChanges;
use crate::cli::failure::Failure;
use crate::cli::session::{ROLES, Session};

/// What `role set` takes.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name of the role
    #[arg(value_name = "ROLE")]
    role: String,
    /// Call the role this from now on
    #[arg(long = "name", value_name = "NAME")]
    new_name: Option<String>,
    #[command(flatten)]
    permissions: PermissionChanges,
    #[command(flatten)]
    budget: BudgetChange,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

impl Set {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        if self.new_name.is_none() && self.permissions.is_empty() && self.budget.is_empty() {
            return Err(Failure::Usage(format!(
                "nothing to change for role `{}`: `countersign role set --help` shows what can be",
                self.role
            )));
        }
        if self.dry_run {
            let patch = |role: &Value| self.patch(role);
            return Ok(dry_run::answer(session.try_change(&ROLES, &self.role, patch).await?));
        }
        let changed = session.change(&ROLES, &self.role, |role| self.patch(role)).await?;
        Ok(Answer::done(changed, format!("role `{}` changed", self.role)))
    }

    fn patch(&self, role: &Value) -> Result<Value, Failure> {
        let mut patch = Map::new();
        if let Some(name) = &self.new_name {
            patch.insert("name".to_owned(), Value::from(name.as_str()));
        }
        self.budget.put(&mut patch);
        let owner = format!("role `{}`", self.role);
        if let Some(permissions) = self.permissions.apply(role, &owner)? {
            patch.insert("permissions".to_owned(), Value::from(permissions));
        }
        Ok(Value::Object(patch))
    }
}
