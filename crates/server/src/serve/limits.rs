//! Every bound that is counted, how much of it is used, and by whom the most: for metrics, and for the log when one is near.
//!
//! Nothing is looked at while messages are on their way. What belongs to the whole broker is a number that is there already;
//! what belongs to one session comes from the census that is taken at intervals in any case.

use broker::{Census, Most};

use super::intake::Pending;
use super::sources::Sources;

/// One bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    /// The name of its key.
    pub(crate) name: &'static str,
    /// As configured; 0 is no bound.
    pub(crate) bound: usize,
    /// So much is used; of a bound for one session, connection or user it is the fullest one.
    pub(crate) used: usize,
    /// Who that is.
    pub(crate) whose: Whose,
    /// What it means when it is full.
    pub(crate) kind: Kind,
}

/// Whose part of a bound is the fullest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The user's name; `None`: it is everybody's.
    pub(crate) user: Option<String>,
    /// The client id.
    pub(crate) client_id: Option<String>,
}

/// What it means when a bound is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something is refused, dropped or slowed then, which an operator wants to know before.
    Bound,
    /// A window of flow control, or a book whose oldest goes: it is there to be full.
    Window,
    /// It has lines of its own in the log.
    Told,
}

impl Use {
    fn of(name: &'static str, bound: usize, used: usize) -> Use {
        Use { name, bound, used, whose: Whose::default(), kind: Kind::Bound }
    }

    fn of_client(name: &'static str, bound: usize, most: &Most) -> Use {
        let whose = most.client.as_ref().map(|client| Whose {
            user: Some(client.user_name.as_str().to_owned()),
            client_id: Some(client.client_id.to_string()),
        });
        Use { whose: whose.unwrap_or_default(), ..Use::of(name, bound, most.amount) }
    }

    fn windowed(self) -> Use {
        Use { kind: Kind::Window, ..self }
    }

    /// At four fifths or more.
    pub(crate) fn is_near(&self) -> bool {
        self.is_from(NEAR_PERCENT)
    }

    /// As near as that, or not much less.
    pub(crate) fn is_still_near(&self) -> bool {
        self.is_from(STILL_NEAR_PERCENT)
    }

    fn is_from(&self, percent: u128) -> bool {
        let parts = |amount: usize| u128::try_from(amount).unwrap_or(u128::MAX);
        // One of a few is not near: it is there or full.
        let (used, bound) = (parts(self.used), parts(self.bound));
        self.bound > 0 && self.used > 0 && used.saturating_mul(100) >= bound.saturating_mul(percent)
    }
}

/// All of them. `pending` is what the intake says.
pub(crate) fn all(sources: &Sources, census: &Census, pending: Pending) -> Vec<Use> {
    let mut all = of_the_broker(sources, pending);
    all.extend(of_users(sources));
    all.extend(of_books(sources));
    all.extend(of_sessions(sources, census));
    all
}

fn of_the_broker(sources: &Sources, pending: Pending) -> Vec<Use> {
    let (limits, intake) = (sources.hub.limits(), sources.intake.limits());
    let (retained, retained_bytes) = sources.hub.retained_usage();
    let inbox = sources.inboxes.iter().map(super::inbox::Inbox::batches).max().unwrap_or(0);
    let waiting = sources.journal.as_ref().map_or(0, |journal| journal.waiting_bytes());
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let memory = (bytes(sources.ceiling.bytes()), bytes(sources.ceiling.used()));
    let hashing = sources.admin.hashing();
    let http = sources.http_places.used();
    vec![
        Use::of("connections_max", limits.connections_max, sources.hub.connections()),
        Use::of("sessions_max", limits.sessions_max, sources.hub.sessions()),
        Use::of("pending_connections_max", intake.pending_connections_max, pending.all()),
        Use::of("pending_per_source_max", intake.pending_per_source_max, pending.most_of_a_source),
        Use::of(
            "connections_per_source_max",
            intake.connections_per_source_max,
            pending.most_connections_of_a_source,
        ),
        Use::of("connect_bytes_max", intake.connect_bytes_max, pending.connect_bytes),
        Use::of("http_connections_max", intake.http_connections_max, http.all),
        Use::of(
            "http_connections_per_source_max",
            intake.http_connections_per_source_max,
            http.most_of_a_source,
        ),
        Use::of("shard_inbox_batches_max", intake.shard_inbox_batches_max, inbox),
        Use::of("retained_messages_max", limits.retained_messages_max, retained),
        Use::of("retained_bytes_max", limits.retained_bytes_max, retained_bytes),
        Use::of("will_bytes_max", limits.will_bytes_max, sources.hub.will_bytes()),
        Use::of("commit_bytes_max", limits.commit_bytes_max, waiting),
        Use { kind: Kind::Told, ..Use::of("memory_bytes_max", memory.0, memory.1) },
        Use::of("hashing.queue_max", hashing.queue_max, hashing.waiting),
    ]
}

