//! DISCONNECT: the end of a connection.

use super::UserProperties;
use crate::{ProtocolError, ReasonCode};

/// The end of a connection. Before 5.0 only clients send it, without any content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// 5.0 only.
    pub properties: DisconnectProperties,
}

impl Disconnect {
    /// A DISCONNECT with this code and no properties.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Disconnect {
        Disconnect { reason, properties: DisconnectProperties::default() }
    }

    /// Seconds the session is to live from now on, given those it had.
    ///
    /// # Errors
    /// 0x82 if the client wants a session kept that was to end with the connection.
    pub fn session_expiry_s(&self, current_s: u32) -> Result<u32, ProtocolError> {
        match self.properties.session_expiry_interval_s {
            None => Ok(current_s),
            // 3.14.2.2.2: from zero it cannot be changed.
            Some(wanted_s) if current_s == 0 && wanted_s != 0 => Err(ProtocolError::protocol(
                "session expiry of zero cannot be raised at disconnect",
            )),
            Some(wanted_s) => Ok(wanted_s),
        }
    }
}

/// Properties of a DISCONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    /// Seconds; from clients only [MQTT-3.14.2-2].
    pub session_expiry_interval_s: Option<u32>,
    /// For people to read.
    pub reason_string: Option<String>,
    /// Name and value pairs.
    pub user_properties: UserProperties,
    /// Another server to use; from servers only.
    pub server_reference: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{Disconnect, DisconnectProperties};
    use crate::ReasonCode;

    fn check(current_s: u32, wanted_s: Option<u32>, expected: Result<u32, ReasonCode>) {
        let properties =
            DisconnectProperties { session_expiry_interval_s: wanted_s, ..Default::default() };
        let disconnect = Disconnect { reason: ReasonCode::Success, properties };
        assert_eq!(disconnect.session_expiry_s(current_s).map_err(|e| e.reason), expected);
    }

    #[test]
    fn a_session_that_was_to_end_cannot_be_kept_at_the_last_moment() {
        check(0, Some(1), Err(ReasonCode::ProtocolError));
    }

    #[test]
    fn a_session_can_be_shortened_ended_or_lengthened() {
        check(0, None, Ok(0));
        check(0, Some(0), Ok(0));
        check(60, None, Ok(60));
        check(60, Some(0), Ok(0));
        check(60, Some(90), Ok(90));
    }
}
