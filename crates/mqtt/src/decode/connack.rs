//! CONNACK.

use super::ack::NOT_ALLOWED;
use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::{ConnAck, ConnAckProperties};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::{ProtocolError, ProtocolVersion, Qos, ReasonCode, Secret};

pub(super) fn decode(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<ConnAck, ProtocolError> {
    // [MQTT-3.2.2-1] Bits 7 to 1 are 0.
    let flags = body.byte()?;
    if flags & !1 != 0 {
        return Err(ProtocolError::malformed("reserved acknowledge flags are set"));
    }
    // 3.1 knows no session flag: the byte is reserved.
    let session_present = flags == 1 && version != ProtocolVersion::V31;
    let value = body.byte()?;
    let reason = match version {
        ProtocolVersion::V5 => reason(Kind::ConnAck, value)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => {
            ReasonCode::from_v3_connect_return(value)
                .ok_or(ProtocolError::malformed("connect return code is reserved"))?
        }
    };
    // [MQTT-3.2.2-6]
    if session_present && reason.is_error() {
        return Err(ProtocolError::protocol("session present with an error"));
    }
    let properties = match version {
        ProtocolVersion::V5 => properties(body)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => ConnAckProperties::default(),
    };
    Ok(ConnAck { session_present, reason, properties })
}

fn properties(body: &mut Reader<'_>) -> Result<ConnAckProperties, ProtocolError> {
    let mut result = ConnAckProperties::default();
    let mut properties = Properties::read(body, Place::ConnAck)?;
    while let Some(property) = properties.next()? {
        keep(property, &mut result)?;
    }
    Ok(result)
}

fn keep(property: Property<'_>, result: &mut ConnAckProperties) -> Result<(), ProtocolError> {
    match property {
        Property::SessionExpiryInterval(s) => result.session_expiry_interval_s = Some(s),
        Property::ReceiveMaximum(count) => result.receive_maximum = Some(count),
        Property::MaximumQos(one) => {
            result.maximum_qos = Some(if one { Qos::AtLeastOnce } else { Qos::AtMostOnce });
        }
        Property::RetainAvailable(value) => result.retain_available = Some(value),
        Property::MaximumPacketSize(bytes) => result.maximum_packet_size = Some(bytes),
        Property::AssignedClientIdentifier(id) => {
            result.assigned_client_identifier = Some(id.to_owned());
        }
        Property::TopicAliasMaximum(count) => result.topic_alias_maximum = Some(count),
        Property::ReasonString(text) => result.reason_string = Some(text.to_owned()),
        Property::User(name, value) => {
            result.user_properties.push((name.to_owned(), value.to_owned()));
        }
        Property::WildcardSubscriptionAvailable(value) => {
            result.wildcard_subscription_available = Some(value);
        }
        Property::SubscriptionIdentifierAvailable(value) => {
            result.subscription_identifiers_available = Some(value);
        }
        Property::SharedSubscriptionAvailable(value) => {
            result.shared_subscription_available = Some(value);
        }
        Property::ServerKeepAlive(s) => result.server_keep_alive_s = Some(s),
        Property::ResponseInformation(text) => result.response_information = Some(text.to_owned()),
        Property::ServerReference(text) => result.server_reference = Some(text.to_owned()),
        Property::AuthenticationMethod(text) => {
            result.authentication_method = Some(text.to_owned());
        }
        Property::AuthenticationData(bytes) => {
            result.authentication_data = Some(Secret::new(bytes.to_vec()));
        }
        _ => return Err(NOT_ALLOWED),
    }
    Ok(())
}
