//! What a peer is told about a topic name or filter that is none.

use crate::packet::RequestedFilter;
use crate::{ProtocolError, ReasonCode};
use topic::{SubscriptionFilter, TopicError};

/// For a topic name. 0x90 where the text is sound and the name is not accepted.
pub(crate) fn of_name(error: &TopicError) -> ProtocolError {
    let not_accepted = |detail| ProtocolError::new(ReasonCode::TopicNameInvalid, detail);
    match error {
        // [MQTT-3.3.2-2]
        TopicError::WildcardInName => not_accepted("topic name holds a wildcard"),
        TopicError::TooManyLevels => not_accepted("topic name has too many levels"),
        TopicError::Empty => ProtocolError::malformed("topic name is empty"),
        TopicError::TooLong { .. }
        | TopicError::Nul
        | TopicError::MisplacedWildcard
        | TopicError::MalformedShare
        | TopicError::ShareNotAllowed
        | TopicError::UnknownPlaceholder(_)
        | TopicError::PartialPlaceholder(_) => ProtocolError::malformed("topic name is not valid"),
    }
}

/// A filter of a SUBSCRIBE or UNSUBSCRIBE. One that is well-formed and not accepted is no reason to end a connection: it
/// has an answer of its own.
pub(crate) fn requested(text: &str) -> Result<RequestedFilter, ProtocolError> {
    match SubscriptionFilter::parse(text) {
        Ok(filter) => Ok(filter.into()),
        Err(error @ (TopicError::TooManyLevels | TopicError::ShareNotAllowed)) => {
            Ok(RequestedFilter::NotAccepted { text: text.to_owned(), error })
        }
        Err(error) => Err(of_filter(&error)),
    }
}

/// For a topic filter that is not well-formed.
fn of_filter(error: &TopicError) -> ProtocolError {
    match error {
        TopicError::Empty => ProtocolError::malformed("topic filter is empty"),
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        TopicError::MalformedShare => {
            ProtocolError::malformed("shared subscription is not well-formed")
        }
        // [MQTT-4.7.1-1] to [MQTT-4.7.1-3]
        TopicError::MisplacedWildcard => ProtocolError::malformed("wildcard is out of place"),
        TopicError::TooLong { .. }
        | TopicError::Nul
        | TopicError::TooManyLevels
        | TopicError::ShareNotAllowed
        | TopicError::WildcardInName
        | TopicError::UnknownPlaceholder(_)
        | TopicError::PartialPlaceholder(_) => {
            ProtocolError::malformed("topic filter is not valid")
        }
    }
}
