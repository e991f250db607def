//! `user add`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::answer::Answer;
use crate::cli::budget::NewBudget;
use crate::cli::edit::NewPermissions;
use crate::cli::failure::Failure;
use crate::cli::password::read_password;
use crate::cli::session::{ROLES, Session, USERS};

/// What `user add` takes.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("proof").required(true))]
pub(crate) struct Add {
    /// Name of the new user
    name: String,
    /// The user logs in with the password on standard input (one line)
    #[arg(long, group = "proof")]
    password_stdin: bool,
    /// The user logs in with a certificate and has no password
    #[arg(long, group = "proof")]
    certificate: bool,
    /// Give the user this role
    #[arg(long, value_name = "ROLE")]
    role: Vec<String>,
    #[command(flatten)]
    permissions: NewPermissions,
    #[command(flatten)]
    budget: NewBudget,
    /// Put this before every topic that the user publishes to
    #[arg(long, value_name = "PREFIX")]
    publish_prefix: Option<String>,
}

impl Add {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let password = if self.password_stdin { Some(read_password()?) } else { None };
        let mut roles = Vec::with_capacity(self.role.len());
        for role in &self.role {
            roles.push(session.find_id(&ROLES, role).await?);
        }
        let mut body = self.body(&roles);
        if let (Some(password), Some(object)) = (&password, body.as_object_mut()) {
            object.insert("password".to_owned(), Value::from(password.as_str()));
        }
        let created = session.create(&USERS, &body).await?;
        Ok(Answer::done(created, format!("user `{}` added", self.name)))
    }

    fn body(&self, roles: &[String]) -> Value {
        let method = if self.certificate { "certificate" } else { "password" };
        let mut body = json!({
            "username": self.name,
            "grantTypes": [{"method": method, "isRequired": false}],
            "roles": roles,
            "permissions": self.permissions.to_json(),
        });
        if let Some(object) = body.as_object_mut() {
            if let Some(prefix) = &self.publish_prefix {
                object.insert("mqttPublishPrefix".to_owned(), Value::from(prefix.as_str()));
            }
            self.budget.put(object);
        }
        body
    }
}
