//! What a shard has done since it started, and what it holds at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt::Qos;

use crate::engine::Engine;
use crate::identity::{ClientName, ConnectionId};
use crate::limits::Limits;
use crate::pressure::is_behind;
use crate::report::DropRule;
use crate::session::Session;

/// What one shard has done since it started; metrics read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received after CONNECT.
    pub packets_in: u64,
    /// Packets other than PUBLISH put into outboxes.
    pub answers_out: u64,
    /// PUBLISH packets received.
    pub messages_in: u64,
    /// Those of them that are of QoS 1 and 2.
    pub acknowledged_in: Acknowledged,
    /// PUBLISH packets put into outboxes.
    pub messages_out: u64,
    /// Those of them that are of QoS 1 and 2.
    pub acknowledged_out: Acknowledged,
    /// Bytes of payload in PUBLISH packets received.
    pub payload_bytes_in: u64,
    /// Bytes of payload in PUBLISH packets put into outboxes.
    pub payload_bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes taken from outboxes.
    pub bytes_out: u64,
    /// Messages dropped by a limit.
    pub dropped: Dropped,
    /// Receivers that publishers are held back for no longer, because they took too long.
    pub patience_over: u64,
    /// Pauses of publishers whose messages only such receivers would have got.
    pub futile_pauses: u64,
    /// Publishes refused.
    pub refused_publishes: RefusedPublishes,
    /// Subscriptions refused, for want of a right or by a limit.
    pub refused_subscriptions: u64,
    /// Those of them that were refused because they cannot be made durable.
    pub storage_refused_subscriptions: u64,
    /// Messages that were routed but not retained, for want of room.
    pub not_retained: u64,
    /// Deliveries withheld by the deliver gate.
    pub withheld: u64,
    /// Messages that came back from disk.
    pub fetched: u64,
    /// Times that messages could not be read from disk for the time being.
    pub fetches_failed: u64,
    /// Times that a publisher over its budget had to wait.
    pub budget_waits: u64,
    /// Times that a publisher was held back.
    pub held_back: u64,
    /// Live connections.
    pub connections: usize,
    /// Sessions, online and offline.
    pub sessions: usize,
}

/// Messages that are acknowledged. Those of QoS 0, the many, are counted with all others alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// At least once.
    pub qos_1: u64,
    /// Exactly once.
    pub qos_2: u64,
}

impl Acknowledged {
    /// Of so many in all, how many each quality of service has.
    #[must_use]
    pub fn of(&self, total: u64) -> [u64; 3] {
        let qos_0 = total.saturating_sub(self.qos_1).saturating_sub(self.qos_2);
        [qos_0, self.qos_1, self.qos_2]
    }

    pub(crate) fn count(&mut self, qos: Qos) {
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.qos_1 += 1,
            Qos::ExactlyOnce => self.qos_2 += 1,
        }
    }
}

/// Messages dropped, by the rule that dropped them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// By [`DropRule::OutboxFull`].
    pub outbox_full: u64,
    /// By [`DropRule::QueueFull`].
    pub queue_full: u64,
    /// By [`DropRule::DiskQueueFull`].
    pub disk_queue_full: u64,
    /// By [`DropRule::DiskQueueOfUserFull`].
    pub disk_queue_of_user_full: u64,
    /// By [`DropRule::Unreadable`].
    pub unreadable: u64,
    /// By [`DropRule::RetainedBacklogFull`].
    pub retained_backlog_full: u64,
    /// By [`DropRule::MemoryFull`].
    pub memory_full: u64,
}

