//! `audit`: who did what, and which logins were refused.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::answer::{Answer, Form, Verdict, printable};
use super::failure::Failure;
use super::http::percent_encode;
use super::session::Session;
use super::show::{items, text};

/// What `audit` takes.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Go on and show new records as they come
    #[arg(long, conflicts_with_all = ["verify", "export"])]
    follow: bool,
    /// Go through the whole log: exits 1 if a record was changed, removed, added or moved
    #[arg(long, conflicts_with = "export")]
    verify: bool,
    /// With `--verify`: this record must be there (a line of an earlier `--verify` says so)
    #[arg(long, value_name = "CHAIN:SEQ:HASH", requires = "verify")]
    expect: Vec<String>,
    /// Print a whole chain, `changes` or `refusals`, as JSON lines with their hashes
    #[arg(long, value_name = "CHAIN", value_parser = ["changes", "refusals"])]
    export: Option<String>,
    /// Only this chain: `changes` or `refusals`
    #[arg(long, value_name = "CHAIN", value_parser = ["changes", "refusals"])]
    chain: Option<String>,
    /// Only what this user did, and logins as this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only this action, and those below it (`user`, `user.update`)
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Not before this time: `2026-11-23T10:00:00Z`, `2026-11-23`, or a span before now (`90s`, `15m`, `2h`, `7d`)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time, said in the same ways
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// The last N records
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    last: u32,
}

impl Audit {
    /// Carries it out.
    pub(super) async fn run(self, session: &mut Session) -> Result<Answer, Failure> {
        if self.verify {
            return self.verify(session).await;
        }
        if let Some(chain) = &self.export {
            return export(session, chain).await;
        }
        let shown = self.newest(session).await?;
        if self.follow {
            return self.follow(session, shown).await;
        }
        let lines: Vec<_> = shown.iter().map(line).collect();
        Ok(Answer::done(Value::Array(shown), lines.join("\n")))
    }

    /// The last records, the oldest of them first.
    async fn newest(&self, session: &mut Session) -> Result<Vec<Value>, Failure> {
        let wanted = usize::try_from(self.last).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        for page_number in 1_u32.. {
            let path = format!(
                "/api/audit?{}&pageNumber={page_number}&rowsPerPage={}",
                self.filter(self.chain.as_deref()),
                self.last.min(ROWS_PER_PAGE),
            );
            let page = session.read(&path).await?;
            let rows = items(&page, "items");
            records.extend(rows.iter().cloned());
            if rows.is_empty() || records.len() >= wanted {
                break;
            }
        }
        records.truncate(wanted);
        records.reverse();
        Ok(records)
    }

    /// Prints records until somebody ends it.
    async fn follow(self, session: &mut Session, shown: Vec<Value>) -> Result<Answer, Failure> {
        let chains = match &self.chain {
            Some(chain) => vec![chain.clone()],
            None => vec!["changes".to_owned(), "refusals".to_owned()],
        };
        let mut after = Vec::new();
        for chain in chains {
            // From the end of the chain on, whatever the filters have let through.
            let path = format!("/api/audit?chain={chain}&rowsPerPage=1");
            let page = session.read(&path).await?;
            let last = items(&page, "items").first().and_then(|row| row.get("seq")?.as_u64());
            after.push((chain, last.unwrap_or_default()));
        }
        let form = if session.is_for_a_person() { Form::Text } else { Form::Json };
        for record in &shown {
            say(record, form)?;
        }
        loop {
            for (chain, seq) in &mut after {
                let path = format!(
                    "/api/audit?{}&order=oldest&afterSeq={seq}&rowsPerPage={ROWS_PER_PAGE}",
                    self.filter(Some(chain))
                );
                let page = session.read(&path).await?;
                for record in items(&page, "items") {
                    *seq = record.get("seq").and_then(Value::as_u64).unwrap_or(*seq);
                    say(record, form)?;
                }
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }

    async fn verify(&self, session: &mut Session) -> Result<Answer, Failure> {
        let path = format!("/api/audit/verify?expect={}", percent_encode(&self.expect.join(",")));
        let verdict = session.read(&path).await?;
        let lines: Vec<_> = items(&verdict, "chains").iter().map(chain_line).collect();
        let is_good = verdict.get("good").and_then(Value::as_bool).unwrap_or_default();
        let mut answer = Answer::done(verdict, lines.join("\n"));
        if !is_good {
            answer.verdict = Verdict::Denied;
        }
        Ok(answer)
    }

    fn filter(&self, chain: Option<&str>) -> String {
        let pairs = [
            ("chain", chain),
            ("user", self.user.as_deref()),
            ("action", self.action.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ];
        let given = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        let given: Vec<_> =
            given.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
        given.join("&")
    }
}

/// Prints the lines as they come: a chain is longer than fits an answer.
async fn export(session: &mut Session, chain: &str) -> Result<Answer, Failure> {
    let mut after = 0;
    loop {
        let path =
            format!("/api/audit?chain={chain}&order=oldest&afterSeq={after}&rowsPerPage=100");
        let page = session.read(&path).await?;
        let rows = items(&page, "items");
        if rows.is_empty() {
            return Ok(Answer::quiet());
        }
        for row in rows {
            let record = text(row, "record");
            let open = record.strip_suffix('}').unwrap_or(&record);
            print(&format!("{open},\"hash\":\"{}\"}}\n", text(row, "hash")))?;
            after = row.get("seq").and_then(Value::as_u64).unwrap_or(u64::MAX);
        }
    }
}

fn say(record: &Value, form: Form) -> Result<(), Failure> {
    match form {
        Form::Json => print(&Answer::done(record.clone(), "").render(form)),
        Form::Text => print(&format!("{}\n", line(record))),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

fn line(record: &Value) -> String {
    let details = record.get("details").cloned().unwrap_or_default();
    printable(&format!(
        "{}  {} {}  {}  {}  {details}",
        text(record, "at"),
        text(record, "chain"),
        text(record, "seq"),
        text(record, "user"),
        text(record, "action"),
    ))
}

fn chain_line(chain: &Value) -> String {
    let fault = text(chain, "fault");
    let verdict = if fault.is_empty() { "good" } else { &fault };
    let (name, seq) = (text(chain, "chain"), text(chain, "seq"));
    let (records, hash) = (text(chain, "records"), text(chain, "hash"));
    printable(&format!("{name}: {verdict}; {records} records, the last is {name}:{seq}:{hash}"))
}

const ROWS_PER_PAGE: u32 = 100;
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
