//! Users and roles of a commissioning file: resources of the types `Cybus::User` and `Cybus::Role`, whose names get the
//! service's id in front; `!ref` and `!sub` are resolved inside the file. Other resources are not for this program.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

use super::read;

/// Whether it is a commissioning file.
pub(super) fn is_from_one(yaml: &Yaml) -> bool {
    yaml.get("resources").is_some()
}

/// The policy document of a commissioning file.
pub(super) fn document(
    yaml: &Yaml,
    given: &BTreeMap<String, String>,
    service_id: Option<&str>,
) -> Result<Value, String> {
    let file = File::read(yaml, given, service_id)?;
    let (mut users, mut roles) = (Vec::new(), Vec::new());
    for (name, resource) in file.resources.iter().copied() {
        let properties = resource.get("properties").unwrap_or(&Yaml::Null);
        let of = |error: String| format!("resource `{name}`: {error}");
        match kind(resource) {
            Some(USER) => users.push(file.resource(name, "username", properties).map_err(of)?),
            Some(ROLE) => roles.push(file.resource(name, "name", properties).map_err(of)?),
            _ => {}
        }
    }
    if users.is_empty() && roles.is_empty() {
        return Err(format!("it has no resource of type `{USER}` or `{ROLE}`"));
    }
    Ok(json!({ "users": users, "roles": roles }))
}

struct File<'y> {
    service_id: String,
    resources: Vec<(&'y str, &'y Yaml)>,
    /// Parameters and definitions, resolved.
    words: BTreeMap<String, Value>,
}

impl<'y> File<'y> {
    fn read(
        yaml: &'y Yaml,
        given: &BTreeMap<String, String>,
        service_id: Option<&str>,
    ) -> Result<File<'y>, String> {
        let metadata_name = || yaml.get("metadata")?.get("name")?.as_str();
        let service_id = service_id.or_else(metadata_name);
        let service_id = service_id.ok_or("it has no `metadata.name`: give `--service-id`")?;
        if let Err(reason) = access::RoleName::parse(service_id) {
            return Err(format!(
                "`{service_id}` cannot begin the names of users and roles, it {reason}: give another by `--service-id`"
            ));
        }
        let mut file = File {
            service_id: service_id.to_owned(),
            resources: pairs(yaml, "resources")?,
            words: BTreeMap::new(),
        };
        let parameters = pairs(yaml, "parameters")?;
        if let Some(key) = given.keys().find(|key| !parameters.iter().any(|(name, _)| name == key))
        {
            return Err(format!("there is no parameter `{key}`"));
        }
        for (name, parameter) in parameters {
            let value = match (given.get(name), parameter.get("default")) {
                (Some(given), _) => Value::from(given.as_str()),
                (None, Some(default)) => read::json(default)?,
                // Only an error if something refers to it.
                (None, None) => continue,
            };
            file.words.insert(name.to_owned(), value);
        }
        for (name, definition) in pairs(yaml, "definitions")? {
            let value = file.resolve(definition)?;
            file.words.insert(name.to_owned(), value);
        }
        Ok(file)
    }

    fn resource(&self, name: &str, name_field: &str, properties: &Yaml) -> Result<Value, String> {
        let mut fields = match self.resolve(properties)? {
            Value::Null => Map::new(),
            Value::Object(fields) => fields,
            _ => return Err("its properties are no mapping".to_owned()),
        };
        fields.insert(name_field.to_owned(), Value::from(self.full_name(name)));
        Ok(Value::Object(fields))
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}.{name}", self.service_id)
    }

    fn resolve(&self, yaml: &Yaml) -> Result<Value, String> {
        match yaml {
            Yaml::Sequence(items) => items.iter().map(|item| self.resolve(item)).collect(),
            Yaml::Mapping(pairs) => {
                let pair = |(key, value): (&Yaml, &Yaml)| {
                    let key = key.as_str().ok_or("a key is no text")?;
                    Ok((key.to_owned(), self.resolve(value)?))
                };
                let pairs = pairs.iter().map(pair).collect::<Result<Map<_, _>, String>>()?;
                Ok(Value::Object(pairs))
            }
            Yaml::Tagged(tagged) if tagged.tag == "ref" => {
                let name = tagged.value.as_str().ok_or("`!ref` takes a name")?;
                self.word(name)
            }
            Yaml::Tagged(tagged) if tagged.tag == "sub" => {
                let text = tagged.value.as_str().ok_or("`!sub` takes a text")?;
                self.substitute(text).map(Value::from)
            }
            other => read::json(other),
        }
    }

    /// What a name stands for: a parameter, a definition, or a user or role of the file.
    fn word(&self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.words.get(name) {
            return Ok(value.clone());
        }
        let is_resource = self
            .resources
            .iter()
            .any(|(own, resource)| *own == name && matches!(kind(resource), Some(USER | ROLE)));
        if is_resource {
            return Ok(Value::from(self.full_name(name)));
        }
        match name {
            "Cybus::ServiceId" => Ok(Value::from(self.service_id.as_str())),
            _ => Err(format!(
                "`!ref {name}` refers to nothing: no parameter with a value (`--param {name}=…`), definition, user or role"
            )),
        }
    }

    /// `${name}` in a text; a name that stands for nothing stays, since `${username}` is a placeholder of permissions.
    fn substitute(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else { break };
            out.push_str(before);
            match self.word(name) {
                Ok(Value::String(value)) => out.push_str(&value),
                Ok(value @ (Value::Number(_) | Value::Bool(_))) => out.push_str(&value.to_string()),
                Ok(_) => return Err(format!("`${{{name}}}` stands for no text")),
                Err(_) if matches!(name, "username" | "clientId") => {
                    out.push_str(&format!("${{{name}}}"));
                }
                Err(error) => return Err(error),
            }
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn kind(resource: &Yaml) -> Option<&str> {
    resource.get("type").and_then(Yaml::as_str)
}

fn pairs<'y>(yaml: &'y Yaml, name: &str) -> Result<Vec<(&'y str, &'y Yaml)>, String> {
    let Some(section) = yaml.get(name) else { return Ok(Vec::new()) };
    let section = section.as_mapping().ok_or_else(|| format!("`{name}` is no mapping"))?;
    let pair = |(key, value): (&'y Yaml, &'y Yaml)| Some((key.as_str()?, value));
    let pairs: Option<Vec<_>> = section.iter().map(pair).collect();
    pairs.ok_or_else(|| format!("a key of `{name}` is no text"))
}

