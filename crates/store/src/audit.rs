//! The audit log: two chains of records in the same database as what they tell of, so that a change and its record are on
//! disk together or not at all.
//!
//! A record is JSON text that holds the hash of the record before it; its own hash is the SHA-256 of that text. Records are
//! only ever added. The oldest are given up when a chain gets too long, and the chain itself says which.

mod read;
#[cfg(test)]
mod tests;
mod verify;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};
use sqlx::{Row, Sqlite, Transaction};

use crate::text::signed;

pub use read::{AuditHead, AuditOrder, AuditPage, AuditQuery, AuditRow};
pub use verify::{AuditAnchor, AuditFault, ChainVerdict};

/// One of the two chains. A flood of refused logins gives up the oldest refusals and never a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditChain {
    /// What administrators did.
    Changes,
    /// Logins that were refused.
    Refusals,
}

impl AuditChain {
    /// Both.
    pub const ALL: [AuditChain; 2] = [AuditChain::Changes, AuditChain::Refusals];

    /// `changes` or `refusals`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            AuditChain::Changes => "changes",
            AuditChain::Refusals => "refusals",
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            AuditChain::Changes => 1,
            AuditChain::Refusals => 2,
        }
    }

    fn of_number(number: i64) -> Option<AuditChain> {
        AuditChain::ALL.into_iter().find(|chain| chain.number() == number)
    }

    /// The most records kept.
    fn records_max(self) -> u64 {
        match self {
            AuditChain::Changes => 1_000_000,
            AuditChain::Refusals => 100_000,
        }
    }
}

/// Something to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// In which chain.
    pub chain: AuditChain,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who did it, or the user name that was refused.
    pub actor: String,
    /// What was done: `user.update`.
    pub action: String,
    /// Everything else, by field name. Nothing secret.
    pub details: Map<String, Value>,
}

/// Adds a record to the end of its chain, and gives up the oldest if there are too many.
pub(crate) async fn append(
    tx: &mut Transaction<'_, Sqlite>,
    entry: &AuditEntry,
) -> Result<(), sqlx::Error> {
    let seq = append_one(tx, entry).await?;
    give_up_old(tx, entry.chain, seq, entry.at_ms, entry.chain.records_max()).await
}

async fn append_one(
    tx: &mut Transaction<'_, Sqlite>,
    entry: &AuditEntry,
) -> Result<u64, sqlx::Error> {
    let head = sqlx::query("SELECT seq, hash FROM audit_heads WHERE chain = $1")
        .bind(entry.chain.number())
        .fetch_one(&mut **tx)
        .await?;
    let seq: i64 = head.try_get::<i64, _>(0)?.saturating_add(1);
    let record = text(entry, seq, head.try_get(1)?);
    let hash = hash_of(&record);
    sqlx::query(
        "INSERT INTO audit (chain, seq, at, actor, action, record, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(entry.chain.number())
    .bind(seq)
    .bind(signed(entry.at_ms))
    .bind(&entry.actor)
    .bind(&entry.action)
    .bind(record)
    .bind(&hash)
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE audit_heads SET seq = $2, hash = $3 WHERE chain = $1")
        .bind(entry.chain.number())
        .bind(seq)
        .bind(hash)
        .execute(&mut **tx)
        .await?;
    Ok(u64::try_from(seq).unwrap_or_default())
}

/// Removes the oldest records in one go of many, and says so in the chain itself, so that nobody else can remove them
/// unnoticed.
async fn give_up_old(
    tx: &mut Transaction<'_, Sqlite>,
    chain: AuditChain,
    seq: u64,
    at_ms: u64,
    records_max: u64,
) -> Result<(), sqlx::Error> {
    let given_up: i64 = sqlx::query_scalar("SELECT given_up FROM audit_heads WHERE chain = $1")
        .bind(chain.number())
        .fetch_one(&mut **tx)
        .await?;
    let kept = seq.saturating_sub(u64::try_from(given_up).unwrap_or_default());
    if kept < records_max.saturating_add(GIVEN_UP_AT_ONCE) {
        return Ok(());
    }
    let through = seq.saturating_sub(records_max);
    let hash: String = sqlx::query_scalar("SELECT hash FROM audit WHERE chain = $1 AND seq = $2")
        .bind(chain.number())
        .bind(signed(through))
        .fetch_one(&mut **tx)
        .await?;
    let mut details = Map::new();
    details.insert(THROUGH.to_owned(), Value::from(through));
    details.insert(THROUGH_HASH.to_owned(), Value::from(hash.clone()));
    let (actor, action) = ("the broker".to_owned(), GIVEN_UP.to_owned());
    append_one(tx, &AuditEntry { chain, at_ms, actor, action, details }).await?;
    sqlx::query("DELETE FROM audit WHERE chain = $1 AND seq <= $2")
        .bind(chain.number())
        .bind(signed(through))
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE audit_heads SET given_up = $2, given_up_hash = $3 WHERE chain = $1")
        .bind(chain.number())
        .bind(signed(through))
        .bind(hash)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn text(entry: &AuditEntry, seq: i64, previous: &str) -> String {
    let mut record = entry.details.clone();
    record.insert("chain".to_owned(), Value::from(entry.chain.word()));
    record.insert(SEQ.to_owned(), Value::from(seq));
    record.insert(AT.to_owned(), Value::from(entry.at_ms));
    record.insert(ACTOR.to_owned(), Value::from(entry.actor.as_str()));
    record.insert(ACTION.to_owned(), Value::from(entry.action.as_str()));
    record.insert(PREVIOUS.to_owned(), Value::from(previous));
    Value::Object(record).to_string()
}

fn hash_of(record: &str) -> String {
    digest(&SHA256, record.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const SEQ: &str = "seq";
const AT: &str = "atMs";
const ACTOR: &str = "actor";
const ACTION: &str = "action";
const PREVIOUS: &str = "previous";
/// The action of a record that tells which old ones were removed.
const GIVEN_UP: &str = "audit.give-up";
const THROUGH: &str = "through";
const THROUGH_HASH: &str = "throughHash";
/// Old records are removed this many at a time.
const GIVEN_UP_AT_ONCE: u64 = 1000;
/// The hash before the first record.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";
