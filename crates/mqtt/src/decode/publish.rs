//! PUBLISH: the hot path; borrows all, allocates nothing.

use crate::packet::Publish;
use crate::reader::Reader;
use crate::topic_error::of_name;
use crate::{ProtocolError, ProtocolVersion, PublishProperties, Qos};
use topic::{TopicError, TopicName};

pub(super) fn decode<'a>(
    flags: u8,
    mut body: Reader<'a>,
    version: ProtocolVersion,
    known: Option<&'a TopicName>,
) -> Result<Publish<'a>, ProtocolError> {
    // [MQTT-3.3.1-4]
    let qos = Qos::from_bits((flags >> 1) & 0b11).ok_or(QOS_3)?;
    let dup = flags & 0b1000 != 0;
    // [MQTT-3.3.1-2]
    if dup && qos == Qos::AtMostOnce {
        return Err(ProtocolError::malformed("DUP is set with QoS 0"));
    }
    let (topic, is_known) = topic(&mut body, known)?;
    // [MQTT-2.2.1-2] QoS 0 has no identifier.
    let packet_id = if qos == Qos::AtMostOnce { None } else { Some(body.packet_id()?) };
    let properties = match version {
        ProtocolVersion::V5 => PublishProperties::read(&mut body)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => PublishProperties::default(),
    };
    if is_known {
        // It was valid when it was first seen.
    } else if !topic.is_empty() {
        match TopicName::validate(topic) {
            // Well-formed: what to say to it depends on the QoS, and is for the receiver of the message.
            Ok(()) | Err(TopicError::TooManyLevels) => {}
            Err(error) => return Err(of_name(&error)),
        }
    } else if !version.is_v5() {
        return Err(ProtocolError::malformed("topic is empty"));
    } else if properties.topic_alias().is_none() {
        return Err(ProtocolError::protocol("topic is empty and there is no topic alias"));
    }
    let retain = flags & 0b0001 != 0;
    Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: body.remainder() })
}

/// The topic, and whether it is the known one: a sender repeats itself, and comparing costs less
/// than looking at every character again.
fn topic<'a>(
    body: &mut Reader<'a>,
    known: Option<&'a TopicName>,
) -> Result<(&'a str, bool), ProtocolError> {
    if let Some(known) = known.map(TopicName::as_str)
        && body.skip_binary(known.as_bytes())
    {
        return Ok((known, true));
    }
    Ok((body.topic_text()?, false))
}

const QOS_3: ProtocolError = ProtocolError::malformed("QoS is 3");