impl Dropped {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Dropped {
            outbox_full,
            queue_full,
            disk_queue_full,
            disk_queue_of_user_full,
            unreadable,
            retained_backlog_full,
            memory_full,
        } = *self;
        [
            outbox_full,
            queue_full,
            disk_queue_full,
            disk_queue_of_user_full,
            unreadable,
            retained_backlog_full,
            memory_full,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    pub(crate) fn of(&mut self, rule: DropRule) -> &mut u64 {
        match rule {
            // Patience by itself drops nothing: the outbox or the queue does.
            DropRule::OutboxFull | DropRule::PatienceOver => &mut self.outbox_full,
            DropRule::QueueFull => &mut self.queue_full,
            DropRule::DiskQueueFull => &mut self.disk_queue_full,
            DropRule::DiskQueueOfUserFull => &mut self.disk_queue_of_user_full,
            DropRule::Unreadable => &mut self.unreadable,
            DropRule::RetainedBacklogFull => &mut self.retained_backlog_full,
            DropRule::MemoryFull => &mut self.memory_full,
        }
    }
}

/// Publishes refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusedPublishes {
    /// The rights say no.
    pub denied: u64,
    /// The payload is not what it is said to be.
    pub format: u64,
    /// Records cannot be made durable.
    pub storage: u64,
    /// There is no memory to spare.
    pub memory: u64,
    /// The user's publish budget is used up.
    pub budget: u64,
}

impl RefusedPublishes {
    pub(crate) fn of(&mut self, limit: &'static str) -> &mut u64 {
        match limit {
            crate::hub::STORAGE | crate::hub::STORAGE_FULL => &mut self.storage,
            crate::memory::MEMORY => &mut self.memory,
            crate::hub::BUDGET => &mut self.budget,
            _ => &mut self.denied,
        }
    }
}

/// What a shard holds at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Live connections by listener.
    pub online: BTreeMap<Arc<str>, usize>,
    /// Sessions without a connection.
    pub offline: usize,
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Those of them that are shared.
    pub shared_subscriptions: usize,
    /// Messages waiting in queues, in memory and on disk.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Those of them that are on disk only.
    pub queued_on_disk: usize,
    /// Their bytes.
    pub queued_on_disk_bytes: usize,
    /// Bytes that queues take in memory.
    pub queue_memory_bytes: usize,
    /// QoS 1 and 2 messages sent and not acknowledged.
    pub in_flight: usize,
    /// Their bytes.
    pub in_flight_bytes: usize,
    /// QoS 2 messages received and not released.
    pub unreleased: usize,
    /// Bytes waiting to be written.
    pub outbox_bytes: usize,
    /// Bytes that have come from connections while they were held back, and wait.
    pub held_input_bytes: usize,
    /// Retained messages waiting for room in an outbox.
    pub retained_backlog: usize,
    /// Connections that are not read for now: a receiver is behind, a budget used up, or memory short.
    pub held_back: usize,
    /// Clients that do not take what waits for them.
    pub behind: usize,
    /// Sessions with a queue at four fifths of a bound or more.
    pub queues_near_limit: usize,
    /// The most of one session or connection.
    pub fullest: Fullest,
}

/// The most that one session or connection has of something that is bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fullest {
    /// Messages in its queue.
    pub queue_messages: Most,
    /// Bytes in its queue.
    pub queue_bytes: Most,
    /// Bytes in its outbox.
    pub outbox_bytes: Most,
    /// Bytes that have come from it while it was held back.
    pub held_input_bytes: Most,
    /// Subscriptions.
    pub subscriptions: Most,
    /// Retained messages waiting for its outbox.
    pub retained_backlog: Most,
    /// QoS 1 and 2 messages sent and not acknowledged.
    pub in_flight: Most,
    /// QoS 2 messages received and not released.
    pub unreleased: Most,
}

/// How much the one has that has the most, and who that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Most {
    /// So much.
    pub amount: usize,
    /// `None` if nobody has any.
    pub client: Option<Arc<ClientName>>,
}

impl Most {
    fn look(&mut self, amount: usize, client: &Arc<ClientName>) {
        if amount > self.amount {
            *self = Most { amount, client: Some(Arc::clone(client)) };
        }
    }

