//! From a YAML file to the document that the server takes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

use super::commissioning;
use crate::cli::failure::Failure;

/// Reads a policy file, or a commissioning file.
pub(super) fn document(
    file: &Path,
    parameters: &BTreeMap<String, String>,
    service_id: Option<&str>,
) -> Result<Value, Failure> {
    let shown = file.display();
    let bad = |reason: String| Failure::Usage(format!("`{shown}`: {reason}"));
    let text = text(file).map_err(|error| bad(error.to_string()))?;
    let yaml: Yaml = serde_yaml_ng::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if yaml.is_null() {
        return Err(bad(
            "it is empty: `roles: []` and `users: []` are a policy of nobody".to_owned()
        ));
    }
    let mut document = if yaml.get("resources").is_some() {
        commissioning::document(&yaml, parameters, service_id).map_err(bad)?
    } else if let Some(key) = parameters.keys().next() {
        return Err(bad(format!("parameter `{key}` is given, but this is no commissioning file")));
    } else {
        json(&yaml).map_err(bad)?
    };
    let users = document.get_mut("users").and_then(Value::as_array_mut);
    for user in users.into_iter().flatten().filter_map(Value::as_object_mut) {
        if commissioning::is_from_one(&yaml) {
            break;
        }
        take_password_file(user, file).map_err(bad)?;
    }
    Ok(document)
}

fn text(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

/// A password stands in a file of its own, relative to the policy file, never in the policy.
fn take_password_file(user: &mut Map<String, Value>, policy: &Path) -> Result<(), String> {
    if user.contains_key("password") {
        let reason =
            "`password` does not belong in a policy file: use `passwordFile` or `passwordHash`";
        return Err(reason.to_owned());
    }
    let Some(named) = user.remove("passwordFile") else { return Ok(()) };
    let named = named.as_str().ok_or("`passwordFile` is not the name of a file")?.to_owned();
    let path = policy.parent().unwrap_or(Path::new("")).join(&named);
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("`passwordFile` `{}`: {error}", path.display()))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    user.insert("password".to_owned(), Value::from(password));
    Ok(())
}

/// The same in JSON, which has neither tags nor keys that are no text.
pub(super) fn json(yaml: &Yaml) -> Result<Value, String> {
    match yaml {
        Yaml::Null => Ok(Value::Null),
        Yaml::Bool(is) => Ok(Value::Bool(*is)),
        Yaml::String(text) => Ok(Value::from(text.as_str())),
        Yaml::Number(number) => serde_json::to_value(number).map_err(|error| error.to_string()),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(pairs) => {
            let pair = |(key, value): (&Yaml, &Yaml)| {
                let key = key.as_str().ok_or("a key is no text")?;
                Ok((key.to_owned(), json(value)?))
            };
            let pairs = pairs.iter().map(pair).collect::<Result<Map<_, _>, String>>()?;
            Ok(Value::Object(pairs))
        }
        Yaml::Tagged(tagged) => Err(format!("`{}` means nothing here", tagged.tag)),
    }
}
