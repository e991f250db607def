//! SUBSCRIBE and SUBACK.

use super::ack::{NOT_ALLOWED, properties};
use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::{
    AckProperties, RequestedFilter, RetainHandling, SubAck, Subscribe, SubscribeOptions,
};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::topic_error::requested;
use crate::{ProtocolError, ProtocolVersion, Qos, ReasonCode};

pub(super) fn decode(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Subscribe, ProtocolError> {
    let packet_id = body.packet_id()?;
    let mut subscribe = Subscribe {
        packet_id,
        subscription_identifier: None,
        filters: Vec::new(),
        user_properties: Vec::new(),
    };
    if version.is_v5() {
        keep_properties(body, &mut subscribe)?;
    }
    while !body.is_empty() {
        let text = body.text()?;
        let filter = requested(text)?;
        let options = options(body.byte()?, version)?;
        let is_shared =
            matches!(&filter, RequestedFilter::Accepted(filter) if filter.share.is_some());
        // [MQTT-3.8.3-4]
        if options.no_local && is_shared {
            return Err(ProtocolError::protocol("no local on a shared subscription"));
        }
        subscribe.filters.push((filter, options));
    }
    // [MQTT-3.8.3-2]
    if subscribe.filters.is_empty() {
        return Err(ProtocolError::protocol("no topic filter"));
    }
    Ok(subscribe)
}

fn keep_properties(body: &mut Reader<'_>, subscribe: &mut Subscribe) -> Result<(), ProtocolError> {
    let mut properties = Properties::read(body, Place::Subscribe)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SubscriptionIdentifier(id) => subscribe.subscription_identifier = Some(id),
            Property::User(name, value) => {
                subscribe.user_properties.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(NOT_ALLOWED),
        }
    }
    Ok(())
}

fn options(byte: u8, version: ProtocolVersion) -> Result<SubscribeOptions, ProtocolError> {
    if !version.is_v5() {
        // [MQTT-3.8.3-4] of 3.1.1: all but 0, 1 and 2 is malformed.
        let qos = Qos::from_bits(byte);
        return qos
            .map(SubscribeOptions::qos)
            .ok_or(ProtocolError::malformed("requested QoS is not 0, 1 or 2"));
    }
    // [MQTT-3.8.3-5]
    if byte & 0b1100_0000 != 0 {
        return Err(ProtocolError::malformed("reserved subscription options are set"));
    }
    let retain_handling = match (byte >> 4) & 0b11 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return Err(ProtocolError::protocol("retain handling is 3")),
    };
    Ok(SubscribeOptions {
        qos: Qos::from_bits(byte & 0b11).ok_or(ProtocolError::protocol("maximum QoS is 3"))?,
        no_local: byte & 0b0100 != 0,
        retain_as_published: byte & 0b1000 != 0,
        retain_handling,
    })
}

pub(super) fn decode_ack(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<SubAck, ProtocolError> {
    let packet_id = body.packet_id()?;
    let properties = match version {
        ProtocolVersion::V5 => properties(body)?,
        ProtocolVersion::V31 | ProtocolVersion::V311 => AckProperties::default(),
    };
    let mut reasons = Vec::new();
    while !body.is_empty() {
        reasons.push(suback_reason(body.byte()?, version)?);
    }
    if reasons.is_empty() {
        return Err(ProtocolError::protocol("no reason code"));
    }
    Ok(SubAck { packet_id, reasons, properties })
}

fn suback_reason(value: u8, version: ProtocolVersion) -> Result<ReasonCode, ProtocolError> {
    let reason = reason(Kind::SubAck, value)?;
    // [MQTT-3.9.3-2] of 3.1.1: 0, 1, 2 and 0x80.
    if !version.is_v5() && reason > ReasonCode::UnspecifiedError {
        return Err(ProtocolError::malformed("return code is reserved"));
    }
    Ok(reason)
}
