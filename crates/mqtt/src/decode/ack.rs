//! PUBACK, PUBREC, PUBREL, PUBCOMP, and the properties all answers share.

use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::{Ack, AckProperties};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::{ProtocolError, ProtocolVersion, ReasonCode};

pub(super) fn decode(
    kind: Kind,
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Ack, ProtocolError> {
    let mut ack = Ack::new(body.packet_id()?, ReasonCode::Success);
    if !version.is_v5() {
        return Ok(ack);
    }
    // 3.4.2.1: reason code and properties may be left out, the properties alone too.
    if !body.is_empty() {
        ack.reason = reason(kind, body.byte()?)?;
    }
    if !body.is_empty() {
        ack.properties = properties(body)?;
    }
    Ok(ack)
}

/// The properties of an answer, with their length.
pub(super) fn properties(body: &mut Reader<'_>) -> Result<AckProperties, ProtocolError> {
    let mut result = AckProperties::default();
    let mut properties = Properties::read(body, Place::Ack)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::ReasonString(text) => result.reason_string = Some(text.to_owned()),
            Property::User(name, value) => {
                result.user_properties.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(NOT_ALLOWED),
        }
    }
    Ok(result)
}

/// Said by [`Properties`] already; here so that no decoder can forget a property that is allowed.
pub(super) const NOT_ALLOWED: ProtocolError =
    ProtocolError::malformed("property is not allowed in this packet");
