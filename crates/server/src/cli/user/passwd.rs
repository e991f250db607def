//! `user passwd`.

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::password::PasswordLines;
use crate::cli::session::{Session, USERS};
use crate::cli::show::text;

/// What `user passwd` takes.
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    /// Name of the user
    name: String,
    /// Read the new password from standard input (one line)
    #[arg(long, required = true)]
    password_stdin: bool,
    /// Read the present password from standard input first, in a line before the new one; one's own is changed only so
    #[arg(long)]
    current_stdin: bool,
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
        let (current, password) = self.passwords()?;
        let user = self.find(session).await?;
        if user.is_own && current.is_none() {
            let reason = "this is your own user: give `--current-stdin`, and the present password in a line before the new one";
            return Err(Failure::Missing(reason.to_owned()));
        }
        let body = self.body(&password, current.as_ref().map(|current| current.as_str()));
        session.put(&format!("{}/password", user.path), &body).await?;
        // A first password ends the tokens of its user, the one that is used here too if it is one's own.
        let user = match session.read(&user.path).await {
            Err(_) if user.is_own => json!({"username": self.name}),
            read => read?,
        };
        let said = if self.second {
            format!("second password of user `{}` set; the first stays valid", self.name)
        } else {
            format!("password of user `{}` changed; its connections end", self.name)
        };
        Ok(Answer::done(user, said))
    }

    fn passwords(&self) -> Result<(Option<Password>, Password), Failure> {
        let mut input = PasswordLines::of_stdin();
        let current = if self.current_stdin { Some(input.next("present password")?) } else { None };
        Ok((current, input.next("password")?))
    }

    /// One's own user is found also by whoever may look at no other.
    async fn find(&self, session: &mut Session) -> Result<Target, Failure> {
        let who = session.read("/api/login").await?;
        if text(&who, "username") == self.name {
            let path = format!("{}/{}", USERS.path(), text(&who, "userId"));
            return Ok(Target { path, is_own: true });
        }
        let path = session.find(&USERS, &self.name).await?.path;
        Ok(Target { path, is_own: false })
    }

    fn body(&self, password: &str, current: Option<&str>) -> Value {
        let mut body = json!({"password": password});
        if let (Some(current), Some(object)) = (current, body.as_object_mut()) {
            object.insert("current".to_owned(), Value::from(current));
        }
        if let (true, Some(object)) = (self.second, body.as_object_mut()) {
            object.insert("second".to_owned(), Value::Bool(true));
            if let Some(hours) = self.expires_in_hours {
                object.insert("expiresInHours".to_owned(), Value::from(hours));
            }
        }
        body
    }
}

type Password = Zeroizing<String>;

/// Whose password is set.
struct Target {
    path: String,
    is_own: bool,
}
