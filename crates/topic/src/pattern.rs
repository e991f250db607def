//! Patterns: the filters of permissions, in which a level may stand for who is asking.

use crate::filter::check_wildcards;
use crate::level::{Level, Levels, is_dollar};
use crate::name::check_text;
use crate::{TopicError, TopicFilter, TopicName, walk};
use smol_str::SmolStr;
use std::fmt;

/// A topic filter in which a whole level may be `${username}` or `${clientId}`. Up to
/// 23 bytes are within the value, since there may be millions of them; a clone shares more.
///
/// The value is never put into the text. It is compared with one level, so it cannot bring a
/// wildcard or a separator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(SmolStr);

impl Pattern {
    /// Takes a copy of a valid pattern. Any other use of `${` is refused: a rule that is silently
    /// read as plain text would not do what its author meant, and for a deny that opens a door.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let census = check_text(text)?;
        check_wildcards(text)?;
        census.check_levels()?;
        Levels::of(text).try_for_each(check_placeholder)?;
        Ok(Pattern(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `name` is matched for whom `bindings` describe.
    #[must_use]
    pub fn matches(&self, name: &TopicName, bindings: &Bindings<'_>) -> bool {
        walk::matches(self.levels(), name.as_str(), bindings)
    }

    /// True if every name that `filter` matches is matched for whom `bindings` describe.
    #[must_use]
    pub fn covers(&self, filter: &TopicFilter, bindings: &Bindings<'_>) -> bool {
        walk::covers(self.levels(), filter.levels(), bindings)
    }

    /// True if some name that `filter` matches is matched for whom `bindings` describe.
    #[must_use]
    pub fn overlaps(&self, filter: &TopicFilter, bindings: &Bindings<'_>) -> bool {
        walk::overlaps(self.levels(), filter.levels(), bindings)
    }

    /// The levels, in order.
    pub fn levels(&self) -> impl Iterator<Item = Level<'_>> + Clone {
        Levels::of(&self.0).map(Level::of_pattern)
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The values that placeholders stand for. An absent one makes every pattern that uses it match
/// nothing, and so does one that is empty or holds `+`, `#`, `/` or NUL; one that begins with `$`
/// does so at the first level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bindings<'a> {
    /// The value of `${username}`.
    pub username: Option<&'a str>,
    /// The value of `${clientId}`.
    pub client_id: Option<&'a str>,
}

impl<'a> Bindings<'a> {
    /// No values, for keys without placeholders.
    pub const NONE: Bindings<'static> = Bindings { username: None, client_id: None };

    /// The level that `${username}` is at this depth.
    pub(crate) fn username_at(&self, depth: usize) -> Option<&'a str> {
        usable(self.username, depth)
    }

    /// The level that `${clientId}` is at this depth.
    pub(crate) fn client_id_at(&self, depth: usize) -> Option<&'a str> {
        usable(self.client_id, depth)
    }
}

/// A value that may stand for one level. `$`-topics are reached only by rules that name them, so no
/// value brings one.
fn usable(value: Option<&str>, depth: usize) -> Option<&str> {
    value.filter(|text| {
        !text.is_empty()
            && !text.bytes().any(|byte| matches!(byte, b'+' | b'#' | b'/' | 0))
            && (depth > 0 || !is_dollar(text))
    })
}

fn check_placeholder(level: &str) -> Result<(), TopicError> {
    let Some(start) = level.find("${") else { return Ok(()) };
    match Level::of_pattern(level) {
        Level::Username | Level::ClientId => Ok(()),
        _ if start == 0 && level.find('}') == Some(level.len() - 1) => {
            Err(TopicError::UnknownPlaceholder(level.into()))
        }
        _ => Err(TopicError::PartialPlaceholder(level.into())),
    }
}

/// The placeholder for the user name, as it is written.
pub(crate) const USERNAME: &str = "${username}";
/// The placeholder for the client id, as it is written.
pub(crate) const CLIENT_ID: &str = "${clientId}";

#[cfg(test)]
mod tests {
    use super::*;

    fn check_parse(text: &str, expected: Result<(), TopicError>) {
        assert_eq!(Pattern::parse(text).map(|_| ()), expected, "{text:?}");
    }

    /// `${id}` stands for each of the placeholders in turn.
    fn check(pattern: &str, value: &str, filter: &str, [covers, overlaps]: [bool; 2]) {
        let filter = TopicFilter::parse(filter).unwrap();
        for (placeholder, bindings) in [
            (USERNAME, Bindings { username: Some(value), client_id: None }),
            (CLIENT_ID, Bindings { username: None, client_id: Some(value) }),
        ] {
            let pattern = Pattern::parse(&pattern.replace("${id}", placeholder)).unwrap();
            let case = format!("{pattern} for {value:?} and {filter}");
            assert_eq!(pattern.covers(&filter, &bindings), covers, "{case}: covers");
            assert_eq!(pattern.overlaps(&filter, &bindings), overlaps, "{case}: overlaps");
            if let Ok(name) = TopicName::parse(filter.as_str()) {
                assert_eq!(pattern.matches(&name, &bindings), covers, "{case}: matches");
            }
            let others = pattern.overlaps(&filter, &Bindings::NONE);
            assert!(!others, "{case}: overlaps without values");
        }
    }

    #[test]
    fn a_placeholder_is_compared_as_one_level() {
        check("a/${id}/#", "me", "a/me", [true, true]);
        check("a/${id}/#", "me", "a/me/b", [true, true]);
        check("a/${id}/#", "me", "a/you/b", [false, false]);
        check("a/${id}", "Me", "a/me", [false, false]);
    }

    #[test]
    fn a_placeholder_covers_no_wildcard_but_overlaps_it() {
        check("a/${id}/#", "me", "a/+/b", [false, true]);
        check("a/${id}/#", "me", "a/#", [false, true]);
        check("${id}", "me", "#", [false, true]);
        check("a/+/${id}", "me", "a/b/+", [false, true]);
    }

    #[test]
    fn rule_01_a_value_with_wildcard_separator_or_nul_matches_nothing() {
        for value in ["+", "#", "a/b", "/", "a+", "#a", "a\0", ""] {
            for filter in ["a/b/c", "a/+/c", "a/#", "#", "+/+/+", "a//c"] {
                check("a/${id}/c", value, filter, [false, false]);
                check("a/${id}/#", value, filter, [false, false]);
            }
        }
    }

    #[test]
    fn a_value_brings_no_reserved_topic_at_the_first_level() {
        check("${id}/#", "$SYS", "$SYS/a", [false, false]);
        check("${id}/#", "$SYS", "$SYS/#", [false, false]);
        check("a/${id}/#", "$SYS", "a/$SYS/b", [true, true]);
    }

    #[test]
    fn a_placeholder_is_a_whole_level_and_one_of_two() {
        for text in ["${username}", "a/${clientId}/#", "${clientId}/${username}/+"] {
            check_parse(text, Ok(()));
        }
        check_parse("a/${other}/#", Err(TopicError::UnknownPlaceholder("${other}".into())));
        check_parse("a/${}", Err(TopicError::UnknownPlaceholder("${}".into())));
        check_parse("${USERNAME}", Err(TopicError::UnknownPlaceholder("${USERNAME}".into())));
        for level in ["x${username}", "${username}x", "${username", "${username}${clientId}"] {
            check_parse(&format!("a/{level}"), Err(TopicError::PartialPlaceholder(level.into())));
        }
    }
}
