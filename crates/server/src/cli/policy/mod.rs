//! Policy files: users and roles as one document, in YAML.

pub(super) mod apply;
mod commissioning;
pub(super) mod export;
mod read;
pub(super) mod show;

use serde_json::Value;

use super::show::items;

/// What a plan or a change of the policy does, as lines for a person.
pub(super) fn difference(outcome: &Value) -> String {
    show::steps(items(outcome, "changes"))
}
