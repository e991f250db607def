//! `user passwd`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::password::read_password;
use crate::cli::session::{Session, USERS};

/// What `user passwd` takes.
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    /// Name of the user
    name: String,
    /// Read the new password from standard input (one line)
    #[arg(long, required = true)]
    password_stdin: bool,
    /// Set the second password and leave the first valid, to rotate without a gap
    #[arg(long)]
    second: bool,
    /// End the second password after this many hours
    #[arg(long, value_name = "N", requires = "second")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    expires_in_hours: Option<u32>,
}

impl Passwd {
    /// The JSON answer is the user as it is afterwards.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let password = read_password()?;
        let user = session.find(&USERS, &self.name).await?;
        session.put(&format!("{}/password", user.path), &self.body(&password)).await?;
        let user = session.read(&user.path).await?;
        let text = if self.second {
            format!("second password of user `{}` set; the first stays valid", self.name)
        } else {
            format!("password of user `{}` changed; its connections end", self.name)
        };
        Ok(Answer::done(user, text))
    }

    fn body(&self, password: &str) -> Value {
        let mut body = json!({"password": password});
        if let (true, Some(object)) = (self.second, body.as_object_mut()) {
            object.insert("second".to_owned(), Value::Bool(true));
            if let Some(hours) = self.expires_in_hours {
                object.insert("expiresInHours".to_owned(), Value::from(hours));
            }
        }
        body
    }
}
