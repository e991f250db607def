//! Permits: what the engine acts on. Only [`crate::Rights`] makes them.

use crate::Lapse;
use crate::{Because, Operation};
use topic::{SubscriptionFilter, TopicError, TopicName};

/// The right to publish to one topic, which is inside: what was judged is what is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishPermit {
    topic: TopicName,
}

impl PublishPermit {
    pub(crate) fn new(topic: TopicName) -> Self {
        PublishPermit { topic }
    }

    /// The final topic, with the user's prefix.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The final topic, to keep.
    #[must_use]
    pub fn into_topic(self) -> TopicName {
        self.topic
    }
}

/// The right to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribePermit {
    filter: SubscriptionFilter,
    is_filtered: bool,
}

impl SubscribePermit {
    pub(crate) fn new(filter: SubscriptionFilter, is_filtered: bool) -> Self {
        SubscribePermit { filter, is_filtered }
    }

    /// What may be subscribed to.
    #[must_use]
    pub fn filter(&self) -> &SubscriptionFilter {
        &self.filter
    }

    /// True if a deny takes some topics out of the filter: then each delivery has to be judged by
    /// [`crate::Rights::permit_delivery`]. False means that every topic of the filter may be read.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        self.is_filtered
    }
}

/// The right to one HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPermit {
    operation: Operation,
    path: TopicName,
}

impl HttpPermit {
    pub(crate) fn new(operation: Operation, path: TopicName) -> Self {
        HttpPermit { operation, path }
    }

    /// What may be done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The path in its canonical spelling.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_str()
    }
}

/// Why something may not be done. For logs, audit and administrators; peers get a code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Nothing allows it.
    #[error("no permission allows it")]
    NoRule,
    /// A permission denies it.
    #[error("denied by {0}")]
    DenyRule(Box<Because>),
    /// It would be published to a topic that begins with `$`.
    #[error("topics that begin with `$` are not published to")]
    DollarTopic,
    /// The topic is not valid, as sent or with the prefix.
    #[error("the topic {0}")]
    InvalidTopic(#[from] TopicError),
    /// The user is gone or disabled.
    #[error("the user is gone or disabled")]
    Gone,
    /// Whoever asked for it has not proven who it is by what counts now.
    #[error("the proof of identity does not hold any more: {0}")]
    Lapsed(Lapse),
}
