//! Values that are one of a few words, or text with a rule of its own.

use std::path::PathBuf;

use access::UserName;
use admin::AuthenticationMode;
use broker::{
    DeniedPublish, OverBudget, PayloadFormat, Persistence, QueueFull, ResponseInformation,
};
use tracing::Level;

use super::slot::Word;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What of sessions that outlive their connection, of retained messages and of wills a restart keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Durability {
    /// All that was confirmed, also after a power cut.
    #[default]
    Fsync,
    /// All that was confirmed, unless the system itself goes down.
    Buffered,
    /// Nothing.
    None,
}

impl Durability {
    /// What that means for the engine.
    pub(crate) fn persistence(self) -> Persistence {
        match self {
            Self::Fsync | Self::Buffered => Persistence::On,
            Self::None => Persistence::Off,
        }
    }
}

impl Word for Durability {
    fn allowed(&self) -> String {
        words(&DURABILITY)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &DURABILITY)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &DURABILITY)
    }
}

/// The word of the configuration for a mode.
pub(crate) fn authentication_word(mode: AuthenticationMode) -> &'static str {
    match mode {
        AuthenticationMode::Password => "password",
        AuthenticationMode::MutualTls => "mutual-tls",
        AuthenticationMode::Either => "either",
    }
}

impl Word for AuthenticationMode {
    fn allowed(&self) -> String {
        words(&AUTHENTICATION)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &AUTHENTICATION)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &AUTHENTICATION)
    }
}

impl Word for LogFormat {
    fn allowed(&self) -> String {
        words(&LOG_FORMAT)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &LOG_FORMAT)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &LOG_FORMAT)
    }
}

impl Word for Level {
    fn allowed(&self) -> String {
        words(&LOG_LEVEL)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &LOG_LEVEL)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &LOG_LEVEL)
    }
}

impl Word for QueueFull {
    fn allowed(&self) -> String {
        words(&QUEUE_FULL)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &QUEUE_FULL)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &QUEUE_FULL)
    }
}

impl Word for DeniedPublish {
    fn allowed(&self) -> String {
        words(&DENIED_PUBLISH)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &DENIED_PUBLISH)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &DENIED_PUBLISH)
    }
}

impl Word for PayloadFormat {
    fn allowed(&self) -> String {
        words(&PAYLOAD_FORMAT)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &PAYLOAD_FORMAT)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &PAYLOAD_FORMAT)
    }
}

impl Word for Option<ResponseInformation> {
    fn allowed(&self) -> String {
        "topic, with ${username} and ${clientId}".to_owned()
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = Some(ResponseInformation::parse(text).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.as_ref().map(|it| it.as_str().to_owned())
    }
}

impl Word for OverBudget {
    fn allowed(&self) -> String {
        words(&OVER_BUDGET)
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        choose(self, text, &OVER_BUDGET)
    }

    fn text(&self) -> Option<String> {
        word_of(*self, &OVER_BUDGET)
    }
}

impl Word for Option<UserName> {
    fn allowed(&self) -> String {
        "name of a user".to_owned()
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = Some(UserName::parse(text).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.as_ref().map(ToString::to_string)
    }
}

impl Word for Option<PathBuf> {
    fn allowed(&self) -> String {
        "path of a file".to_owned()
    }

    fn set(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        *self = Some(PathBuf::from(text));
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.as_ref().map(|path| path.display().to_string())
    }
}

fn choose<T: Copy>(slot: &mut T, text: &str, choices: &[(&str, T)]) -> Result<(), String> {
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => {
            *slot = *value;
            Ok(())
        }
        None => Err(format!("it must be {}", words(choices))),
    }
}

fn word_of<T: PartialEq>(value: T, choices: &[(&str, T)]) -> Option<String> {
    choices.iter().find(|(_, choice)| *choice == value).map(|(word, _)| (*word).to_owned())
}

fn words<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    match words.as_slice() {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

const AUTHENTICATION: [(&str, AuthenticationMode); 3] = [
    ("password", AuthenticationMode::Password),
    ("mutual-tls", AuthenticationMode::MutualTls),
    ("either", AuthenticationMode::Either),
];
const DURABILITY: [(&str, Durability); 3] =
    [("fsync", Durability::Fsync), ("buffered", Durability::Buffered), ("none", Durability::None)];
const LOG_FORMAT: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const LOG_LEVEL: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];
const QUEUE_FULL: [(&str, QueueFull); 2] =
    [("drop-oldest", QueueFull::DropOldest), ("drop-newest", QueueFull::DropNewest)];
const DENIED_PUBLISH: [(&str, DeniedPublish); 2] =
    [("drop", DeniedPublish::Drop), ("close", DeniedPublish::Close)];
const PAYLOAD_FORMAT: [(&str, PayloadFormat); 2] =
    [("pass", PayloadFormat::Pass), ("check", PayloadFormat::Check)];
const OVER_BUDGET: [(&str, OverBudget); 3] =
    [("wait", OverBudget::Wait), ("refuse", OverBudget::Refuse), ("close", OverBudget::Close)];
