//! The one list of configuration keys.

use super::Config;
use super::error::{ConfigError, Source};
use super::slot::{Range, Raw, Slot};

/// One key: its name, its place in [`Config`], its bounds and what it means.
pub(super) struct Key {
    /// The table of the file; empty for a key at the top.
    pub(super) section: &'static str,
    /// The name in its section.
    pub(super) name: &'static str,
    /// Its bounds, where it is a number or a time span (then in milliseconds).
    pub(super) range: Range,
    /// Its place.
    pub(super) slot: fn(&mut Config) -> Slot<'_>,
    /// One sentence for people.
    pub(super) meaning: &'static str,
}

impl Key {
    /// The key with its section.
    pub(super) fn path(&self) -> String {
        if self.section.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.section, self.name)
        }
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path().replace('.', "_").to_uppercase())
    }

    /// Whether its value must never be shown, and may be given as a file.
    pub(super) fn is_secret(&self) -> bool {
        matches!((self.slot)(&mut Config::default()), Slot::Secret(_))
    }

    /// The error for a value that does not fit.
    pub(super) fn refuse(&self, raw: &Raw, reason: String, place: Source) -> ConfigError {
        let value = match raw {
            _ if self.is_secret() => "the given value".to_owned(),
            Raw::Text(text) | Raw::Variable(text) => shorten(text),
            Raw::Integer(value) => format!("`{value}`"),
            Raw::Boolean(value) => format!("`{value}`"),
            Raw::List(values) => format!("`{values:?}`"),
            Raw::Other(kind) => format!("a value of type {kind}"),
        };
        ConfigError::BadValue { place, key: self.path(), value, reason }
    }
}

/// Text of an operator for an error message: on one line, and not longer than that.
pub(super) fn shorten(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    let mut line = String::from("`");
    for letter in shown.chars() {
        match letter {
            // Quotes are harmless between backticks, and JSON is full of them.
            '"' | '\'' => line.push(letter),
            _ => line.extend(letter.escape_debug()),
        }
    }
    format!("{line}{more}`")
}

