//! CONNECT: who the client says it is and what it asks for.

use super::UserProperties;
use crate::{ProtocolVersion, Qos, Secret};
use topic::TopicName;

/// The client's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// From protocol name and level.
    pub version: ProtocolVersion,
    /// Clean Start (5.0), Clean Session before.
    pub clean_start: bool,
    /// Seconds between two packets at most; 0 switches it off.
    pub keep_alive_s: u16,
    /// May be empty: see [`Connect::is_client_id_missing`].
    pub client_id: String,
    /// Absent is not empty.
    pub username: Option<String>,
    /// Absent is not empty. Wiped on drop, hidden in `Debug`.
    pub password: Option<Secret>,
    /// The message to publish when the client is gone.
    pub will: Option<Will>,
    /// 5.0 only.
    pub properties: ConnectProperties,
}

impl Connect {
    /// A CONNECT with nothing but a client id, keep-alive off.
    #[must_use]
    pub fn new(version: ProtocolVersion, client_id: &str) -> Connect {
        Connect {
            version,
            clean_start: true,
            keep_alive_s: 0,
            client_id: client_id.to_owned(),
            username: None,
            password: None,
            will: None,
            properties: ConnectProperties::default(),
        }
    }

    /// Whether the client id is empty and the version demands one. The decoder lets it pass,
    /// because the answer is CONNACK 2, not silence: 3.1.1 demands an id if the session is to be
    /// kept [MQTT-3.1.3-8], 3.1 always. Otherwise the server gives one.
    #[must_use]
    pub fn is_client_id_missing(&self) -> bool {
        self.client_id.is_empty()
            && match self.version {
                ProtocolVersion::V31 => true,
                ProtocolVersion::V311 => !self.clean_start,
                ProtocolVersion::V5 => false,
            }
    }

    /// Seconds the session outlives the connection; `u32::MAX` means for ever. Before 5.0 a session
    /// that is not clean has no end.
    #[must_use]
    pub fn session_expiry_s(&self) -> u32 {
        match self.version {
            ProtocolVersion::V5 => self.properties.session_expiry_interval_s.unwrap_or(0),
            ProtocolVersion::V31 | ProtocolVersion::V311 if self.clean_start => 0,
            ProtocolVersion::V31 | ProtocolVersion::V311 => u32::MAX,
        }
    }
}

/// What the client asks of the server; what is absent has the standard's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds; 0 if absent, `u32::MAX` means for ever.
    pub session_expiry_interval_s: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages the client takes; never 0, 65,535 if absent.
    pub receive_maximum: Option<u16>,
    /// Bytes of the largest packet the client takes; never 0.
    pub maximum_packet_size: Option<u32>,
    /// Highest topic alias the server may use; 0 if absent.
    pub topic_alias_maximum: Option<u16>,
    /// Whether CONNACK may carry response information; no if absent.
    pub request_response_information: Option<bool>,
    /// Whether answers other than CONNACK, PUBLISH and DISCONNECT may carry reason string and user
    /// properties; yes if absent.
    pub request_problem_information: Option<bool>,
    /// Name and value pairs.
    pub user_properties: UserProperties,
    /// Wish for enhanced authentication.
    pub authentication_method: Option<String>,
    /// What the method says it is; never without a method.
    pub authentication_data: Option<Secret>,
}

impl ConnectProperties {
    /// Unacknowledged QoS 1 and 2 messages the client takes.
    #[must_use]
    pub fn receive_maximum_or_default(&self) -> u16 {
        self.receive_maximum.unwrap_or(u16::MAX)
    }

    /// Bytes of the largest packet the client takes.
    #[must_use]
    pub fn maximum_packet_size_or_default(&self) -> u32 {
        self.maximum_packet_size.unwrap_or(u32::MAX)
    }

    /// Highest topic alias the server may use.
    #[must_use]
    pub fn topic_alias_maximum_or_default(&self) -> u16 {
        self.topic_alias_maximum.unwrap_or(0)
    }

    /// Whether answers may carry reason strings and user properties [MQTT-3.1.2-29].
    #[must_use]
    pub fn wants_problem_information(&self) -> bool {
        self.request_problem_information.unwrap_or(true)
    }
}

/// The message to publish when the client is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// As sent, before any publish prefix.
    pub topic: TopicName,
    /// Any bytes.
    pub payload: Vec<u8>,
    /// How to publish it.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
    /// 5.0 only.
    pub properties: WillProperties,
}

/// Properties of a will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WillProperties {
    /// Seconds to wait before it is published; 0 if absent.
    pub delay_s: u32,
    /// Seconds the message lives once it is published.
    pub message_expiry_interval_s: Option<u32>,
    /// Properties to hand on unaltered, in order, in wire form; validated.
    pub forwardable: Vec<u8>,
}
