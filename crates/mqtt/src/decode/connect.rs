//! CONNECT: finds out the version, then holds the packet to it.

use super::ack::NOT_ALLOWED;
use crate::packet::{Connect, ConnectProperties, Will, WillProperties};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::topic_error::of_name;
use crate::{DecodeError, ProtocolError, ProtocolVersion, Qos, ReasonCode, Secret};
use topic::TopicName;

pub(super) fn decode(mut body: Reader<'_>) -> Result<Connect, DecodeError> {
    let version = version(&mut body)?;
    content(&mut body, version).map_err(|error| DecodeError {
        // 3.1.1 section 3.1.4: a client that breaks the rules is closed on without a CONNACK.
        connack_version: version.is_v5().then_some(version),
        ..error.into()
    })
}

fn version(body: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    let name = body.text()?;
    let level = body.byte()?;
    match (name, level) {
        ("MQTT", 5) => Ok(ProtocolVersion::V5),
        ("MQTT", 4) => Ok(ProtocolVersion::V311),
        ("MQIsdp", 3) => Ok(ProtocolVersion::V31),
        // [MQTT-3.1.2-1] Another name: the peer hardly speaks MQTT, so it is answered as the oldest
        // would be. [MQTT-3.1.2-2] Another level: 3.1.1 demands its return code 1, where 5.0 leaves the
        // answer to the server.
        ("MQTT" | "MQIsdp", _) => {
            Err(unacceptable(ProtocolVersion::V311, "protocol level is unknown"))
        }
        _ => Err(unacceptable(ProtocolVersion::V311, "protocol name is unknown")),
    }
}

fn unacceptable(version: ProtocolVersion, detail: &'static str) -> DecodeError {
    let error = ProtocolError::new(ReasonCode::UnsupportedProtocolVersion, detail);
    DecodeError { connack_version: Some(version), ..error.into() }
}

fn content(body: &mut Reader<'_>, version: ProtocolVersion) -> Result<Connect, ProtocolError> {
    let flags = Flags::read(body.byte()?, version)?;
    let keep_alive_s = body.two_bytes()?;
    let properties = match version {
        ProtocolVersion::V5 => properties(body)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => ConnectProperties::default(),
    };
    let client_id = body.text()?.to_owned();
    let will = flags.will.map(|flags| will(flags, body, version)).transpose()?;
    let username = match credential(flags.has_username, body, version) {
        true => Some(body.text()?.to_owned()),
        false => None,
    };
    let password = match credential(flags.has_password, body, version) {
        true => Some(Secret::new(body.binary()?.to_vec())),
        false => None,
    };
    body.finish()?;
    let clean_start = flags.clean_start;
    Ok(Connect {
        version,
        clean_start,
        keep_alive_s,
        client_id,
        username,
        password,
        will,
        properties,
    })
}

/// Whether user name or password follows. 3.1 section 3.1: if the flag says so and the packet ends
/// here, it is absent, and the packet valid.
fn credential(is_flagged: bool, body: &Reader<'_>, version: ProtocolVersion) -> bool {
    is_flagged && !(version == ProtocolVersion::V31 && body.is_empty())
}

struct Flags {
    clean_start: bool,
    will: Option<WillFlags>,
    has_username: bool,
    has_password: bool,
}

#[derive(Clone, Copy)]
struct WillFlags {
    qos: Qos,
    retain: bool,
}

impl Flags {
    fn read(byte: u8, version: ProtocolVersion) -> Result<Flags, ProtocolError> {
        // [MQTT-3.1.2-3]
        if byte & 0b0000_0001 != 0 {
            return Err(ProtocolError::malformed("reserved connect flag is set"));
        }
        // [MQTT-3.1.2-12]
        let qos =
            Qos::from_bits((byte >> 3) & 0b11).ok_or(ProtocolError::malformed("will QoS is 3"))?;
        let retain = byte & 0b0010_0000 != 0;
        let has_will = byte & 0b0000_0100 != 0;
        // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
        if !has_will && (retain || qos != Qos::AtMostOnce) {
            return Err(ProtocolError::malformed("will QoS or will retain without a will"));
        }
        let has_username = byte & 0b1000_0000 != 0;
        let has_password = byte & 0b0100_0000 != 0;
        // [MQTT-3.1.2-22] of 3.1.1; 5.0 allows it.
        if has_password && !has_username && !version.is_v5() {
            return Err(ProtocolError::malformed("password without user name"));
        }
        Ok(Flags {
            clean_start: byte & 0b0000_0010 != 0,
            will: has_will.then_some(WillFlags { qos, retain }),
            has_username,
            has_password,
        })
    }
}

fn will(
    flags: WillFlags,
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Will, ProtocolError> {
    let properties = match version {
        ProtocolVersion::V5 => will_properties(body)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => WillProperties::default(),
    };
    let topic = TopicName::parse(body.text()?).map_err(|error| of_name(&error))?;
    let payload = body.binary()?.to_vec();
    Ok(Will { topic, payload, qos: flags.qos, retain: flags.retain, properties })
}

fn will_properties(body: &mut Reader<'_>) -> Result<WillProperties, ProtocolError> {
    let mut result = WillProperties::default();
    let mut properties = Properties::read(body, Place::Will)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::WillDelayInterval(seconds) => result.delay_s = seconds,
            Property::MessageExpiryInterval(seconds) => {
                result.message_expiry_interval_s = Some(seconds);
            }
            // Format, content type, response topic, correlation data, user properties.
            _ => property.put(&mut result.forwardable),
        }
    }
    Ok(result)
}

fn properties(body: &mut Reader<'_>) -> Result<ConnectProperties, ProtocolError> {
    let mut result = ConnectProperties::default();
    let mut properties = Properties::read(body, Place::Connect)?;
    while let Some(property) = properties.next()? {
        keep(property, &mut result)?;
    }
    // 3.1.2.11.10
    if result.authentication_data.is_some() && result.authentication_method.is_none() {
        return Err(ProtocolError::protocol("authentication data without a method"));
    }
    Ok(result)
}

fn keep(property: Property<'_>, result: &mut ConnectProperties) -> Result<(), ProtocolError> {
    match property {
        Property::SessionExpiryInterval(s) => result.session_expiry_interval_s = Some(s),
        Property::ReceiveMaximum(count) => result.receive_maximum = Some(count),
        Property::MaximumPacketSize(bytes) => result.maximum_packet_size = Some(bytes),
        Property::TopicAliasMaximum(count) => result.topic_alias_maximum = Some(count),
        Property::RequestResponseInformation(value) => {
            result.request_response_information = Some(value);
        }
        Property::RequestProblemInformation(value) => {
            result.request_problem_information = Some(value);
        }
        Property::User(name, value) => {
            result.user_properties.push((name.to_owned(), value.to_owned()));
        }
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
