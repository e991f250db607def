//! Generators of valid packets, each version's own.

use mqtt::{
    Ack, AckProperties, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Disconnect,
    DisconnectProperties, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, Qos,
    ReasonCode, RetainHandling, Secret, SubAck, Subscribe, SubscribeOptions, UnsubAck, Unsubscribe,
    UserProperties, Will, WillProperties,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;
use topic::{SubscriptionFilter, TopicName};

/// A valid packet; PUBLISH borrows, so that its parts are kept here.
#[derive(Clone, Debug)]
pub enum Sample {
    Owned(Packet<'static>),
    Message(Message),
}

#[derive(Clone, Debug)]
pub struct Message {
    dup: bool,
    retain: bool,
    qos: Qos,
    packet_id: PacketId,
    topic: String,
    properties: Vec<u8>,
    payload: Vec<u8>,
}

impl Sample {
    pub fn packet(&self) -> Packet<'_> {
        match self {
            Sample::Owned(packet) => packet.clone(),
            Sample::Message(message) => Packet::Publish(Publish {
                dup: message.dup && message.qos != Qos::AtMostOnce,
                qos: message.qos,
                retain: message.retain,
                topic: &message.topic,
                packet_id: (message.qos != Qos::AtMostOnce).then_some(message.packet_id),
                properties: PublishProperties::parse(&message.properties)
                    .expect("valid properties"),
                payload: &message.payload,
            }),
        }
    }
}

/// Any packet of this version.
pub fn packets(version: ProtocolVersion) -> BoxedStrategy<Sample> {
    let owned = match version {
        ProtocolVersion::V5 => prop_oneof![
            connect(version),
            connack_v5(),
            acks(true),
            subscribe(version),
            suback(version),
            unsubscribe(version),
            unsuback(version),
            Just(Packet::PingReq),
            Just(Packet::PingResp),
            disconnect_v5(),
            auth(),
        ]
        .boxed(),
        ProtocolVersion::V31 | ProtocolVersion::V311 => prop_oneof![
            connect(version),
            connack_v3(version),
            acks(false),
            subscribe(version),
            suback(version),
            unsubscribe(version),
            unsuback(version),
            Just(Packet::PingReq),
            Just(Packet::PingResp),
            Just(Packet::Disconnect(Disconnect::default())),
        ]
        .boxed(),
    };
    prop_oneof![3 => owned.prop_map(Sample::Owned), 1 => message(version)].boxed()
}

fn text() -> BoxedStrategy<String> {
    vec(any::<char>().prop_filter("U+0000", |&it| it != '\0'), 0..8)
        .prop_map(|characters| characters.into_iter().collect())
        .boxed()
}

fn topic_name() -> BoxedStrategy<String> {
    "[a-c/$é ]{1,9}".boxed()
}

fn filter() -> BoxedStrategy<SubscriptionFilter> {
    let levels = vec(select(vec!["a", "b", "+", "é", ""]), 1..4);
    (levels, any::<bool>(), any::<bool>())
        .prop_map(|(mut levels, with_hash, is_shared)| {
            if with_hash {
                levels.push("#");
            }
            let joined = levels.join("/");
            let joined = if joined.is_empty() { "x".to_owned() } else { joined };
            let joined = if is_shared { format!("$share/g/{joined}") } else { joined };
            SubscriptionFilter::parse(&joined).expect("a valid filter")
        })
        .boxed()
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..9), 1 => vec(any::<u8>(), 100..300)].boxed()
}

fn qos() -> BoxedStrategy<Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]).boxed()
}

fn packet_id() -> BoxedStrategy<PacketId> {
    (1..=u16::MAX).prop_map(|value| PacketId::new(value).expect("not 0")).boxed()
}

fn reason(values: &[u8]) -> BoxedStrategy<ReasonCode> {
    let codes = values.iter().map(|&it| ReasonCode::from_value(it).expect("a reason code"));
    select(codes.collect::<Vec<_>>()).boxed()
}

fn user_properties() -> BoxedStrategy<UserProperties> {
    vec((text(), text()), 0..3).boxed()
}

fn secret() -> BoxedStrategy<Secret> {
    bytes().prop_map(Secret::new).boxed()
}

fn ack_properties(is_v5: bool) -> BoxedStrategy<AckProperties> {
    if !is_v5 {
        return Just(AckProperties::default()).boxed();
    }
    (of(text()), user_properties())
        .prop_map(|(reason_string, user_properties)| AckProperties {
            reason_string,
            user_properties,
        })
        .boxed()
}

