//! The permissions of one user or role, compiled: a tree for each context, effect and action.
//!
//! Denies have trees of their own because a SUBSCRIBE asks which of them overlap its filter, and
//! that question has to follow every key below a wildcard: allows must not be in the way.

use crate::permission::Action;
use crate::{Context, Effect, Permission};
use smallvec::SmallVec;
use std::sync::OnceLock;
use topic::Tree;

/// The permissions of one holder, as trees.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    mqtt: Trees,
    http: Trees,
}

/// Permissions beside their trees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'r> {
    permissions: &'r [Permission],
    trees: &'r RuleSet,
}

/// Room for the trees of a list of permissions.
///
/// A short list is compiled when somebody is first judged by it, which takes some microseconds: of a million users few
/// are there at a time, and trees take more memory than what they are made of. A long one is compiled at once, so that nobody
/// who is being served waits for it.
#[derive(Debug, Default)]
pub(crate) struct LazyRules(OnceLock<Box<RuleSet>>);

impl LazyRules {
    pub(crate) fn new(permissions: &[Permission]) -> Self {
        let rules = LazyRules::default();
        if permissions.len() > LAZY_MAX {
            rules.of(permissions);
        }
        rules
    }

    /// The rules, made of the permissions that this was made for; `None` if there are none.
    pub(crate) fn of<'r>(&'r self, permissions: &'r [Permission]) -> Option<Rules<'r>> {
        if permissions.is_empty() {
            return None;
        }
        let trees = self.0.get_or_init(|| Box::new(RuleSet::compile(permissions)));
        Some(Rules { permissions, trees })
    }
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

impl<'r> Rules<'r> {
    pub(crate) fn permissions(self) -> &'r [Permission] {
        self.permissions
    }

    pub(crate) fn tree(self, context: Context, effect: Effect, action: Action) -> &'r Tree<Places> {
        self.trees.tree(context, effect, action)
    }
}

impl RuleSet {
    fn compile(permissions: &[Permission]) -> Self {
        let mut rules = RuleSet::default();
        for (place, permission) in permissions.iter().enumerate() {
            for action in permission.operation.actions() {
                rules
                    .tree_mut(permission.context, permission.effect, *action)
                    .get_or_insert_with(permission.resource.pattern(), Places::new)
                    .push(place);
            }
        }
        rules
    }

    fn tree(&self, context: Context, effect: Effect, action: Action) -> &Tree<Places> {
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

/// The longest list of permissions that is compiled when it is first asked for.
const LAZY_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operation, PermissionId, Resource};
    use uuid::Uuid;

    fn check(count: usize, is_compiled_at_once: bool) {
        let permission = |place: usize| Permission {
            id: PermissionId(Uuid::nil()),
            resource: Resource::parse(&format!("a/{place}"), Context::Mqtt).unwrap(),
            operation: Operation::Read,
            context: Context::Mqtt,
            effect: Effect::Deny,
        };
        let permissions: Vec<_> = (0..count).map(permission).collect();
        let rules = LazyRules::new(&permissions);
        assert_eq!(rules.0.get().is_some(), is_compiled_at_once, "{count}");
        let found =
            rules.of(&permissions).map(|it| it.tree(Context::Mqtt, Effect::Deny, Action::Read));
        assert_eq!(found.map_or(0, Tree::len), count);
        assert_eq!(rules.0.get().is_some(), count > 0);
    }

    #[test]
    fn a_short_list_is_compiled_when_it_is_asked_for_and_a_long_one_at_once() {
        check(0, false);
        check(1, false);
        check(LAZY_MAX, false);
        check(LAZY_MAX + 1, true);
    }
}
