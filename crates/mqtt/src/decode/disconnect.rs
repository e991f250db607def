//! DISCONNECT.

use super::ack::NOT_ALLOWED;
use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::{Disconnect, DisconnectProperties};
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::{ProtocolError, ProtocolVersion};

pub(super) fn decode(
    body: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Disconnect, ProtocolError> {
    let mut disconnect = Disconnect::default();
    if !version.is_v5() {
        return Ok(disconnect);
    }
    // 3.14.2.1, 3.14.2.2.1: reason code and properties may be left out, the properties alone too.
    if !body.is_empty() {
        disconnect.reason = reason(Kind::Disconnect, body.byte()?)?;
    }
    if !body.is_empty() {
        disconnect.properties = properties(body)?;
    }
    Ok(disconnect)
}

fn properties(body: &mut Reader<'_>) -> Result<DisconnectProperties, ProtocolError> {
    let mut result = DisconnectProperties::default();
    let mut properties = Properties::read(body, Place::Disconnect)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiryInterval(s) => result.session_expiry_interval_s = Some(s),
            Property::ReasonString(text) => result.reason_string = Some(text.to_owned()),
            Property::User(name, value) => {
                result.user_properties.push((name.to_owned(), value.to_owned()));
            }
            Property::ServerReference(text) => result.server_reference = Some(text.to_owned()),
            _ => return Err(NOT_ALLOWED),
        }
    }
    Ok(result)
}
