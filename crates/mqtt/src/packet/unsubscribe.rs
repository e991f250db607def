//! UNSUBSCRIBE and UNSUBACK.

use super::{AckProperties, RequestedFilter, UserProperties};
use crate::{PacketId, ReasonCode};

/// Wishes for no more messages; holds one filter at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    /// For the UNSUBACK.
    pub packet_id: PacketId,
    /// In the order given, which is the order of the answer.
    pub filters: Vec<RequestedFilter>,
    /// Name and value pairs (5.0).
    pub user_properties: UserProperties,
}

/// What became of each filter of an UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One a filter, in order; not written before 5.0.
    pub reasons: Vec<ReasonCode>,
    /// 5.0 only.
    pub properties: AckProperties,
}
