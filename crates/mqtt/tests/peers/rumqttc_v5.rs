//! The 5.0 half.

use super::super::{Fields, Pairs, Read};
use super::code;
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::{Error, v5};

pub(super) fn read(input: &[u8]) -> Result<Option<Read>, String> {
    let packet = match v5::Packet::read(&mut BytesMut::from(input), None) {
        Ok(packet) => packet,
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut target = BytesMut::new();
    let written = packet.write(&mut target, None);
    let written = match &packet {
        v5::Packet::Disconnect(it) if it.properties.is_none() => {
            Err("writes a length that is one too small".to_owned())
        }
        _ => written.map(|_| target.to_vec()).map_err(|it| it.to_string()),
    };
    Ok(Some(Read { fields: fields(&packet), written }))
}

fn data(it: &Option<Bytes>) -> Option<Vec<u8>> {
    it.as_ref().map(|it| it.to_vec())
}

fn utf8(it: &Bytes) -> String {
    String::from_utf8_lossy(it).into_owned()
}

/// The reason string and user properties of an answer; each packet has a type of its own for them.
macro_rules! answer {
    ($fields:expr, $it:expr) => {{
        let properties = $it.properties.as_ref();
        $fields
            .with("id", $it.pkid)
            .with("reason", properties.and_then(|it| it.reason_string.as_ref()))
            .with("user", properties.map(|it| it.user_properties.clone()).unwrap_or_default())
    }};
}

fn fields(packet: &v5::Packet) -> Fields {
    use v5::Packet as P;
    let named = |it: &dyn std::fmt::Debug| code(&format!("{it:?}"));
    match packet {
        P::Connect(it, will, login) => connect(it, will.as_ref(), login.as_ref()),
        P::ConnAck(it) => connack(it),
        P::Publish(it) => publish(it),
        P::PubAck(it) => answer!(Fields::new("puback"), it).with("code", named(&it.reason)),
        P::PubRec(it) => answer!(Fields::new("pubrec"), it).with("code", named(&it.reason)),
        P::PubRel(it) => answer!(Fields::new("pubrel"), it).with("code", named(&it.reason)),
        P::PubComp(it) => answer!(Fields::new("pubcomp"), it).with("code", named(&it.reason)),
        P::Subscribe(it) => subscribe(it),
        P::SubAck(it) => {
            let reasons: Vec<u8> = it.return_codes.iter().map(|it| named(it)).collect();
            answer!(Fields::new("suback"), it).with("reasons", reasons)
        }
        P::Unsubscribe(it) => {
            let user = it.properties.as_ref().map(|it| it.user_properties.clone());
            Fields::new("unsubscribe")
                .with("id", it.pkid)
                .with("filters", &it.filters)
                .with("user", user.unwrap_or_default())
        }
        P::UnsubAck(it) => {
            let reasons: Vec<u8> = it.reasons.iter().map(|it| named(it)).collect();
            answer!(Fields::new("unsuback"), it).with("reasons", reasons)
        }
        P::PingReq(_) => Fields::new("pingreq"),
        P::PingResp(_) => Fields::new("pingresp"),
        P::Disconnect(it) => {
            let properties = it.properties.as_ref();
            Fields::new("disconnect")
                .with("code", it.reason_code as u8)
                .with("expiry", properties.and_then(|it| it.session_expiry_interval))
                .with("reason", properties.and_then(|it| it.reason_string.as_ref()))
                .with("user", properties.map(|it| it.user_properties.clone()).unwrap_or_default())
                .with("reference", properties.and_then(|it| it.server_reference.as_ref()))
        }
        P::Auth(_) => Fields::new("auth"),
    }
}

fn subscribe(it: &v5::Subscribe) -> Fields {
    let filters: Vec<(String, u8, (bool, bool), u8)> = it
        .filters
        .iter()
        .map(|filter| {
            let handling = match filter.retain_forward_rule {
                v5::RetainForwardRule::OnEverySubscribe => 0,
                v5::RetainForwardRule::OnNewSubscribe => 1,
                v5::RetainForwardRule::Never => 2,
            };
            let flags = (filter.nolocal, filter.preserve_retain);
            (filter.path.clone(), filter.qos as u8, flags, handling)
        })
        .collect();
    let properties = it.properties.as_ref();
    let user: Pairs = properties.map(|it| it.user_properties.clone()).unwrap_or_default();
    Fields::new("subscribe")
        .with("id", it.pkid)
        .with("identifier", properties.and_then(|it| it.id))
        .with("filters", filters)
        .with("user", user)
}

fn publish(it: &v5::Publish) -> Fields {
    let properties = it.properties.clone().unwrap_or_default();
    Fields::new("publish")
        .with("dup", it.dup)
        .with("qos", it.qos as u8)
        .with("retain", it.retain)
        .with("topic", utf8(&it.topic))
        .with("id", it.pkid)
        .with("payload", it.payload.to_vec())
        .with("alias", properties.topic_alias)
        .with("expiry", properties.message_expiry_interval)
        .with("identifiers", &properties.subscription_identifiers)
        .with("format", properties.payload_format_indicator == Some(1))
        .with("content", &properties.content_type)
        .with("response", &properties.response_topic)
        .with("correlation", data(&properties.correlation_data))
        .with("message user", &properties.user_properties)
}

fn connect(it: &v5::Connect, will: Option<&v5::LastWill>, login: Option<&v5::Login>) -> Fields {
    let properties = it.properties.as_ref();
    let user: Pairs = properties.map(|it| it.user_properties.clone()).unwrap_or_default();
    let flag = |value: Option<u8>, default: u8| value.unwrap_or(default) == 1;
    let fields = Fields::new("connect")
        .with("clean", it.clean_start)
        .with("keep alive", it.keep_alive)
        .with("client", &it.client_id)
        .with("username", login.map(|it| &it.username))
        .with("password", login.map(|it| it.password.as_bytes()))
        .with("expiry", properties.and_then(|it| it.session_expiry_interval).unwrap_or(0))
        .with("receive maximum", properties.and_then(|it| it.receive_maximum))
        .with("packet maximum", properties.and_then(|it| it.max_packet_size))
        .with("alias maximum", properties.and_then(|it| it.topic_alias_max).unwrap_or(0))
        .with("response information", flag(properties.and_then(|it| it.request_response_info), 0))
        .with("problem information", flag(properties.and_then(|it| it.request_problem_info), 1))
        .with("user", user)
        .with("method", properties.and_then(|it| it.authentication_method.as_ref()))
        .with("data", properties.and_then(|it| data(&it.authentication_data)));
    let Some(will) = will else { return fields };
    let properties = will.properties.as_ref();
    let user: Pairs = properties.map(|it| it.user_properties.clone()).unwrap_or_default();
    fields
        .with("will topic", utf8(&will.topic))
        .with("will payload", will.message.to_vec())
        .with("will qos", will.qos as u8)
        .with("will retain", will.retain)
        .with("will delay", properties.and_then(|it| it.delay_interval).unwrap_or(0))
        .with("will expiry", properties.and_then(|it| it.message_expiry_interval))
        .with("format", flag(properties.and_then(|it| it.payload_format_indicator), 0))
        .with("content", properties.and_then(|it| it.content_type.as_ref()))
        .with("response", properties.and_then(|it| it.response_topic.as_ref()))
        .with("correlation", properties.and_then(|it| data(&it.correlation_data)))
        .with("message user", user)
}

fn connack(it: &v5::ConnAck) -> Fields {
    let properties = it.properties.as_ref();
    let user: Pairs = properties.map(|it| it.user_properties.clone()).unwrap_or_default();
    let flag = |pick: fn(&v5::ConnAckProperties) -> Option<u8>| {
        properties.and_then(pick).unwrap_or(1) == 1
    };
    Fields::new("connack")
        .with("session", it.session_present)
        .with("code", code(&format!("{:?}", it.code)))
        .with("expiry", properties.and_then(|it| it.session_expiry_interval))
        .with("receive maximum", properties.and_then(|it| it.receive_max).unwrap_or(u16::MAX))
        .with("qos", properties.and_then(|it| it.max_qos).unwrap_or(2))
        .with("retain", flag(|it| it.retain_available))
        .with("packet maximum", properties.and_then(|it| it.max_packet_size))
        .with("client", properties.and_then(|it| it.assigned_client_identifier.as_ref()))
        .with("alias maximum", properties.and_then(|it| it.topic_alias_max).unwrap_or(0))
        .with("reason", properties.and_then(|it| it.reason_string.as_ref()))
        .with("user", user)
        .with("wildcards", flag(|it| it.wildcard_subscription_available))
        .with("identifiers", flag(|it| it.subscription_identifiers_available))
        .with("shared", flag(|it| it.shared_subscription_available))
        .with("keep alive", properties.and_then(|it| it.server_keep_alive))
        .with("response", properties.and_then(|it| it.response_information.as_ref()))
        .with("reference", properties.and_then(|it| it.server_reference.as_ref()))
        .with("method", properties.and_then(|it| it.authentication_method.as_ref()))
        .with("data", properties.and_then(|it| data(&it.authentication_data)))
}
