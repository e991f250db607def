//! Options that change permissions, the same for users and roles, and what they make of an object.

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::permission::{Effect, PermissionSpec, spell_json};

/// Permissions of something new.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct NewPermissions {
    /// Allow this (OP = read, write or readWrite; `http:OP:PATH` for the HTTP context)
    #[arg(long, value_name = "OP:RESOURCE")]
    allow: Vec<PermissionSpec>,
    /// Deny this; a deny beats every allow
    #[arg(long, value_name = "OP:RESOURCE")]
    deny: Vec<PermissionSpec>,
}

/// Changes to the permissions of something that exists.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PermissionChanges {
    #[command(flatten)]
    added: NewPermissions,
    /// Take this permission away, be it an allow or a deny
    #[arg(long, value_name = "OP:RESOURCE")]
    revoke: Vec<PermissionSpec>,
}

impl NewPermissions {
    /// The REST objects.
    pub(super) fn to_json(&self) -> Vec<Value> {
        let allowed = self.allow.iter().map(|spec| spec.to_json(Effect::Allow));
        let denied = self.deny.iter().map(|spec| spec.to_json(Effect::Deny));
        allowed.chain(denied).collect()
    }
}

impl PermissionChanges {
    /// The permissions of `object` after the changes; `None` if there are no changes. `owner` is for messages.
    ///
    /// What is revoked goes first, so that `--revoke X --allow X` turns a deny into an allow. Revoking what is not
    /// there is an error: whoever takes a right away must not believe it gone because of a misspelt topic.
    pub(super) fn apply(&self, object: &Value, owner: &str) -> Result<Option<Vec<Value>>, Failure> {
        let added = self.added.to_json();
        if added.is_empty() && self.revoke.is_empty() {
            return Ok(None);
        }
        let mut permissions =
            object.get("permissions").and_then(Value::as_array).cloned().unwrap_or_default();
        for spec in &self.revoke {
            let count_before = permissions.len();
            permissions.retain(|permission| !spec.is_same(permission));
            if permissions.len() == count_before {
                return Err(nothing_to_revoke(spec, owner, &permissions));
            }
        }
        for permission in added {
            if !permissions.iter().any(|existing| is_equal(existing, &permission)) {
                permissions.push(permission);
            }
        }
        Ok(Some(permissions))
    }

    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.revoke.is_empty() && self.added.allow.is_empty() && self.added.deny.is_empty()
    }
}

/// Adding what is there already changes nothing and makes no second copy.
fn is_equal(existing: &Value, added: &Value) -> bool {
    let effect = |permission: &Value| {
        permission.get("effect").and_then(Value::as_str).unwrap_or("allow").to_owned()
    };
    let is_same =
        spell_json(added).parse::<PermissionSpec>().is_ok_and(|spec| spec.is_same(existing));
    is_same && effect(existing) == effect(added)
}

fn nothing_to_revoke(spec: &PermissionSpec, owner: &str, held: &[Value]) -> Failure {
    let held: Vec<String> = held.iter().map(|held| format!("`{}`", spell_json(held))).collect();
    let held = if held.is_empty() { "none".to_owned() } else { held.join(", ") };
    Failure::Missing(format!("{owner} has no permission `{spec}` of its own: it has {held}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(allow: &[&str], deny: &[&str], revoke: &[&str]) -> PermissionChanges {
        let parse = |specs: &[&str]| specs.iter().map(|spec| spec.parse().unwrap()).collect();
        PermissionChanges {
            added: NewPermissions { allow: parse(allow), deny: parse(deny) },
            revoke: parse(revoke),
        }
    }

    fn check(changes: &PermissionChanges, expected: Option<&[(&str, &str)]>) {
        let object = json!({"permissions": [
            {"id": "1", "resource": "a/#", "operation": "read", "context": "mqtt", "effect": "deny"},
            {"id": "2", "resource": "api/x", "operation": "write", "context": "http", "effect": "allow"},
        ]});
        let applied = changes.apply(&object, "user `u`").unwrap();
        let spelt = applied.map(|permissions| {
            let spell = |permission: &Value| {
                (permission["effect"].as_str().unwrap().to_owned(), spell_json(permission))
            };
            permissions.iter().map(spell).collect::<Vec<_>>()
        });
        let expected = expected.map(|permissions| {
            let own = |(effect, spec): &(&str, &str)| ((*effect).to_owned(), (*spec).to_owned());
            permissions.iter().map(own).collect::<Vec<_>>()
        });
        assert_eq!(spelt, expected);
    }

    #[test]
    fn no_changes_are_no_patch() {
        check(&changes(&[], &[], &[]), None);
    }

    #[test]
    fn added_permissions_join_those_that_are_there() {
        check(
            &changes(&["read:b"], &["write:c"], &[]),
            Some(&[
                ("deny", "read:a/#"),
                ("allow", "http:write:api/x"),
                ("allow", "read:b"),
                ("deny", "write:c"),
            ]),
        );
    }

    #[test]
    fn a_deny_becomes_an_allow_by_revoking_it_in_the_same_call() {
        check(
            &changes(&["read:a/#"], &[], &["read:a/#"]),
            Some(&[("allow", "http:write:api/x"), ("allow", "read:a/#")]),
        );
    }

    #[test]
    fn an_allow_beside_a_deny_does_not_replace_it() {
        check(
            &changes(&["read:a/#"], &[], &[]),
            Some(&[("deny", "read:a/#"), ("allow", "http:write:api/x"), ("allow", "read:a/#")]),
        );
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        check(
            &changes(&["http:write:/api/x"], &["read:a/#"], &[]),
            Some(&[("deny", "read:a/#"), ("allow", "http:write:api/x")]),
        );
    }

    #[test]
    fn revoking_what_is_not_there_is_an_error_that_says_what_is() {
        let failure = changes(&[], &[], &["read:a"]).apply(
            &json!({"permissions": [{"resource": "a/#", "operation": "read", "context": "mqtt"}]}),
            "user `u`",
        );
        let text = failure.unwrap_err().to_string();
        assert_eq!(text, "user `u` has no permission `read:a` of its own: it has `read:a/#`");
    }
}
