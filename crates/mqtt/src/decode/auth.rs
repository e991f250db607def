//! AUTH.

use super::ack::NOT_ALLOWED;
use super::reasons::reason;
use crate::fixed_header::Kind;
use crate::packet::Auth;
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use crate::{ProtocolError, Secret};

pub(super) fn decode(body: &mut Reader<'_>) -> Result<Auth, ProtocolError> {
    let mut auth = Auth::default();
    // 3.15.2.1: nothing at all means success without properties.
    if body.is_empty() {
        return Ok(auth);
    }
    auth.reason = reason(Kind::Auth, body.byte()?)?;
    let mut properties = Properties::read(body, Place::Auth)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::AuthenticationMethod(text) => {
                auth.authentication_method = Some(text.to_owned());
            }
            Property::AuthenticationData(bytes) => {
                auth.authentication_data = Some(Secret::new(bytes.to_vec()));
            }
            Property::ReasonString(text) => auth.reason_string = Some(text.to_owned()),
            Property::User(name, value) => {
                auth.user_properties.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(NOT_ALLOWED),
        }
    }
    // 3.15.2.2.2
    if auth.authentication_method.is_none() {
        return Err(ProtocolError::protocol("authentication method is missing"));
    }
    Ok(auth)
}
