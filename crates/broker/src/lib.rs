//! The engine: sessions, routing, retained messages and wills. Events in, effects out.
//!
//! One [`Engine`] is one shard: it owns the sessions that [`shard_of`] gives it and their
//! connections; all shards share one [`Hub`]. Bytes, time and messages of other shards go in by
//! method calls; [`Engine::poll_effect`] says what is to be done. The crate does no I/O, reads no
//! clock, draws no randomness.
//!
//! Invariants:
//! - Nothing is routed without a `PublishPermit`, to the topic inside it; nothing is subscribed
//!   without a `SubscribePermit`; nothing is delivered past the deliver gate (`gate.rs`).
//! - What a session holds (subscriptions, queue, in flight, will) has been judged under the
//!   engine's policy; a newer policy is taken before the next packet is looked at.
//! - What answers for a record leaves the engine only once the record is durable (`Engine::committed`).
//! - Everything a peer can fill has a bound in [`Limits`].

mod acknowledge;
mod admission;
mod attach;
mod budget;
mod client_view;
mod connection;
mod counters;
mod deliver;
mod detach;
mod disk_share;
mod effect;
mod engine;
mod fetch;
mod forecast;
mod gate;
mod held_input;
mod held_will;
mod hub;
mod identity;
mod limits;
mod memory;
mod message;
mod outbox;
mod pressure;
mod publish;
mod publishers;
mod queue;
mod record;
mod refused;
mod rejudge;
mod report;
mod response_information;
mod restore;
mod retained;
mod round;
mod routes;
mod runs;
mod session;
mod sessions;
mod shard_message;
mod spares;
mod subscribe;
mod subscription_table;
mod system;
mod timers;
mod will;

pub use attach::{Attach, AttachRefusal, AttachRefused};
pub use client_view::{ClientView, SubscriptionView, Traffic};
pub use counters::{Acknowledged, Census, Counters, Dropped, Fullest, Most, RefusedPublishes};
pub use detach::{ConnectionLost, ProofEnd};
pub use effect::Effect;
pub use engine::Engine;
pub use fetch::{Fetch, FetchContent, Fetched};
pub use forecast::{
    ClientLoss, Forecast, PolicyMoved, Progress, PublishLoss, SessionLoss, SubscriptionLoss,
};
pub use held_input::HeldInput;
pub use hub::{Hub, Storage};
pub use identity::{
    CertificateName, ClientName, ConnectionId, Peer, Security, SessionKey, ShardId, shard_of,
};
pub use limits::{DeniedPublish, Limits, OverBudget, PayloadFormat, Persistence, QueueFull};
pub use memory::Memory;
pub use message::{Message, StoredMessage};
pub use record::{Record, StoredDelivery, Way};
pub use report::{
    DecisionId, DisconnectCause, DropRule, Refusal, RefusalReason, RefusedAction, Report,
    SessionEnd,
};
pub use response_information::ResponseInformation;
pub use restore::Image;
pub use shard_message::ShardMessage;
pub use system::SystemValue;
