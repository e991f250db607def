//! Refusals and the decisions behind them, with their JSON names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::decisions::record::Record;
use crate::model::{EffectModel, ExplainRule, ExplainView, OperationModel, Time};

/// What somebody wanted to do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DeedModel {
    /// Connect.
    Login,
    /// Publish a message.
    Publish,
    /// Subscribe.
    Subscribe,
    /// Leave a will, or have it sent.
    Will,
    /// Keep a subscription after a change of rights.
    Subscription,
    /// Be given messages that waited, after a change of rights.
    Delivery,
}

/// Which refusals are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalFilter {
    /// Only those under exactly this user name, whether there is such a user or not.
    pub user: Option<String>,
    /// Only those of clients with this id.
    pub client_id: Option<String>,
    /// Only those of this action.
    pub action: Option<DeedModel>,
}

/// A refusal. The same one again, for the same reason, is counted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusalView {
    /// Name of the decision, the last one if there were several: `explain` takes it.
    pub id: String,
    /// The names of the last decisions that were the same, up to eight, the oldest first.
    pub ids: Vec<String>,
    /// The user name as it was given; empty if none was.
    pub user: String,
    /// Id of the user, if the client had proven to be it.
    pub user_id: Option<Uuid>,
    /// The client id, if one was given.
    pub client_id: Option<String>,
    /// Where the client was, the last time.
    pub address: String,
    /// The listener that it came to; `api` for a login to REST.
    pub listener: String,
    /// What it wanted to do.
    pub action: DeedModel,
    /// The topic or filter as the client wrote it, at most 512 bytes of it, if it is about one.
    pub resource: Option<String>,
    /// Why not.
    pub reason: String,
    /// The permission that denied it, if one did.
    pub because: Vec<ExplainRule>,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_at: Time,
    /// When last.
    pub last_at: Time,
}

/// A decision that was made, and the same question now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// Always `deny`: only refusals are kept.
    pub decision: EffectModel,
    /// What the user was refused, `read` or `write`; none for a login.
    pub operation: Option<OperationModel>,
    /// What was asked and what decided then.
    #[serde(flatten)]
    pub refusal: RefusalView,
    /// What the same question gives now; none for a login, or if not all of the question is kept.
    pub now: Option<ExplainView>,
    /// The same in words.
    pub now_reason: String,
}

impl From<&Record> for RefusalView {
    fn from(record: &Record) -> RefusalView {
        let record = record.clone();
        let ids: Vec<String> = record.ids.iter().map(ToString::to_string).collect();
        RefusalView {
            id: ids.last().cloned().unwrap_or_default(),
            ids,
            user: record.user,
            user_id: record.user_id,
            client_id: record.client_id,
            address: record.address,
            listener: record.listener,
            action: record.deed,
            resource: record.resource,
            reason: record.reason,
            because: record.because,
            count: record.count,
            first_at: Time(record.first_ms),
            last_at: Time(record.last_ms),
        }
    }
}
