//! The types a key can have: how a value is read from the file or a variable and written back.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use admin::Secret;

/// A value as it stands in its source. A variable is always text.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// A string of the file.
    Text(String),
    /// The text of an environment variable, to be read as whatever the key wants.
    Variable(String),
    /// An integer of the file.
    Integer(i64),
    /// A boolean of the file.
    Boolean(bool),
    /// An array of strings of the file.
    List(Vec<String>),
    /// Anything else of the file, by the name of its type.
    Other(&'static str),
}

/// The place in a `Config` that a key stands for.
pub(super) enum Slot<'a> {
    /// `true` or `false`.
    Switch(&'a mut bool),
    /// A whole number.
    Whole(&'a mut dyn Whole),
    /// A time span such as `"500ms"`, `"10s"`, `"5m"` or `"2h"`.
    Span(&'a mut Duration),
    /// `ADDRESS:PORT` or `off`.
    Address(&'a mut Option<SocketAddr>),
    /// Text with rules of its own.
    Word(&'a mut dyn Word),
    /// Any number of texts; in a variable with commas between them.
    List(&'a mut Vec<String>),
    /// Text that is never shown.
    Secret(&'a mut Option<Secret>),
}

/// A whole number of some width.
pub(super) trait Whole {
    /// The value.
    fn value(&self) -> u64;
    /// Takes a value; false when it does not fit the width.
    fn set(&mut self, value: u64) -> bool;
}

/// Text with rules of its own.
pub(super) trait Word {
    /// What may be written, for documentation and error messages.
    fn allowed(&self) -> String;
    /// Takes the text, or says why not.
    fn set(&mut self, text: &str) -> Result<(), String>;
    /// The text that gives the same value back; `None` when nothing is set.
    fn text(&self) -> Option<String>;
}

impl Slot<'_> {
    /// Takes a value within `range`, or says what is allowed instead.
    pub(super) fn set(&mut self, raw: &Raw, range: Range) -> Result<(), String> {
        match self {
            Self::Switch(slot) => switch(raw).map(|value| **slot = value),
            Self::Whole(slot) => {
                let value = range.admit(whole(raw)?)?;
                if slot.set(value) { Ok(()) } else { Err("the number is too large".to_owned()) }
            }
            Self::Span(slot) => {
                let text = text(raw, "a time span such as \"10s\"")?;
                range.admit_span(parse_span(text)?).map(|value| **slot = value)
            }
            Self::Address(slot) => address(text(raw, ADDRESS_FORM)?).map(|value| **slot = value),
            Self::Word(slot) => {
                let text = text(raw, "a string")?.to_owned();
                slot.set(&text)
            }
            Self::List(slot) => list(raw).map(|values| **slot = values),
            Self::Secret(slot) => match text(raw, "a string")? {
                "" => Err("it is empty".to_owned()),
                text => {
                    **slot = Some(Secret::from(text));
                    Ok(())
                }
            },
        }
    }

    /// The value as TOML; `None` when nothing is set or it is a secret.
    pub(super) fn toml(&self) -> Option<String> {
        match self {
            Self::Switch(value) => Some(value.to_string()),
            Self::Whole(value) => Some(value.value().to_string()),
            Self::Span(value) => Some(format!("\"{}\"", span_text(**value))),
            Self::Address(Some(address)) => Some(format!("\"{address}\"")),
            Self::Address(None) => Some("\"off\"".to_owned()),
            Self::Word(value) => value.text().map(|text| toml_string(&text)),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(|value| toml_string(value)).collect();
                Some(format!("[{}]", values.join(", ")))
            }
            Self::Secret(_) => None,
        }
    }

    /// Whether there is a value at all.
    pub(super) fn is_set(&self) -> bool {
        match self {
            Self::Secret(secret) => secret.is_some(),
            Self::Word(word) => word.text().is_some(),
            Self::Switch(_) | Self::Whole(_) | Self::Span(_) | Self::Address(_) | Self::List(_) => {
                true
            }
        }
    }

    /// What may be written.
    pub(super) fn allowed(&self, range: Range) -> String {
        match self {
            Self::Switch(_) => "true or false".to_owned(),
            Self::Whole(_) => format!("integer, {range}"),
            Self::Span(_) => format!("time span, {}", range.span_text()),
            Self::Address(_) => "address:port or off".to_owned(),
            Self::Word(value) => value.allowed(),
            Self::List(_) => "array of strings".to_owned(),
            Self::Secret(_) => "secret text".to_owned(),
        }
    }
}

/// The smallest and largest value of a number, or of a time span in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// The smallest value.
    pub(super) min: u64,
    /// The largest value.
    pub(super) max: u64,
}

impl Range {
    fn admit(self, value: u64) -> Result<u64, String> {
        if (self.min..=self.max).contains(&value) {
            Ok(value)
        } else {
            Err(format!("it must be {self}"))
        }
    }

    fn admit_span(self, value: Duration) -> Result<Duration, String> {
        match u64::try_from(value.as_millis()) {
            Ok(value_ms) if (self.min..=self.max).contains(&value_ms) => Ok(value),
            _ => Err(format!("it must be {}", self.span_text())),
        }
    }

    fn span_text(self) -> String {
        let [min, max] = [self.min, self.max].map(|ms| span_text(Duration::from_millis(ms)));
        format!("{min} to {max}")
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} to {}", self.min, self.max)
    }
}

impl Whole for u16 {
    fn value(&self) -> u64 {
        u64::from(*self)
    }

    fn set(&mut self, value: u64) -> bool {
        Self::try_from(value).map(|value| *self = value).is_ok()
    }
}

impl Whole for u32 {
    fn value(&self) -> u64 {
        u64::from(*self)
    }

    fn set(&mut self, value: u64) -> bool {
        Self::try_from(value).map(|value| *self = value).is_ok()
    }
}

impl Whole for u64 {
    fn value(&self) -> u64 {
        *self
    }

    fn set(&mut self, value: u64) -> bool {
        *self = value;
        true
    }
}

impl Whole for usize {
    fn value(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }

    fn set(&mut self, value: u64) -> bool {
        Self::try_from(value).map(|value| *self = value).is_ok()
    }
}

impl Whole for NonZeroU16 {
    fn value(&self) -> u64 {
        u64::from(self.get())
    }

    fn set(&mut self, value: u64) -> bool {
        Self::try_from(u16::try_from(value).unwrap_or(0)).map(|value| *self = value).is_ok()
    }
}

/// Text as a TOML string. JSON's escapes are a subset of TOML's, except for DEL, which JSON leaves bare.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn text<'a>(raw: &'a Raw, wanted: &str) -> Result<&'a str, String> {
    match raw {
        Raw::Text(text) | Raw::Variable(text) => Ok(text),
        Raw::Integer(_) => Err(format!("it must be {wanted}, not an integer")),
        Raw::Boolean(_) => Err(format!("it must be {wanted}, not a boolean")),
        Raw::List(_) => Err(format!("it must be {wanted}, not an array")),
        Raw::Other(kind) => Err(format!("it must be {wanted}, not a value of type {kind}")),
    }
}

fn list(raw: &Raw) -> Result<Vec<String>, String> {
    let values = match raw {
        Raw::List(values) => values.clone(),
        Raw::Variable(text) if text.trim().is_empty() => Vec::new(),
        Raw::Variable(text) => text.split(',').map(|value| value.trim().to_owned()).collect(),
        _ => return Err("it must be an array of strings".to_owned()),
    };
    if values.iter().any(String::is_empty) {
        return Err("one of its strings is empty".to_owned());
    }
    Ok(values)
}

fn switch(raw: &Raw) -> Result<bool, String> {
    match raw {
        Raw::Boolean(value) => Ok(*value),
        Raw::Variable(text) if text == "true" => Ok(true),
        Raw::Variable(text) if text == "false" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

fn whole(raw: &Raw) -> Result<u64, String> {
    match raw {
        Raw::Integer(value) => {
            u64::try_from(*value).map_err(|_| "it must not be negative".to_owned())
        }
        Raw::Variable(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| "it must be an integer".to_owned())
        }
        _ => Err("it must be an integer".to_owned()),
    }
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("it must be {ADDRESS_FORM}"))
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a number and a unit, such as \"500ms\", \"10s\", \"5m\" or \"2h\"";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (Some(number), Some(unit)) = (text.get(..digits), text.get(digits..)) else {
        return Err(wrong().to_owned());
    };
    let number: u64 = number.parse().map_err(|_| wrong().to_owned())?;
    let (_, unit_ms) =
        UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| wrong().to_owned())?;
    number
        .checked_mul(*unit_ms)
        .map(Duration::from_millis)
        .ok_or_else(|| "it is too long".to_owned())
}

fn span_text(value: Duration) -> String {
    let value_ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    let (unit, unit_ms) = UNITS
        .iter()
        .find(|(_, unit_ms)| value_ms >= *unit_ms && value_ms % unit_ms == 0)
        .copied()
        .unwrap_or(("ms", 1));
    format!("{}{unit}", value_ms / unit_ms)
}

const ADDRESS_FORM: &str = "an IP address and port such as \"127.0.0.1:1883\", or \"off\"";

/// Units of time spans with their milliseconds, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
