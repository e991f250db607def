//! Topic names: what a message is published to.

use crate::level::is_dollar;
use crate::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX, TopicError};
use std::fmt;
use std::sync::Arc;

/// A valid topic name. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Takes a copy of a valid name.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        Self::validate(text)?;
        Ok(TopicName(text.into()))
    }

    /// Says whether `parse` would succeed, without a copy.
    pub fn validate(text: &str) -> Result<(), TopicError> {
        check_text(text)?;
        // [MQTT-4.7.1-1] [MQTT-3.3.2-2]
        if holds(text, |byte| byte == b'+' || byte == b'#') {
            return Err(TopicError::WildcardInName);
        }
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the name begins with `$`: reserved, never published to by clients, never reached by
    /// a first wildcard.
    #[must_use]
    pub fn is_dollar(&self) -> bool {
        is_dollar(&self.0)
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What holds for names and filters alike. [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
pub(crate) fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { bytes: text.len() });
    }
    if holds(text, |byte| byte == 0) {
        return Err(TopicError::Nul);
    }
    if text.bytes().filter(|byte| *byte == b'/').count() >= TOPIC_LEVELS_MAX {
        return Err(TopicError::TooManyLevels);
    }
    Ok(())
}

/// `any` without its early end, which the compiler turns into vector code: every publish comes
/// here.
fn holds(text: &str, is_in: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | is_in(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), TopicError>) {
        assert_eq!(TopicName::validate(text), expected, "{text:?}");
        assert_eq!(
            TopicName::parse(text).map(|name| name.as_str().to_owned()),
            expected.map(|()| text.to_owned())
        );
    }

    #[test]
    fn any_text_with_any_empty_levels_is_a_name() {
        for text in ["a", "/", "//", "a/", "/a", "a//b", " ", "$SYS/x", "${username}", "ä/\u{1}"] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn a_name_has_at_least_one_character() {
        check("", Err(TopicError::Empty));
    }

    #[test]
    fn a_name_holds_no_wildcard_and_no_nul() {
        for text in ["+", "#", "a+", "a/#", "a#b/c"] {
            check(text, Err(TopicError::WildcardInName));
        }
        check("a\0", Err(TopicError::Nul));
    }

    #[test]
    fn a_name_has_at_most_65535_bytes() {
        check(&"a".repeat(65_535), Ok(()));
        check(&"ä".repeat(32_768), Err(TopicError::TooLong { bytes: 65_536 }));
    }

    #[test]
    fn a_name_has_at_most_256_levels() {
        check(&"/".repeat(255), Ok(()));
        check(&"/".repeat(256), Err(TopicError::TooManyLevels));
    }
}
