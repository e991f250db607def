//! The shapes of the audit log, with their JSON names.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::Time;

/// Which of the two chains of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditChainModel {
    /// What administrators did.
    Changes,
    /// Logins that were refused.
    Refusals,
}

/// In which order records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditOrderModel {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// Which records are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this chain only.
    pub chain: Option<AuditChainModel>,
    /// By this user only, or of logins as this user.
    pub user: Option<String>,
    /// Of this action, or of those below it: `user` stands for `user.create` and all others.
    pub action: Option<String>,
    /// Not before this time, in milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Before this time.
    pub to_ms: Option<u64>,
    /// After this number only.
    pub after_seq: Option<u64>,
    /// In which order.
    pub order: AuditOrderModel,
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Its chain.
    pub chain: AuditChainModel,
    /// Counts from 1 in its chain.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Who did it, or the user name that was refused.
    pub user: String,
    /// What was done: `user.update`.
    pub action: String,
    /// What it was done to, from where, before and after; depends on the action.
    pub details: Map<String, Value>,
    /// The text that the hash is of: a JSON object with the same, and with the hash of the record before it.
    pub record: String,
    /// SHA-256 of `record` in lower-case hexadecimal digits.
    pub hash: String,
}

impl AuditRecord {
    pub(crate) fn read(record: &str, hash: String) -> Result<AuditRecord, String> {
        let bad = || "a record of the audit log is not one".to_owned();
        let mut details: Map<String, Value> = serde_json::from_str(record).map_err(|_| bad())?;
        let mut take = |name: &str| details.remove(name).ok_or_else(bad);
        let chain = serde_json::from_value(take("chain")?).map_err(|_| bad())?;
        let (seq, at) = (take("seq")?.as_u64(), take("atMs")?.as_u64());
        let (user, action) = (take("actor")?, take("action")?);
        take("previous")?;
        Ok(AuditRecord {
            chain,
            seq: seq.ok_or_else(bad)?,
            at: Time(at.ok_or_else(bad)?),
            user: user.as_str().ok_or_else(bad)?.to_owned(),
            action: action.as_str().ok_or_else(bad)?.to_owned(),
            details,
            record: record.to_owned(),
            hash,
        })
    }
}

/// A record that is known to have been there, such as the last one at the last look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditHeadModel {
    /// Its chain.
    pub chain: AuditChainModel,
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl FromStr for AuditHeadModel {
    type Err = String;

    /// `CHAIN:SEQ:HASH`.
    fn from_str(text: &str) -> Result<AuditHeadModel, String> {
        let bad = || format!("`{text}` is not CHAIN:SEQ:HASH, with CHAIN `changes` or `refusals`");
        let mut parts = text.splitn(3, ':');
        let chain = match parts.next() {
            Some("changes") => AuditChainModel::Changes,
            Some("refusals") => AuditChainModel::Refusals,
            _ => return Err(bad()),
        };
        let seq = parts.next().and_then(|seq| seq.parse().ok()).ok_or_else(bad)?;
        let hash = parts.next().filter(|hash| hash.len() == 64).ok_or_else(bad)?;
        Ok(AuditHeadModel { chain, seq, hash: hash.to_ascii_lowercase() })
    }
}

/// What going through the audit log has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerdict {
    /// Whether nothing is wrong.
    pub good: bool,
    /// Chain by chain.
    pub chains: Vec<AuditChainVerdict>,
}

/// What going through one chain has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditChainVerdict {
    /// Which chain.
    pub chain: AuditChainModel,
    /// Whether nothing is wrong with it.
    pub good: bool,
    /// How many records were read.
    pub records: u64,
    /// Number of the last one.
    pub seq: u64,
    /// Hash of the last one.
    pub hash: String,
    /// Number of the last record that was given up for its age.
    pub given_up: u64,
    /// The first thing that is wrong.
    pub fault: Option<String>,
}
