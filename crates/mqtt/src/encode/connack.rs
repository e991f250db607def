//! CONNACK.

use super::{properties, put_some, put_user_properties};
use crate::packet::{ConnAck, ConnAckProperties};
use crate::property::Property as P;
use crate::{ProtocolVersion, Qos};

pub(super) fn body(connack: &ConnAck, version: ProtocolVersion, out: &mut Vec<u8>) {
    // [MQTT-3.2.2-6] An error never goes with a session; in 3.1 the bit is reserved.
    let session_present =
        connack.session_present && !connack.reason.is_error() && version != ProtocolVersion::V31;
    out.push(u8::from(session_present));
    match version {
        ProtocolVersion::V5 => {
            out.push(connack.reason.value());
            properties(out, |out| put(&connack.properties, out));
        }
        ProtocolVersion::V31 | ProtocolVersion::V311 => {
            out.push(connack.reason.to_v3_connect_return());
        }
    }
}

fn put(it: &ConnAckProperties, out: &mut Vec<u8>) {
    put_some(it.session_expiry_interval_s.map(P::SessionExpiryInterval), out);
    put_some(it.receive_maximum.map(P::ReceiveMaximum), out);
    // 3.2.2.3.4: QoS 2 is said by saying nothing.
    let maximum_qos = it.maximum_qos.filter(|&qos| qos != Qos::ExactlyOnce);
    put_some(maximum_qos.map(|qos| P::MaximumQos(qos == Qos::AtLeastOnce)), out);
    put_some(it.retain_available.map(P::RetainAvailable), out);
    put_some(it.maximum_packet_size.map(P::MaximumPacketSize), out);
    put_some(it.assigned_client_identifier.as_deref().map(P::AssignedClientIdentifier), out);
    put_some(it.topic_alias_maximum.map(P::TopicAliasMaximum), out);
    put_some(it.reason_string.as_deref().map(P::ReasonString), out);
    put_user_properties(&it.user_properties, out);
    put_some(it.wildcard_subscription_available.map(P::WildcardSubscriptionAvailable), out);
    put_some(it.subscription_identifiers_available.map(P::SubscriptionIdentifierAvailable), out);
    put_some(it.shared_subscription_available.map(P::SharedSubscriptionAvailable), out);
    put_some(it.server_keep_alive_s.map(P::ServerKeepAlive), out);
    put_some(it.response_information.as_deref().map(P::ResponseInformation), out);
    put_some(it.server_reference.as_deref().map(P::ServerReference), out);
    put_some(it.authentication_method.as_deref().map(P::AuthenticationMethod), out);
    put_some(it.authentication_data.as_deref().map(P::AuthenticationData), out);
}
