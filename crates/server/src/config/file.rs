//! Reads the TOML file. Every key must be known, every value must fit, and errors name the line.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Source};
use super::keys::{KEYS, nearest};
use super::slot::Raw;
use super::{Effective, secret_from_file};

/// Takes the values of the file at `path`.
pub(super) fn read(path: &Path, effective: &mut Effective) -> Result<(), ConfigError> {
    let refuse = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(refuse(format!("it has {size} bytes, more than {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    Document { path: path.to_owned(), text: &text }.read(effective)
}

/// The file's text, to find line numbers in.
struct Document<'a> {
    path: PathBuf,
    text: &'a str,
}

impl Document<'_> {
    fn read(&self, effective: &mut Effective) -> Result<(), ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            place: self.place(error.span().unwrap_or_default()),
            message: error.message().replace('\n', "; "),
        })?;
        for (name, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(section) if is_section(name.get_ref()) => {
                    self.read_section(name.get_ref(), section, effective)?;
                }
                _ if is_section(name.get_ref()) => return Err(self.not_a_section(name)),
                _ => self.read_key("", name, value, effective)?,
            }
        }
        Ok(())
    }

    fn read_section(
        &self,
        section: &str,
        table: &DeTable<'_>,
        effective: &mut Effective,
    ) -> Result<(), ConfigError> {
        table.iter().try_for_each(|(name, value)| self.read_key(section, name, value, effective))
    }

    fn read_key(
        &self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        effective: &mut Effective,
    ) -> Result<(), ConfigError> {
        let place = self.place(name.span());
        let known =
            |name: &str| KEYS.iter().position(|key| key.section == section && key.name == name);
        if let Some(index) = known(name.get_ref()) {
            return effective.set(index, &raw(value.get_ref()), place);
        }
        let secret = name.get_ref().strip_suffix("_file").and_then(known);
        if let Some((index, key)) = secret.and_then(|index| Some((index, KEYS.get(index)?)))
            && key.is_secret()
        {
            let DeValue::String(path) = value.get_ref() else {
                let reason = "it must be the path of a file".to_owned();
                return Err(key.refuse(&raw(value.get_ref()), reason, place));
            };
            let raw = secret_from_file(key, Path::new(path.as_ref()), &place)?;
            return effective.set(index, &raw, place);
        }
        Err(unknown(section, name.get_ref(), value.get_ref(), place))
    }

    fn not_a_section(&self, name: &Spanned<std::borrow::Cow<'_, str>>) -> ConfigError {
        ConfigError::BadValue {
            place: self.place(name.span()),
            key: name.get_ref().to_string(),
            value: "a single value".to_owned(),
            reason: format!("it is a section: write `[{}]` and its keys below", name.get_ref()),
        }
    }

    fn place(&self, span: Range<usize>) -> Source {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
        Source::File { path: self.path.clone(), line }
    }
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && KEYS.iter().any(|key| key.section == name)
}

fn unknown(section: &str, name: &str, value: &DeValue<'_>, place: Source) -> ConfigError {
    let is_table = matches!(value, DeValue::Table(_));
    let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let nearest = if is_table && section.is_empty() {
        nearest(name, KEYS.iter().map(|key| key.section.to_owned()))
    } else {
        // The same name in another section is likelier meant than a name that looks alike.
        let moved = KEYS.iter().find(|key| key.name == name).map(|key| key.path());
        moved.or_else(|| nearest(&path, KEYS.iter().map(super::keys::Key::path)))
    };
    let what = if is_table { "section" } else { "key" };
    ConfigError::Unknown { place, what, name: path.escape_debug().to_string(), nearest }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Raw::Other("integer beyond 64 bits"), Raw::Integer),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Float(_) => Raw::Other("float"),
        DeValue::Datetime(_) => Raw::Other("datetime"),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| match value.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().map_or(Raw::Other("array"), Raw::List)
        }
        DeValue::Table(_) => Raw::Other("table"),
    }
}

/// A configuration is a page or two; what is longer is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;
