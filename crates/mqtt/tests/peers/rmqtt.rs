//! `rmqtt-codec`: MQTT 3.1, 3.1.1 and 5.0.

use super::{Fields, Pairs, Read};
use bytes::{Bytes, BytesMut};
use mqtt::{Packet, ProtocolVersion};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::{PublishProperties, UserProperties};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

pub fn read(input: &[u8], version: ProtocolVersion) -> Result<Option<Read>, String> {
    let mut source = BytesMut::from(input);
    let mut target = BytesMut::new();
    let (fields, written) = if version.is_v5() {
        let decoded = v5::Codec::default().decode(&mut source).map_err(|it| it.to_string())?;
        let Some((packet, _)) = decoded else { return Ok(None) };
        (of_v5(&packet), v5::Codec::default().encode(packet, &mut target))
    } else {
        let decoded = v3::Codec::default().decode(&mut source).map_err(|it| it.to_string())?;
        let Some((packet, _)) = decoded else { return Ok(None) };
        (of_v3(&packet), v3::Codec::default().encode(packet, &mut target))
    };
    let written = written.map(|()| target.to_vec()).map_err(|it| it.to_string());
    Ok(Some(Read { fields, written }))
}

/// Valid packets that this peer refuses or cannot say.
pub fn unable(packet: &Packet<'_>) -> Option<&'static str> {
    match packet {
        Packet::Publish(it) if it.properties.message_expiry_interval_s() == Some(0) => {
            Some("refuses a message expiry of 0")
        }
        Packet::Connect(it) if it.client_id.is_empty() && !it.clean_start => {
            Some("refuses an empty client id with a kept session, in 5.0 too")
        }
        Packet::Connect(it) => {
            let expiry = it.will.as_ref().and_then(|it| it.properties.message_expiry_interval_s);
            (expiry == Some(0)).then_some("refuses a message expiry of 0")
        }
        _ => None,
    }
}

fn text(it: &Option<bytestring::ByteString>) -> Option<&str> {
    it.as_ref().map(|it| &**it)
}

fn data(it: &Option<Bytes>) -> Option<Vec<u8>> {
    it.as_ref().map(|it| it.to_vec())
}

fn pairs(it: &UserProperties) -> Pairs {
    it.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn simple_ack(kind: &str, id: std::num::NonZeroU16) -> Fields {
    ack(kind, id, 0, None, Pairs::new())
}

fn ack(
    kind: &str,
    id: std::num::NonZeroU16,
    code: u8,
    reason: Option<&str>,
    user: Pairs,
) -> Fields {
    Fields::new(kind)
        .with("id", id.get())
        .with("code", code)
        .with("reason", reason)
        .with("user", user)
}

fn several(
    kind: &str,
    id: std::num::NonZeroU16,
    codes: Vec<u8>,
    reason: Option<&str>,
    user: Pairs,
) -> Fields {
    Fields::new(kind)
        .with("id", id.get())
        .with("reasons", codes)
        .with("reason", reason)
        .with("user", user)
}

fn of_v3(packet: &v3::Packet) -> Fields {
    use v3::Packet as P;
    match packet {
        P::Connect(it) => of_connect_v3(it),
        P::ConnectAck(it) => connack_v3(it.session_present, it.return_code.into()),
        P::Publish(it) => publish(it),
        P::PublishAck { packet_id } => simple_ack("puback", *packet_id),
        P::PublishReceived { packet_id } => simple_ack("pubrec", *packet_id),
        P::PublishRelease { packet_id } => simple_ack("pubrel", *packet_id),
        P::PublishComplete { packet_id } => simple_ack("pubcomp", *packet_id),
        P::Subscribe { packet_id, topic_filters } => {
            let filters: Vec<(String, u8, (bool, bool), u8)> = topic_filters
                .iter()
                .map(|(filter, qos)| (filter.to_string(), qos.value(), (false, false), 0))
                .collect();
            subscribe(*packet_id, None, filters, Pairs::new())
        }
        P::SubscribeAck { packet_id, status } => {
            let codes = status.iter().map(|it| match it {
                v3::SubscribeReturnCode::Success(qos) => qos.value(),
                v3::SubscribeReturnCode::Failure => 0x80,
            });
            several("suback", *packet_id, codes.collect(), None, Pairs::new())
        }
        P::Unsubscribe { packet_id, topic_filters } => {
            unsubscribe(*packet_id, topic_filters, Pairs::new())
        }
        P::UnsubscribeAck { packet_id } => {
            several("unsuback", *packet_id, Vec::new(), None, Pairs::new())
        }
        P::PingRequest => Fields::new("pingreq"),
        P::PingResponse => Fields::new("pingresp"),
        P::Disconnect => disconnect(0, None, None, Pairs::new(), None),
    }
}

fn of_v5(packet: &v5::Packet) -> Fields {
    use v5::Packet as P;
    match packet {
        P::Connect(it) => of_connect_v5(it),
        P::ConnectAck(it) => connack_v5(it),
        P::Publish(it) => publish(it),
        P::PublishAck(it) => of_ack("puback", it),
        P::PublishReceived(it) => of_ack("pubrec", it),
        P::PublishRelease(it) => of_ack_2("pubrel", it),
        P::PublishComplete(it) => of_ack_2("pubcomp", it),
        P::Subscribe(it) => {
            let filters: Vec<(String, u8, (bool, bool), u8)> = it
                .topic_filters
                .iter()
                .map(|(filter, options)| {
                    let flags = (options.no_local, options.retain_as_published);
                    (filter.to_string(), options.qos.value(), flags, options.retain_handling as u8)
                })
                .collect();
            subscribe(it.packet_id, it.id.map(|id| id.get()), filters, pairs(&it.user_properties))
        }
        P::SubscribeAck(it) => {
            let codes = it.status.iter().map(|it| *it as u8).collect();
            several("suback", it.packet_id, codes, text(&it.reason_string), pairs(&it.properties))
        }
        P::Unsubscribe(it) => {
            unsubscribe(it.packet_id, &it.topic_filters, pairs(&it.user_properties))
        }
        P::UnsubscribeAck(it) => {
            let codes = it.status.iter().map(|it| *it as u8).collect();
            several("unsuback", it.packet_id, codes, text(&it.reason_string), pairs(&it.properties))
        }
        P::PingRequest => Fields::new("pingreq"),
        P::PingResponse => Fields::new("pingresp"),
        P::Disconnect(it) => disconnect(
            it.reason_code as u8,
            it.session_expiry_interval_secs,
            text(&it.reason_string),
            pairs(&it.user_properties),
            text(&it.server_reference),
        ),
        P::Auth(it) => Fields::new("auth")
            .with("code", it.reason_code as u8)
            .with("method", text(&it.auth_method))
            .with("data", data(&it.auth_data))
            .with("reason", text(&it.reason_string))
            .with("user", pairs(&it.user_properties)),
    }
}

fn of_ack(kind: &str, it: &v5::PublishAck) -> Fields {
    ack(kind, it.packet_id, it.reason_code as u8, text(&it.reason_string), pairs(&it.properties))
}

fn of_ack_2(kind: &str, it: &v5::PublishAck2) -> Fields {
    ack(kind, it.packet_id, it.reason_code as u8, text(&it.reason_string), pairs(&it.properties))
}

fn subscribe(
    id: std::num::NonZeroU16,
    identifier: Option<u32>,
    filters: Vec<(String, u8, (bool, bool), u8)>,
    user: Pairs,
) -> Fields {
    Fields::new("subscribe")
        .with("id", id.get())
        .with("identifier", identifier)
        .with("filters", filters)
        .with("user", user)
}

fn unsubscribe(
    id: std::num::NonZeroU16,
    filters: &[bytestring::ByteString],
    user: Pairs,
) -> Fields {
    let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
    Fields::new("unsubscribe").with("id", id.get()).with("filters", filters).with("user", user)
}

fn disconnect(
    code: u8,
    expiry: Option<u32>,
    reason: Option<&str>,
    user: Pairs,
    reference: Option<&str>,
) -> Fields {
    Fields::new("disconnect")
        .with("code", code)
        .with("expiry", expiry)
        .with("reason", reason)
        .with("user", user)
        .with("reference", reference)
}

fn publish(it: &rmqtt_codec::types::Publish) -> Fields {
    let empty = PublishProperties::default();
    let properties = it.properties.as_ref().unwrap_or(&empty);
    let identifiers: Vec<u32> = properties.subscription_ids.iter().map(|id| id.get()).collect();
    Fields::new("publish")
        .with("dup", it.dup)
        .with("qos", it.qos.value())
        .with("retain", it.retain)
        .with("topic", &*it.topic)
        .with("id", it.packet_id.map_or(0, |id| id.get()))
        .with("payload", it.payload.to_vec())
        .with("alias", properties.topic_alias.map(|it| it.get()))
        .with("expiry", properties.message_expiry_interval.map(|it| it.get()))
        .with("identifiers", identifiers)
        .with("format", properties.is_utf8_payload)
        .with("content", text(&properties.content_type))
        .with("response", text(&properties.response_topic))
        .with("correlation", data(&properties.correlation_data))
        .with("message user", pairs(&properties.user_properties))
}

fn of_connect_v3(it: &v3::Connect) -> Fields {
    let fields = Fields::new("connect")
        .with("clean", it.clean_session)
        .with("keep alive", it.keep_alive)
        .with("client", &*it.client_id)
        .with("username", text(&it.username))
        .with("password", data(&it.password))
        .with("expiry", 0)
        .with("receive maximum", None::<u16>)
        .with("packet maximum", None::<u32>)
        .with("alias maximum", 0)
        .with("response information", false)
        .with("problem information", true)
        .with("user", Pairs::new())
        .with("method", None::<&str>)
        .with("data", None::<&[u8]>);
    let Some(will) = &it.last_will else { return fields };
    will_of(fields, &will.topic, &will.message, will.qos, will.retain)
        .with("will delay", 0)
        .with("will expiry", None::<u32>)
        .with("format", false)
        .with("content", None::<&str>)
        .with("response", None::<&str>)
        .with("correlation", None::<&[u8]>)
        .with("message user", Pairs::new())
}

fn will_of(fields: Fields, topic: &str, payload: &Bytes, qos: QoS, retain: bool) -> Fields {
    fields
        .with("will topic", topic)
        .with("will payload", payload.to_vec())
        .with("will qos", qos.value())
        .with("will retain", retain)
}

fn of_connect_v5(it: &v5::Connect) -> Fields {
    let fields = Fields::new("connect")
        .with("clean", it.clean_start)
        .with("keep alive", it.keep_alive)
        .with("client", &*it.client_id)
        .with("username", text(&it.username))
        .with("password", data(&it.password))
        .with("expiry", it.session_expiry_interval_secs)
        .with("receive maximum", it.receive_max.map(|it| it.get()))
        .with("packet maximum", it.max_packet_size.map(|it| it.get()))
        .with("alias maximum", it.topic_alias_max)
        .with("response information", it.request_response_info)
        .with("problem information", it.request_problem_info)
        .with("user", pairs(&it.user_properties))
        .with("method", text(&it.auth_method))
        .with("data", data(&it.auth_data));
    let Some(will) = &it.last_will else { return fields };
    will_of(fields, &will.topic, &will.message, will.qos, will.retain)
        .with("will delay", will.will_delay_interval_sec.unwrap_or(0))
        .with("will expiry", will.message_expiry_interval.map(|it| it.get()))
        .with("format", will.is_utf8_payload == Some(true))
        .with("content", text(&will.content_type))
        .with("response", text(&will.response_topic))
        .with("correlation", data(&will.correlation_data))
        .with("message user", pairs(&will.user_properties))
}

fn connack_v3(session_present: bool, code: u8) -> Fields {
    connack_v5(&v5::ConnectAck { session_present, ..Default::default() }).with("code", code)
}

fn connack_v5(it: &v5::ConnectAck) -> Fields {
    Fields::new("connack")
        .with("session", it.session_present)
        .with("code", it.reason_code as u8)
        .with("expiry", it.session_expiry_interval_secs)
        .with("receive maximum", it.receive_max.get())
        .with("qos", it.max_qos.value())
        .with("retain", it.retain_available)
        .with("packet maximum", it.max_packet_size)
        .with("client", text(&it.assigned_client_id))
        .with("alias maximum", it.topic_alias_max)
        .with("reason", text(&it.reason_string))
        .with("user", pairs(&it.user_properties))
        .with("wildcards", it.wildcard_subscription_available)
        .with("identifiers", it.subscription_identifiers_available)
        .with("shared", it.shared_subscription_available)
        .with("keep alive", it.server_keepalive_sec)
        .with("response", text(&it.response_info))
        .with("reference", text(&it.server_reference))
        .with("method", text(&it.auth_method))
        .with("data", data(&it.auth_data))
}