fn connect(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let properties =
        if version.is_v5() { connect_properties() } else { Just(Default::default()).boxed() };
    // 3.1.1 allows no password without a user name.
    let credentials = (of(text()), of(secret())).prop_map(move |(username, password)| {
        let password = password.filter(|_| version.is_v5() || username.is_some());
        (username, password)
    });
    (any::<(bool, u16)>(), text(), credentials, of(will(version)), properties)
        .prop_map(move |((clean_start, keep_alive_s), client_id, credentials, will, properties)| {
            let (username, password) = credentials;
            Packet::Connect(Box::new(Connect {
                version,
                clean_start,
                keep_alive_s,
                client_id,
                username,
                password,
                will,
                properties,
            }))
        })
        .boxed()
}

fn connect_properties() -> BoxedStrategy<ConnectProperties> {
    let numbers = (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()));
    let flags = (of(any::<bool>()), of(any::<bool>()));
    let method = of((text(), of(secret())));
    (numbers, flags, user_properties(), method)
        .prop_map(|(numbers, flags, user_properties, method)| ConnectProperties {
            session_expiry_interval_s: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: flags.0,
            request_problem_information: flags.1,
            user_properties,
            authentication_method: method.as_ref().map(|it| it.0.clone()),
            authentication_data: method.and_then(|it| it.1),
        })
        .boxed()
}

fn will(version: ProtocolVersion) -> BoxedStrategy<Will> {
    let properties = if version.is_v5() {
        (any::<u32>(), of(any::<u32>()), forwardable())
            .prop_map(|(delay_s, message_expiry_interval_s, forwardable)| WillProperties {
                delay_s,
                message_expiry_interval_s,
                forwardable,
            })
            .boxed()
    } else {
        Just(WillProperties::default()).boxed()
    };
    (topic_name(), bytes(), qos(), any::<bool>(), properties)
        .prop_map(|(topic, payload, qos, retain, properties)| Will {
            topic: TopicName::parse(&topic).expect("a topic name"),
            payload,
            qos,
            retain,
            properties,
        })
        .boxed()
}

/// Properties of a message that are handed on, in wire form.
fn forwardable() -> BoxedStrategy<Vec<u8>> {
    let once = (of(any::<bool>()), of(text()), of(topic_name()), of(bytes()));
    (once, user_properties())
        .prop_map(|((format, content_type, response_topic, correlation), pairs)| {
            let mut out = Vec::new();
            out.extend(format.map(|it| [1, u8::from(it)]).into_iter().flatten());
            for (name, value) in pairs {
                put_string(Some(0x26), name.as_bytes(), &mut out);
                put_string(None, value.as_bytes(), &mut out);
            }
            let strings = [
                (3, content_type.map(String::into_bytes)),
                (8, response_topic.map(String::into_bytes)),
                (9, correlation),
            ];
            for (id, bytes) in strings {
                if let Some(bytes) = bytes {
                    put_string(Some(id), &bytes, &mut out);
                }
            }
            out
        })
        .boxed()
}

fn put_string(id: Option<u8>, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(id);
    out.extend(u16::try_from(bytes.len()).expect("short").to_be_bytes());
    out.extend(bytes);
}

fn message(version: ProtocolVersion) -> BoxedStrategy<Sample> {
    let properties = if version.is_v5() {
        (forwardable(), of(1..=u16::MAX), of(any::<u32>()), vec(1..128_u8, 0..3))
            .prop_map(|(mut raw, alias, expiry, identifiers)| {
                raw.extend(
                    alias
                        .into_iter()
                        .flat_map(|it| [0x23, it.to_be_bytes()[0], it.to_be_bytes()[1]]),
                );
                raw.extend(
                    expiry.into_iter().flat_map(|it| [[2].as_slice(), &it.to_be_bytes()].concat()),
                );
                raw.extend(identifiers.into_iter().flat_map(|it| [0x0B, it]));
                raw
            })
            .boxed()
    } else {
        Just(Vec::new()).boxed()
    };
    (any::<(bool, bool)>(), qos(), packet_id(), topic_name(), properties, bytes())
        .prop_map(|((dup, retain), qos, packet_id, topic, properties, payload)| {
            Sample::Message(Message { dup, retain, qos, packet_id, topic, properties, payload })
        })
        .boxed()
}

fn connack_v3(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    (0..=5_u8, any::<bool>())
        .prop_map(move |(code, session_present)| {
            let reason = ReasonCode::from_v3_connect_return(code).expect("a return code");
            let session_present = session_present && code == 0 && version == ProtocolVersion::V311;
            Packet::ConnAck(Box::new(ConnAck { session_present, reason, ..Default::default() }))
        })
        .boxed()
}

