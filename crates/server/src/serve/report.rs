//! What the log says of clients. Text that a peer chose is recorded as a string, never formatted into the line: both
//! formats then quote and escape it.

use std::net::SocketAddr;
use std::sync::Arc;

use access::{Authenticated, Denial, UserId, UserName};
use admin::decision_model::DeedModel;
use admin::{DecisionOrigin, RefusedRequest};
use broker::{
    Attach, AttachRefusal, AttachRefused, ClientName, DecisionId, Peer, Refusal, RefusalReason,
    RefusedAction, Report,
};
use mqtt::{Connect, ReasonCode};
use pki::PeerIdentity;

use super::clock;
use super::handshake::Failed;
use super::login::Visitor;
use super::proven::CertificateLapse;
use super::repeats::Repeats;

/// A connection that ended before its CONNECT was complete.
pub(crate) fn no_connect(visitor: &Visitor, reason: &str) {
    tracing::info!(
        address = %visitor.address, listener = &*visitor.listener, reason,
        "connection refused"
    );
}

/// A connection that ended in its TLS handshake.
pub(crate) fn no_handshake(visitor: &Visitor, repeats: &Repeats, failed: &Failed) {
    let (address, listener) = (visitor.address, &*visitor.listener);
    let (kind, reason) = (failed.kind, failed.reason.as_str());
    if !failed.is_refusal {
        tracing::debug!(%address, listener, kind, reason, "connection closed in the TLS handshake");
    } else if failed.has_client() || repeats.is_to_be_told(address.ip()) {
        tracing::info!(%address, listener, kind, reason, "TLS handshake refused");
    }
}

/// A client whose certificate is not good any more.
pub(crate) fn identity_lapsed(identity: &PeerIdentity, lapse: &CertificateLapse) {
    tracing::warn!(
        user = identity.common_name(), fingerprint = %identity.fingerprint(),
        reason = lapse.to_string(),
        "connection ended: its certificate is not good any more"
    );
}

/// Flaw 41: every refused login, with user, client id, address and reason.
pub(crate) fn login_refused(
    visitor: &Visitor,
    connect: &Connect,
    code: ReasonCode,
    reason: &str,
    decision: admin::DecisionId,
) {
    tracing::warn!(
        user = connect.username.as_deref(), client_id = connect.client_id,
        address = %visitor.address, listener = &*visitor.listener, code = hex(code), reason, %decision,
        "login refused"
    );
}

/// A client that has proven who it is, and is refused all the same.
pub(crate) fn attach_refused(client: &Newcoming, refused: &AttachRefused, decision: DecisionId) {
    tracing::warn!(
        user = client.user.as_str(), client_id = client.client_id, %decision,
        address = %client.peer.address, listener = &*client.peer.listener,
        code = hex(refused.reason), reason = refused.why.to_string(),
        "login refused"
    );
}

/// Why a proven client is refused, in a word for metrics.
pub(crate) fn attach_refusal(why: &AttachRefusal) -> &'static str {
    match why {
        AttachRefusal::ClientId => "client_id",
        AttachRefusal::Lapsed(_) => "lapsed",
        AttachRefusal::Will { .. } => "will",
        AttachRefusal::WillFormat => "will_format",
        AttachRefusal::AnswerTooLarge => "answer_too_large",
        AttachRefusal::Limit(limit) => limit,
        AttachRefusal::AuthenticationMethod => "authentication_method",
    }
}

/// Who asks to be attached, kept for the case that it is refused.
pub(crate) struct Newcoming {
    user_id: UserId,
    user: UserName,
    client_id: String,
    peer: Peer,
}

impl Newcoming {
    /// Takes down who it is.
    pub(crate) fn new(authenticated: &Authenticated, attach: &Attach) -> Self {
        let client_id = attach.assigned_client_id.as_ref().unwrap_or(&attach.connect.client_id);
        Self {
            user_id: authenticated.user_id(),
            user: authenticated.name().clone(),
            client_id: client_id.clone(),
            peer: attach.peer.clone(),
        }
    }

    /// What is kept of the refusal.
    pub(crate) fn refused(self, refused: &AttachRefused, decision: DecisionId) -> RefusedRequest {
        let (deed, resource, denial) = match &refused.why {
            AttachRefusal::Will { topic, denial } => {
                (DeedModel::Will, Some(topic.clone()), Some(denial))
            }
            AttachRefusal::ClientId
            | AttachRefusal::Lapsed(_)
            | AttachRefusal::Limit(_)
            | AttachRefusal::WillFormat
            | AttachRefusal::AnswerTooLarge
            | AttachRefusal::AuthenticationMethod => (DeedModel::Login, None, None),
        };
        RefusedRequest {
            decision: name(decision),
            user_id: self.user_id,
            user: self.user,
            client_id: self.client_id.into(),
            address: self.peer.address,
            listener: self.peer.listener,
            deed,
            resource,
            reason: denial.map_or_else(|| refused.why.to_string(), Denial::to_string),
            because: denial.and_then(because),
            count: 1,
            at_ms: clock::unix_ms(),
            is_at_login: true,
        }
    }
}

