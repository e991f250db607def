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
        // [MQTT-4.7.1-1] [MQTT-3.3.2-2]
        let census = check_text(text)?;
        if census.wildcards() > 0 {
            return Err(TopicError::WildcardInName);
        }
        census.check_levels()
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

/// What the standard demands of names and filters alike; that there are not too many levels is to be asked of what is
/// returned, when the rest is known to be well. [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
pub(crate) fn check_text(text: &str) -> Result<Census, TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { bytes: text.len() });
    }
    let census = Census::of(text);
    if census.nuls() > 0 {
        return Err(TopicError::Nul);
    }
    Ok(census)
}

/// How many there are of the characters that matter, counted in one pass: every publish comes here. Each of the three
/// counts has a third of the word, more than a text of [`TOPIC_BYTES_MAX`] can fill.
#[derive(Clone, Copy)]
pub(crate) struct Census(u64);

impl Census {
    fn of(text: &str) -> Self {
        let weight = |byte: u8| WEIGHTS.get(usize::from(byte)).copied().unwrap_or_default();
        Census(text.bytes().map(weight).fold(0, u64::wrapping_add))
    }

    fn nuls(self) -> u64 {
        self.0 & COUNT_MASK
    }

    fn separators(self) -> usize {
        usize::try_from((self.0 >> COUNT_BITS) & COUNT_MASK).unwrap_or(usize::MAX)
    }

    /// The standard has no such limit, so this is for what is well-formed in all else.
    pub(crate) fn check_levels(self) -> Result<(), TopicError> {
        if self.separators() >= TOPIC_LEVELS_MAX {
            return Err(TopicError::TooManyLevels);
        }
        Ok(())
    }

    pub(crate) fn wildcards(self) -> u64 {
        self.0 >> (2 * COUNT_BITS)
    }
}

const COUNT_BITS: u32 = 21;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

#[expect(clippy::indexing_slicing, reason = "a constant: out of bounds would not compile")]
const WEIGHTS: [u64; 256] = {
    let mut weights = [0; 256];
    weights[0] = 1;
    weights[b'/' as usize] = 1 << COUNT_BITS;
    weights[b'+' as usize] = 1 << (2 * COUNT_BITS);
    weights[b'#' as usize] = 1 << (2 * COUNT_BITS);
    weights
};

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

    // Shows 3.1.1: [MQTT-4.7.3-1]; 5.0: [MQTT-4.7.3-1].
    #[test]
    fn a_name_has_at_least_one_character() {
        check("", Err(TopicError::Empty));
    }

    // Shows 3.1.1: [MQTT-3.3.2-2], [MQTT-4.7.1-1], [MQTT-4.7.3-2]; 5.0: [MQTT-3.3.2-2],
    // [MQTT-4.7.0-1], [MQTT-4.7.3-2].
    #[test]
    fn a_name_holds_no_wildcard_and_no_nul() {
        for text in ["+", "#", "a+", "a/#", "a#b/c"] {
            check(text, Err(TopicError::WildcardInName));
        }
        check("a\0", Err(TopicError::Nul));
    }

    // Shows 3.1.1: [MQTT-4.7.3-3]; 5.0: [MQTT-4.7.3-3].
    #[test]
    fn a_name_has_at_most_65535_bytes() {
        check(&"a".repeat(65_535), Ok(()));
        check(&"ä".repeat(32_768), Err(TopicError::TooLong { bytes: 65_536 }));
    }

    #[test]
    fn a_name_has_at_most_256_levels() {
        check(&"/".repeat(255), Ok(()));
        check(&"/".repeat(256), Err(TopicError::TooManyLevels));
        check(&format!("{}#", "/".repeat(256)), Err(TopicError::WildcardInName));
    }
}
