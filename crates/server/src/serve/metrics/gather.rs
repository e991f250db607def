//! From what the parts of the broker know to samples.

use broker::{Census, Counters, Memory, Storage};

use super::text::Samples;
use super::{HANDSHAKE, LOGIN, SOCKET};
use crate::serve::intake::Pending;
use crate::serve::sources::Sources;
use crate::serve::{limits, memory, process};

/// Everything, at this moment.
pub(crate) async fn text(sources: &Sources) -> String {
    let (counters, census) = sources.shards().await;
    samples(sources, &counters, &census).text()
}

/// All samples.
pub(super) fn samples(sources: &Sources, counters: &Counters, census: &Census) -> Samples {
    let mut out = Samples::new();
    out.put("countersign_build_info", &[env!("CARGO_PKG_VERSION")], 1);
    out.put("countersign_uptime_seconds", &[], sources.uptime_s());
    let pending = sources.intake.pending();
    put_listeners(&mut out, sources, pending);
    put_traffic(&mut out, counters);
    put_rules(&mut out, counters);
    put_held(&mut out, sources, census);
    put_state(&mut out, sources, counters);
    let hashing = sources.admin.hashing();
    out.put("countersign_hashes_waiting", &[], hashing.waiting);
    out.put("countersign_hashes_total", &[], hashing.done);
    out.put("countersign_hashes_rejected_total", &[], hashing.rejected);
    put_shards(&mut out, sources);
    put_limits(&mut out, sources, census, pending);
    put_process(&mut out);
    out
}

fn put_listeners(out: &mut Samples, sources: &Sources, pending: Pending) {
    for ((what, listener, result), count) in &*sources.metrics.at_listeners.lock() {
        let name = match *what {
            SOCKET => "countersign_sockets_total",
            HANDSHAKE => "countersign_handshakes_total",
            LOGIN => "countersign_logins_total",
            _ => continue,
        };
        out.put(name, &[listener, result], count);
    }
    for ((name, reason), count) in &*sources.metrics.reasons.lock() {
        out.put(name, &[reason], count);
    }
    for (stage, count) in
        [("silent", pending.silent), ("handshake", pending.busy), ("login", pending.speaking)]
    {
        out.put("countersign_connections_pending", &[stage], count);
    }
}

fn put_traffic(out: &mut Samples, counters: &Counters) {
    let sent = counters.answers_out.saturating_add(counters.messages_out);
    out.put("countersign_packets_received_total", &[], counters.packets_in);
    out.put("countersign_packets_sent_total", &[], sent);
    out.put("countersign_received_bytes_total", &[], counters.bytes_in);
    out.put("countersign_sent_bytes_total", &[], counters.bytes_out);
    out.put("countersign_payload_received_bytes_total", &[], counters.payload_bytes_in);
    out.put("countersign_payload_sent_bytes_total", &[], counters.payload_bytes_out);
    let received = counters.acknowledged_in.of(counters.messages_in);
    let sent = counters.acknowledged_out.of(counters.messages_out);
    for (name, counts) in [
        ("countersign_messages_received_total", received),
        ("countersign_messages_sent_total", sent),
    ] {
        for (qos, count) in ["0", "1", "2"].into_iter().zip(counts) {
            out.put(name, &[qos], count);
        }
    }
}

fn put_rules(out: &mut Samples, counters: &Counters) {
    let refused = counters.refused_publishes;
    for (reason, count) in [
        ("denied", refused.denied),
        ("payload_format", refused.format),
        ("storage", refused.storage),
        ("memory_bytes_max", refused.memory),
        ("publish_budget", refused.budget),
    ] {
        out.put("countersign_publishes_refused_total", &[reason], count);
    }
    out.put("countersign_subscriptions_refused_total", &[], counters.refused_subscriptions);
    out.put("countersign_deliveries_withheld_total", &[], counters.withheld);
    let dropped = counters.dropped;
    for (rule, count) in [
        ("outbox_bytes_max", dropped.outbox_full),
        ("queue_full", dropped.queue_full),
        ("queue_disk_bytes_max", dropped.disk_queue_full),
        ("queue_disk_bytes_per_user_max", dropped.disk_queue_of_user_full),
        ("unreadable", dropped.unreadable),
        ("retained_backlog_max", dropped.retained_backlog_full),
        ("memory_bytes_max", dropped.memory_full),
    ] {
        out.put("countersign_messages_dropped_total", &[rule], count);
    }
    out.put("countersign_queue_read_messages_total", &[], counters.fetched);
    out.put("countersign_queue_read_failures_total", &[], counters.fetches_failed);
    out.put("countersign_messages_not_retained_total", &[], counters.not_retained);
    out.put("countersign_publishers_paused_total", &[], counters.held_back);
    out.put("countersign_publish_budget_waits_total", &[], counters.budget_waits);
    out.put("countersign_receivers_given_up_total", &[], counters.patience_over);
    out.put("countersign_publisher_pauses_total", &[], counters.futile_pauses);
}

