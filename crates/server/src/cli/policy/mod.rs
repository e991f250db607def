//! Policy files: users and roles as one document, in YAML.

pub(super) mod apply;
mod commissioning;
pub(super) mod export;
mod read;
pub(super) mod show;
