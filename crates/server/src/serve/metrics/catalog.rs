//! Every metric there is: its name, what it is, and by what it is divided. What is not here is not written, and the page
//! `docs/metrics.md` is made from it.

/// One metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// Its name, by the conventions of Prometheus.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
    /// The labels of its samples; each is of a closed set of values.
    pub(crate) labels: &'static [&'static str],
    /// One sentence.
    pub(crate) help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, until a restart.
    Counter,
    /// It is what it is at the moment.
    Gauge,
    /// Times in buckets.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Histogram, labels, help }
}

/// All metrics, in the order in which they are written.
#[rustfmt::skip]
pub(crate) static FAMILIES: &[Family] = &[
    gauge("countersign_build_info", &["version"], "Always 1; says which version runs."),
    gauge("countersign_uptime_seconds", &[], "Seconds since the start."),

    counter("countersign_sockets_total", &["listener", "result"], "Connections accepted from the network, and those closed at once because their source has too many."),
    counter("countersign_handshakes_total", &["listener", "result"], "TLS handshakes by how they went."),
    counter("countersign_logins_total", &["listener", "result"], "CONNECT packets by how the login went: accepted, or why not."),
    counter("countersign_connects_refused_total", &["reason"], "Clients that have proven who they are and are refused all the same."),
    counter("countersign_disconnects_total", &["reason"], "Connections of logged-in clients that ended, by cause."),
    counter("countersign_sessions_ended_total", &["reason"], "Sessions without connection that ended, by cause."),
    gauge("countersign_connections_pending", &["stage"], "Connections that are not logged in: silent, in a TLS handshake, or past their CONNECT."),
    gauge("countersign_connections", &["listener"], "Connections of logged-in clients."),
    gauge("countersign_sessions", &["state"], "Sessions with and without a connection."),
    gauge("countersign_subscriptions", &["kind"], "Subscriptions of all sessions."),

    counter("countersign_packets_received_total", &[], "MQTT packets received after CONNECT."),
    counter("countersign_packets_sent_total", &[], "MQTT packets put into outboxes."),
    counter("countersign_received_bytes_total", &[], "Bytes of MQTT received after login."),
    counter("countersign_sent_bytes_total", &[], "Bytes of MQTT sent after login."),
    counter("countersign_messages_received_total", &["qos"], "PUBLISH packets received."),
    counter("countersign_messages_sent_total", &["qos"], "PUBLISH packets put into outboxes."),
    counter("countersign_payload_received_bytes_total", &[], "Bytes of payload in PUBLISH packets received."),
    counter("countersign_payload_sent_bytes_total", &[], "Bytes of payload in PUBLISH packets put into outboxes."),

    counter("countersign_publishes_refused_total", &["reason"], "PUBLISH packets and wills refused: denied by rights, not of the payload format they say, or storage, memory or publish budget in the way."),
    counter("countersign_subscriptions_refused_total", &[], "Filters of SUBSCRIBE packets refused, for want of a right or by a limit."),
    counter("countersign_deliveries_withheld_total", &[], "Messages kept from a session because it may not read them, or their writer may not write them any more."),
    counter("countersign_messages_dropped_total", &["rule"], "Messages dropped for a receiver, by the rule that dropped them."),
    counter("countersign_messages_not_retained_total", &[], "Messages routed but not retained, for want of room."),
    counter("countersign_publishers_paused_total", &[], "Times that a publisher was not read for a while: a receiver is behind, its budget used up, or memory short."),
    counter("countersign_publish_budget_waits_total", &[], "Times that a publisher had to wait for its publish budget."),
    counter("countersign_receivers_given_up_total", &[], "Times that a receiver took so long that publishers wait for it no more."),
    counter("countersign_publisher_pauses_total", &[], "Pauses of publishers whose last messages only such receivers would have got."),
    gauge("countersign_publishers_paused", &[], "Connections that are not read at the moment."),
    gauge("countersign_receivers_behind", &[], "Clients that do not take what waits for them fast enough."),

    gauge("countersign_queued_messages", &[], "QoS 1 and 2 messages in the queues of sessions."),
    gauge("countersign_queued_bytes", &[], "Their bytes."),
    gauge("countersign_queued_disk_messages", &[], "Those of them that wait on disk only."),
    gauge("countersign_queued_disk_bytes", &[], "Their bytes."),
    gauge("countersign_queue_memory_bytes", &[], "Bytes of memory that the queues of sessions take."),
    counter("countersign_queue_read_messages_total", &[], "Messages that waited on disk only and were read."),
    counter("countersign_queue_read_failures_total", &[], "Times that such messages could not be read for the time being."),
    histogram("countersign_queue_read_seconds", &[], "How long it took to read a batch of such messages."),
    gauge("countersign_queues_near_limit", &[], "Sessions whose queue is at four fifths of a bound or more."),
    gauge("countersign_inflight_messages", &[], "QoS 1 and 2 messages sent and not acknowledged."),
    gauge("countersign_inflight_bytes", &[], "Their bytes."),
    gauge("countersign_unreleased_messages", &[], "QoS 2 messages received and not released by their sender."),
    gauge("countersign_outbox_bytes", &[], "Bytes that wait to be written to connections."),
    gauge("countersign_held_input_bytes", &[], "Bytes that have come from connections while they were not read for a while, and wait behind that."),
    gauge("countersign_retained_backlog_messages", &[], "Retained messages that wait for room in an outbox after a SUBSCRIBE."),
    gauge("countersign_retained_messages", &[], "Retained messages."),
    gauge("countersign_retained_bytes", &[], "Their bytes."),

    counter("countersign_state_commits_total", &[], "Groups of records made durable."),
    histogram("countersign_state_commit_seconds", &[], "How long it took to make a group of records durable."),
    counter("countersign_state_failures_total", &[], "Times that records could not be made durable."),
    counter("countersign_state_refusals_total", &["packet"], "CONNECT, PUBLISH and SUBSCRIBE packets (a SUBSCRIBE once for each filter) refused because records cannot be made durable."),
    gauge("countersign_state_failing", &[], "0: records can be made durable; 1: they wait for room on the disk; 2: they wait for the disk to work again; 3: they wait for a disk that does not answer at all."),
    gauge("countersign_state_waiting_bytes", &[], "Bytes of records that wait to be durable."),

    gauge("countersign_hashes_waiting", &[], "Logins and new passwords that wait to be hashed."),
    counter("countersign_hashes_total", &[], "Passwords hashed."),
    counter("countersign_hashes_rejected_total", &[], "Logins and new passwords that were not hashed because too many waited."),

    histogram("countersign_shard_round_seconds", &["shard"], "How long the rounds of a shard take: reading, routing and writing for all its connections that have something to do."),
    gauge("countersign_shard_round_longest_seconds", &["shard"], "The longest round since metrics were last read."),
    gauge("countersign_shard_inbox_batches", &["shard"], "Batches of other shards that wait for a shard."),

    gauge("countersign_limit", &["limit"], "Bounds, by the name of their key; 0 is no bound."),
    gauge("countersign_limit_used", &["limit"], "How much of each is used; of bounds for one session, connection or user it is the fullest one."),
    gauge("countersign_limit_near", &["limit"], "1 for each bound that is used by four fifths or more, which is logged as well unless it is a window of flow control or a book whose oldest goes."),
    gauge("countersign_memory_level", &[], "0: memory is ample; 1: short, publishers are slowed; 2: full, what needs more is refused."),

    gauge("process_resident_memory_bytes", &[], "Resident memory of the process."),
    gauge("process_virtual_memory_bytes", &[], "Virtual memory of the process."),
    counter("process_cpu_seconds_total", &[], "CPU time of the process."),
    gauge("process_open_fds", &[], "Open file descriptors."),
    gauge("process_max_fds", &[], "File descriptors that the process may have."),
    gauge("process_threads", &[], "Threads."),
    gauge("process_start_time_seconds", &[], "When the process started, in seconds since the Unix epoch."),
];
