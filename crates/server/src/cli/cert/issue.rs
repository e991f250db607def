//! `cert issue`.

use std::io::Write;
use std::path::{Path, PathBuf};

use access::UserName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::AUTHORITY;
use super::files::{self, Draft, Existing, Readers};
use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::password::read_password;
use crate::cli::session::{Session, USERS};
use crate::cli::show::text;

/// What `cert issue` takes.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// Name of the user
    user: String,
    /// Directory for USER.crt, USER.key and ca.crt; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Days of validity [default: 365, unless the server is configured otherwise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// Write USER.p12 (PKCS#12) besides; its password is made up and printed to standard error once
    #[arg(long)]
    p12: bool,
    /// Take the password of USER.p12 from standard input (one line)
    #[arg(long, requires = "p12")]
    p12_password_stdin: bool,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

/// The files of one certificate, all of them held before it is asked for.
struct Bundle {
    certificate: Draft,
    key: Draft,
    authority: Option<Draft>,
    p12: Option<Draft>,
}

impl Issue {
    /// The JSON answer is the REST object without the key, which is in its file.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let password = self.p12_password()?;
        let user = session.find(&USERS, &self.user).await?;
        let authority = session.read_text(AUTHORITY).await?;
        files::make_directory(&self.out)?;
        let name = file_stem(&text(&user.object, "username"))?;
        let bundle = self.hold(&name, &authority)?;
        let body = self.body(password.as_ref());
        let issued = session.post(&format!("{}/certificates", user.path), &body).await?;
        let (shown, written) = bundle.write(issued, &authority)?;
        if let Some(password) = password.filter(|_| !self.p12_password_stdin) {
            tell_password(&self.out.join(format!("{name}.p12")), &password)?;
        }
        let text = format!("{}\n{}", summary(&shown), written.join("\n"));
        Ok(Answer::done(shown, text))
    }

    fn p12_password(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match (self.p12, self.p12_password_stdin) {
            (false, _) => Ok(None),
            (true, true) => read_password().map(Some),
            // 122 random bits.
            (true, false) => Ok(Some(Zeroizing::new(uuid::Uuid::new_v4().simple().to_string()))),
        }
    }

    fn hold(&self, name: &str, authority: &str) -> Result<Bundle, Failure> {
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let path = |extension: &str| self.out.join(format!("{name}.{extension}"));
        let p12 =
            self.p12.then(|| Draft::new(path("p12"), Readers::Owner, existing)).transpose()?;
        Ok(Bundle {
            key: Draft::new(path("key"), Readers::Owner, existing)?,
            certificate: Draft::new(path("crt"), Readers::Everybody, existing)?,
            authority: files::shared(self.out.join("ca.crt"), authority, existing)?,
            p12,
        })
    }

    fn body(&self, password: Option<&Zeroizing<String>>) -> Value {
        let mut body = Map::new();
        if let Some(days) = self.days {
            body.insert("days".to_owned(), json!(days));
        }
        if let Some(password) = password {
            body.insert("p12Password".to_owned(), json!(password.as_str()));
        }
        Value::Object(body)
    }
}

impl Bundle {
    /// Writes what came, the key first; gives the object without what is secret, and the paths.
    fn write(self, mut issued: Value, authority: &str) -> Result<(Value, Vec<String>), Failure> {
        let mut written = Vec::new();
        let key = take_secret(&mut issued, "key")?;
        written.push(self.key.write(key.as_bytes())?);
        written.push(self.certificate.write(text(&issued, "certificate").as_bytes())?);
        if let Some(draft) = self.authority {
            written.push(draft.write(authority.as_bytes())?);
        }
        if let Some(draft) = self.p12 {
            let encoded = take_secret(&mut issued, "p12")?;
            let decoded = STANDARD.decode(encoded.as_bytes()).map(Zeroizing::new);
            let decoded = decoded.map_err(|_| missing("p12"))?;
            written.push(draft.write(&decoded)?);
        }
        let written: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
        if let Some(object) = issued.as_object_mut() {
            object.insert("files".to_owned(), json!(written));
        }
        Ok((issued, written))
    }
}

/// One line about a certificate that was just made.
pub(super) fn summary(issued: &Value) -> String {
    let field = |name| text(issued, name);
    format!(
        "certificate of `{}`, good until {}, serial {}, fingerprint {}",
        field("username"),
        field("expiresAt"),
        field("serial"),
        field("fingerprint")
    )
}

fn take_secret(issued: &mut Value, field: &str) -> Result<Zeroizing<String>, Failure> {
    match issued.as_object_mut().and_then(|object| object.remove(field)) {
        Some(Value::String(text)) => Ok(Zeroizing::new(text)),
        _ => Err(missing(field)),
    }
}

fn missing(field: &str) -> Failure {
    Failure::Transport(format!("the server answered without a usable `{field}`"))
}

/// A name becomes part of a path: whatever the server says, it must be a user's name.
fn file_stem(name: &str) -> Result<String, Failure> {
    match UserName::parse(name) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(error) => Err(Failure::Transport(format!("the server's user name is none: {error}"))),
    }
}

/// Not on standard output, which is kept and piped; this is to be seen once.
fn tell_password(path: &Path, password: &str) -> Result<(), Failure> {
    let path = path.display();
    writeln!(std::io::stderr(), "the password of `{path}` is {password} (it is shown only now)")
        .map_err(Failure::Output)
}
