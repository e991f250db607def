//! Topic filters: what a subscription or a route is for.

use crate::level::{Level, Levels, is_dollar};
use crate::name::check_text;
use crate::pattern::Bindings;
use crate::{TopicError, TopicName, walk};
use std::fmt;
use std::sync::Arc;

/// A valid topic filter without a `$share/group/` before it. A clone shares the text.
///
/// A level like `${username}` is ordinary text here; only a [`crate::Pattern`] knows placeholders.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Arc<str>);

impl TopicFilter {
    /// Takes a copy of a valid filter.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let census = check_text(text)?;
        check_wildcards(text)?;
        census.check_levels()?;
        Ok(TopicFilter(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the first level begins with `$`.
    #[must_use]
    pub fn is_dollar(&self) -> bool {
        is_dollar(&self.0)
    }

    /// True if the filter can match more than one name.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.bytes().any(|byte| byte == b'+' || byte == b'#')
    }

    /// True if a message to `name` belongs to this filter. [MQTT-4.7.3-4]
    #[must_use]
    pub fn matches(&self, name: &TopicName) -> bool {
        self.matches_str(name.as_str())
    }

    /// `matches` for a name that has been validated but not copied.
    #[must_use]
    pub fn matches_str(&self, name: &str) -> bool {
        walk::matches(self.levels(), name, &Bindings::NONE)
    }

    /// True if every name that `other` matches is matched by this filter too.
    #[must_use]
    pub fn covers(&self, other: &TopicFilter) -> bool {
        walk::covers(self.levels(), other.levels(), &Bindings::NONE)
    }

    /// True if some name is matched by both.
    #[must_use]
    pub fn overlaps(&self, other: &TopicFilter) -> bool {
        walk::overlaps(self.levels(), other.levels(), &Bindings::NONE)
    }

    /// The filter of the names that both match; none if there is no such name.
    #[must_use]
    pub fn intersection(&self, other: &TopicFilter) -> Option<TopicFilter> {
        if !self.overlaps(other) {
            return None;
        }
        let (mut own, mut others) = (self.levels(), other.levels());
        let mut common = Vec::new();
        loop {
            match (own.next(), others.next()) {
                (None, None) | (Some(Level::Hash), None) | (None, Some(Level::Hash)) => break,
                (Some(Level::Hash), Some(level)) => {
                    common.push(level.text());
                    common.extend(others.map(Level::text));
                    break;
                }
                (Some(level), Some(Level::Hash)) => {
                    common.push(level.text());
                    common.extend(own.map(Level::text));
                    break;
                }
                (Some(Level::Plus), Some(level)) | (Some(level), Some(Level::Plus)) => {
                    common.push(level.text());
                }
                (Some(level), Some(same)) if level == same => common.push(level.text()),
                (Some(_), _) | (None, Some(_)) => return None,
            }
        }
        TopicFilter::parse(&common.join("/")).ok()
    }

    /// The levels, in order.
    pub fn levels(&self) -> impl Iterator<Item = Level<'_>> + Clone {
        Levels::of(&self.0).map(Level::of_filter)
    }
}

impl From<TopicName> for TopicFilter {
    /// The filter that matches exactly this name.
    fn from(name: TopicName) -> Self {
        TopicFilter(name.as_str().into())
    }
}

impl AsRef<str> for TopicFilter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where wildcards may stand, and that `$share` may not.
pub(crate) fn check_wildcards(text: &str) -> Result<(), TopicError> {
    let mut levels = Levels::of(text);
    let mut is_first = true;
    while let Some(level) = levels.next() {
        if is_first && level == SHARE {
            return Err(TopicError::ShareNotAllowed);
        }
        is_first = false;
        match Level::of_filter(level) {
            // [MQTT-4.7.1-2] `#` is the last character, alone or after a separator.
            Level::Hash if levels.next().is_some() => return Err(TopicError::MisplacedWildcard),
            // [MQTT-4.7.1-3] `+` takes an entire level.
            Level::Literal(text) if text.contains(['+', '#']) => {
                return Err(TopicError::MisplacedWildcard);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first level of a shared subscription.
pub(crate) const SHARE: &str = "$share";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), TopicError>) {
        assert_eq!(
            TopicFilter::parse(text).map(|filter| filter.to_string()),
            expected.map(|()| text.to_owned()),
            "{text:?}"
        );
    }

    // Shows 3.1.1: [MQTT-4.7.1-2], [MQTT-4.7.1-3]; 5.0: [MQTT-4.7.1-1], [MQTT-4.7.1-2].
    #[test]
    fn wildcards_take_whole_levels_and_hash_the_last() {
        for text in ["#", "+", "/", "+/+", "/#", "a/#", "+/a/+", "a//+", "$SYS/#", "${x}/+"] {
            check(text, Ok(()));
        }
        for text in ["a#", "#/", "#/a", "a/#/b", "a+", "+a/b", "a/b+/#", "##", "++", "+#"] {
            check(text, Err(TopicError::MisplacedWildcard));
        }
    }

    // Shows 3.1.1: [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-4.7.3-3]; 5.0: [MQTT-4.7.3-1],
    // [MQTT-4.7.3-2], [MQTT-4.7.3-3].
    #[test]
    fn what_no_name_may_be_no_filter_may_be() {
        check("", Err(TopicError::Empty));
        check("a/\0", Err(TopicError::Nul));
        check(&"/".repeat(256), Err(TopicError::TooManyLevels));
        check(&"a".repeat(65_536), Err(TopicError::TooLong { bytes: 65_536 }));
    }

    #[test]
    fn a_plain_filter_never_begins_with_the_share_level() {
        for text in ["$share", "$share/g", "$share/g/a"] {
            check(text, Err(TopicError::ShareNotAllowed));
        }
        for text in ["$shared", "a/$share/g", "$SHARE/g/a"] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn the_filter_of_a_name_matches_that_name() {
        let name = TopicName::parse("a/${username}//b").unwrap();
        assert!(TopicFilter::from(name.clone()).matches(&name));
    }
}
