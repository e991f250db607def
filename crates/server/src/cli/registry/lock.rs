//! `registry unlock` and `registry lock`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::answer::Answer;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::show::text;

/// What `registry unlock` takes.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// For how long; what the server's configuration says unless given, which is 300
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
}

/// What `registry lock` takes: nothing.
#[derive(Debug, Args)]
pub(crate) struct Lock {}

impl Unlock {
    /// The JSON answer is the registry's state.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let body = match self.seconds {
            Some(seconds) => json!({ "durationMs": seconds.saturating_mul(1000) }),
            None => json!({}),
        };
        let state = session.post("/api/client-registry/unlock", &body).await?;
        let shown = format!(
            "client registry unlocked until {}; {}",
            text(&state, "unlockedUntil"),
            waiting(&state)
        );
        Ok(Answer::done(state, shown))
    }
}

impl Lock {
    /// The JSON answer is the registry's state.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        let state = session.post("/api/client-registry/lock", &json!({})).await?;
        let shown = format!("client registry locked; {}", waiting(&state));
        Ok(Answer::done(state, shown))
    }
}

fn waiting(state: &Value) -> String {
    match state.get("pending").and_then(Value::as_u64).unwrap_or_default() {
        0 => "no request waits".to_owned(),
        1 => "1 request waits".to_owned(),
        pending => format!("{pending} requests wait"),
    }
}

/// Beyond any time that the server allows.
const SECONDS_MAX: u64 = 1_000_000_000;
