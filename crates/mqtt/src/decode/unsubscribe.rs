//! UNSUBSCRIBE and UNSUBACK.

use super::ack::{NOT_ALLOWED, properties};
use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::{AckProperties, UnsubAck, Unsubscribe};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::topic_error::requested;
use crate::{ProtocolError, ProtocolVersion};

pub(super) fn decode(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Unsubscribe, ProtocolError> {
    let packet_id = body.packet_id()?;
    let mut user_properties = Vec::new();
    if version.is_v5() {
        let mut properties = Properties::read(body, Place::Unsubscribe)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::User(name, value) => {
                    user_properties.push((name.to_owned(), value.to_owned()));
                }
                _ => return Err(NOT_ALLOWED),
            }
        }
    }
    let mut filters = Vec::new();
    while !body.is_empty() {
        filters.push(requested(body.text()?)?);
    }
    // [MQTT-3.10.3-2]
    if filters.is_empty() {
        return Err(ProtocolError::protocol("no topic filter"));
    }
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

pub(super) fn decode_ack(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<UnsubAck, ProtocolError> {
    let packet_id = body.packet_id()?;
    let mut reasons = Vec::new();
    let mut ack_properties = AckProperties::default();
    if version.is_v5() {
        ack_properties = properties(body)?;
        while !body.is_empty() {
            reasons.push(reason(Kind::UnsubAck, body.byte()?)?);
        }
        if reasons.is_empty() {
            return Err(ProtocolError::protocol("no reason code"));
        }
    }
    Ok(UnsubAck { packet_id, reasons, properties: ack_properties })
}
