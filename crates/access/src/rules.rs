//! The permissions of one user or role, compiled: a tree for each context, effect and action.
//!
//! Denies have trees of their own because a SUBSCRIBE asks which of them overlap its filter, and
//! that question has to follow every key below a wildcard: allows must not be in the way.

use crate::permission::Action;
use crate::{Context, Effect, Permission};
use smallvec::SmallVec;
use topic::Tree;

/// Compiled permissions.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    permissions: Box<[Permission]>,
    mqtt: Trees,
    http: Trees,
}

/// The permissions that have one resource, by their place in the list.
pub(crate) type Places = SmallVec<[usize; 2]>;

#[derive(Debug, Default)]
struct Trees {
    allow_read: Tree<Places>,
    allow_write: Tree<Places>,
    deny_read: Tree<Places>,
    deny_write: Tree<Places>,
}

impl RuleSet {
    /// Compiles; an empty list takes no memory.
    pub(crate) fn compile(permissions: Vec<Permission>) -> Option<Box<Self>> {
        if permissions.is_empty() {
            return None;
        }
        let mut rules = RuleSet::default();
        for (place, permission) in permissions.iter().enumerate() {
            for action in permission.operation.actions() {
                rules
                    .tree_mut(permission.context, permission.effect, *action)
                    .get_or_insert_with(permission.resource.pattern(), Places::new)
                    .push(place);
            }
        }
        rules.permissions = permissions.into();
        Some(Box::new(rules))
    }

    pub(crate) fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    pub(crate) fn tree(&self, context: Context, effect: Effect, action: Action) -> &Tree<Places> {
        let trees = match context {
            Context::Mqtt => &self.mqtt,
            Context::Http => &self.http,
        };
        match (effect, action) {
            (Effect::Allow, Action::Read) => &trees.allow_read,
            (Effect::Allow, Action::Write) => &trees.allow_write,
            (Effect::Deny, Action::Read) => &trees.deny_read,
            (Effect::Deny, Action::Write) => &trees.deny_write,
        }
    }

    fn tree_mut(&mut self, context: Context, effect: Effect, action: Action) -> &mut Tree<Places> {
        let trees = match context {
            Context::Mqtt => &mut self.mqtt,
            Context::Http => &mut self.http,
        };
        match (effect, action) {
            (Effect::Allow, Action::Read) => &mut trees.allow_read,
            (Effect::Allow, Action::Write) => &mut trees.allow_write,
            (Effect::Deny, Action::Read) => &mut trees.deny_read,
            (Effect::Deny, Action::Write) => &mut trees.deny_write,
        }
    }
}