fn put_held(out: &mut Samples, sources: &Sources, census: &Census) {
    for (listener, count) in &census.online {
        out.put("countersign_connections", &[listener], count);
    }
    let online: usize = census.online.values().sum();
    out.put("countersign_sessions", &["online"], online);
    out.put("countersign_sessions", &["offline"], census.offline);
    let shared = census.shared_subscriptions;
    out.put("countersign_subscriptions", &["plain"], census.subscriptions.saturating_sub(shared));
    out.put("countersign_subscriptions", &["shared"], shared);
    let (retained, retained_bytes) = sources.hub.retained_usage();
    for (name, value) in [
        ("countersign_publishers_paused", census.held_back),
        ("countersign_receivers_behind", census.behind),
        ("countersign_queued_messages", census.queued_messages),
        ("countersign_queued_bytes", census.queued_bytes),
        ("countersign_queued_disk_messages", census.queued_on_disk),
        ("countersign_queued_disk_bytes", census.queued_on_disk_bytes),
        ("countersign_queue_memory_bytes", census.queue_memory_bytes),
        ("countersign_queues_near_limit", census.queues_near_limit),
        ("countersign_inflight_messages", census.in_flight),
        ("countersign_inflight_bytes", census.in_flight_bytes),
        ("countersign_unreleased_messages", census.unreleased),
        ("countersign_outbox_bytes", census.outbox_bytes),
        ("countersign_held_input_bytes", census.held_input_bytes),
        ("countersign_retained_backlog_messages", census.retained_backlog),
        ("countersign_retained_messages", retained),
        ("countersign_retained_bytes", retained_bytes),
    ] {
        out.put(name, &[], value);
    }
}

fn put_state(out: &mut Samples, sources: &Sources, counters: &Counters) {
    let Some(journal) = &sources.journal else { return };
    let times = journal.commit_times();
    out.put_times("countersign_queue_read_seconds", &[], &journal.read_times());
    out.put("countersign_state_commits_total", &[], times.count);
    out.put_times("countersign_state_commit_seconds", &[], &times);
    out.put("countersign_state_failures_total", &[], journal.failures());
    for (packet, count) in [
        ("connect", sources.metrics.refused_for_storage()),
        ("publish", counters.refused_publishes.storage),
        ("subscribe", counters.storage_refused_subscriptions),
    ] {
        out.put("countersign_state_refusals_total", &[packet], count);
    }
    let failing = match sources.hub.storage() {
        Storage::Working => 0,
        Storage::Full => 1,
        Storage::Failing => 2,
        Storage::Stalled => 3,
    };
    out.put("countersign_state_failing", &[], failing);
    out.put("countersign_state_waiting_bytes", &[], journal.waiting_bytes());
}

fn put_shards(out: &mut Samples, sources: &Sources) {
    let shards = sources.pulses.iter().zip(&*sources.inboxes).enumerate();
    for (number, (pulse, inbox)) in shards {
        let shard = number.to_string();
        out.put_times("countersign_shard_round_seconds", &[&shard], &pulse.rounds.times());
        out.put("countersign_shard_round_longest_seconds", &[&shard], pulse.take_longest_s());
        out.put("countersign_shard_inbox_batches", &[&shard], inbox.batches());
    }
}

fn put_limits(out: &mut Samples, sources: &Sources, census: &Census, pending: Pending) {
    for it in limits::all(sources, census, pending) {
        out.put("countersign_limit", &[it.name], it.bound);
        out.put("countersign_limit_used", &[it.name], it.used);
        out.put("countersign_limit_near", &[it.name], usize::from(it.is_near()));
    }
    let level = match sources.hub.memory() {
        Memory::Ample => 0,
        Memory::Short => 1,
        Memory::Full => 2,
    };
    out.put("countersign_memory_level", &[], level);
}

fn put_process(out: &mut Samples) {
    if let Some(resident) = memory::resident() {
        out.put("process_resident_memory_bytes", &[], resident);
    }
    if let Some(open) = process::open_files() {
        out.put("process_open_fds", &[], open);
    }
    if let Some(max) = process::open_files_max() {
        out.put("process_max_fds", &[], max);
    }
    let Some(usage) = process::usage() else { return };
    out.put("process_virtual_memory_bytes", &[], usage.virtual_bytes);
    out.put("process_cpu_seconds_total", &[], usage.cpu_s);
    out.put("process_threads", &[], usage.threads);
    out.put("process_start_time_seconds", &[], usage.started_s);
}
