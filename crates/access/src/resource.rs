//! What a permission is about: a topic filter, or a path of the REST interface in the same
//! language.
//!
//! A path is compared in one canonical spelling: with a leading `/`, percent-escapes resolved, and
//! only those bytes escaped that would be read as something else. Else `DELETE /api/users/%61dmin`
//! would pass under a deny of `/api/users/admin`. The leading `/` makes the first level empty, so
//! no path is a `$`-topic.

use crate::Context;
use std::fmt;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use topic::{Pattern, TopicError, TopicName};

/// What a permission is about. Two spellings of one path are equal. A clone shares the text.
#[derive(Clone)]
pub struct Resource {
    pattern: Pattern,
    /// The spelling that was given, where it is not the canonical one. As small as a pointer, since few have one.
    written: Option<Arc<Box<str>>>,
}

impl Resource {
    /// Takes a topic filter, or a path with or without its leading `/`; a whole level of either may
    /// be `+`, `#` (at the end), `${username}` or `${clientId}`.
    pub fn parse(text: &str, context: Context) -> Result<Self, TopicError> {
        if context == Context::Mqtt {
            return Ok(Resource { pattern: Pattern::parse(text)?, written: None });
        }
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let canonical = canonical_path(text, Wildcards::Kept);
        let written = (canonical != text).then(|| Arc::new(text.into()));
        Ok(Resource { pattern: Pattern::parse(&canonical)?, written })
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.written.as_deref().map_or(self.pattern.as_str(), Box::as_ref)
    }

    /// What is matched; for a path, its canonical spelling.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Resource {}

impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The canonical spelling of the path of a request, as sent and without its query.
pub(crate) fn requested_path(path: &str) -> Result<TopicName, TopicError> {
    TopicName::parse(&canonical_path(path, Wildcards::Escaped))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    /// In a permission: `+` and `#` mean what they mean in a filter.
    Kept,
    /// In a request: they are ordinary characters.
    Escaped,
}

fn canonical_path(path: &str, wildcards: Wildcards) -> String {
    let mut canonical = String::with_capacity(path.len() + 1);
    canonical.push('/');
    let mut rest = path.strip_prefix('/').unwrap_or(path).as_bytes();
    while let Some((byte, after, is_special)) = next_byte(rest, wildcards) {
        push_byte(&mut canonical, byte, is_special);
        rest = after;
    }
    canonical
}

/// The next byte, what follows it, and whether it stands for itself although it looks like a
/// separator or wildcard.
fn next_byte(text: &[u8], wildcards: Wildcards) -> Option<(u8, &[u8], bool)> {
    if let [b'%', high, low, after @ ..] = text
        && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
    {
        return Some((high << 4 | low, after, true));
    }
    let (&byte, after) = text.split_first()?;
    Some((byte, after, wildcards == Wildcards::Escaped && byte != b'/'))
}

fn push_byte(canonical: &mut String, byte: u8, is_special: bool) {
    let is_escaped = match byte {
        b'/' | b'+' | b'#' => is_special,
        b'%' | 0 => true,
        _ => !byte.is_ascii(),
    };
    if !is_escaped {
        canonical.push(char::from(byte));
    } else if write!(canonical, "%{byte:02X}").is_err() {
        // Writing to a string cannot fail; if it did, NUL would make the path one that nothing
        // matches.
        canonical.push('\0');
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use topic::Bindings;

    fn check(resource: &str, path: &str, is_match: bool) {
        let resource = Resource::parse(resource, Context::Http).unwrap();
        let bindings = Bindings { username: Some("anna"), client_id: None };
        let path_name = requested_path(path).unwrap();
        assert_eq!(
            resource.pattern().matches(&path_name, &bindings),
            is_match,
            "{resource} {path}"
        );
    }

    #[test]
    fn the_leading_slash_may_be_left_out() {
        for resource in ["/api/users", "api/users", "api/+", "/api/#", "#", "/#", "+/+"] {
            check(resource, "/api/users", true);
            check(resource, "api/users", true);
        }
        check("/api", "/api/users", false);
        check("users", "/api/users", false);
    }

    #[test]
    fn the_root_is_a_path_like_any_other() {
        for resource in ["/", "#", "+", "/#", "/+"] {
            check(resource, "/", true);
        }
        check("/api", "/", false);
        check("/", "/api", false);
    }

    #[test]
    fn a_path_that_looks_like_a_reserved_topic_is_not_exempt() {
        check("#", "/$SYS/x", true);
        check("+/x", "/$SYS/x", true);
    }

    #[test]
    fn every_spelling_of_a_path_is_the_same_path() {
        for path in
            ["/api/users/admin", "/api/users/%61dmin", "/%61pi/users/admi%6e", "/api/users/admi%6E"]
        {
            check("/api/users/admin", path, true);
            check("/api/users/%61dmin", path, true);
        }
        check("/x/\u{e4}", "/x/%C3%A4", true);
        check("/x/\u{e4}", "/x/%c3%a4", true);
        check("/x/%zz", "/x/%25zz", true);
    }

    #[test]
    fn an_escaped_separator_or_wildcard_is_an_ordinary_character() {
        check("/api/clients/+/+", "/api/clients/u/a%2Fb", true);
        check("/api/clients/u/a%2fb", "/api/clients/u/a%2Fb", true);
        check("/api/clients/u/a/b", "/api/clients/u/a%2Fb", false);
        for path in ["/api/+", "/api/%2B", "/api/#", "/api/%23", "/api/%00", "/api/%"] {
            check("/api/+", path, true);
            check("/api/users", path, false);
        }
    }

    #[test]
    fn a_placeholder_works_in_a_path() {
        check("/x/${username}", "/x/anna", true);
        check("/x/${username}", "/x/%61nna", true);
        check("/x/${username}", "/x/bert", false);
        check("/x/${username}", "/x/$%7Busername%7D", false);
    }

    fn check_text(text: &str, context: Context, expected: Result<&str, TopicError>) {
        assert_eq!(
            Resource::parse(text, context).as_ref().map(Resource::as_str),
            expected.as_ref().copied()
        );
    }

    #[test]
    fn the_text_stays_as_it_was_written() {
        for text in ["/api/users", "api/users", "/", "x/%61", "#"] {
            check_text(text, Context::Http, Ok(text));
        }
        for text in ["/a", "a", "#", "$SYS/#", "a/%61/${clientId}"] {
            check_text(text, Context::Mqtt, Ok(text));
        }
    }

    #[test]
    fn what_is_no_pattern_is_no_resource() {
        for context in [Context::Mqtt, Context::Http] {
            check_text("", context, Err(TopicError::Empty));
            check_text("a/#/b", context, Err(TopicError::MisplacedWildcard));
            check_text("a/${x}", context, Err(TopicError::UnknownPlaceholder("${x}".into())));
        }
        check_text("$share/g/a", Context::Mqtt, Err(TopicError::ShareNotAllowed));
    }
}