const USER: &str = "Cybus::User";
const ROLE: &str = "Cybus::Role";

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
metadata: { name: press }
parameters:
  area: { type: string, default: hall-1 }
  secret: { type: string }
definitions:
  base: !sub 'plant/${area}'
resources:
  connection: { type: 'Cybus::Connection', properties: { protocol: Opcua } }
  reader:
    type: Cybus::Role
    properties:
      permissions:
        - { resource: !sub '${base}/${username}/#', operation: read, context: mqtt }
  gauge:
    type: Cybus::User
    properties:
      password: !ref secret
      roles: [!ref reader]
";

    fn check(params: &[(&str, &str)], service_id: Option<&str>, expected: Result<Value, &str>) {
        let yaml: Yaml = serde_yaml_ng::from_str(FILE).unwrap();
        let given = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match (document(&yaml, &given, service_id), expected) {
            (Ok(made), Ok(expected)) => assert_eq!(made, expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (made, expected) => panic!("{made:?} is not {expected:?}"),
        }
    }

    #[test]
    fn names_get_the_service_and_references_are_resolved() {
        let made = |service: &str, area: &str| {
            json!({
                "roles": [{ "name": format!("{service}.reader"), "permissions": [{
                    "resource": format!("plant/{area}/${{username}}/#"), "operation": "read",
                    "context": "mqtt",
                }]}],
                "users": [{ "username": format!("{service}.gauge"), "password": "s3cret",
                    "roles": [format!("{service}.reader")] }],
            })
        };
        check(&[("secret", "s3cret")], None, Ok(made("press", "hall-1")));
        let both = [("secret", "s3cret"), ("area", "hall-2")];
        check(&both, Some("line"), Ok(made("line", "hall-2")));
    }

    #[test]
    fn what_refers_to_nothing_is_refused() {
        check(&[], None, Err("`!ref secret` refers to nothing"));
        check(&[("secret", "x"), ("other", "y")], None, Err("no parameter `other`"));
    }

    #[test]
    fn a_service_whose_name_cannot_begin_others_is_refused_with_the_remedy() {
        let refused = "`My Service` cannot begin the names of users and roles, it holds ' '";
        check(&[("secret", "x")], Some("My Service"), Err(refused));
        check(&[("secret", "x")], Some(""), Err("--service-id"));
    }
}
