//! A JSON object at a line of a file. What is asked for is taken out, so that the rest is what nobody knows.
//!
//! Mosquitto takes the first of several fields of one name, and does not tell upper from lower case in names. Here such a
//! field is found as well, and one that is there twice is refused: who reads the file must not see another one than we.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::findings::{Malformed, Source};

/// An object.
pub(super) struct Object<'t> {
    source: &'t Source,
    pub(super) line: usize,
    fields: Fields<'t>,
}

/// Names in lower case, with the text of each value.
struct Fields<'t>(BTreeMap<String, &'t RawValue>);

impl<'t> Object<'t> {
    pub(super) fn read(source: &'t Source, raw: &'t RawValue) -> Result<Object<'t>, Malformed> {
        let line = source.line_of(raw.get());
        let fields = serde_json::from_str(raw.get());
        let fields = fields.map_err(|error: serde_json::Error| {
            Malformed::new(line, format!("here an object `{{…}}` must stand: {error}"))
        })?;
        Ok(Object { source, line, fields })
    }

    pub(super) fn bad(&self, reason: impl Into<String>) -> Malformed {
        Malformed::new(self.line, reason)
    }

    /// A text, if it is there.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, Malformed> {
        match self.value(field)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(format!("`{field}` must be a text"))),
        }
    }

    /// A text that must be there.
    pub(super) fn name(&mut self, field: &str) -> Result<String, Malformed> {
        let text = self.text(field)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.bad(format!("`{field}` is missing or empty")))
    }

    /// A number, if it is there.
    pub(super) fn number(&mut self, field: &str) -> Result<Option<i64>, Malformed> {
        let Some(value) = self.value(field)? else { return Ok(None) };
        let number = value.as_i64();
        number.map(Some).ok_or_else(|| self.bad(format!("`{field}` must be a whole number")))
    }

    /// A truth, if it is there.
    pub(super) fn truth(&mut self, field: &str) -> Result<Option<bool>, Malformed> {
        let Some(value) = self.value(field)? else { return Ok(None) };
        let truth = value.as_bool();
        truth.map(Some).ok_or_else(|| self.bad(format!("`{field}` must be `true` or `false`")))
    }

    /// Another object, if it is there.
    pub(super) fn object(&mut self, field: &str) -> Result<Option<Object<'t>>, Malformed> {
        self.take(field).map(|raw| Object::read(self.source, raw)).transpose()
    }

    /// The objects of a list; none if there is no list.
    pub(super) fn objects(&mut self, field: &str) -> Result<Vec<Object<'t>>, Malformed> {
        let Some(raw) = self.take(field) else { return Ok(Vec::new()) };
        let list: Vec<&'t RawValue> = Deserialize::deserialize(raw).map_err(|_| {
            Malformed::new(self.source.line_of(raw.get()), format!("`{field}` must be a list"))
        })?;
        list.into_iter().map(|raw| Object::read(self.source, raw)).collect()
    }

    /// The names that nobody has asked for.
    pub(super) fn rest(self) -> impl Iterator<Item = (usize, String)> {
        let line = self.line;
        self.fields.0.into_keys().map(move |name| (line, name))
    }

    fn value(&mut self, field: &str) -> Result<Option<Value>, Malformed> {
        let Some(raw) = self.take(field) else { return Ok(None) };
        let value = serde_json::from_str(raw.get());
        let value: Value = value.map_err(|error| self.bad(format!("`{field}`: {error}")))?;
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    fn take(&mut self, field: &str) -> Option<&'t RawValue> {
        self.fields.0.remove(&field.to_ascii_lowercase())
    }
}

impl<'de: 't, 't> Deserialize<'de> for Fields<'t> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields<'t>, D::Error> {
        from.deserialize_map(Reader).map(Fields)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            let name = name.to_ascii_lowercase();
            if fields.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format_args!("`{name}` is there twice")));
            }
        }
        Ok(fields)
    }
}
