//! Why a text is not a topic name, filter or pattern.

use crate::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};

/// Why a text is not a topic name, filter or pattern. Whoever sent the text is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1] At least one character.
    #[error("is empty")]
    Empty,
    /// [MQTT-4.7.3-3] At most 65,535 bytes.
    #[error("has {bytes} bytes, more than {TOPIC_BYTES_MAX}")]
    TooLong {
        /// The length found.
        bytes: usize,
    },
    /// More than [`TOPIC_LEVELS_MAX`] levels.
    #[error("has more than {TOPIC_LEVELS_MAX} levels")]
    TooManyLevels,
    /// [MQTT-4.7.3-2] No U+0000.
    #[error("holds a NUL character")]
    Nul,
    /// [MQTT-4.7.1-1] A topic name holds no wildcard.
    #[error("is a topic name and holds the wildcard `+` or `#`")]
    WildcardInName,
    /// [MQTT-4.7.1-2] [MQTT-4.7.1-3] A wildcard takes a whole level, and `#` the last one.
    #[error("holds a wildcard that is not a whole level, or a `#` before the last level")]
    MisplacedWildcard,
    /// [MQTT-4.8.2-1] [MQTT-4.8.2-2] `$share/group/filter` with a group that is not empty and holds
    /// no wildcard.
    #[error("is not of the form `$share/group/filter`")]
    MalformedShare,
    /// `$share/…` where a plain filter is wanted.
    #[error("begins with `$share`, which only a subscription may")]
    ShareNotAllowed,
    /// A level `${…}` that is neither `${username}` nor `${clientId}`.
    #[error("holds the unknown placeholder `{0}`; known are `${{username}}` and `${{clientId}}`")]
    UnknownPlaceholder(Box<str>),
    /// A placeholder with something else in its level.
    #[error("holds the level `{0}`, in which the placeholder is not the whole level")]
    PartialPlaceholder(Box<str>),
}
