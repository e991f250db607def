//! The names that people give: of users, of roles, and the prefix a user publishes under.

use smol_str::SmolStr;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use topic::{TopicError, TopicName};

/// The name of a user: 3 to 255 characters of `A-Z a-z 0-9 _ . - @`, of which the first is a
/// letter, a digit or `_`. Compared byte for byte. Up to 23 characters are within the value, so that a
/// million users have no allocation for each name; a clone shares more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(SmolStr);

/// The name of a role, by the same rule as a user's, but that one character is enough.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(SmolStr);

impl UserName {
    /// Takes a copy of a valid name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_name(text, USER_NAME_LENGTH_MIN).map(|()| UserName(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoleName {
    /// Takes a copy of a valid name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_name(text, ROLE_NAME_LENGTH_MIN).map(|()| RoleName(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no name of a user or role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Fewer characters than this.
    #[error("has fewer than {0} characters")]
    TooShort(usize),
    /// No characters.
    #[error("is empty")]
    Empty,
    /// More than 255 characters.
    #[error("has more than {NAME_LENGTH_MAX} characters")]
    TooLong,
    /// Begins with what only later characters may be.
    #[error("begins with {0:?}; the first character is a letter, a digit or `_`")]
    FirstCharacter(char),
    /// Holds what no character may be.
    #[error("holds {0:?}; allowed are `A-Z a-z 0-9 _ . - @`")]
    Character(char),
}

/// What is put before each topic that a user publishes to, as plain text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublishPrefix(Arc<str>);

impl PublishPrefix {
    /// Takes a copy of a valid prefix: the beginning of a topic name that is no `$`-topic.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        TopicName::validate(text)?;
        if text.starts_with('$') {
            return Err(PrefixError::Dollar);
        }
        Ok(PublishPrefix(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no publish prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// No topic name can begin like this.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Nobody publishes to a `$`-topic.
    #[error("begins with `$`, which no published topic may")]
    Dollar,
}

fn check_name(text: &str, length_min: usize) -> Result<(), NameError> {
    if let Some(bad) = text.chars().find(|it| !is_name_character(*it)) {
        return Err(NameError::Character(bad));
    }
    // All characters are single bytes from here on.
    match text.chars().next() {
        None => Err(NameError::Empty),
        _ if text.len() < length_min => Err(NameError::TooShort(length_min)),
        _ if text.len() > NAME_LENGTH_MAX => Err(NameError::TooLong),
        Some(first @ ('.' | '-' | '@')) => Err(NameError::FirstCharacter(first)),
        _ => Ok(()),
    }
}

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-' | '@')
}

macro_rules! text_like {
    ($($name:ident),*) => {$(
        /// Equal, ordered and hashed as its text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
text_like!(UserName, RoleName, PublishPrefix);

const USER_NAME_LENGTH_MIN: usize = 3;
const ROLE_NAME_LENGTH_MIN: usize = 1;
const NAME_LENGTH_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), NameError>) {
        assert_eq!(
            UserName::parse(text).map(|name| name.to_string()),
            expected.map(|()| text.to_owned())
        );
        assert_eq!(
            RoleName::parse(text).map(|name| name.to_string()),
            expected.map(|()| text.to_owned())
        );
    }

    #[test]
    fn a_name_has_3_to_255_characters_and_that_of_a_role_1_to_255() {
        check("", Err(NameError::Empty));
        assert_eq!(UserName::parse("ab").map(drop), Err(NameError::TooShort(3)));
        assert_eq!(RoleName::parse("ab").map(drop), Ok(()));
        assert_eq!(RoleName::parse("r").map(drop), Ok(()));
        check("abc", Ok(()));
        check(&"a".repeat(255), Ok(()));
        check(&"a".repeat(256), Err(NameError::TooLong));
    }

    #[test]
    fn a_name_begins_with_a_letter_a_digit_or_an_underscore() {
        for text in ["Abc", "0bc", "_.-@"] {
            check(text, Ok(()));
        }
        for text in [".bc", "-bc", "@bc"] {
            check(text, Err(NameError::FirstCharacter(text.chars().next().unwrap())));
        }
    }

    #[test]
    fn rule_01_no_name_holds_a_wildcard_a_separator_or_a_control_character() {
        for bad in ['+', '#', '/', '\0', '\n', '\r', ' ', '$', '{', 'ä', '\u{7f}', '\u{200b}'] {
            for text in
                [bad.to_string(), format!("abc{bad}"), format!("{bad}abc"), format!("a{bad}c")]
            {
                check(&text, Err(NameError::Character(bad)));
            }
        }
    }

    fn check_prefix(text: &str, expected: Result<(), PrefixError>) {
        assert_eq!(
            PublishPrefix::parse(text).map(|it| it.to_string()),
            expected.map(|()| text.to_owned())
        );
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_topic_and_never_of_a_dollar_topic() {
        check_prefix("topicA/", Ok(()));
        check_prefix("topicA", Ok(()));
        check_prefix("/", Ok(()));
        check_prefix("", Err(PrefixError::Topic(TopicError::Empty)));
        check_prefix("a/+/", Err(PrefixError::Topic(TopicError::WildcardInName)));
        check_prefix("a/#", Err(PrefixError::Topic(TopicError::WildcardInName)));
        check_prefix("a\0", Err(PrefixError::Topic(TopicError::Nul)));
        check_prefix("$SYS/", Err(PrefixError::Dollar));
    }
}
