//! Our packets as fields.

use super::{Fields, Pairs};
use mqtt::{
    Ack, ConnAck, Connect, Packet, ProtocolVersion, Publish, PublishProperties, ReasonCode,
    RetainHandling,
};

pub fn fields(packet: &Packet<'_>, version: ProtocolVersion) -> Fields {
    match packet {
        Packet::Connect(it) => connect(it),
        Packet::ConnAck(it) => connack(it, version),
        Packet::Publish(it) => publish(it),
        Packet::PubAck(it) => ack("puback", it),
        Packet::PubRec(it) => ack("pubrec", it),
        Packet::PubRel(it) => ack("pubrel", it),
        Packet::PubComp(it) => ack("pubcomp", it),
        Packet::Subscribe(it) => {
            let filters = it.filters.iter().map(|(filter, options)| {
                let handling = match options.retain_handling {
                    RetainHandling::Always => 0,
                    RetainHandling::IfNew => 1,
                    RetainHandling::Never => 2,
                };
                let flags = (options.no_local, options.retain_as_published);
                (filter.to_string(), options.qos.bits(), flags, handling)
            });
            let filters: Vec<(String, u8, (bool, bool), u8)> = filters.collect();
            Fields::new("subscribe")
                .with("id", it.packet_id.get())
                .with("identifier", it.subscription_identifier)
                .with("filters", filters)
                .with("user", &it.user_properties)
        }
        Packet::SubAck(it) => Fields::new("suback")
            .with("id", it.packet_id.get())
            .with("reasons", values(&it.reasons))
            .with("reason", &it.properties.reason_string)
            .with("user", &it.properties.user_properties),
        Packet::Unsubscribe(it) => Fields::new("unsubscribe")
            .with("id", it.packet_id.get())
            .with("filters", it.filters.iter().map(ToString::to_string).collect::<Vec<_>>())
            .with("user", &it.user_properties),
        Packet::UnsubAck(it) => Fields::new("unsuback")
            .with("id", it.packet_id.get())
            .with("reasons", values(&it.reasons))
            .with("reason", &it.properties.reason_string)
            .with("user", &it.properties.user_properties),
        Packet::PingReq => Fields::new("pingreq"),
        Packet::PingResp => Fields::new("pingresp"),
        Packet::Disconnect(it) => Fields::new("disconnect")
            .with("code", it.reason.value())
            .with("expiry", it.properties.session_expiry_interval_s)
            .with("reason", &it.properties.reason_string)
            .with("user", &it.properties.user_properties)
            .with("reference", &it.properties.server_reference),
        Packet::Auth(it) => Fields::new("auth")
            .with("code", it.reason.value())
            .with("method", &it.authentication_method)
            .with("data", it.authentication_data.as_deref())
            .with("reason", &it.reason_string)
            .with("user", &it.user_properties),
    }
}

fn values(reasons: &[ReasonCode]) -> Vec<u8> {
    reasons.iter().map(|it| it.value()).collect()
}

fn ack(kind: &str, it: &Ack) -> Fields {
    Fields::new(kind)
        .with("id", it.packet_id.get())
        .with("code", it.reason.value())
        .with("reason", &it.properties.reason_string)
        .with("user", &it.properties.user_properties)
}

fn publish(it: &Publish<'_>) -> Fields {
    message(Fields::new("publish"), &it.properties)
        .with("dup", it.dup)
        .with("qos", it.qos.bits())
        .with("retain", it.retain)
        .with("topic", it.topic)
        .with("id", it.packet_id.map_or(0, |id| id.get()))
        .with("payload", it.payload)
        .with("alias", it.properties.topic_alias())
        .with("expiry", it.properties.message_expiry_interval_s())
        .with("identifiers", it.properties.subscription_identifiers().collect::<Vec<_>>())
}

fn message(fields: Fields, it: &PublishProperties<'_>) -> Fields {
    let pairs: Pairs = it.user_properties().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    fields
        .with("format", it.is_payload_utf8())
        .with("content", it.content_type())
        .with("response", it.response_topic())
        .with("correlation", it.correlation_data())
        .with("message user", pairs)
}

fn connect(it: &Connect) -> Fields {
    let properties = &it.properties;
    let fields = Fields::new("connect")
        .with("clean", it.clean_start)
        .with("keep alive", it.keep_alive_s)
        .with("client", &it.client_id)
        .with("username", &it.username)
        .with("password", it.password.as_deref())
        .with("expiry", properties.session_expiry_interval_s.unwrap_or(0))
        .with("receive maximum", properties.receive_maximum)
        .with("packet maximum", properties.maximum_packet_size)
        .with("alias maximum", properties.topic_alias_maximum.unwrap_or(0))
        .with("response information", properties.request_response_information == Some(true))
        .with("problem information", properties.wants_problem_information())
        .with("user", &properties.user_properties)
        .with("method", &properties.authentication_method)
        .with("data", properties.authentication_data.as_deref());
    let Some(will) = &it.will else { return fields };
    let handed_on = PublishProperties::parse(&will.properties.forwardable).expect("valid");
    message(fields, &handed_on)
        .with("will topic", will.topic.as_str())
        .with("will payload", &will.payload)
        .with("will qos", will.qos.bits())
        .with("will retain", will.retain)
        .with("will delay", will.properties.delay_s)
        .with("will expiry", will.properties.message_expiry_interval_s)
}

fn connack(it: &ConnAck, version: ProtocolVersion) -> Fields {
    let code = if version.is_v5() { it.reason.value() } else { it.reason.to_v3_connect_return() };
    let properties = &it.properties;
    Fields::new("connack")
        .with("session", it.session_present)
        .with("code", code)
        .with("expiry", properties.session_expiry_interval_s)
        .with("receive maximum", properties.receive_maximum.unwrap_or(u16::MAX))
        .with("qos", properties.maximum_qos.map_or(2, |qos| qos.bits()))
        .with("retain", properties.retain_available != Some(false))
        .with("packet maximum", properties.maximum_packet_size)
        .with("client", &properties.assigned_client_identifier)
        .with("alias maximum", properties.topic_alias_maximum.unwrap_or(0))
        .with("reason", &properties.reason_string)
        .with("user", &properties.user_properties)
        .with("wildcards", properties.wildcard_subscription_available != Some(false))
        .with("identifiers", properties.subscription_identifiers_available != Some(false))
        .with("shared", properties.shared_subscription_available != Some(false))
        .with("keep alive", properties.server_keep_alive_s)
        .with("response", &properties.response_information)
        .with("reference", &properties.server_reference)
        .with("method", &properties.authentication_method)
        .with("data", properties.authentication_data.as_deref())
}
