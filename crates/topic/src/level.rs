//! One level of a filter, and the one place that splits at `/`.

use crate::pattern::{CLIENT_ID, USERNAME};

/// One level of a topic name, a filter or a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level<'a> {
    /// Exactly this text, which may be empty.
    Literal(&'a str),
    /// `+`: any one level.
    Plus,
    /// `#`: the level before it and everything below; always last.
    Hash,
    /// `${username}` in a pattern.
    Username,
    /// `${clientId}` in a pattern.
    ClientId,
}

impl<'a> Level<'a> {
    /// The level as it is written.
    #[must_use]
    pub fn text(self) -> &'a str {
        match self {
            Level::Literal(text) => text,
            Level::Plus => "+",
            Level::Hash => "#",
            Level::Username => USERNAME,
            Level::ClientId => CLIENT_ID,
        }
    }

    pub(crate) fn of_filter(text: &'a str) -> Self {
        match text {
            "+" => Level::Plus,
            "#" => Level::Hash,
            _ => Level::Literal(text),
        }
    }

    pub(crate) fn of_pattern(text: &'a str) -> Self {
        match text {
            USERNAME => Level::Username,
            CLIENT_ID => Level::ClientId,
            _ => Level::of_filter(text),
        }
    }
}

/// The texts between the `/` of a topic name or filter; there is always at least one, and any may
/// be empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels<'a> {
    rest: Option<&'a str>,
}

impl<'a> Levels<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Levels { rest: Some(text) }
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        // Levels are short: a plain loop finds the separator sooner than a vectorized search
        // starts.
        let cut = text.bytes().position(|byte| byte == b'/');
        let (level, rest) = match cut.and_then(|at| text.split_at_checked(at)) {
            Some((level, rest)) => (level, rest.get(1..)),
            None => (text, None),
        };
        self.rest = rest;
        Some(level)
    }
}

/// True for a topic that wildcards at the first level do not reach. [MQTT-4.7.2-1]
pub(crate) fn is_dollar(text: &str) -> bool {
    text.starts_with('$')
}
