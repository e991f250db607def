//! What is counted, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use api::CalledBy;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use broker::Counters;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::inbox::{Inbox, Order};

/// `/metrics`, for whoever a listener vouches for.
pub(crate) fn router(metrics: Arc<Metrics>, inboxes: Arc<[Inbox]>) -> Router {
    let answer = move |_: CalledBy| async move {
        let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (kind, metrics.text(&inboxes).await)
    };
    Router::new().route("/metrics", get(answer))
}

/// Counts of what happens before a connection is on its shard. The words that count are a closed set, so no client can
/// make the table grow.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<BTreeMap<Series, u64>>,
}

/// What is counted, at which listener, with which result.
type Series = (&'static str, Arc<str>, &'static str);

impl Metrics {
    /// One more of these at this listener, with this result.
    pub(crate) fn count(&self, what: &'static str, listener: &Arc<str>, result: &'static str) {
        let mut counts = self.counts.lock();
        let count = counts.entry((what, Arc::clone(listener), result)).or_default();
        *count = count.saturating_add(1);
    }

    /// All counts, with those of the shards.
    pub(crate) async fn text(&self, inboxes: &[Inbox]) -> String {
        let mut out = String::new();
        let mut last = "";
        for ((what, listener, result), count) in &*self.counts.lock() {
            if *what != last {
                push(&mut out, format_args!("# TYPE countersign_{what}s_total counter\n"));
                last = what;
            }
            push(
                &mut out,
                format_args!(
                    "countersign_{what}s_total{{listener=\"{listener}\",result=\"{result}\"}} {count}\n"
                ),
            );
        }
        let mut all = Counters::default();
        for inbox in inboxes {
            let (sender, answer) = oneshot::channel();
            drop(inbox.send(Order::Counters(sender)));
            // A shard that does not answer is stopping.
            if let Ok(counters) = answer.await {
                add(&mut all, &counters);
            }
        }
        for (name, kind, value) in families(&all) {
            push(&mut out, format_args!("# TYPE countersign_{name} {kind}\n"));
            push(&mut out, format_args!("countersign_{name} {value}\n"));
        }
        out
    }
}

fn add(all: &mut Counters, one: &Counters) {
    let Counters {
        messages_in,
        messages_out,
        bytes_in,
        bytes_out,
        dropped,
        refused_publishes,
        refused_subscriptions,
        withheld,
        connections,
        sessions,
        queued,
    } = one;
    for (sum, part) in [
        (&mut all.messages_in, messages_in),
        (&mut all.messages_out, messages_out),
        (&mut all.bytes_in, bytes_in),
        (&mut all.bytes_out, bytes_out),
        (&mut all.dropped, dropped),
        (&mut all.refused_publishes, refused_publishes),
        (&mut all.refused_subscriptions, refused_subscriptions),
        (&mut all.withheld, withheld),
    ] {
        *sum = sum.saturating_add(*part);
    }
    for (sum, part) in [
        (&mut all.connections, connections),
        (&mut all.sessions, sessions),
        (&mut all.queued, queued),
    ] {
        *sum = sum.saturating_add(*part);
    }
}

fn families(all: &Counters) -> [(&'static str, &'static str, u64); 11] {
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    [
        ("messages_in_total", "counter", all.messages_in),
        ("messages_out_total", "counter", all.messages_out),
        ("bytes_in_total", "counter", all.bytes_in),
        ("bytes_out_total", "counter", all.bytes_out),
        ("messages_dropped_total", "counter", all.dropped),
        ("publishes_refused_total", "counter", all.refused_publishes),
        ("subscriptions_refused_total", "counter", all.refused_subscriptions),
        ("deliveries_withheld_total", "counter", all.withheld),
        ("connections", "gauge", size(all.connections)),
        ("sessions", "gauge", size(all.sessions)),
        ("messages_queued", "gauge", size(all.queued)),
    ]
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
