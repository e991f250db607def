//! The one tree: a map from names, filters or patterns to values, asked by name or by filter.
//!
//! A path from the root is a key. Nodes that carry nothing are removed with the last key that
//! needed them. A look-up descends at most [`crate::TOPIC_LEVELS_MAX`] levels, allocates nothing,
//! and visits only nodes that can still match, so its cost follows the levels asked for and the
//! answers, not the number of keys.

mod branches;
mod level_key;
mod node;
mod visit;

use crate::{Level, Pattern, TopicFilter, TopicName};
use node::Node;
use std::fmt;

/// What a [`Tree`] can be keyed by. Keys of different kinds live side by side; equal levels are
/// equal keys.
pub trait Key: sealed::Sealed {
    /// The levels, in order.
    fn levels(&self) -> impl Iterator<Item = Level<'_>>;
}

impl Key for TopicName {
    fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        crate::level::Levels::of(self.as_str()).map(Level::Literal)
    }
}

impl Key for TopicFilter {
    fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        TopicFilter::levels(self)
    }
}

impl Key for Pattern {
    fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        Pattern::levels(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::TopicName {}
    impl Sealed for crate::TopicFilter {}
    impl Sealed for crate::Pattern {}
}

/// A map from [`Key`]s to values. The order in which values are visited is not specified.
pub struct Tree<V> {
    root: Node<V>,
    len: usize,
}

impl<V> Tree<V> {
    /// An empty tree; takes no memory on the heap.
    #[must_use]
    pub const fn new() -> Self {
        Tree { root: Node::new(), len: 0 }
    }

    /// Puts a value at the key and returns the one that was there.
    pub fn insert(&mut self, key: &impl Key, value: V) -> Option<V> {
        let former = self.slot(key).replace(value);
        if former.is_none() {
            self.len += 1;
        }
        former
    }

    /// The value at the key, which is made if there is none.
    pub fn get_or_insert_with(&mut self, key: &impl Key, make: impl FnOnce() -> V) -> &mut V {
        // The count is settled first, because the value stays borrowed by the caller.
        if self.get(key).is_none() {
            self.len += 1;
        }
        self.slot(key).get_or_insert_with(make)
    }

    /// Takes the value at the key out, and with it every node that nothing needs any more.
    pub fn remove(&mut self, key: &impl Key) -> Option<V> {
        let removed = self.root.remove(key.levels());
        if removed.is_some() {
            self.len -= 1;
        }
        removed
    }

    /// The value at the key, to change.
    pub fn get_mut(&mut self, key: &impl Key) -> Option<&mut V> {
        let mut node = &mut self.root;
        for level in key.levels() {
            let branches = node.branches.as_mut()?;
            if level == Level::Hash {
                return branches.hash_mut();
            }
            node = branches.child_mut(level)?;
        }
        node.value.as_mut()
    }

    /// The value at the key.
    #[must_use]
    pub fn get(&self, key: &impl Key) -> Option<&V> {
        let mut node = &self.root;
        for level in key.levels() {
            if level == Level::Hash {
                return node.hash();
            }
            node = node.branches.as_ref()?.child(level)?;
        }
        node.value.as_ref()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, V> {
        Iter { pending: vec![Pending::Node(&self.root)] }
    }

    /// The place of the key's value, with all nodes on the way to it.
    fn slot(&mut self, key: &impl Key) -> &mut Option<V> {
        let mut node = &mut self.root;
        for level in key.levels() {
            let branches = node.branches.get_or_insert_default();
            if level == Level::Hash {
                return branches.hash_slot();
            }
            node = branches.child_or_insert(level);
        }
        &mut node.value
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Tree::new()
    }
}

impl<V> fmt::Debug for Tree<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'t, V> IntoIterator for &'t Tree<V> {
    type Item = &'t V;
    type IntoIter = Iter<'t, V>;

    fn into_iter(self) -> Iter<'t, V> {
        self.iter()
    }
}

/// All values of a [`Tree`], in no specified order.
pub struct Iter<'t, V> {
    pending: Vec<Pending<'t, V>>,
}

