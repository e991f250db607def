//! `cert sign`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::files::{Draft, Existing, Readers};
use super::issue::summary;
use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::{Session, USERS};
use crate::cli::show::text;

/// What `cert sign` takes.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// File with the certificate signing request (PEM), or `-` for standard input
    #[arg(value_name = "CSR")]
    request: PathBuf,
    /// Name of the user; the request's common name must be the same
    #[arg(long)]
    user: String,
    /// Write the certificate to this file instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Days of validity [default: 365, unless the server is configured otherwise]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// Replace the file that is there already
    #[arg(long, requires = "out")]
    force: bool,
}

impl Sign {
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let request = read_request(&self.request)?;
        let path = session.find(&USERS, &self.user).await?.path;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let out =
            self.out.map(|path| Draft::new(path, Readers::Everybody, existing)).transpose()?;
        let mut body = json!({ "csr": request });
        if let (Some(days), Some(object)) = (self.days, body.as_object_mut()) {
            object.insert("days".to_owned(), Value::from(days));
        }
        let issued = session.post(&format!("{path}/certificates"), &body).await?;
        let certificate = text(&issued, "certificate");
        let Some(out) = out else {
            return Ok(Answer::done(issued, certificate.trim_end()));
        };
        let written = out.write(certificate.as_bytes())?;
        let said = format!("{}\n{}", summary(&issued), written.display());
        Ok(Answer::done(issued, said))
    }
}

fn read_request(path: &Path) -> Result<String, Failure> {
    let mut request = String::new();
    let failed = |error| Failure::File { action: "read", path: path.to_owned(), error };
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    source.take(REQUEST_BYTES_MAX).read_to_string(&mut request).map_err(failed)?;
    Ok(request)
}

/// More than the server takes, so that it is the one to say that it is too much.
const REQUEST_BYTES_MAX: u64 = 65_536;