    fn add(&mut self, other: &Most) {
        if other.amount > self.amount {
            *self = other.clone();
        }
    }
}

impl Engine {
    /// What this shard has done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { sessions: self.shard.sessions.len(), ..self.shard.round.counters }
    }

    /// What this shard holds now, but for input, which the caller keeps. Looks at every session: not for the hot path.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let limits = self.shard.hub.limits();
        for session in self.shard.sessions.iter() {
            census.take(session, limits);
        }
        census.outbox_bytes += self.shard.sessions.closing_bytes();
        census
    }

    /// The same with the input of these connections, which is held back: so many bytes of each.
    #[must_use]
    pub fn census_with(&self, held: impl IntoIterator<Item = (ConnectionId, usize)>) -> Census {
        let mut census = self.census();
        for (id, bytes) in held {
            census.held_input_bytes = census.held_input_bytes.saturating_add(bytes);
            if let Some((session, _)) = self.shard.sessions.online(id) {
                census.fullest.held_input_bytes.look(bytes, &session.client);
            }
        }
        census
    }
}

impl Census {
    fn take(&mut self, session: &Session, limits: &Limits) {
        let shared = session.subscriptions.keys().filter(|it| it.share.is_some()).count();
        let in_flight = session.outbound.iter().filter_map(|(_, _, delivery)| delivery);
        self.subscriptions += session.subscriptions.len();
        self.shared_subscriptions += shared;
        self.queued_messages += session.queue.len();
        self.queued_bytes += session.queue.bytes();
        let (on_disk, on_disk_bytes) = session.queue.behind();
        self.queued_on_disk += on_disk;
        self.queued_on_disk_bytes += on_disk_bytes;
        self.queue_memory_bytes += session.queue.memory_bytes();
        self.in_flight += session.outbound.len();
        self.in_flight_bytes += in_flight.map(|it| it.message.size()).sum::<usize>();
        let unreleased = session.inbound.unreleased_count();
        self.unreleased += unreleased;
        let is_near = session.queue.len() >= near(limits.queue_messages_max)
            || session.queue.bytes() >= near(limits.queue_bytes_max);
        self.queues_near_limit += usize::from(is_near);
        let fullest = &mut self.fullest;
        let client = &session.client;
        fullest.queue_messages.look(session.queue.len(), client);
        fullest.queue_bytes.look(session.queue.bytes(), client);
        fullest.subscriptions.look(session.subscriptions.len(), client);
        fullest.in_flight.look(session.outbound.len(), client);
        fullest.unreleased.look(unreleased, client);
        let Some(connection) = session.connection.as_deref() else {
            self.offline += 1;
            return;
        };
        let listener = &session.client.peer.listener;
        match self.online.get_mut(listener) {
            Some(count) => *count += 1,
            None => drop(self.online.insert(Arc::clone(listener), 1)),
        }
        self.outbox_bytes += connection.outbox.len();
        self.retained_backlog += connection.backlog.len();
        self.held_back += usize::from(connection.holds > 0);
        self.behind += usize::from(is_behind(session, limits));
        fullest.outbox_bytes.look(connection.outbox.len(), client);
        fullest.retained_backlog.look(connection.backlog.len(), client);
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Census) {
        for (listener, count) in &other.online {
            *self.online.entry(Arc::clone(listener)).or_default() += count;
        }
        for (sum, part) in [
            (&mut self.offline, other.offline),
            (&mut self.subscriptions, other.subscriptions),
            (&mut self.shared_subscriptions, other.shared_subscriptions),
            (&mut self.queued_messages, other.queued_messages),
            (&mut self.queued_bytes, other.queued_bytes),
            (&mut self.queued_on_disk, other.queued_on_disk),
            (&mut self.queued_on_disk_bytes, other.queued_on_disk_bytes),
            (&mut self.queue_memory_bytes, other.queue_memory_bytes),
            (&mut self.in_flight, other.in_flight),
            (&mut self.in_flight_bytes, other.in_flight_bytes),
            (&mut self.unreleased, other.unreleased),
            (&mut self.outbox_bytes, other.outbox_bytes),
            (&mut self.held_input_bytes, other.held_input_bytes),
            (&mut self.retained_backlog, other.retained_backlog),
            (&mut self.held_back, other.held_back),
            (&mut self.behind, other.behind),
            (&mut self.queues_near_limit, other.queues_near_limit),
        ] {
            *sum = sum.saturating_add(part);
        }
        let (own, other) = (&mut self.fullest, &other.fullest);
        own.queue_messages.add(&other.queue_messages);
        own.queue_bytes.add(&other.queue_bytes);
        own.outbox_bytes.add(&other.outbox_bytes);
        own.held_input_bytes.add(&other.held_input_bytes);
        own.subscriptions.add(&other.subscriptions);
        own.retained_backlog.add(&other.retained_backlog);
        own.in_flight.add(&other.in_flight);
        own.unreleased.add(&other.unreleased);
    }