enum Pending<'t, V> {
    Node(&'t Node<V>),
    Value(&'t V),
}

impl<'t, V> Iterator for Iter<'t, V> {
    type Item = &'t V;

    fn next(&mut self) -> Option<&'t V> {
        loop {
            match self.pending.pop()? {
                Pending::Value(value) => return Some(value),
                Pending::Node(node) => {
                    self.pending.extend(node.value.as_ref().map(Pending::Value));
                    self.pending.extend(node.hash().map(Pending::Value));
                    self.pending.extend(node.children().map(Pending::Node));
                }
            }
        }
    }
}

impl<V> fmt::Debug for Iter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bindings, TOPIC_LEVELS_MAX};
    use std::ops::ControlFlow;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    #[test]
    fn a_node_is_two_words_and_an_empty_tree_holds_nothing() {
        assert_eq!(size_of::<Node<Box<u8>>>(), 16);
        assert!(Tree::<u8>::new().root.is_empty());
    }

    #[test]
    fn the_last_key_takes_its_nodes_along() {
        let keys = ["a/b/c", "a/b", "a/#", "#", "+/b/#", "$x/+/+", "/", "//", "a/b/c/d/e/f"];
        let mut tree = Tree::new();
        for key in keys {
            tree.insert(&filter(key), ());
        }
        for key in keys {
            assert_eq!(tree.remove(&filter(key)), Some(()), "{key}");
            assert_eq!(tree.remove(&filter(key)), None, "{key}");
        }
        assert!(tree.root.is_empty() && tree.is_empty());
    }

    #[test]
    fn a_removal_that_finds_nothing_changes_nothing() {
        let mut tree = Tree::new();
        tree.insert(&filter("a/b"), ());
        for absent in ["a", "a/b/c", "a/#", "a/+", "+/b", "#", "b"] {
            assert_eq!(tree.remove(&filter(absent)), None, "{absent}");
            assert_eq!(tree.get(&filter(absent)), None, "{absent}");
        }
        assert_eq!((tree.len(), tree.get(&filter("a/b"))), (1, Some(&())));
    }

    #[test]
    fn a_filter_that_spells_a_placeholder_is_another_key_than_the_pattern() {
        let mut tree = Tree::new();
        tree.insert(&filter("${username}"), "literal");
        tree.insert(&Pattern::parse("${username}").unwrap(), "placeholder");
        let bindings = Bindings { username: Some("anna"), client_id: None };
        for (name, expected) in [("anna", "placeholder"), ("${username}", "literal")] {
            let found = tree.visit_matching(name, &bindings, |value| ControlFlow::Break(*value));
            assert_eq!(found, ControlFlow::Break(expected));
        }
    }

    #[test]
    fn the_first_break_ends_a_visit() {
        let mut tree = Tree::new();
        for key in ["#", "+/b", "a/+", "a/b"] {
            tree.insert(&filter(key), ());
        }
        let mut visited = 0;
        let flow = tree.visit_matching("a/b", &Bindings::NONE, |()| {
            visited += 1;
            ControlFlow::Break(())
        });
        assert_eq!((flow, visited), (ControlFlow::Break(()), 1));
    }

    #[test]
    fn the_deepest_keys_fit_the_stack_of_a_small_thread() {
        let deep = ["+"; TOPIC_LEVELS_MAX].join("/");
        let name = ["a"; TOPIC_LEVELS_MAX].join("/");
        let work = move || {
            let mut tree = Tree::new();
            tree.insert(&filter(&deep), ());
            tree.insert(&filter(&name), ());
            let mut found = 0;
            let mut count = |_: &()| {
                found += 1;
                ControlFlow::<()>::Continue(())
            };
            let flows = [
                tree.visit_matching(&name, &Bindings::NONE, &mut count),
                tree.visit_covering(&filter(&name), &Bindings::NONE, &mut count),
                tree.visit_overlapping(&filter(&deep), &Bindings::NONE, &mut count),
                tree.visit_overlapping(&filter("#"), &Bindings::NONE, &mut count),
                tree.visit_matched(&filter("#"), &mut count),
            ];
            assert!(flows.iter().all(ControlFlow::is_continue));
            assert_eq!(tree.remove(&filter(&deep)), Some(()));
            found
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
        assert_eq!(thread.join().unwrap(), 9);
    }
}
