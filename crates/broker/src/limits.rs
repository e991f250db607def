//! Every bound of the engine, by name. A peer can fill nothing that has no line here.

use std::num::NonZeroU16;

use crate::response_information::ResponseInformation;

/// What the engine may hold and for how long. One value for all shards of a broker.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Live connections of the whole broker. Full: CONNECT is refused with 0x97 (3.1.1: 3), unless it takes over a
    /// live connection of the same user and client id.
    pub connections_max: usize,
    /// Sessions of the whole broker, online and offline. Full: CONNECT is refused with 0x97 (3.1.1: 3).
    pub sessions_max: usize,
    /// Sessions of one user, online and offline. Full: CONNECT is refused with 0x97 (3.1.1: 3).
    pub sessions_per_user_max: usize,
    /// Bytes of the largest packet a client may send after login. Larger: DISCONNECT 0x95.
    pub packet_size_max: u32,
    /// Bytes waiting to be written to one connection. Full: the oldest QoS 0 messages in it are
    /// dropped, QoS 1 and 2 wait in the session's queue.
    pub outbox_bytes_max: usize,
    /// Bytes waiting to be written to one connection from which on the publishers of more are held
    /// back; they go on at half of it.
    pub outbox_pressure_bytes: usize,
    /// Bytes on their way from one shard to another from which on the publishers of more are held
    /// back; they go on at half of it. All shards' windows together should fit into `outbox_bytes_max`.
    pub shard_window_bytes: usize,
    /// Bytes read from one connection that is held back while it owes acknowledgements. Full: it is not read
    /// until it is held back no more.
    pub held_input_bytes_max: usize,
    /// Messages waiting in one session's queue. Full: see `queue_full`.
    pub queue_messages_max: usize,
    /// Bytes waiting in one session's queue. Full: see `queue_full`.
    pub queue_bytes_max: usize,
    /// Messages of one queue in memory, if the session outlives its connection; an eighth of them while
    /// nobody is connected. Full: what comes next waits on disk only, and is read from there in its turn.
    pub queue_memory_messages_max: usize,
    /// Their bytes.
    pub queue_memory_bytes_max: usize,
    /// Bytes of all queues that wait on disk only, counted as in memory. Full: a message that would have
    /// to is dropped.
    pub queue_disk_bytes_max: usize,
    /// Those of one user's sessions, so that no user has the room of all. Full: a message for one of them that would
    /// have to is dropped.
    pub queue_disk_bytes_per_user_max: usize,
    /// Which QoS 1 or 2 message is given up when a session's queue is full.
    pub queue_full: QueueFull,
    /// Unacknowledged QoS 1 and 2 messages a client may have in transit to the broker (the Receive
    /// Maximum granted). More: DISCONNECT 0x93.
    pub receive_max: NonZeroU16,
    /// Unacknowledged QoS 1 and 2 messages in transit to one client, whatever larger Receive Maximum
    /// it asks for; all that 3.1.1 clients get.
    pub in_flight_max: NonZeroU16,
    /// Topic aliases a client may set (the Topic Alias Maximum granted). More: DISCONNECT 0x94.
    pub topic_alias_max: u16,
    /// Subscriptions of one session. Full: SUBACK 0x97 (3.1.1: 0x80).
    pub subscriptions_per_session_max: usize,
    /// Messages the retained store holds. Full: the message is routed but not retained.
    pub retained_messages_max: usize,
    /// Bytes the retained store holds. Full: the message is routed but not retained.
    pub retained_bytes_max: usize,
    /// Bytes of the wills of all sessions. Full: a CONNECT with a will is refused with 0x97 (3.1.1: 3).
    pub will_bytes_max: usize,
    /// Bytes of the wills of one user's sessions, so that no user has the room of all. Full: a CONNECT with a will is
    /// refused with 0x97 (3.1.1: 3).
    pub will_bytes_per_user_max: usize,
    /// Retained messages that wait for one connection's outbox after its SUBSCRIBE. Full: the rest
    /// of that SUBSCRIBE's retained messages is not sent.
    pub retained_backlog_max: usize,
    /// Seconds. A longer keep-alive, or none, is shortened to this; 0 means no limit. Clients before
    /// MQTT 5 cannot be told and keep what they ask for.
    pub keep_alive_s_max: u16,
    /// Seconds a session may outlive its connection; longer wishes are shortened. What 3.1.1
    /// clients without clean session get. `u32::MAX` means never.
    pub session_expiry_s_max: u32,
    /// Bytes of a client id. Longer: CONNACK 0x85 (3.1.1: 2).
    pub client_id_bytes_max: usize,
    /// Topics whose permit one connection remembers. Full: all are forgotten.
    pub permit_cache_topics_max: usize,
    /// Targets in all routes that one shard remembers. Full: all are forgotten.
    pub route_cache_targets_max: usize,
    /// Milliseconds a publisher is held back for one receiver that does not take what waits for it.
    /// After that the receiver counts as slow and messages for it are dropped by the rules above.
    pub slow_consumer_patience_ms: u64,
    /// Milliseconds a publisher is not read whose last messages had no receivers but such that are counted as
    /// slow: what it sends is dropped, and the work for it is taken from the others. 0: it is read.
    pub slow_consumer_pause_ms: u64,
    /// Milliseconds until a closed connection that does not take its last bytes is forgotten.
    pub close_linger_ms: u64,
    /// What happens to a 3.1.1 connection that publishes without the right to. MQTT 5 is told by reason code.
    pub denied_publish: DeniedPublish,
    /// What happens to a message that is said to be UTF-8 and is not.
    pub payload_format: PayloadFormat,
    /// What clients are told that ask where their answers may go; `None`: nothing.
    pub response_information: Option<ResponseInformation>,
    /// What happens to a publisher that is over its user's publish budget.
    pub over_budget: OverBudget,
    /// Bytes of records that wait to be durable. Full: clients whose packets made some of them are not
    /// read until there is half of it left.
    pub commit_bytes_max: usize,
    /// Whether effects carry what a restart needs.
    pub persistence: Persistence,
}

