//! What the engine tells log, metrics and audit.

use std::fmt;
use std::sync::Arc;

use mqtt::ReasonCode;

use crate::identity::ClientName;
use crate::limits::OverBudget;

/// One event worth a line in a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A client is online.
    Connected {
        /// Who.
        client: Arc<ClientName>,
        /// Whether an earlier session was resumed.
        session_present: bool,
    },
    /// A connection has ended.
    Disconnected {
        /// Who.
        client: Arc<ClientName>,
        /// Why.
        why: DisconnectCause,
    },
    /// Something was refused for want of a right.
    Refused(Refusal),
    /// A client was refused so many different things that not each has a decision of its own.
    RefusalsLeftOut {
        /// Who.
        client: Arc<ClientName>,
        /// How many since the last such report.
        count: u64,
    },
    /// Messages were dropped because a receiver takes them too slowly, or its queue is full.
    SlowConsumer {
        /// Who.
        client: Arc<ClientName>,
        /// Which rule dropped them.
        rule: DropRule,
        /// How many since the last such report.
        dropped: u64,
    },
    /// A publisher is over its user's budget. Once a minute and connection at most.
    OverBudget {
        /// Who.
        client: Arc<ClientName>,
        /// What is done about it.
        rule: OverBudget,
    },
    /// The retained store is full; the message was routed but not kept.
    RetainedFull {
        /// The topic of the message.
        topic: Arc<str>,
    },
    /// An offline session has ended.
    SessionEnded {
        /// Who.
        client: Arc<ClientName>,
        /// Why.
        why: SessionEnd,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The client said DISCONNECT.
    ByClient(ReasonCode),
    /// The socket was closed or failed.
    ConnectionLost(crate::ConnectionLost),
    /// Nothing came for one and a half times the keep-alive.
    KeepAlive,
    /// The same user connected with the same client id.
    TakenOver,
    /// The client broke a rule of the protocol.
    Protocol(ReasonCode, &'static str),
    /// The user's standing ended: removed, disabled, grant or password changed.
    StandingLost(ReasonCode),
    /// A publish without right, where the configuration says so.
    DeniedPublish,
    /// What it waited for cannot be made durable at the moment.
    Storage,
    /// It published more than its user may, where the configuration says so.
    OverBudget,
    /// An administrator ended it.
    Kicked(ReasonCode),
    /// The broker is stopping.
    ShuttingDown,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its expiry interval passed.
    Expired,
    /// Its user was removed.
    UserRemoved,
    /// An administrator ended it.
    Kicked,
}

/// Tells refusals apart. MQTT 5 clients are told it, and an administrator can ask what was decided and
/// why. What a connection asks for again and is refused for the same reason is the same decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId {
    /// Which run of the broker.
    pub run: u32,
    /// The shard that made it.
    pub shard: u16,
    /// Counts from 1 on each shard of each run.
    pub number: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.run, self.shard, self.number)
    }
}

/// One refused request.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Which.
    pub decision: DecisionId,
    /// Who asked.
    pub client: Arc<ClientName>,
    /// What for.
    pub action: RefusedAction,
    /// The topic or filter, as the client wrote it.
    pub topic: Box<str>,
    /// Why not.
    pub reason: RefusalReason,
    /// How often since the last report of the same decision.
    pub count: u64,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAction {
    /// A PUBLISH.
    Publish,
    /// One filter of a SUBSCRIBE.
    Subscribe,
    /// A will, when it was to be sent.
    Will,
    /// A subscription held earlier, after rights changed.
    Held,
    /// Messages that waited for the client, after rights changed; the topic is that of the first.
    Delivery,
}

/// Why it was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum RefusalReason {
    /// The rights say no.
    Denied(access::Denial),
    /// A limit with this name is reached.
    Limit(&'static str),
    /// The payload is not the text it is said to be.
    PayloadFormat,
}

/// Which rule dropped messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropRule {
    /// `outbox_bytes_max`: QoS 0 messages, oldest first.
    OutboxFull,
    /// `queue_messages_max` or `queue_bytes_max`: QoS 1 and 2, by `queue_full`.
    QueueFull,
    /// `queue_disk_bytes_max`: QoS 1 and 2 messages that would have to wait on disk only.
    DiskQueueFull,
    /// `queue_disk_bytes_per_user_max`: the same, for the sessions of one user.
    DiskQueueOfUserFull,
    /// What waited on disk only is damaged: it is given up, and what comes after it goes on.
    Unreadable,
    /// `retained_backlog_max`: retained messages of a SUBSCRIBE.
    RetainedBacklogFull,
    /// `memory_bytes_max`: QoS 0 messages in outboxes, oldest first.
    MemoryFull,
    /// `slow_consumer_patience_ms`: publishers are not held back for it any longer.
    PatienceOver,
}
