//! How REST objects read for a person.

use std::collections::BTreeMap;

use serde_json::Value;

use super::failure::Failure;
use super::permission::spell_json;
use super::session::Session;

/// Role names by id.
#[derive(Debug, Default)]
pub(super) struct RoleNames(BTreeMap<String, String>);

impl RoleNames {
    /// Asks for all roles, if the answer is for a person.
    pub(super) async fn load(session: &mut Session) -> Result<RoleNames, Failure> {
        if !session.is_for_a_person() {
            return Ok(RoleNames::default());
        }
        let roles = session.list("/api/roles").await?;
        Ok(RoleNames(roles.iter().map(|role| (text(role, "id"), text(role, "name"))).collect()))
    }

    /// The names of a user's roles, sorted; a role that went away meanwhile shows by its id.
    pub(super) fn of(&self, user: &Value) -> Vec<String> {
        let ids = items(user, "roles").iter().filter_map(Value::as_str);
        let mut names: Vec<String> =
            ids.map(|id| self.0.get(id).cloned().unwrap_or_else(|| id.to_owned())).collect();
        names.sort();
        names
    }
}

/// The text of a field; empty if there is none.
pub(super) fn text(object: &Value, field: &str) -> String {
    match object.get(field) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The items of a field that is an array; none if there is no such field.
pub(super) fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `yes` or `no`.
pub(super) fn yes_no(object: &Value, field: &str) -> String {
    let is_set = object.get(field).and_then(Value::as_bool).unwrap_or_default();
    if is_set { "yes" } else { "no" }.to_owned()
}

/// The ways a user may log in: `password`, `certificate:required`.
pub(super) fn grant_types(user: &Value) -> Vec<String> {
    let spell = |grant: &Value| {
        let method = text(grant, "method");
        let is_required = grant.get("isRequired").and_then(Value::as_bool).unwrap_or_default();
        if is_required { format!("{method}:required") } else { method }
    };
    items(user, "grantTypes").iter().map(spell).collect()
}

/// One line a permission: `allow read:plant/#`.
pub(super) fn permissions(object: &Value) -> Vec<String> {
    let spell = |permission: &Value| {
        let effect = permission.get("effect").and_then(Value::as_str).unwrap_or("allow");
        format!("{effect:5} {}", spell_json(permission))
    };
    items(object, "permissions").iter().map(spell).collect()
}
