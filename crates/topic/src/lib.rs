//! Topic names, topic filters, the one matcher and the one tree.
//!
//! Everything in the broker that compares topics does it here: routing, the retained look-up and
//! authorization. Nobody else splits at `/`. Three relations are all there is, and each exists
//! twice, for a pair ([`TopicFilter::matches`], [`TopicFilter::covers`], [`TopicFilter::overlaps`])
//! and for a [`Tree`] of many; tests hold the two together.
//!
//! Invariant: a value of [`TopicName`], [`TopicFilter`], [`SubscriptionFilter`] or [`Pattern`] is
//! valid by construction in MQTT 3.1.1 and 5.0. No client's value ever becomes part of a filter's
//! text: a [`Pattern`] is compared with its [`Bindings`] level by level.

mod error;
mod filter;
mod level;
mod name;
mod pattern;
mod subscription;
mod tree;
mod walk;

pub use error::TopicError;
pub use filter::TopicFilter;
pub use level::Level;
pub use name::TopicName;
pub use pattern::{Bindings, Pattern};
pub use subscription::{ShareName, SubscriptionFilter};
pub use tree::{Iter, Key, Tree};

/// The most bytes of UTF-8 a topic name or filter can have on the wire. [MQTT-4.7.3-3]
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// The most levels a topic name or filter may have. The standard names no limit; this one bounds
/// the recursion of the tree and the memory that one filter can take.
pub const TOPIC_LEVELS_MAX: usize = 256;