    /// Bytes of messages, input and output that are held in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.queue_memory_bytes
            .saturating_add(self.in_flight_bytes)
            .saturating_add(self.outbox_bytes)
            .saturating_add(self.held_input_bytes)
    }
}

impl Counters {
    /// Adds another shard's.
    pub fn add(&mut self, other: &Counters) {
        for (sum, part) in [
            (&mut self.packets_in, other.packets_in),
            (&mut self.answers_out, other.answers_out),
            (&mut self.messages_in, other.messages_in),
            (&mut self.acknowledged_in.qos_1, other.acknowledged_in.qos_1),
            (&mut self.acknowledged_in.qos_2, other.acknowledged_in.qos_2),
            (&mut self.messages_out, other.messages_out),
            (&mut self.acknowledged_out.qos_1, other.acknowledged_out.qos_1),
            (&mut self.acknowledged_out.qos_2, other.acknowledged_out.qos_2),
            (&mut self.payload_bytes_in, other.payload_bytes_in),
            (&mut self.payload_bytes_out, other.payload_bytes_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.dropped.outbox_full, other.dropped.outbox_full),
            (&mut self.dropped.queue_full, other.dropped.queue_full),
            (&mut self.dropped.disk_queue_full, other.dropped.disk_queue_full),
            (&mut self.dropped.disk_queue_of_user_full, other.dropped.disk_queue_of_user_full),
            (&mut self.dropped.unreadable, other.dropped.unreadable),
            (&mut self.fetched, other.fetched),
            (&mut self.fetches_failed, other.fetches_failed),
            (&mut self.dropped.retained_backlog_full, other.dropped.retained_backlog_full),
            (&mut self.dropped.memory_full, other.dropped.memory_full),
            (&mut self.patience_over, other.patience_over),
            (&mut self.futile_pauses, other.futile_pauses),
            (&mut self.refused_publishes.denied, other.refused_publishes.denied),
            (&mut self.refused_publishes.format, other.refused_publishes.format),
            (&mut self.refused_publishes.storage, other.refused_publishes.storage),
            (&mut self.refused_publishes.memory, other.refused_publishes.memory),
            (&mut self.refused_publishes.budget, other.refused_publishes.budget),
            (&mut self.refused_subscriptions, other.refused_subscriptions),
            (&mut self.storage_refused_subscriptions, other.storage_refused_subscriptions),
            (&mut self.not_retained, other.not_retained),
            (&mut self.withheld, other.withheld),
            (&mut self.budget_waits, other.budget_waits),
            (&mut self.held_back, other.held_back),
        ] {
            *sum = sum.saturating_add(part);
        }
        self.connections = self.connections.saturating_add(other.connections);
        self.sessions = self.sessions.saturating_add(other.sessions);
    }
}

/// Four fifths of a bound.
fn near(limit: usize) -> usize {
    limit - limit / 5
}
