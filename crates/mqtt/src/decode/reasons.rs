//! Which reason code which packet may carry (section 2.4, and the table of each packet).

use crate::ReasonCode as R;
use crate::fixed_header::Kind;
use crate::{ProtocolError, ReasonCode};

/// The reason code `value` of a packet of this `kind`.
pub(super) fn reason(kind: Kind, value: u8) -> Result<ReasonCode, ProtocolError> {
    match ReasonCode::from_value(value) {
        Some(reason) if is_allowed(kind, reason) => Ok(reason),
        _ => Err(ProtocolError::malformed("reason code is unknown or not one of this packet")),
    }
}

fn is_allowed(kind: Kind, reason: ReasonCode) -> bool {
    match kind {
        Kind::ConnAck => is_connack_reason(reason),
        Kind::PubAck | Kind::PubRec => matches!(
            reason,
            R::Success
                | R::NoMatchingSubscribers
                | R::UnspecifiedError
                | R::ImplementationSpecificError
                | R::NotAuthorized
                | R::TopicNameInvalid
                | R::PacketIdentifierInUse
                | R::QuotaExceeded
                | R::PayloadFormatInvalid
        ),
        Kind::PubRel | Kind::PubComp => {
            matches!(reason, R::Success | R::PacketIdentifierNotFound)
        }
        Kind::SubAck => matches!(
            reason,
            R::Success
                | R::GrantedQos1
                | R::GrantedQos2
                | R::UnspecifiedError
                | R::ImplementationSpecificError
                | R::NotAuthorized
                | R::TopicFilterInvalid
                | R::PacketIdentifierInUse
                | R::QuotaExceeded
                | R::SharedSubscriptionsNotSupported
                | R::SubscriptionIdentifiersNotSupported
                | R::WildcardSubscriptionsNotSupported
        ),
        Kind::UnsubAck => matches!(
            reason,
            R::Success
                | R::NoSubscriptionExisted
                | R::UnspecifiedError
                | R::ImplementationSpecificError
                | R::NotAuthorized
                | R::TopicFilterInvalid
                | R::PacketIdentifierInUse
        ),
        Kind::Disconnect => is_disconnect_reason(reason),
        Kind::Auth => matches!(reason, R::Success | R::ContinueAuthentication | R::ReAuthenticate),
        Kind::Connect
        | Kind::Publish
        | Kind::Subscribe
        | Kind::Unsubscribe
        | Kind::PingReq
        | Kind::PingResp => false,
    }
}

/// Table 3-1.
fn is_connack_reason(reason: ReasonCode) -> bool {
    matches!(
        reason,
        R::Success
            | R::UnspecifiedError
            | R::MalformedPacket
            | R::ProtocolError
            | R::ImplementationSpecificError
            | R::UnsupportedProtocolVersion
            | R::ClientIdentifierNotValid
            | R::BadUserNameOrPassword
            | R::NotAuthorized
            | R::ServerUnavailable
            | R::ServerBusy
            | R::Banned
            | R::BadAuthenticationMethod
            | R::TopicNameInvalid
            | R::PacketTooLarge
            | R::QuotaExceeded
            | R::PayloadFormatInvalid
            | R::RetainNotSupported
            | R::QosNotSupported
            | R::UseAnotherServer
            | R::ServerMoved
            | R::ConnectionRateExceeded
    )
}

/// Table 3-10.
fn is_disconnect_reason(reason: ReasonCode) -> bool {
    matches!(
        reason,
        R::Success
            | R::DisconnectWithWill
            | R::UnspecifiedError
            | R::MalformedPacket
            | R::ProtocolError
            | R::ImplementationSpecificError
            | R::NotAuthorized
            | R::ServerBusy
            | R::ServerShuttingDown
            | R::KeepAliveTimeout
            | R::SessionTakenOver
            | R::TopicFilterInvalid
            | R::TopicNameInvalid
            | R::ReceiveMaximumExceeded
            | R::TopicAliasInvalid
            | R::PacketTooLarge
            | R::MessageRateTooHigh
            | R::QuotaExceeded
            | R::AdministrativeAction
            | R::PayloadFormatInvalid
            | R::RetainNotSupported
            | R::QosNotSupported
            | R::UseAnotherServer
            | R::ServerMoved
            | R::SharedSubscriptionsNotSupported
            | R::ConnectionRateExceeded
            | R::MaximumConnectTime
            | R::SubscriptionIdentifiersNotSupported
            | R::WildcardSubscriptionsNotSupported
    )
}
