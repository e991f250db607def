//! SUBSCRIBE and SUBACK.

use super::{AckProperties, UserProperties};
use crate::{PacketId, Qos, ReasonCode};
use std::fmt;
use topic::{SubscriptionFilter, TopicError};

/// Wishes for messages; holds one filter at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// For the SUBACK.
    pub packet_id: PacketId,
    /// 1 to 268,435,455, handed back with each message (5.0).
    pub subscription_identifier: Option<u32>,
    /// In the order given, which is the order of the answer.
    pub filters: Vec<(RequestedFilter, SubscribeOptions)>,
    /// Name and value pairs (5.0).
    pub user_properties: UserProperties,
}

/// A filter as somebody asks for it.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestedFilter {
    /// One that there can be subscriptions to.
    Accepted(SubscriptionFilter),
    /// One that is well-formed and not accepted all the same: of so many levels, or a share of a share. Answered with
    /// 0x8F, without a word about the other filters.
    NotAccepted {
        /// As it was sent.
        text: String,
        /// Why not.
        error: TopicError,
    },
}

impl From<SubscriptionFilter> for RequestedFilter {
    fn from(filter: SubscriptionFilter) -> RequestedFilter {
        RequestedFilter::Accepted(filter)
    }
}

impl fmt::Display for RequestedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestedFilter::Accepted(filter) => filter.fmt(f),
            RequestedFilter::NotAccepted { text, .. } => f.write_str(text),
        }
    }
}

/// How one subscription is to be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// At most this.
    pub qos: Qos,
    /// Not what the client itself published (5.0); never with a shared subscription.
    pub no_local: bool,
    /// Leave the retain flag as the publisher set it (5.0).
    pub retain_as_published: bool,
    /// When to send retained messages (5.0).
    pub retain_handling: RetainHandling,
}

/// When a subscription brings the retained messages that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// At each SUBSCRIBE; all there is before 5.0.
    #[default]
    Always,
    /// Only if the subscription is new.
    IfNew,
    /// Not at all.
    Never,
}

impl SubscribeOptions {
    /// Options with this QoS and nothing else.
    #[must_use]
    pub fn qos(qos: Qos) -> SubscribeOptions {
        SubscribeOptions { qos, ..SubscribeOptions::default() }
    }
}

/// What became of each filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One a filter, in order; before 5.0 every error is written as 0x80.
    pub reasons: Vec<ReasonCode>,
    /// 5.0 only.
    pub properties: AckProperties,
}