/// The rule for a full session queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    /// The oldest waiting message makes room.
    DropOldest,
    /// The message that does not fit is dropped.
    DropNewest,
}

/// The rule for a publish without right where the protocol has no refusal, and for QoS 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedPublish {
    /// It is acknowledged if its QoS asks for that, and dropped.
    Drop,
    /// It is dropped and the connection closed.
    Close,
}

/// The rule for payloads that do not have the format their sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// Nobody looks.
    Pass,
    /// The message is refused with 0x99.
    Check,
}

/// The rule for a publisher that is over its user's publish budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverBudget {
    /// It is not read until it may go on.
    Wait,
    /// The message is refused with 0x97, or dropped if it is of QoS 0. Before 5.0, where QoS 1 and 2 cannot be
    /// refused, they wait.
    Refuse,
    /// The connection is closed, with DISCONNECT 0x97.
    Close,
}

/// Whether the engine emits `Effect::Persist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing outlives the process; no record is built.
    Off,
    /// Sessions that outlive their connection, their messages and retained messages are recorded.
    On,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 100_000,
            sessions_max: 200_000,
            sessions_per_user_max: 20_000,
            packet_size_max: 1 << 20,
            outbox_bytes_max: 1 << 20,
            outbox_pressure_bytes: 128 << 10,
            shard_window_bytes: 256 << 10,
            held_input_bytes_max: 16 << 20,
            queue_messages_max: 10_000,
            queue_bytes_max: 16 << 20,
            queue_memory_messages_max: 256,
            queue_memory_bytes_max: 256 << 10,
            queue_disk_bytes_max: 16 << 30,
            queue_disk_bytes_per_user_max: 4 << 30,
            queue_full: QueueFull::DropOldest,
            receive_max: NonZeroU16::new(1024).unwrap_or(NonZeroU16::MIN),
            in_flight_max: NonZeroU16::new(1024).unwrap_or(NonZeroU16::MIN),
            topic_alias_max: 32,
            subscriptions_per_session_max: 1_000,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 << 20,
            will_bytes_max: 256 << 20,
            will_bytes_per_user_max: 64 << 20,
            retained_backlog_max: 100_000,
            keep_alive_s_max: 3_600,
            session_expiry_s_max: 7 * 24 * 3_600,
            client_id_bytes_max: 256,
            permit_cache_topics_max: 64,
            route_cache_targets_max: 1_000_000,
            slow_consumer_patience_ms: 5_000,
            slow_consumer_pause_ms: 100,
            close_linger_ms: 10_000,
            denied_publish: DeniedPublish::Drop,
            payload_format: PayloadFormat::Pass,
            response_information: None,
            over_budget: OverBudget::Wait,
            commit_bytes_max: 64 << 20,
            persistence: Persistence::Off,
        }
    }
}