/// What is kept of a refusal.
pub(crate) fn refused_request(refusal: &Refusal) -> RefusedRequest {
    let client = &refusal.client;
    let denial = match &refusal.reason {
        RefusalReason::Denied(denial) => Some(denial),
        RefusalReason::Limit(_) | RefusalReason::PayloadFormat => None,
    };
    RefusedRequest {
        decision: name(refusal.decision),
        user_id: client.user,
        user: client.user_name.clone(),
        client_id: Arc::clone(&client.client_id),
        address: client.peer.address,
        listener: Arc::clone(&client.peer.listener),
        deed: match refusal.action {
            RefusedAction::Publish => DeedModel::Publish,
            RefusedAction::Subscribe => DeedModel::Subscribe,
            RefusedAction::Will => DeedModel::Will,
            RefusedAction::Held => DeedModel::Subscription,
            RefusedAction::Delivery => DeedModel::Delivery,
        },
        resource: Some(refusal.topic.clone()),
        reason: reason(&refusal.reason),
        because: denial.and_then(because),
        count: refusal.count,
        at_ms: clock::unix_ms(),
        is_at_login: false,
    }
}

fn name(decision: DecisionId) -> admin::DecisionId {
    let DecisionId { run, shard, number } = decision;
    admin::DecisionId { run, origin: DecisionOrigin::Shard(shard), number }
}

fn because(denial: &Denial) -> Option<Box<access::Because>> {
    match denial {
        Denial::DenyRule(because) => Some(because.clone()),
        Denial::NoRule
        | Denial::DollarTopic
        | Denial::InvalidTopic(_)
        | Denial::Gone
        | Denial::Lapsed(_) => None,
    }
}

fn reason(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::Denied(denial) => denial.to_string(),
        RefusalReason::Limit("storage") => "the state of sessions cannot be written".to_owned(),
        RefusalReason::Limit("storage_full") => "the disk is full".to_owned(),
        RefusalReason::Limit(limit) => format!("{limit} is reached"),
        RefusalReason::PayloadFormat => "the payload is not UTF-8 as it says".to_owned(),
    }
}

/// What the engine reports.
pub(crate) fn log(report: &Report) {
    match report {
        Report::Connected { client, session_present } => {
            let (user, client_id, address) = who(client);
            tracing::info!(user, client_id, %address, session_present, "client connected");
        }
        Report::Disconnected { client, why } => {
            let (user, client_id, address) = who(client);
            tracing::info!(user, client_id, %address, reason = ?why, "client disconnected");
        }
        Report::Refused(refusal) => refused(refusal),
        Report::RefusalsLeftOut { client, count } => {
            let (user, client_id, address) = who(client);
            tracing::warn!(user, client_id, %address, count, "refused, and not each recorded");
        }
        Report::SlowConsumer { client, rule, dropped } => {
            let (user, client_id, address) = who(client);
            tracing::warn!(user, client_id, %address, ?rule, dropped, "client too slow: messages dropped");
        }
        Report::OverBudget { client, rule } => {
            let (user, client_id, address) = who(client);
            tracing::warn!(user, client_id, %address, ?rule, "publisher is over its budget");
        }
        Report::RetainedFull { topic } => {
            tracing::warn!(topic = &**topic, "message not retained: the store is full");
        }
        Report::SessionEnded { client, why } => {
            let (user, client_id, address) = who(client);
            tracing::info!(user, client_id, %address, reason = ?why, "session ended");
        }
    }
}

fn refused(refusal: &Refusal) {
    let (user, client_id, address) = who(&refusal.client);
    tracing::warn!(
        user, client_id, %address, action = ?refusal.action, topic = &*refusal.topic,
        reason = reason(&refusal.reason), decision = %refusal.decision, count = refusal.count,
        "refused"
    );
}

/// User, client id and address.
fn who(client: &ClientName) -> (&str, &str, SocketAddr) {
    (client.user_name.as_str(), &client.client_id, client.peer.address)
}

fn hex(code: ReasonCode) -> String {
    format!("{:#04x}", code.value())
}
