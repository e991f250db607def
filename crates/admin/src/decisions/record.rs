//! A refusal as it comes in and as it is kept.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use access::{Because, UserId, UserName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::decision_model::DeedModel;
use crate::model::ExplainRule;
use crate::view;

/// Names a decision: which run of the broker, who made it, and the how manieth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DecisionId {
    /// The run, from 1.
    pub run: u32,
    /// Who made it.
    pub origin: DecisionOrigin,
    /// Counts from 1.
    pub number: u64,
}

/// Who makes decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DecisionOrigin {
    /// The shard with this number.
    Shard(u16),
    /// Whoever compares passwords and certificates.
    Login,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            DecisionOrigin::Shard(shard) => write!(f, "{}-{shard}-{}", self.run, self.number),
            DecisionOrigin::Login => write!(f, "{}-login-{}", self.run, self.number),
        }
    }
}

/// The text is no decision's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the name of a decision, such as `3-0-17` or `3-login-4`")]
pub struct NotADecision;

impl FromStr for DecisionId {
    type Err = NotADecision;

    fn from_str(text: &str) -> Result<DecisionId, NotADecision> {
        let mut parts = text.split('-');
        let (Some(run), Some(origin), Some(number), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotADecision);
        };
        let origin = match origin {
            "login" => DecisionOrigin::Login,
            shard => DecisionOrigin::Shard(shard.parse().map_err(|_| NotADecision)?),
        };
        let run = run.parse().map_err(|_| NotADecision)?;
        let id = DecisionId { run, origin, number: number.parse().map_err(|_| NotADecision)? };
        // One spelling each: no sign, no zero before.
        if id.to_string() == text { Ok(id) } else { Err(NotADecision) }
    }
}

/// What a client that has proven who it is was refused.
#[derive(Clone, Debug)]
pub struct RefusedRequest {
    /// The name of the decision.
    pub decision: DecisionId,
    /// The user's id.
    pub user_id: UserId,
    /// The user's name.
    pub user: UserName,
    /// The client id.
    pub client_id: Arc<str>,
    /// Where the client is.
    pub address: SocketAddr,
    /// The listener that it came to.
    pub listener: Arc<str>,
    /// What it wanted to do.
    pub deed: DeedModel,
    /// The topic or filter as the client wrote it, if it is about one.
    pub resource: Option<Box<str>>,
    /// Why not.
    pub reason: String,
    /// The permission that denies it, if one does.
    pub because: Option<Box<Because>>,
    /// How often.
    pub count: u64,
    /// When, in milliseconds since the Unix epoch; of several the last.
    pub at_ms: u64,
    /// Whether it was refused the connection itself.
    pub is_at_login: bool,
}

/// A refusal as it is kept, in memory and on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The names of the last decisions that were the same, the newest last.
    pub(crate) ids: Vec<DecisionId>,
    pub(crate) class: Class,
    /// The user name as it was given; empty if none was.
    pub(crate) user: String,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) client_id: Option<String>,
    pub(crate) address: String,
    pub(crate) listener: String,
    pub(crate) deed: DeedModel,
    pub(crate) resource: Option<String>,
    /// Only the beginning of the resource is kept.
    pub(crate) is_cut: bool,
    pub(crate) reason: String,
    pub(crate) because: Vec<ExplainRule>,
    pub(crate) count: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

/// Who can fill the place that a record takes: each class has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Class {
    /// Clients that have proven to be the user.
    Proven,
    /// Anybody who gives the name of a user.
    Claimed,
    /// Anybody.
    Unknown,
}

impl Record {
    pub(crate) fn of_request(refused: RefusedRequest) -> Record {
        let resource = refused.resource.as_deref();
        Record {
            ids: vec![refused.decision],
            class: Class::Proven,
            user: refused.user.as_str().to_owned(),
            user_id: Some(refused.user_id.0),
            client_id: Some(refused.client_id.to_string()),
            address: refused.address.to_string(),
            listener: refused.listener.to_string(),
            deed: refused.deed,
            is_cut: resource.is_some_and(|resource| resource.len() > RESOURCE_BYTES_MAX),
            resource: resource.map(|resource| cut(resource, RESOURCE_BYTES_MAX)),
            reason: refused.reason,
            because: refused.because.iter().map(|because| view::rule(because)).collect(),
            count: refused.count,
            first_ms: refused.at_ms,
            last_ms: refused.at_ms,
        }
    }
}

/// What a peer sent is as long as it likes; the record of it is not.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Bytes of a topic or filter that are kept.
const RESOURCE_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_one_name() {
        for text in ["1-0-1", "4294967295-65535-18446744073709551615", "3-login-4"] {
            assert_eq!(text.parse::<DecisionId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "1",
            "1-0",
            "1-0-1-1",
            "01-0-1",
            "1-0-+1",
            "1-0-01",
            "1-x-1",
            "1-Login-1",
            "-1-0-1",
            "1-65536-1",
            "4294967296-0-1",
            "1-0-1 ",
            "１-0-1",
        ] {
            assert_eq!(text.parse::<DecisionId>(), Err(NotADecision), "{text}");
        }
    }

    #[test]
    fn a_long_topic_is_cut_between_letters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aéé", 4), "aé…");
    }
}