fn connack_v5() -> BoxedStrategy<Packet<'static>> {
    let reasons = reason(&[0, 0x80, 0x81, 0x84, 0x86, 0x87, 0x8A, 0x90, 0x9F]);
    let numbers =
        (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()), of(any::<u16>()));
    let flags = (
        of(any::<bool>()),
        of(any::<bool>()),
        of(any::<bool>()),
        of(any::<bool>()),
        of(any::<bool>()),
    );
    let texts = (of(text()), of(text()), of(text()), of(text()), of(text()), of(secret()));
    (any::<bool>(), reasons, numbers, flags, texts, user_properties())
        .prop_map(|(session_present, reason, numbers, flags, texts, user_properties)| {
            let maximum_qos = flags.4.map(|it| if it { Qos::AtLeastOnce } else { Qos::AtMostOnce });
            let properties = ConnAckProperties {
                session_expiry_interval_s: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos,
                retain_available: flags.0,
                maximum_packet_size: numbers.2,
                assigned_client_identifier: texts.0,
                topic_alias_maximum: numbers.3,
                reason_string: texts.1,
                user_properties,
                wildcard_subscription_available: flags.1,
                subscription_identifiers_available: flags.2,
                shared_subscription_available: flags.3,
                server_keep_alive_s: numbers.4,
                response_information: texts.2,
                server_reference: texts.3,
                authentication_method: texts.4,
                authentication_data: texts.5,
            };
            let session_present = session_present && !reason.is_error();
            Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
        })
        .boxed()
}

fn acks(is_v5: bool) -> BoxedStrategy<Packet<'static>> {
    let make = move |reasons: &'static [u8], wrap: fn(Ack) -> Packet<'static>| {
        let reasons = if is_v5 { reason(reasons) } else { reason(&[0]) };
        (packet_id(), reasons, ack_properties(is_v5)).prop_map(
            move |(packet_id, reason, properties)| wrap(Ack { packet_id, reason, properties }),
        )
    };
    let first: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    prop_oneof![
        make(first, Packet::PubAck),
        make(first, Packet::PubRec),
        make(&[0, 0x92], Packet::PubRel),
        make(&[0, 0x92], Packet::PubComp),
    ]
    .boxed()
}

fn subscribe(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let is_v5 = version.is_v5();
    let handling = vec![RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never];
    let wish = (filter(), qos(), any::<(bool, bool)>(), select(handling)).prop_map(
        move |(filter, qos, (no_local, retain_as_published), retain_handling)| {
            let options = SubscribeOptions {
                qos,
                no_local: no_local && filter.share.is_none(),
                retain_as_published,
                retain_handling,
            };
            (filter.into(), if is_v5 { options } else { SubscribeOptions::qos(qos) })
        },
    );
    (packet_id(), of(1..=268_435_455_u32), vec(wish, 1..4), user_properties())
        .prop_map(move |(packet_id, identifier, filters, pairs)| {
            Packet::Subscribe(Subscribe {
                packet_id,
                subscription_identifier: identifier.filter(|_| is_v5),
                filters,
                user_properties: if is_v5 { pairs } else { Vec::new() },
            })
        })
        .boxed()
}

fn suback(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let codes: &[u8] = match version {
        ProtocolVersion::V5 => &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
        ProtocolVersion::V31 | ProtocolVersion::V311 => &[0, 1, 2, 0x80],
    };
    (packet_id(), vec(reason(codes), 1..5), ack_properties(version.is_v5()))
        .prop_map(|(packet_id, reasons, properties)| {
            Packet::SubAck(SubAck { packet_id, reasons, properties })
        })
        .boxed()
}

fn unsubscribe(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), vec(filter(), 1..4), user_properties())
        .prop_map(move |(packet_id, filters, pairs)| {
            let user_properties = if version.is_v5() { pairs } else { Vec::new() };
            let filters = filters.into_iter().map(Into::into).collect();
            Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties })
        })
        .boxed()
}

fn unsuback(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let codes = reason(&[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]);
    (packet_id(), vec(codes, 1..5), ack_properties(version.is_v5()))
        .prop_map(move |(packet_id, reasons, properties)| {
            let reasons = if version.is_v5() { reasons } else { Vec::new() };
            Packet::UnsubAck(UnsubAck { packet_id, reasons, properties })
        })
        .boxed()
}

fn disconnect_v5() -> BoxedStrategy<Packet<'static>> {
    let reasons = reason(&[0, 4, 0x80, 0x81, 0x82, 0x87, 0x8B, 0x8D, 0x8E, 0x93, 0x98, 0xA2]);
    (reasons, of(any::<u32>()), of(text()), user_properties(), of(text()))
        .prop_map(|(reason, session_expiry_interval_s, reason_string, pairs, server_reference)| {
            let properties = DisconnectProperties {
                session_expiry_interval_s,
                reason_string,
                user_properties: pairs,
                server_reference,
            };
            Packet::Disconnect(Disconnect { reason, properties })
        })
        .boxed()
}

fn auth() -> BoxedStrategy<Packet<'static>> {
    (reason(&[0, 0x18, 0x19]), text(), of(secret()), of(text()), user_properties())
        .prop_map(|(reason, method, authentication_data, reason_string, user_properties)| {
            Packet::Auth(Auth {
                reason,
                authentication_method: Some(method),
                authentication_data,
                reason_string,
                user_properties,
            })
        })
        .boxed()
}
