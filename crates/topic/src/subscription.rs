//! What a SUBSCRIBE asks for: a filter, perhaps shared by a group.

use crate::filter::SHARE;
use crate::name::check_text;
use crate::{TopicError, TopicFilter};
use std::fmt;
use std::sync::Arc;

/// The name of a group that shares a subscription: not empty, without `/ + #`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(Arc<str>);

impl ShareName {
    /// Takes a copy of a valid name. [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() || text.contains(['/', '+', '#', '\0']) {
            return Err(TopicError::MalformedShare);
        }
        Ok(ShareName(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A filter as a SUBSCRIBE or UNSUBSCRIBE carries it. Displays as the text it came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionFilter {
    /// The group, for `$share/group/filter`.
    pub share: Option<ShareName>,
    /// The filter with `$share/group/` taken off: what is matched, and what rights are judged by.
    pub filter: TopicFilter,
}

impl SubscriptionFilter {
    /// Takes a filter or `$share/group/filter`.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_text(text)?;
        let Some(shared) = text.strip_prefix(SHARE).filter(|rest| begins_level(rest)) else {
            return Ok(SubscriptionFilter { share: None, filter: TopicFilter::parse(text)? });
        };
        let (group, filter) = shared
            .strip_prefix('/')
            .and_then(|rest| rest.split_once('/'))
            .filter(|(_, filter)| !filter.is_empty())
            .ok_or(TopicError::MalformedShare)?;
        Ok(SubscriptionFilter {
            share: Some(ShareName::parse(group)?),
            filter: TopicFilter::parse(filter)?,
        })
    }
}

impl From<TopicFilter> for SubscriptionFilter {
    fn from(filter: TopicFilter) -> Self {
        SubscriptionFilter { share: None, filter }
    }
}

impl fmt::Display for SubscriptionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(share) = &self.share {
            write!(f, "{SHARE}/{share}/")?;
        }
        self.filter.fmt(f)
    }
}

/// True if the level before `rest` ends there: `$shared` is not `$share`.
fn begins_level(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(Option<&str>, &str), TopicError>) {
        let parsed = SubscriptionFilter::parse(text);
        let parts = parsed
            .as_ref()
            .map(|it| (it.share.as_ref().map(ShareName::as_str), it.filter.as_str()));
        assert_eq!(parts, expected.as_ref().copied(), "{text:?}");
        if let Ok(filter) = &parsed {
            assert_eq!(filter.to_string(), text);
        }
    }

    #[test]
    fn a_share_is_taken_off_the_filter() {
        check("$share/g/a/#", Ok((Some("g"), "a/#")));
        check("$share/g/#", Ok((Some("g"), "#")));
        check("$share/g//a", Ok((Some("g"), "/a")));
        check("$share/g//", Ok((Some("g"), "/")));
        check("$share/$g/$SYS/#", Ok((Some("$g"), "$SYS/#")));
    }

    // Shows 5.0: [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    #[test]
    fn a_share_without_group_or_filter_is_malformed() {
        for text in [
            "$share",
            "$share/",
            "$share//",
            "$share//a",
            "$share/g",
            "$share/g/",
            "$share/+/a",
            "$share/#",
            "$share/g#/a",
        ] {
            check(text, Err(TopicError::MalformedShare));
        }
    }

    // Shows 5.0: [MQTT-4.8.2-2].
    #[test]
    fn a_share_holds_a_valid_filter_that_is_not_shared_again() {
        check("$share/g/a#", Err(TopicError::MisplacedWildcard));
        check("$share/g/$share/h/a", Err(TopicError::ShareNotAllowed));
    }

    #[test]
    fn a_name_that_only_looks_like_a_share_is_a_plain_filter() {
        check("$shared/g/a", Ok((None, "$shared/g/a")));
        check("/$share/g/a", Ok((None, "/$share/g/a")));
    }

    #[test]
    fn the_byte_limit_holds_for_the_whole_text() {
        let text = format!("$share/g/{}", "a".repeat(65_527));
        check(&text, Err(TopicError::TooLong { bytes: 65_536 }));
    }
}
