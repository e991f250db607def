//! Reason codes: what an answer says, which packet may say it, and what 3.1.1 makes of it.

use std::fmt;

/// Reason code of MQTT 5.0; the other versions use the few that [`to_v3_connect_return`] and SUBACK
/// know.
///
/// [`to_v3_connect_return`]: ReasonCode::to_v3_connect_return
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReasonCode {
    /// Success; also normal disconnection and granted QoS 0.
    #[default]
    Success = 0x00,
    /// SUBACK: at most QoS 1 will be delivered.
    GrantedQos1 = 0x01,
    /// SUBACK: up to QoS 2 will be delivered.
    GrantedQos2 = 0x02,
    /// DISCONNECT of a client that wants its will published.
    DisconnectWithWill = 0x04,
    /// PUBACK, PUBREC: accepted, and nobody subscribes.
    NoMatchingSubscribers = 0x10,
    /// UNSUBACK: nothing was subscribed with this filter.
    NoSubscriptionExisted = 0x11,
    /// AUTH: another step follows.
    ContinueAuthentication = 0x18,
    /// AUTH: the client starts over.
    ReAuthenticate = 0x19,
    /// The reason is not told, or no other code fits.
    UnspecifiedError = 0x80,
    /// The bytes could not be read as the standard says.
    MalformedPacket = 0x81,
    /// Readable, but not allowed here.
    ProtocolError = 0x82,
    /// Valid, but not accepted by this server.
    ImplementationSpecificError = 0x83,
    /// CONNACK: protocol name or level unknown.
    UnsupportedProtocolVersion = 0x84,
    /// CONNACK: well-formed, not allowed.
    ClientIdentifierNotValid = 0x85,
    /// CONNACK: not accepted.
    BadUserNameOrPassword = 0x86,
    /// The right is missing.
    NotAuthorized = 0x87,
    /// CONNACK: try later.
    ServerUnavailable = 0x88,
    /// Try later.
    ServerBusy = 0x89,
    /// CONNACK: locked out.
    Banned = 0x8A,
    /// The server is about to stop.
    ServerShuttingDown = 0x8B,
    /// The method is not supported or not the one of CONNECT.
    BadAuthenticationMethod = 0x8C,
    /// Nothing was heard for 1.5 times the keep-alive.
    KeepAliveTimeout = 0x8D,
    /// Another connection uses the same session.
    SessionTakenOver = 0x8E,
    /// Well-formed, not accepted.
    TopicFilterInvalid = 0x8F,
    /// Well-formed, not accepted.
    TopicNameInvalid = 0x90,
    /// The identifier belongs to another exchange.
    PacketIdentifierInUse = 0x91,
    /// No exchange has this identifier.
    PacketIdentifierNotFound = 0x92,
    /// More unacknowledged messages than granted.
    ReceiveMaximumExceeded = 0x93,
    /// 0, or above the granted maximum.
    TopicAliasInvalid = 0x94,
    /// Larger than the maximum packet size.
    PacketTooLarge = 0x95,
    /// More messages than allowed.
    MessageRateTooHigh = 0x96,
    /// A limit of the server is reached.
    QuotaExceeded = 0x97,
    /// Closed by an administrator.
    AdministrativeAction = 0x98,
    /// The payload is not what its indicator says.
    PayloadFormatInvalid = 0x99,
    /// The server keeps no retained messages.
    RetainNotSupported = 0x9A,
    /// Above the maximum QoS of the server.
    QosNotSupported = 0x9B,
    /// For now.
    UseAnotherServer = 0x9C,
    /// For good.
    ServerMoved = 0x9D,
    /// Not offered by the server.
    SharedSubscriptionsNotSupported = 0x9E,
    /// Too many connections in too short a time.
    ConnectionRateExceeded = 0x9F,
    /// The time granted to this connection is over.
    MaximumConnectTime = 0xA0,
    /// Not offered by the server.
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// Not offered by the server.
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// Every code, in order of value.
    pub const ALL: [ReasonCode; 43] = [
        ReasonCode::Success,
        ReasonCode::GrantedQos1,
        ReasonCode::GrantedQos2,
        ReasonCode::DisconnectWithWill,
        ReasonCode::NoMatchingSubscribers,
        ReasonCode::NoSubscriptionExisted,
        ReasonCode::ContinueAuthentication,
        ReasonCode::ReAuthenticate,
        ReasonCode::UnspecifiedError,
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
        ReasonCode::ServerUnavailable,
        ReasonCode::ServerBusy,
        ReasonCode::Banned,
        ReasonCode::ServerShuttingDown,
        ReasonCode::BadAuthenticationMethod,
        ReasonCode::KeepAliveTimeout,
        ReasonCode::SessionTakenOver,
        ReasonCode::TopicFilterInvalid,
        ReasonCode::TopicNameInvalid,
        ReasonCode::PacketIdentifierInUse,
        ReasonCode::PacketIdentifierNotFound,
        ReasonCode::ReceiveMaximumExceeded,
        ReasonCode::TopicAliasInvalid,
        ReasonCode::PacketTooLarge,
        ReasonCode::MessageRateTooHigh,
        ReasonCode::QuotaExceeded,
        ReasonCode::AdministrativeAction,
        ReasonCode::PayloadFormatInvalid,
        ReasonCode::RetainNotSupported,
        ReasonCode::QosNotSupported,
        ReasonCode::UseAnotherServer,
        ReasonCode::ServerMoved,
        ReasonCode::SharedSubscriptionsNotSupported,
        ReasonCode::ConnectionRateExceeded,
        ReasonCode::MaximumConnectTime,
        ReasonCode::SubscriptionIdentifiersNotSupported,
        ReasonCode::WildcardSubscriptionsNotSupported,
    ];

    /// The code with this value, whatever the packet.
    #[must_use]
    pub fn from_value(value: u8) -> Option<ReasonCode> {
        Some(match value {
            0x00 => ReasonCode::Success,
            0x01 => ReasonCode::GrantedQos1,
            0x02 => ReasonCode::GrantedQos2,
            0x04 => ReasonCode::DisconnectWithWill,
            0x10 => ReasonCode::NoMatchingSubscribers,
            0x11 => ReasonCode::NoSubscriptionExisted,
            0x18 => ReasonCode::ContinueAuthentication,
            0x19 => ReasonCode::ReAuthenticate,
            0x80 => ReasonCode::UnspecifiedError,
            0x81 => ReasonCode::MalformedPacket,
            0x82 => ReasonCode::ProtocolError,
            0x83 => ReasonCode::ImplementationSpecificError,
            0x84 => ReasonCode::UnsupportedProtocolVersion,
            0x85 => ReasonCode::ClientIdentifierNotValid,
            0x86 => ReasonCode::BadUserNameOrPassword,
            0x87 => ReasonCode::NotAuthorized,
            0x88 => ReasonCode::ServerUnavailable,
            0x89 => ReasonCode::ServerBusy,
            0x8A => ReasonCode::Banned,
            0x8B => ReasonCode::ServerShuttingDown,
            0x8C => ReasonCode::BadAuthenticationMethod,
            0x8D => ReasonCode::KeepAliveTimeout,
            0x8E => ReasonCode::SessionTakenOver,
            0x8F => ReasonCode::TopicFilterInvalid,
            0x90 => ReasonCode::TopicNameInvalid,
            0x91 => ReasonCode::PacketIdentifierInUse,
            0x92 => ReasonCode::PacketIdentifierNotFound,
            0x93 => ReasonCode::ReceiveMaximumExceeded,
            0x94 => ReasonCode::TopicAliasInvalid,
            0x95 => ReasonCode::PacketTooLarge,
            0x96 => ReasonCode::MessageRateTooHigh,
            0x97 => ReasonCode::QuotaExceeded,
            0x98 => ReasonCode::AdministrativeAction,
            0x99 => ReasonCode::PayloadFormatInvalid,
            0x9A => ReasonCode::RetainNotSupported,
            0x9B => ReasonCode::QosNotSupported,
            0x9C => ReasonCode::UseAnotherServer,
            0x9D => ReasonCode::ServerMoved,
            0x9E => ReasonCode::SharedSubscriptionsNotSupported,
            0x9F => ReasonCode::ConnectionRateExceeded,
            0xA0 => ReasonCode::MaximumConnectTime,
            0xA1 => ReasonCode::SubscriptionIdentifiersNotSupported,
            0xA2 => ReasonCode::WildcardSubscriptionsNotSupported,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub fn value(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed (0x80 and above).
    #[must_use]
    pub fn is_error(self) -> bool {
        self.value() >= 0x80
    }

    /// The return code of a 3.1 or 3.1.1 CONNACK, 0 to 5. Codes that answer no CONNECT become 5.
    #[must_use]
    pub fn to_v3_connect_return(self) -> u8 {
        match self {
            ReasonCode::Success
            | ReasonCode::GrantedQos1
            | ReasonCode::GrantedQos2
            | ReasonCode::DisconnectWithWill
            | ReasonCode::NoMatchingSubscribers
            | ReasonCode::NoSubscriptionExisted
            | ReasonCode::ContinueAuthentication
            | ReasonCode::ReAuthenticate => 0,
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::Banned
            | ReasonCode::ServerShuttingDown
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded
            | ReasonCode::MaximumConnectTime
            | ReasonCode::QuotaExceeded
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::SessionTakenOver
            | ReasonCode::KeepAliveTimeout => 3,
            ReasonCode::BadUserNameOrPassword | ReasonCode::BadAuthenticationMethod => 4,
            ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::NotAuthorized
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::TopicNameInvalid
            | ReasonCode::PacketIdentifierInUse
            | ReasonCode::PacketIdentifierNotFound
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::TopicAliasInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::AdministrativeAction
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QosNotSupported
            | ReasonCode::SharedSubscriptionsNotSupported
            | ReasonCode::SubscriptionIdentifiersNotSupported
            | ReasonCode::WildcardSubscriptionsNotSupported => 5,
        }
    }

    /// The code a 3.1 or 3.1.1 CONNACK return code stands for; `None` above 5.
    #[must_use]
    pub fn from_v3_connect_return(value: u8) -> Option<ReasonCode> {
        Some(match value {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }

    /// The standard's words for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Success => "success",
            ReasonCode::GrantedQos1 => "granted QoS 1",
            ReasonCode::GrantedQos2 => "granted QoS 2",
            ReasonCode::DisconnectWithWill => "disconnect with will message",
            ReasonCode::NoMatchingSubscribers => "no matching subscribers",
            ReasonCode::NoSubscriptionExisted => "no subscription existed",
            ReasonCode::ContinueAuthentication => "continue authentication",
            ReasonCode::ReAuthenticate => "re-authenticate",
            ReasonCode::UnspecifiedError => "unspecified error",
            ReasonCode::MalformedPacket => "malformed packet",
            ReasonCode::ProtocolError => "protocol error",
            ReasonCode::ImplementationSpecificError => "implementation specific error",
            ReasonCode::UnsupportedProtocolVersion => "unsupported protocol version",
            ReasonCode::ClientIdentifierNotValid => "client identifier not valid",
            ReasonCode::BadUserNameOrPassword => "bad user name or password",
            ReasonCode::NotAuthorized => "not authorized",
            ReasonCode::ServerUnavailable => "server unavailable",
            ReasonCode::ServerBusy => "server busy",
            ReasonCode::Banned => "banned",
            ReasonCode::ServerShuttingDown => "server shutting down",
            ReasonCode::BadAuthenticationMethod => "bad authentication method",
            ReasonCode::KeepAliveTimeout => "keep alive timeout",
            ReasonCode::SessionTakenOver => "session taken over",
            ReasonCode::TopicFilterInvalid => "topic filter invalid",
            ReasonCode::TopicNameInvalid => "topic name invalid",
            ReasonCode::PacketIdentifierInUse => "packet identifier in use",
            ReasonCode::PacketIdentifierNotFound => "packet identifier not found",
            ReasonCode::ReceiveMaximumExceeded => "receive maximum exceeded",
            ReasonCode::TopicAliasInvalid => "topic alias invalid",
            ReasonCode::PacketTooLarge => "packet too large",
            ReasonCode::MessageRateTooHigh => "message rate too high",
            ReasonCode::QuotaExceeded => "quota exceeded",
            ReasonCode::AdministrativeAction => "administrative action",
            ReasonCode::PayloadFormatInvalid => "payload format invalid",
            ReasonCode::RetainNotSupported => "retain not supported",
            ReasonCode::QosNotSupported => "QoS not supported",
            ReasonCode::UseAnotherServer => "use another server",
            ReasonCode::ServerMoved => "server moved",
            ReasonCode::SharedSubscriptionsNotSupported => "shared subscriptions not supported",
            ReasonCode::ConnectionRateExceeded => "connection rate exceeded",
            ReasonCode::MaximumConnectTime => "maximum connect time",
            ReasonCode::SubscriptionIdentifiersNotSupported => {
                "subscription identifiers not supported"
            }
            ReasonCode::WildcardSubscriptionsNotSupported => "wildcard subscriptions not supported",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.value(), self.as_str())
    }
}