fn of_users(sources: &Sources) -> Vec<Use> {
    let limits = sources.hub.limits();
    let policy = sources.admin.policy().load();
    let of_user = |name, bound, most: Option<(access::UserId, usize)>| {
        let user = most.and_then(|(id, _)| policy.user(id));
        let user = user.map(|user| user.name().as_str().to_owned());
        let used = most.map_or(0, |(_, amount)| amount);
        Use { whose: Whose { user, client_id: None }, ..Use::of(name, bound, used) }
    };
    vec![
        of_user(
            "sessions_per_user_max",
            limits.sessions_per_user_max,
            sources.hub.most_sessions_of_a_user(),
        ),
        of_user(
            "will_bytes_per_user_max",
            limits.will_bytes_per_user_max,
            sources.hub.most_will_bytes_of_a_user(),
        ),
        of_user(
            "queue_disk_bytes_per_user_max",
            limits.queue_disk_bytes_per_user_max,
            sources.hub.most_queue_disk_bytes_of_a_user(),
        ),
    ]
}

fn of_books(sources: &Sources) -> Vec<Use> {
    let filled = sources.admin.filled();
    let (registry, refusals) = (filled.registry, filled.refusals);
    vec![
        Use::of("registry.pending_max", registry.pending_max, filled.registry_pending),
        Use::of(
            "registry.pending_per_source_max",
            registry.pending_per_source_max,
            filled.registry_pending_of_a_source,
        ),
        Use::of("refusals.clients_max", refusals.clients_max, filled.refusals_of_clients)
            .windowed(),
        Use::of("refusals.logins_max", refusals.logins_max, filled.refused_logins).windowed(),
        Use::of(
            "refusals.unknown_logins_max",
            refusals.unknown_logins_max,
            filled.refused_unknown_logins,
        )
        .windowed(),
    ]
}

fn of_sessions(sources: &Sources, census: &Census) -> Vec<Use> {
    let (limits, fullest) = (sources.hub.limits(), &census.fullest);
    let subscriptions_max = limits.subscriptions_per_session_max;
    let window = |max: std::num::NonZeroU16| usize::from(max.get());
    vec![
        Use::of_client("outbox_bytes_max", limits.outbox_bytes_max, &fullest.outbox_bytes),
        Use::of_client(
            "held_input_bytes_max",
            limits.held_input_bytes_max,
            &fullest.held_input_bytes,
        ),
        Use::of_client("queue_messages_max", limits.queue_messages_max, &fullest.queue_messages),
        Use::of_client("queue_bytes_max", limits.queue_bytes_max, &fullest.queue_bytes),
        Use::of(
            "queue_disk_bytes_max",
            limits.queue_disk_bytes_max,
            sources.hub.queue_disk_bytes(),
        ),
        Use::of_client("subscriptions_per_session_max", subscriptions_max, &fullest.subscriptions),
        Use::of_client(
            "retained_backlog_max",
            limits.retained_backlog_max,
            &fullest.retained_backlog,
        ),
        Use::of_client("in_flight_max", window(limits.in_flight_max), &fullest.in_flight)
            .windowed(),
        Use::of_client("receive_max", window(limits.receive_max), &fullest.unreleased).windowed(),
    ]
}

const NEAR_PERCENT: u128 = 80;
const STILL_NEAR_PERCENT: u128 = 75;
