//! What a peer is told about a topic name or filter that is none.

use crate::{ProtocolError, ReasonCode};
use topic::TopicError;

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

/// For a topic filter. 0x8F where the text is sound and the filter is not accepted.
pub(crate) fn of_filter(error: &TopicError) -> ProtocolError {
    let not_accepted = |detail| ProtocolError::new(ReasonCode::TopicFilterInvalid, detail);
    match error {
        TopicError::TooManyLevels => not_accepted("topic filter has too many levels"),
        TopicError::ShareNotAllowed => not_accepted("shared subscription of a shared subscription"),
        TopicError::Empty => ProtocolError::malformed("topic filter is empty"),
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        TopicError::MalformedShare => {
            ProtocolError::malformed("shared subscription is not well-formed")
        }
        // [MQTT-4.7.1-1] to [MQTT-4.7.1-3]
        TopicError::MisplacedWildcard => ProtocolError::malformed("wildcard is out of place"),
        TopicError::TooLong { .. }
        | TopicError::Nul
        | TopicError::WildcardInName
        | TopicError::UnknownPlaceholder(_)
        | TopicError::PartialPlaceholder(_) => {
            ProtocolError::malformed("topic filter is not valid")
        }
    }
}
