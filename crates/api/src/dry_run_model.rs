//! What a change would do, as REST shows it.

use admin::model::Time;
use admin::policy_model::PolicyStep;
use broker::{ClientLoss, SessionKey, SessionLoss};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clients::Foresight;

/// What a change would do. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DryRunModel {
    /// Always true.
    pub dry_run: bool,
    /// What would be changed, one by one, in the words of the audit log.
    pub changes: Vec<PolicyStep>,
    /// What that would do to clients.
    pub effects: EffectsModel,
}

/// What a change would do to clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectsModel {
    /// Clients that would lose anything, by user and client id: the first 1,000.
    pub clients: Vec<ClientEffectsModel>,
    /// Over all clients.
    pub totals: EffectTotalsModel,
    /// Since when publishers are known: the start of the broker, which forgets them.
    pub publishers_since: Option<Time>,
    /// What is not known, in words; empty if all is.
    pub incomplete: Vec<String>,
}

/// How much would be lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectTotalsModel {
    /// Clients that would lose anything.
    pub clients: usize,
    /// Connections that would end.
    pub connections: usize,
    /// Sessions that would end.
    pub sessions: usize,
    /// Subscriptions that would end.
    pub subscriptions: usize,
    /// Subscriptions of which a part would not be delivered any more.
    pub narrowed: usize,
    /// Wills that would not be sent any more.
    pub wills: usize,
    /// Waiting messages that would be dropped.
    pub messages: u64,
    /// Topics that a client published to within the last day and would be refused.
    pub publishes: usize,
}

/// What a change would do to one client.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientEffectsModel {
    /// Name of its user.
    pub user: String,
    /// Id of the user.
    pub user_id: Uuid,
    /// Its client id.
    pub client_id: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// Why its connection would end, if it would.
    pub connection_ends: Option<String>,
    /// Whether its session would end.
    pub session_ends: bool,
    /// Subscriptions that would end.
    pub subscriptions_end: Vec<FilterEffectModel>,
    /// Filters of subscriptions that would stay, and of which a part would not be delivered any more.
    pub subscriptions_narrowed: Vec<String>,
    /// The will, if it would not be sent any more.
    pub will_dropped: Option<TopicEffectModel>,
    /// Messages that wait for it, or for its acknowledgement, and would be dropped.
    pub messages_dropped: u64,
    /// Topics that it published to within the last day and would be refused.
    pub publishes_refused: Vec<PublishEffectModel>,
    /// Whether all topics that it published to are known.
    pub publishes_complete: bool,
}

/// A subscription that would end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterEffectModel {
    /// As it was subscribed, with its `$share` part.
    pub filter: String,
    /// Why.
    pub reason: String,
}

/// A will that would not be sent any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicEffectModel {
    /// As the client wrote it.
    pub topic: String,
    /// Why.
    pub reason: String,
}

/// A topic that would be refused.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishEffectModel {
    /// As the client sends it.
    pub topic: String,
    /// When it was seen to publish there last; it may have done so for an hour after that.
    pub last_seen: Time,
    /// Why.
    pub reason: String,
}

impl EffectsModel {
    /// What is foreseen, at `now_ms` since the Unix epoch.
    pub(crate) fn new(foresight: Foresight, now_ms: u64) -> EffectsModel {
        let Foresight { mut clients, since_ms, are_publishers_complete } = foresight;
        clients.sort_unstable_by(|(a, a_loss), (b, b_loss)| {
            let name = |loss: &ClientLoss| loss.user_name.as_str().to_owned();
            (name(a_loss), &a.client_id).cmp(&(name(b_loss), &b.client_id))
        });
        let mut totals = EffectTotalsModel::default();
        for (_, loss) in &clients {
            totals.add(loss);
        }
        let mut incomplete = Vec::new();
        let mut note = |is_so: bool, text: String| incomplete.extend(is_so.then_some(text));
        let since = Time(since_ms);
        let is_young = now_ms.saturating_sub(since_ms) < DAY_MS;
        note(is_young, format!("publishers are known since the broker's start at {since} only"));
        note(!are_publishers_complete, "there were more publishers than are noted".to_owned());
        let is_cut = clients.iter().any(|(_, loss)| !loss.are_publishes_complete);
        note(is_cut, "some clients published to more topics than are noted".to_owned());
        let is_judged = |loss: &ClientLoss| {
            loss.session.as_ref().is_none_or(|session| session.are_messages_complete)
        };
        let is_more = !clients.iter().all(|(_, loss)| is_judged(loss));
        note(is_more, "some clients have more waiting messages than were looked at".to_owned());
        let is_long = clients.len() > CLIENTS_LISTED_MAX;
        note(is_long, format!("only the first {CLIENTS_LISTED_MAX} clients are listed"));
        clients.truncate(CLIENTS_LISTED_MAX);
        EffectsModel {
            clients: clients.into_iter().map(ClientEffectsModel::from).collect(),
            totals,
            publishers_since: Some(since),
            incomplete,
        }
    }
}

impl EffectTotalsModel {
    fn add(&mut self, loss: &ClientLoss) {
        let nothing = SessionLoss::default();
        let session = loss.session.as_ref().unwrap_or(&nothing);
        let is_loss = loss.session.is_some() || !loss.publishes.is_empty();
        self.clients += usize::from(is_loss);
        self.connections += usize::from(session.connection.is_some());
        self.sessions += usize::from(session.session_ends);
        self.subscriptions += session.subscriptions.len();
        self.narrowed += session.narrowed.len();
        self.wills += usize::from(session.will.is_some());
        self.messages = self.messages.saturating_add(session.messages);
        self.publishes += loss.publishes.len();
    }
}

impl From<(SessionKey, ClientLoss)> for ClientEffectsModel {
    fn from((key, loss): (SessionKey, ClientLoss)) -> ClientEffectsModel {
        let session = loss.session.unwrap_or_default();
        let mut subscriptions: Vec<_> = session
            .subscriptions
            .into_iter()
            .map(|it| FilterEffectModel {
                filter: it.filter.to_string(),
                reason: it.denial.map_or("its session ends".to_owned(), |why| why.to_string()),
            })
            .collect();
        subscriptions.sort_by(|a, b| a.filter.cmp(&b.filter));
        let mut narrowed: Vec<_> = session.narrowed.iter().map(ToString::to_string).collect();
        narrowed.sort();
        let mut publishes: Vec<_> = loss
            .publishes
            .into_iter()
            .map(|it| PublishEffectModel {
                topic: it.topic.as_str().to_owned(),
                last_seen: Time(it.seen_at.0),
                reason: it.denial.to_string(),
            })
            .collect();
        publishes.sort_by(|a, b| a.topic.cmp(&b.topic));
        ClientEffectsModel {
            user: loss.user_name.as_str().to_owned(),
            user_id: key.user.0,
            client_id: key.client_id.to_string(),
            connected: loss.is_connected,
            connection_ends: session.connection.map(|lapse| lapse.to_string()),
            session_ends: session.session_ends,
            subscriptions_end: subscriptions,
            subscriptions_narrowed: narrowed,
            will_dropped: session.will.map(|(topic, why)| TopicEffectModel {
                topic: topic.as_str().to_owned(),
                reason: why.to_string(),
            }),
            messages_dropped: session.messages,
            publishes_refused: publishes,
            publishes_complete: loss.are_publishes_complete,
        }
    }
}

/// Clients whose losses are listed one by one; the rest is counted.
const CLIENTS_LISTED_MAX: usize = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;