/// The known name that looks most like `name`, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = String> + 'a) -> Option<String> {
    known
        .map(|candidate| {
            (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(likeness, _)| *likeness > NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// What every variable that sets a key begins with.
pub(super) const VARIABLE_PREFIX: &str = "COUNTERSIGN_";
const SHOWN_CHARS_MAX: usize = 60;
const NEAR: f64 = 0.7;

const fn key(
    section: &'static str,
    name: &'static str,
    slot: fn(&mut Config) -> Slot<'_>,
    meaning: &'static str,
) -> Key {
    Key { section, name, range: Range { min: 0, max: u64::MAX }, slot, meaning }
}

const fn bounded(
    section: &'static str,
    name: &'static str,
    (min, max): (u64, u64),
    slot: fn(&mut Config) -> Slot<'_>,
    meaning: &'static str,
) -> Key {
    Key { section, name, range: Range { min, max }, slot, meaning }
}

const COUNT: (u64, u64) = (1, 100_000_000);
/// What is gone through each time one is added.
const COUNT_OF_ONE: (u64, u64) = (1, 10_000);
const COUNT_OF_ALL: (u64, u64) = (1, 1_000_000);
const COUNT_OR_ZERO: (u64, u64) = (0, 100_000_000);
/// 1 KiB to 16 GiB.
const BYTES: (u64, u64) = (1 << 10, 16 << 30);
/// 256 bytes to 1 GiB.
const BODY_BYTES: (u64, u64) = (1 << 8, 1 << 30);
/// The largest MQTT packet is 256 MiB.
const PACKET_BYTES: (u64, u64) = (1 << 8, 268_435_460);
/// 10 ms to an hour.
const SPAN_MS: (u64, u64) = (10, 3_600_000);
/// A second to a week.
const UNLOCK_MS: (u64, u64) = (1000, 604_800_000);
/// A minute to a year.
const EXPIRY_MS: (u64, u64) = (60_000, 31_536_000_000);
/// Argon2's own bounds are wider; these keep a typing error from stopping all logins.
const HASH_MEMORY_KIB: (u64, u64) = (8, 4 << 20);

/// All keys, in the order in which they are shown; keys of one section stand together.
#[rustfmt::skip]
pub(super) static KEYS: &[Key] = &[
    key("", "authentication", |c| Slot::Word(&mut c.login.authentication),
        "How MQTT clients prove who they are. With mutual-tls the plain listeners are not opened."),
    key("", "anonymous_user", |c| Slot::Word(&mut c.login.anonymous_user),
        "The user that clients without user name and password are; it needs the grant type password. Nobody unless set."),

    key("", "durability", |c| Slot::Word(&mut c.server.durability),
        "What a restart keeps of sessions with an expiry, retained messages and wills: fsync: all that was confirmed, also after a power cut; buffered: unless the system goes down; none: nothing."),

    key("listeners", "mqtt", |c| Slot::Address(&mut c.listeners.mqtt), "MQTT over TCP. Passwords cross it in clear."),
    key("listeners", "mqtts", |c| Slot::Address(&mut c.listeners.mqtts), "MQTT over TLS."),
    key("listeners", "https", |c| Slot::Address(&mut c.listeners.https), "HTTPS: the REST API, and MQTT over WebSocket at /mqtt."),
    key("listeners", "ws", |c| Slot::Address(&mut c.listeners.ws), "MQTT over plain WebSocket at /mqtt."),

    bounded("limits", "handshake_timeout", SPAN_MS, |c| Slot::Span(&mut c.intake.handshake_timeout),
        "Time from an accepted connection to the end of its TLS handshake. Over: closed."),
    bounded("limits", "connect_timeout", SPAN_MS, |c| Slot::Span(&mut c.intake.connect_timeout),
        "Time from an accepted connection to its complete CONNECT. Over: closed."),
    bounded("limits", "connect_packet_size_max", PACKET_BYTES, |c| Slot::Whole(&mut c.intake.connect_packet_size_max),
        "Bytes of the largest CONNECT. Larger: closed."),
    bounded("limits", "connect_bytes_max", BYTES, |c| Slot::Whole(&mut c.intake.connect_bytes_max),
        "Bytes of all CONNECTs of more than 4 KiB whose senders are not logged in yet; one source has a quarter of it at most. Full: the next waits, until connect_timeout."),
    bounded("limits", "pending_connections_max", COUNT, |c| Slot::Whole(&mut c.intake.pending_connections_max),
        "Connections that are not logged in yet. Full: the one that has been silent for longest is closed; if none has been silent for a second, new ones wait."),
    bounded("limits", "pending_per_source_max", COUNT, |c| Slot::Whole(&mut c.intake.pending_per_source_max),
        "Connections of one source address (IPv6: of one /64) that have not sent their CONNECT. Full: its oldest is closed, once it has been silent for a second or all places are taken."),
    bounded("limits", "connections_per_source_max", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.intake.connections_per_source_max),
        "Connections of one source address (IPv6: of one /64); 0 is no limit. Full: new ones are closed."),
    bounded("limits", "http_connections_max", COUNT, |c| Slot::Whole(&mut c.intake.http_connections_max),
        "Connections of the HTTPS listener that ask for anything but an MQTT WebSocket. Full: answered with 503 and closed."),
    bounded("limits", "http_connections_per_source_max", COUNT, |c| Slot::Whole(&mut c.intake.http_connections_per_source_max),
        "Those of them that one source address (IPv6: one /64) may have. Full: answered with 503 and closed."),
    bounded("limits", "shard_inbox_batches_max", COUNT, |c| Slot::Whole(&mut c.intake.shard_inbox_batches_max),
        "Batches that may wait for one shard. Full: the shards that fill it stop reading from their clients until it has fallen to half."),
    bounded("limits", "connections_max", COUNT, |c| Slot::Whole(&mut c.broker.connections_max),
        "Live connections. Full: CONNECT is refused with 0x97 (3.1.1: 3), once its sender has proven who it is, unless it takes over a live connection of the same user and client id."),
    bounded("limits", "sessions_max", COUNT, |c| Slot::Whole(&mut c.broker.sessions_max),
        "Sessions, online and offline. Full: CONNECT is refused with 0x97 (3.1.1: 3)."),
    bounded("limits", "sessions_per_user_max", COUNT, |c| Slot::Whole(&mut c.broker.sessions_per_user_max),
        "Sessions of one user, online and offline. Full: CONNECT is refused with 0x97 (3.1.1: 3)."),
    bounded("limits", "memory_bytes_max", (0, 1 << 50), |c| Slot::Whole(&mut c.server.memory_bytes_max),
        "Resident memory of the process; 0 takes three quarters of what the machine has and its control groups allow. At 80 % publishers are slowed; at 90 % new connections, subscriptions and messages to be kept are refused with 0x97 (3.1.1: CONNACK 3, SUBACK 0x80, a publisher waits) until it is at 85 %."),
    bounded("limits", "packet_size_max", PACKET_BYTES, |c| Slot::Whole(&mut c.broker.packet_size_max),
        "Bytes of the largest packet after login. Larger: DISCONNECT 0x95."),
    bounded("limits", "outbox_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.outbox_bytes_max),
        "Bytes waiting to be written to one connection. Full: its oldest QoS 0 messages are dropped, QoS 1 and 2 wait in the queue."),
    bounded("limits", "outbox_pressure_bytes", BYTES, |c| Slot::Whole(&mut c.broker.outbox_pressure_bytes),
        "Bytes waiting to be written to one connection from which on those who publish more to it are held back, until it is at half of that."),
    bounded("limits", "shard_window_bytes", BYTES, |c| Slot::Whole(&mut c.broker.shard_window_bytes),
        "Bytes on their way from one shard to another from which on those who publish more are held back, until it is at half of that."),
    bounded("limits", "held_input_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.held_input_bytes_max),
        "Bytes that are read from one connection that is held back, for its acknowledgements, while it owes any. Full: it is not read until it is held back no more."),
    bounded("limits", "queue_messages_max", COUNT, |c| Slot::Whole(&mut c.broker.queue_messages_max),
        "Messages waiting in the queue of one session. Full: see queue_full."),
    bounded("limits", "queue_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.queue_bytes_max),
        "Bytes waiting in the queue of one session. Full: see queue_full."),
    bounded("limits", "queue_memory_messages_max", COUNT, |c| Slot::Whole(&mut c.broker.queue_memory_messages_max),
        "Messages of the queue of one session with an expiry that are in memory; an eighth of them while its client is away. Full: what comes next waits on disk only, and is read when it is its turn."),
    bounded("limits", "queue_memory_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.queue_memory_bytes_max),
        "Their bytes."),
    bounded("limits", "queue_disk_bytes_max", (1024, 1 << 50), |c| Slot::Whole(&mut c.broker.queue_disk_bytes_max),
        "Bytes of the queues of all sessions that wait on disk only. Full: a message that would have to is dropped."),
    bounded("limits", "queue_disk_bytes_per_user_max", (1024, 1 << 50), |c| Slot::Whole(&mut c.broker.queue_disk_bytes_per_user_max),
        "Those of the sessions of one user. Full: a message for one of them that would have to is dropped."),
    key("limits", "queue_full", |c| Slot::Word(&mut c.broker.queue_full),
        "Which message is given up when the queue of a session is full."),
    bounded("limits", "receive_max", (1, 65_535), |c| Slot::Whole(&mut c.broker.receive_max),
        "Unacknowledged QoS 1 and 2 messages a client may have in transit to the broker. More: DISCONNECT 0x93."),
    bounded("limits", "in_flight_max", (1, 65_535), |c| Slot::Whole(&mut c.broker.in_flight_max),
        "Unacknowledged QoS 1 and 2 messages in transit to one client."),
    bounded("limits", "topic_alias_max", (0, 65_535), |c| Slot::Whole(&mut c.broker.topic_alias_max),
        "Topic aliases a client may set. More: DISCONNECT 0x94."),
    bounded("limits", "subscriptions_per_session_max", COUNT, |c| Slot::Whole(&mut c.broker.subscriptions_per_session_max),
        "Subscriptions of one session. Full: SUBACK 0x97 (3.1.1: 0x80)."),
    bounded("limits", "retained_messages_max", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.broker.retained_messages_max),
        "Retained messages. Full: a message is routed but not retained."),
    bounded("limits", "retained_bytes_max", (0, BYTES.1), |c| Slot::Whole(&mut c.broker.retained_bytes_max),
        "Bytes of all retained messages. Full: a message is routed but not retained."),
    bounded("limits", "will_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.will_bytes_max),
        "Bytes of the wills of all sessions. Full: a CONNECT with a will is refused with 0x97 (3.1.1: 3)."),
    bounded("limits", "will_bytes_per_user_max", BYTES, |c| Slot::Whole(&mut c.broker.will_bytes_per_user_max),
        "Bytes of the wills of the sessions of one user. Full: a CONNECT with a will is refused with 0x97 (3.1.1: 3)."),
    bounded("limits", "retained_backlog_max", COUNT, |c| Slot::Whole(&mut c.broker.retained_backlog_max),
        "Retained messages waiting for one connection after its SUBSCRIBE. Full: the rest of them is not sent."),
    bounded("limits", "keep_alive_s_max", (0, 65_535), |c| Slot::Whole(&mut c.broker.keep_alive_s_max),
        "Seconds. A longer keep-alive, or none, is shortened to this; 0 is no limit. Clients before MQTT 5 cannot be told and keep what they ask for."),
    bounded("limits", "session_expiry_s_max", (0, 0xffff_ffff), |c| Slot::Whole(&mut c.broker.session_expiry_s_max),
        "Seconds a session may outlive its connection; longer wishes are shortened. 4294967295 is for ever."),
    bounded("limits", "client_id_bytes_max", (1, 65_535), |c| Slot::Whole(&mut c.broker.client_id_bytes_max),
        "Bytes of a client id. Longer: CONNACK 0x85 (3.1.1: 2)."),
    bounded("limits", "permit_cache_topics_max", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.broker.permit_cache_topics_max),
        "Topics whose permit one connection remembers. Full: all are forgotten."),
    bounded("limits", "route_cache_targets_max", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.broker.route_cache_targets_max),
        "Receivers in all routes that one shard remembers. Full: all are forgotten."),
    bounded("limits", "slow_consumer_patience_ms", (0, 3_600_000), |c| Slot::Whole(&mut c.broker.slow_consumer_patience_ms),
        "Milliseconds a publisher is held back for one receiver that does not read; up to twelve times that for one that is held back itself and goes on sending. Then messages for that one are dropped."),
    bounded("limits", "slow_consumer_pause_ms", (0, 60_000), |c| Slot::Whole(&mut c.broker.slow_consumer_pause_ms),
        "Milliseconds, in steps of 50, a publisher is not read after 64 messages in succession that had no other receivers than such as are not waited for any more, and are served by its own shard. 0: it is read."),
    bounded("limits", "close_linger_ms", (1, 3_600_000), |c| Slot::Whole(&mut c.broker.close_linger_ms),
        "Milliseconds until a closed connection that does not take its last bytes is forgotten."),
    bounded("limits", "commit_bytes_max", BYTES, |c| Slot::Whole(&mut c.broker.commit_bytes_max),
        "Bytes of sessions' state waiting for the disk. Full: clients whose packets made some of it are not read until it has fallen to half."),
    key("limits", "denied_publish", |c| Slot::Word(&mut c.broker.denied_publish),
        "What happens to a 3.1.1 connection that publishes without the right to; it cannot be told why."),

    key("limits", "over_budget", |c| Slot::Word(&mut c.broker.over_budget),
        "What happens to a publisher over the publish budget of its user: wait: it is not read until it may go on; refuse: the message gets 0x97, or is dropped if QoS 0 (3.1.1 waits with QoS 1 and 2); close: it is disconnected with 0x97."),

    key("mqtt", "payload_format", |c| Slot::Word(&mut c.broker.payload_format),
        "What happens to a message of MQTT 5 that is said to be UTF-8 and is not: pass: nobody looks; check: refused with 0x99."),
    key("mqtt", "response_information", |c| Slot::Word(&mut c.broker.response_information),
        "What MQTT 5 clients are told that ask where their answers may go, such as answers/${username}/${clientId}. Nothing unless set; rights are given apart from it."),

    key("pki", "ca_file", |c| Slot::Word(&mut c.pki.ca_file),
        "PEM bundle of the authorities that client certificates may lead to, in place of certs/ca.crt of the data directory."),
    key("pki", "ca_key_file", |c| Slot::Word(&mut c.pki.ca_key_file),
        "PEM key of the authority that issues certificates, in place of certs/ca.key. Its certificate must be in the bundle or in certs/ca.crt."),
    key("pki", "server_certificate_file", |c| Slot::Word(&mut c.pki.server_certificate_file),
        "PEM certificate of the server with its chain, in place of certs/server.crt. Needs server_key_file."),
    key("pki", "server_key_file", |c| Slot::Word(&mut c.pki.server_key_file),
        "PEM key of the server's certificate, in place of certs/server.key. Needs server_certificate_file."),
    key("pki", "server_names", |c| Slot::List(&mut c.pki.server_names),
        "Host names and addresses that the server's own certificate carries besides those of the machine; the first is its common name."),
    key("pki", "crl_files", |c| Slot::List(&mut c.pki.crl_files),
        "PEM revocation lists of other authorities, besides what is appended to certs/crl.pem."),

    bounded("pki", "certificate_days", (1, 36_500), |c| Slot::Whole(&mut c.login.certificates.days_default),
        "Days of validity of an issued certificate where nobody asks for a number."),
    bounded("pki", "certificate_days_max", (1, 36_500), |c| Slot::Whole(&mut c.login.certificates.days_max),
        "Most days of validity that may be asked for."),
    bounded("pki", "certificates_per_user_max", COUNT, |c| Slot::Whole(&mut c.login.certificates.per_user_max),
        "Certificates of one user that are good at the same time."),

    key("websocket", "origins", |c| Slot::List(&mut c.websocket.origins),
        "Origins such as \"https://dashboard.example\" whose pages may open an MQTT WebSocket by the certificate of the browser, besides the server's own."),

    bounded("http", "body_bytes_max", BODY_BYTES, |c| Slot::Whole(&mut c.http.bodies.permitted_max),
        "Bytes of the body of a request of somebody who is permitted to make it. Larger: 413."),
    bounded("http", "login_body_bytes_max", BODY_BYTES, |c| Slot::Whole(&mut c.http.bodies.login_max),
        "Bytes of the body of a login. Larger: 413."),
    bounded("http", "register_body_bytes_max", BODY_BYTES, |c| Slot::Whole(&mut c.http.bodies.register_max),
        "Bytes of the body with which a client asks to be let in. Larger: 413."),
    bounded("http", "head_timeout", SPAN_MS, |c| Slot::Span(&mut c.http.head_timeout),
        "Time for the head of a request, be it the first or the next of an idle connection. Over: closed."),
    bounded("http", "answer_timeout", SPAN_MS, |c| Slot::Span(&mut c.http.answer_timeout),
        "Time for reading the body of a request and working on it. Over: 408, and closed; a change that was begun is made or not."),
    bounded("http", "stall_timeout", SPAN_MS, |c| Slot::Span(&mut c.http.stall_timeout),
        "Time for a client to take what was sent to it. Over: closed."),

    key("metrics", "public", |c| Slot::Switch(&mut c.metrics.public),
        "Whether anybody may read /metrics. If not, it takes the permission http:read:/metrics."),

    bounded("sys", "interval", (0, 3_600_000), |c| Slot::Span(&mut c.server.sys_interval),
        "How often the values on $SYS/ are taken, and sent where they have changed; 0s is off. Reading them takes the permission read:$SYS/#."),

    bounded("passwords", "min", (0, 1000), |c| Slot::Whole(&mut c.login.password_policy.min),
        "Least characters of a new password."),
    bounded("passwords", "lower", (0, 1000), |c| Slot::Whole(&mut c.login.password_policy.lower),
        "Least lower-case letters of a new password, by Unicode."),
    bounded("passwords", "upper", (0, 1000), |c| Slot::Whole(&mut c.login.password_policy.upper),
        "Least upper-case letters of a new password, by Unicode."),
    bounded("passwords", "numeric", (0, 1000), |c| Slot::Whole(&mut c.login.password_policy.numeric),
        "Least digits and other numbers of a new password, by Unicode."),
    bounded("passwords", "symbol", (0, 1000), |c| Slot::Whole(&mut c.login.password_policy.symbol),
        "Least symbols and punctuation marks of a new password, by Unicode."),
    bounded("passwords", "bytes_max", (8, 65_535), |c| Slot::Whole(&mut c.login.password_bytes_max),
        "Bytes of the longest password, at login and when one is set."),

    bounded("hashing", "threads", (0, 1024), |c| Slot::Whole(&mut c.login.hash_pool.threads),
        "Threads that hash passwords, each with the memory of one hash; 0 takes half of the cores."),
    bounded("hashing", "queue_max", COUNT, |c| Slot::Whole(&mut c.login.hash_pool.queue_max),
        "Logins that may wait for a hash. Full: the source with the most waiting ones loses its newest, which is refused as busy."),
    bounded("hashing", "deadline", SPAN_MS, |c| Slot::Span(&mut c.login.hash_pool.deadline),
        "How long a login waits for its hash before it is refused as busy."),
    bounded("hashing", "memory_kib", HASH_MEMORY_KIB, |c| Slot::Whole(&mut c.login.hash_cost.memory_kib),
        "Memory of one new Argon2id hash in KiB. Weaker hashes are renewed at the next good login."),
    bounded("hashing", "passes", (1, 1000), |c| Slot::Whole(&mut c.login.hash_cost.passes),
        "Passes over that memory."),
    bounded("hashing", "lanes", (1, 64), |c| Slot::Whole(&mut c.login.hash_cost.lanes),
        "Lanes of one hash."),

    bounded("users", "permissions_per_owner_max", COUNT, |c| Slot::Whole(&mut c.login.permissions_per_owner_max),
        "Permissions of one user or role."),
    bounded("users", "roles_per_user_max", COUNT, |c| Slot::Whole(&mut c.login.roles_per_user_max),
        "Roles of one user."),

    bounded("tokens", "hours_default", (1, 876_000), |c| Slot::Whole(&mut c.login.tokens.hours_default),
        "Hours a bearer token is good where its login asks for no number; at most hours_max."),
    bounded("tokens", "hours_max", (1, 876_000), |c| Slot::Whole(&mut c.login.tokens.hours_max),
        "The most hours a bearer token is good. More: the login is refused with 400."),
    bounded("tokens", "per_user_max", COUNT, |c| Slot::Whole(&mut c.login.tokens.per_user_max),
        "Bearer tokens of one user. Full: a new one takes the place of the oldest."),

    bounded("protection", "failures_per_user", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.login.protection.failures_per_user),
        "Failed logins within the window that lock a user name, known or not; 0 is never. A secret proven before is not locked out of its usual addresses."),
    bounded("protection", "failures_per_source", COUNT_OR_ZERO, |c| Slot::Whole(&mut c.login.protection.failures_per_source),
        "Failed logins within the window that lock a source address (IPv6: a /64); 0 is never."),
    bounded("protection", "window", SPAN_MS, |c| Slot::Span(&mut c.login.protection.window),
        "The time within which failed logins add up."),
    bounded("protection", "lockout", SPAN_MS, |c| Slot::Span(&mut c.login.protection.lockout),
        "How long the first lock lasts. Each further one without an hour of peace between lasts twice the last, up to an hour."),

    bounded("registry", "unlock_time", UNLOCK_MS, |c| Slot::Span(&mut c.login.registry.unlock_time),
        "How long the client registry is unlocked where nobody asks for a time."),
    bounded("registry", "unlock_time_max", UNLOCK_MS, |c| Slot::Span(&mut c.login.registry.unlock_time_max),
        "The longest time that may be asked for. More: refused with 400."),
    bounded("registry", "pending_max", COUNT, |c| Slot::Whole(&mut c.login.registry.pending_max),
        "Requests of clients that wait for a decision, by MQTT and by REST each. Full: new ones are not taken (REST: 503). Of decided ones as many are kept; the oldest go."),
    bounded("registry", "pending_per_source_max", COUNT, |c| Slot::Whole(&mut c.login.registry.pending_per_source_max),
        "Waiting requests of one source address (IPv6: of one /64), by MQTT and by REST each. Full: its new ones are not taken (REST: 429)."),
    bounded("registry", "new_per_source_max", COUNT, |c| Slot::Whole(&mut c.login.registry.new_per_source_max),
        "New requests of one source address within the window, by MQTT and by REST each. More are not taken (REST: 429)."),
    bounded("registry", "window", SPAN_MS, |c| Slot::Span(&mut c.login.registry.window),
        "The time within which new requests are counted."),
    bounded("registry", "expiry", EXPIRY_MS, |c| Slot::Span(&mut c.login.registry.expiry),
        "How long a request waits for a decision, and how long it is known after that to the client that asks again."),

    bounded("refusals", "per_client_max", COUNT_OF_ONE, |c| Slot::Whole(&mut c.login.refusals.per_client_max),
        "Refusals of one client that has logged in, kept to be looked up and explained. Full: its oldest goes."),
    bounded("refusals", "per_user_max", COUNT_OF_ONE, |c| Slot::Whole(&mut c.login.refusals.per_user_max),
        "Those of all clients of one user. Full: the user's oldest goes."),
    bounded("refusals", "clients_max", COUNT_OF_ALL, |c| Slot::Whole(&mut c.login.refusals.clients_max),
        "Those of all clients that have logged in. Full: the oldest of all goes."),
    bounded("refusals", "logins_per_client_max", COUNT_OF_ONE, |c| Slot::Whole(&mut c.login.refusals.logins_per_client_max),
        "Refused logins under one user name with one client id. Full: the oldest of them goes."),
    bounded("refusals", "logins_per_user_max", COUNT_OF_ONE, |c| Slot::Whole(&mut c.login.refusals.logins_per_user_max),
        "Refused logins under one user name. Full: the oldest of them goes."),
    bounded("refusals", "logins_max", COUNT_OF_ALL, |c| Slot::Whole(&mut c.login.refusals.logins_max),
        "Refused logins under names that users have. Full: the oldest of them goes."),
    bounded("refusals", "unknown_logins_max", COUNT_OF_ALL, |c| Slot::Whole(&mut c.login.refusals.unknown_logins_max),
        "Refused logins under all other names. Full: the oldest of them goes."),

    key("admin", "user_enabled", |c| Slot::Switch(&mut c.admin.user_enabled),
        "Whether a new data directory gets the administrator `admin`."),
    key("admin", "initial_password", |c| Slot::Secret(&mut c.admin.initial_password),
        "Its first password. Unset: a random one, printed to stderr once."),

    key("log", "level", |c| Slot::Word(&mut c.log.level), "The least severe level that is logged, to stderr."),
    key("log", "format", |c| Slot::Word(&mut c.log.format), "Lines for people, or one JSON object a line."),

    bounded("server", "shards", (0, 256), |c| Slot::Whole(&mut c.server.shards),
        "Threads that serve connections; 0 takes one for each core but one, and 1 to 16."),
    bounded("server", "stop_timeout", SPAN_MS, |c| Slot::Span(&mut c.server.stop_timeout),
        "How long a stopping server waits for its clients to take their last bytes."),
    bounded("server", "disk_patience", SPAN_MS, |c| Slot::Span(&mut c.server.disk_patience),
        "How long the disk may say nothing about the state of sessions. Over: what needs it is refused with 0x83, and who waits for it disconnected, until it answers; a stopping server waits no longer."),
];
