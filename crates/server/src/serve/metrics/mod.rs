//! What is counted, as Prometheus text.

mod catalog;
mod gather;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use broker::{DisconnectCause, Report, SessionEnd};
use parking_lot::Mutex;

use super::sources::Sources;

/// `/metrics`, for anybody: [`api::guarded`] makes it one for those who have the permission.
pub(crate) fn router(sources: Arc<Sources>) -> Router {
    let answer = || async move {
        let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (kind, gather::text(&sources).await)
    };
    let router = Router::new().route("/metrics", get(answer));
    router.method_not_allowed_fallback(api::method_not_allowed)
}

/// Counts of what happens outside of the engines. The words that count are a closed set, so no client can make a table
/// grow.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By what, listener and result.
    at_listeners: Mutex<BTreeMap<AtListener, u64>>,
    /// By metric and reason.
    reasons: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// What is counted, at which listener, with which result.
type AtListener = (&'static str, Arc<str>, &'static str);

/// Some of the counts, as sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections accepted from the network.
    pub(crate) sockets: u64,
    /// CONNECT packets that were whole.
    pub(crate) connects: u64,
    /// Sessions that ended because their time was over.
    pub(crate) sessions_expired: u64,
}

impl Metrics {
    /// One more of these at this listener, with this result.
    pub(crate) fn count(&self, what: &'static str, listener: &Arc<str>, result: &'static str) {
        let mut counts = self.at_listeners.lock();
        let count = counts.entry((what, Arc::clone(listener), result)).or_default();
        *count = count.saturating_add(1);
    }

    /// One more of this metric, for this reason.
    pub(crate) fn count_reason(&self, metric: &'static str, reason: &'static str) {
        let mut counts = self.reasons.lock();
        let count = counts.entry((metric, reason)).or_default();
        *count = count.saturating_add(1);
    }

    /// What the engine reports.
    pub(crate) fn count_report(&self, report: &Report) {
        match report {
            Report::Disconnected { why, .. } => self.count_reason(DISCONNECTS, cause(*why)),
            Report::SessionEnded { why, .. } => self.count_reason(SESSIONS_ENDED, end(*why)),
            Report::Connected { .. }
            | Report::Refused(_)
            | Report::RefusalsLeftOut { .. }
            | Report::SlowConsumer { .. }
            | Report::OverBudget { .. }
            | Report::RetainedFull { .. } => {}
        }
    }

    /// CONNECT packets refused because their sessions could not be made durable.
    pub(crate) fn refused_for_storage(&self) -> u64 {
        let reasons = self.reasons.lock();
        let count = |reason| reasons.get(&(CONNECTS_REFUSED, reason)).copied().unwrap_or(0);
        count("storage").saturating_add(count("storage_full"))
    }

    /// Some of the counts, as sums.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for ((what, _, result), count) in &*self.at_listeners.lock() {
            match (*what, *result) {
                (SOCKET, ACCEPTED) => counts.sockets = counts.sockets.saturating_add(*count),
                (LOGIN, result) if result != NO_CONNECT => {
                    counts.connects = counts.connects.saturating_add(*count);
                }
                _ => {}
            }
        }
        let expired = (SESSIONS_ENDED, end(SessionEnd::Expired));
        counts.sessions_expired = self.reasons.lock().get(&expired).copied().unwrap_or(0);
        counts
    }
}

fn cause(why: DisconnectCause) -> &'static str {
    match why {
        DisconnectCause::ByClient(_) => "by_client",
        DisconnectCause::ConnectionLost(_) => "connection_lost",
        DisconnectCause::KeepAlive => "keep_alive",
        DisconnectCause::TakenOver => "taken_over",
        DisconnectCause::Protocol(..) => "protocol_error",
        DisconnectCause::StandingLost(_) => "standing_lost",
        DisconnectCause::DeniedPublish => "denied_publish",
        DisconnectCause::Storage => "storage",
        DisconnectCause::OverBudget => "over_budget",
        DisconnectCause::Kicked(_) => "kicked",
        DisconnectCause::ShuttingDown => "shutting_down",
    }
}

fn end(why: SessionEnd) -> &'static str {
    match why {
        SessionEnd::Expired => "expired",
        SessionEnd::UserRemoved => "user_removed",
        SessionEnd::Kicked => "kicked",
    }
}

/// What is counted at listeners.
pub(crate) const SOCKET: &str = "socket";
pub(crate) const LOGIN: &str = "login";
pub(crate) const HANDSHAKE: &str = "handshake";
pub(crate) const ACCEPTED: &str = "accepted";
/// A connection that ended before its CONNECT was whole.
pub(crate) const NO_CONNECT: &str = "no_connect";
/// Metrics with reasons.
pub(crate) const CONNECTS_REFUSED: &str = "countersign_connects_refused_total";
const DISCONNECTS: &str = "countersign_disconnects_total";
const SESSIONS_ENDED: &str = "countersign_sessions_ended_total";
