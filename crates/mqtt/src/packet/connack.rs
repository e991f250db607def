//! CONNACK: the answer to CONNECT.

use super::UserProperties;
use crate::{Qos, ReasonCode, Secret};

/// The answer to CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server kept a session; never with an error [MQTT-3.2.2-6], not known to 3.1.
    pub session_present: bool,
    /// Written as [`ReasonCode::to_v3_connect_return`] before 5.0.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: ConnAckProperties,
}

/// What the server tells of itself; what is absent has the standard's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Seconds, if not what the client asked for.
    pub session_expiry_interval_s: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages the client may have on the way; 65,535 if absent.
    pub receive_maximum: Option<u16>,
    /// Only 0 or 1 can be said; absent means 2.
    pub maximum_qos: Option<Qos>,
    /// Default: yes.
    pub retain_available: Option<bool>,
    /// Bytes of the largest packet the server takes.
    pub maximum_packet_size: Option<u32>,
    /// The client id the server gave to a client without one.
    pub assigned_client_identifier: Option<String>,
    /// Highest topic alias the client may use; 0 if absent.
    pub topic_alias_maximum: Option<u16>,
    /// For people to read.
    pub reason_string: Option<String>,
    /// Name and value pairs.
    pub user_properties: UserProperties,
    /// Default: yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Default: yes.
    pub subscription_identifiers_available: Option<bool>,
    /// Default: yes.
    pub shared_subscription_available: Option<bool>,
    /// Seconds, instead of those the client asked for.
    pub server_keep_alive_s: Option<u16>,
    /// Basis for response topics.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// As in CONNECT.
    pub authentication_method: Option<String>,
    /// What the method says it is.
    pub authentication_data: Option<Secret>,
}
