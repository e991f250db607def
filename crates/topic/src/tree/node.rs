//! One node: a level of some key, perhaps the last one.

use super::branches::Branches;
use crate::Level;

/// A level of some key. Two words when the value is one: most nodes of a large tree are leaves.
pub(super) struct Node<V> {
    pub(super) value: Option<V>,
    pub(super) branches: Option<Box<Branches<V>>>,
}

impl<V> Node<V> {
    pub(super) const fn new() -> Self {
        Node { value: None, branches: None }
    }

    /// Takes the value at the levels out and prunes; recursion ends with the levels.
    pub(super) fn remove<'a>(&mut self, mut levels: impl Iterator<Item = Level<'a>>) -> Option<V> {
        self.remove_at(&mut levels)
    }

    fn remove_at<'a>(&mut self, levels: &mut dyn Iterator<Item = Level<'a>>) -> Option<V> {
        let Some(level) = levels.next() else { return self.value.take() };
        let branches = self.branches.as_mut()?;
        let removed = branches.remove(level, levels)?;
        if branches.is_empty() {
            self.branches = None;
        }
        Some(removed)
    }

    /// The value of the key that ends with `#` here.
    pub(super) fn hash(&self) -> Option<&V> {
        self.branches.as_ref()?.special()?.hash.as_ref()
    }

    /// All children.
    pub(super) fn children(&self) -> impl Iterator<Item = &Node<V>> {
        let branches = self.branches.as_deref();
        let special = branches.and_then(Branches::special);
        let others = special.into_iter().flat_map(|it| [&it.plus, &it.username, &it.client_id]);
        let literals = branches.into_iter().flat_map(|it| it.literals().map(|(_, node)| node));
        literals.chain(others.flatten())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.value.is_none() && self.branches.is_none()
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Node::new()
    }
}
