//! Permissions as the command line writes them: `OP:RESOURCE`, `mqtt:OP:FILTER`, `http:OP:PATH`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// A permission without its effect, which the option (`--allow`, `--deny`) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PermissionSpec {
    context: &'static str,
    operation: &'static str,
    /// As written; the server judges it. It may hold colons.
    resource: String,
}

/// What a permission does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// `--allow`
    Allow,
    /// `--deny`
    Deny,
}

impl PermissionSpec {
    /// The REST object of a new permission.
    pub(super) fn to_json(&self, effect: Effect) -> Value {
        json!({
            "resource": self.resource,
            "operation": self.operation,
            "context": self.context,
            "effect": effect.as_str(),
        })
    }

    /// Whether `permission`, a REST object, is this one, whatever its effect.
    pub(super) fn is_same(&self, permission: &Value) -> bool {
        let field = |name| permission.get(name).and_then(Value::as_str).unwrap_or_default();
        field("context") == self.context
            && field("operation") == self.operation
            && self.canonical(field("resource")) == self.canonical(&self.resource)
    }

    /// A path of the HTTP context is the same with and without its leading `/`.
    fn canonical<'a>(&self, resource: &'a str) -> &'a str {
        match self.context {
            "http" => resource.strip_prefix('/').unwrap_or(resource),
            _ => resource,
        }
    }
}

impl Effect {
    /// The word of the REST object.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
        }
    }
}

impl FromStr for PermissionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<PermissionSpec, String> {
        let (context, rest) = match text.split_once(':') {
            Some(("mqtt", rest)) => ("mqtt", rest),
            Some(("http", rest)) => ("http", rest),
            _ => ("mqtt", text),
        };
        let Some((operation, resource)) = rest.split_once(':') else {
            return Err(format!("`{text}` is not of the form {GRAMMAR}"));
        };
        let operation = match operation {
            "read" => "read",
            "write" => "write",
            "readWrite" | "readwrite" => "readWrite",
            _ => return Err(format!("`{operation}` is no operation: write {GRAMMAR}")),
        };
        if resource.is_empty() {
            return Err(format!("`{text}` names no resource: write {GRAMMAR}"));
        }
        Ok(PermissionSpec { context, operation, resource: resource.to_owned() })
    }
}

impl fmt::Display for PermissionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell(self.context, self.operation, &self.resource))
    }
}

/// A permission's REST object in the words of the command line, without its effect.
pub(super) fn spell_json(permission: &Value) -> String {
    let field = |name| permission.get(name).and_then(Value::as_str).unwrap_or_default();
    spell(field("context"), field("operation"), field("resource"))
}

fn spell(context: &str, operation: &str, resource: &str) -> String {
    match context {
        "mqtt" => format!("{operation}:{resource}"),
        _ => format!("{context}:{operation}:{resource}"),
    }
}

const GRAMMAR: &str = "[mqtt:|http:]OP:RESOURCE, where OP is read, write or readWrite (`read:plant/#`, `http:read:/api/users`)";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, &str)>) {
        let parsed = text.parse::<PermissionSpec>().ok();
        let parsed =
            parsed.as_ref().map(|spec| (spec.context, spec.operation, spec.resource.as_str()));
        assert_eq!(parsed, expected, "{text}");
    }

    #[test]
    fn the_short_form_is_mqtt() {
        check("read:plant/#", Some(("mqtt", "read", "plant/#")));
        check("write:a", Some(("mqtt", "write", "a")));
        check("readWrite:+/b", Some(("mqtt", "readWrite", "+/b")));
        check("readwrite:+/b", Some(("mqtt", "readWrite", "+/b")));
    }

    #[test]
    fn the_long_forms_name_their_context() {
        check("mqtt:read:a/b", Some(("mqtt", "read", "a/b")));
        check("http:readWrite:/api/#", Some(("http", "readWrite", "/api/#")));
    }

    #[test]
    fn a_resource_may_hold_colons() {
        check("read:urn:a:b", Some(("mqtt", "read", "urn:a:b")));
        check("http:write::x", Some(("http", "write", ":x")));
        check("mqtt:read:http:read:x", Some(("mqtt", "read", "http:read:x")));
    }

    #[test]
    fn what_is_not_a_permission_is_refused() {
        for text in [
            "",
            "read",
            "read:",
            "plant/#",
            "READ:a",
            "mqtt:a",
            "http:read:",
            "http:",
            ":a",
            "write :a",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_permission_is_found_again_whatever_its_effect() {
        let spec: PermissionSpec = "http:read:/api/users".parse().unwrap();
        for effect in [Effect::Allow, Effect::Deny] {
            assert!(spec.is_same(&spec.to_json(effect)));
        }
        let stored = json!({"context": "http", "operation": "read", "resource": "api/users"});
        assert!(spec.is_same(&stored));
        let other = json!({"context": "mqtt", "operation": "read", "resource": "api/users"});
        assert!(!spec.is_same(&other));
    }

    #[test]
    fn a_leading_slash_means_something_in_mqtt() {
        let spec: PermissionSpec = "read:/a".parse().unwrap();
        assert!(!spec.is_same(&json!({"context": "mqtt", "operation": "read", "resource": "a"})));
    }

    #[test]
    fn spelling_and_parsing_agree() {
        for text in ["read:a:b", "http:write:/x"] {
            assert_eq!(text.parse::<PermissionSpec>().unwrap().to_string(), text);
        }
    }
}
