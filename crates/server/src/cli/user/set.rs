//! `user set`: reads the user, computes what is to change, and writes that against the version it has read.

use std::str::FromStr;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::answer::Answer;
use crate::cli::budget::BudgetChange;
use crate::cli::dry_run;
use crate::cli::edit::PermissionChanges;
use crate::cli::failure::Failure;
use crate::cli::session::{ROLES, Session, USERS};
use crate::cli::show::items;

/// What `user set` takes.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name of the user
    name: String,
    /// Put this before every topic that the user publishes to
    #[arg(long, value_name = "PREFIX")]
    publish_prefix: Option<String>,
    /// Leave the topics that the user publishes to as they are
    #[arg(long, conflicts_with = "publish_prefix")]
    no_publish_prefix: bool,
    /// Give the user this role
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    /// Take this role from the user
    #[arg(long, value_name = "ROLE")]
    no_role: Vec<String>,
    #[command(flatten)]
    permissions: PermissionChanges,
    #[command(flatten)]
    budget: BudgetChange,
    /// How the user may log in from now on: all the ways, not only new ones
    #[arg(long, value_name = "password|certificate[:required]")]
    grant_type: Vec<GrantSpec>,
    /// Only show what would change, and what that would do to clients
    #[arg(long)]
    dry_run: bool,
}

/// One way to log in, as the command line writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GrantSpec {
    method: &'static str,
    is_required: bool,
}

/// A role by its name, for messages, and its id.
struct RoleRef {
    name: String,
    id: String,
}

impl Set {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        if self.changes_nothing() {
            return Err(Failure::Usage(format!(
                "nothing to change for user `{}`: `countersign user set --help` shows what can be",
                self.name
            )));
        }
        let added = resolve(session, &self.role).await?;
        let removed = resolve(session, &self.no_role).await?;
        if self.dry_run {
            let patch = |user: &Value| self.patch(user, &added, &removed);
            return Ok(dry_run::answer(session.try_change(&USERS, &self.name, patch).await?));
        }
        let changed =
            session.change(&USERS, &self.name, |user| self.patch(user, &added, &removed)).await?;
        Ok(Answer::done(changed, format!("user `{}` changed", self.name)))
    }

    fn changes_nothing(&self) -> bool {
        self.publish_prefix.is_none()
            && !self.no_publish_prefix
            && self.role.is_empty()
            && self.no_role.is_empty()
            && self.grant_type.is_empty()
            && self.permissions.is_empty()
            && self.budget.is_empty()
    }

    fn patch(
        &self,
        user: &Value,
        added: &[RoleRef],
        removed: &[RoleRef],
    ) -> Result<Value, Failure> {
        let owner = format!("user `{}`", self.name);
        let mut patch = Map::new();
        if let Some(prefix) = &self.publish_prefix {
            patch.insert("mqttPublishPrefix".to_owned(), Value::from(prefix.as_str()));
        }
        if self.no_publish_prefix {
            patch.insert("mqttPublishPrefix".to_owned(), Value::Null);
        }
        if !added.is_empty() || !removed.is_empty() {
            patch.insert(
                "roles".to_owned(),
                Value::from(change_roles(user, &owner, added, removed)?),
            );
        }
        if let Some(permissions) = self.permissions.apply(user, &owner)? {
            patch.insert("permissions".to_owned(), Value::from(permissions));
        }
        self.budget.put(&mut patch);
        if !self.grant_type.is_empty() {
            let grants: Vec<Value> = self.grant_type.iter().map(GrantSpec::to_json).collect();
            patch.insert("grantTypes".to_owned(), Value::from(grants));
        }
        Ok(Value::Object(patch))
    }
}

async fn resolve(session: &mut Session, names: &[String]) -> Result<Vec<RoleRef>, Failure> {
    let mut roles = Vec::with_capacity(names.len());
    for name in names {
        let id = session.find_id(&ROLES, name).await?;
        roles.push(RoleRef { name: name.clone(), id });
    }
    Ok(roles)
}

/// Taking away a role that the user does not have is an error, as with permissions.
fn change_roles(
    user: &Value,
    owner: &str,
    added: &[RoleRef],
    removed: &[RoleRef],
) -> Result<Vec<String>, Failure> {
    let held = items(user, "roles").iter().filter_map(Value::as_str).map(str::to_owned);
    let mut roles: Vec<String> = held.collect();
    for role in removed {
        let count_before = roles.len();
        roles.retain(|id| *id != role.id);
        if roles.len() == count_before {
            return Err(Failure::Missing(format!(
                "{owner} does not have the role `{}`",
                role.name
            )));
        }
    }
    for role in added {
        if !roles.contains(&role.id) {
            roles.push(role.id.clone());
        }
    }
    Ok(roles)
}

impl GrantSpec {
    fn to_json(&self) -> Value {
        json!({"method": self.method, "isRequired": self.is_required})
    }
}

impl FromStr for GrantSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<GrantSpec, String> {
        let (method, is_required) = match text.split_once(':') {
            None => (text, false),
            Some((method, "required")) => (method, true),
            Some(_) => {
                return Err(format!("`{text}` is not of the form METHOD or METHOD:required"));
            }
        };
        let method = match method {
            "password" => "password",
            "certificate" => "certificate",
            _ => {
                return Err(format!(
                    "`{method}` is no way to log in: write password or certificate"
                ));
            }
        };
        Ok(GrantSpec { method, is_required })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(ids: &[&str]) -> Vec<RoleRef> {
        ids.iter().map(|id| RoleRef { name: format!("role-{id}"), id: (*id).to_owned() }).collect()
    }

    fn check_roles(added: &[&str], removed: &[&str], expected: Result<&[&str], &str>) {
        let user = json!({"roles": ["1", "2"]});
        let changed = change_roles(&user, "user `u`", &roles(added), &roles(removed));
        match expected {
            Ok(expected) => assert_eq!(changed.unwrap(), expected),
            Err(text) => assert_eq!(changed.unwrap_err().to_string(), text),
        }
    }

    #[test]
    fn roles_are_added_to_and_taken_from_those_held() {
        check_roles(&["3"], &["1"], Ok(&["2", "3"]));
        check_roles(&["2"], &[], Ok(&["1", "2"]));
        check_roles(&[], &["1", "2"], Ok(&[]));
    }

    #[test]
    fn a_role_not_held_cannot_be_taken() {
        check_roles(&[], &["3"], Err("user `u` does not have the role `role-3`"));
    }

    #[test]
    fn grant_types_are_read_strictly() {
        for (text, expected) in [
            ("password", Some(("password", false))),
            ("certificate:required", Some(("certificate", true))),
            ("Password", None),
            ("password:", None),
            ("password:optional", None),
            ("token", None),
            ("", None),
        ] {
            let parsed = text.parse::<GrantSpec>().ok();
            assert_eq!(parsed.map(|grant| (grant.method, grant.is_required)), expected, "{text}");
        }
    }
}
