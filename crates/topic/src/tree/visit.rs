//! The look-ups: which keys match a name, cover or overlap a filter, or are names that a filter
//! matches.
//!
//! They follow `walk` step by step, with the pattern's side taken from the tree.

use super::Tree;
use super::branches::Branches;
use super::node::Node;
use crate::level::{Level, Levels, is_dollar};
use crate::{Bindings, TopicFilter};
use std::convert::Infallible;
use std::ops::ControlFlow;

impl<V> Tree<V> {
    /// Visits the value of every key that matches `name` for whom `bindings` describe, until `f`
    /// breaks. Allocates nothing.
    pub fn visit_matching<'t, B>(
        &'t self,
        name: &str,
        bindings: &Bindings<'_>,
        mut f: impl FnMut(&'t V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        matching(&self.root, Place::first(name), bindings, &mut f)
    }

    /// Visits the value of every key that covers `filter` for whom `bindings` describe, until `f`
    /// breaks.
    pub fn visit_covering<'t, B>(
        &'t self,
        filter: &TopicFilter,
        bindings: &Bindings<'_>,
        mut f: impl FnMut(&'t V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        covering(&self.root, Place::first(filter.as_str()), bindings, &mut f)
    }

    /// Visits the value of every key that overlaps `filter` for whom `bindings` describe, until `f`
    /// breaks. Below a wildcard of the filter this must follow every key, so the cost can be that
    /// of the number of keys.
    pub fn visit_overlapping<'t, B>(
        &'t self,
        filter: &TopicFilter,
        bindings: &Bindings<'_>,
        mut f: impl FnMut(&'t V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        overlapping(&self.root, Place::first(filter.as_str()), bindings, &mut f)
    }

    /// Visits the value of every literal key, read as a topic name, that `filter` matches, until
    /// `f` breaks.
    pub fn visit_matched<'t, B>(
        &'t self,
        filter: &TopicFilter,
        mut f: impl FnMut(&'t V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        matched(&self.root, Place::first(filter.as_str()), &mut f)
    }

    /// `visit_matching` to the end.
    pub fn for_each_matching<'t>(
        &'t self,
        name: &str,
        bindings: &Bindings<'_>,
        mut f: impl FnMut(&'t V),
    ) {
        let ControlFlow::Continue(()) = self.visit_matching(name, bindings, |value| {
            f(value);
            ControlFlow::<Infallible>::Continue(())
        });
    }

    /// `visit_matched` to the end.
    pub fn for_each_matched<'t>(&'t self, filter: &TopicFilter, mut f: impl FnMut(&'t V)) {
        let ControlFlow::Continue(()) = self.visit_matched(filter, |value| {
            f(value);
            ControlFlow::<Infallible>::Continue(())
        });
    }
}

/// Where a look-up stands: what is left of the name or filter, how deep, and whether it went
/// through a first level that is empty, below which `#` has no parent.
#[derive(Clone, Copy)]
struct Place<'a> {
    rest: Levels<'a>,
    depth: usize,
    first_is_empty: bool,
}

impl<'a> Place<'a> {
    fn first(text: &'a str) -> Self {
        Place { rest: Levels::of(text), depth: 0, first_is_empty: false }
    }

    /// The next level, and the place below it.
    fn step(mut self) -> (Option<&'a str>, Self) {
        let level = self.rest.next();
        self.first_is_empty |= self.depth == 0 && level == Some("");
        self.depth += 1;
        (level, self)
    }

    /// The place below a child that is reached through a wildcard of the filter.
    fn through(mut self, child: &[u8]) -> Self {
        self.first_is_empty |= self.depth == 1 && child.is_empty();
        self
    }

    fn lacks_parent(self) -> bool {
        self.depth == 0 || (self.depth == 1 && self.first_is_empty)
    }

    /// True if a wildcard here does not take the level. [MQTT-4.7.2-1]
    fn hides(self, level: Option<&str>) -> bool {
        self.depth == 0 && level.is_some_and(is_dollar)
    }
}

fn matching<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    place: Place<'_>,
    bindings: &Bindings<'_>,
    f: &mut F,
) -> ControlFlow<B> {
    let (level, below) = place.step();
    if !place.hides(level) {
        visit(node.hash(), f)?;
    }
    match level {
        None => visit(node.value.as_ref(), f),
        Some(level) => {
            accepting(node, level, place, bindings, |child| matching(child, below, bindings, f))
        }
    }
}

fn covering<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    place: Place<'_>,
    bindings: &Bindings<'_>,
    f: &mut F,
) -> ControlFlow<B> {
    let (level, below) = place.step();
    if !place.hides(level) {
        visit(node.hash(), f)?;
    }
    match level.map(Level::of_filter) {
        None => visit(node.value.as_ref(), f),
        // Where `#` has no parent, `+/#` is the same.
        Some(Level::Hash) if place.lacks_parent() => visit(plus(node).and_then(Node::hash), f),
        Some(Level::Plus) => plus(node)
            .map_or(ControlFlow::Continue(()), |child| covering(child, below, bindings, f)),
        Some(Level::Literal(level)) => {
            accepting(node, level, place, bindings, |child| covering(child, below, bindings, f))
        }
        Some(_) => ControlFlow::Continue(()),
    }
}

fn overlapping<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    place: Place<'_>,
    bindings: &Bindings<'_>,
    f: &mut F,
) -> ControlFlow<B> {
    let (level, below) = place.step();
    let ends_without_parent = level.is_none() && place.lacks_parent();
    if !place.hides(level) && !ends_without_parent {
        visit(node.hash(), f)?;
    }
    match level.map(Level::of_filter) {
        None => visit(node.value.as_ref(), f),
        Some(Level::Hash) => {
            if !place.lacks_parent() {
                visit(node.value.as_ref(), f)?;
            }
            reachable(node, place, bindings, |child, _| {
                everything(child, place.depth + 1, bindings, f)
            })
        }
        Some(Level::Plus) => reachable(node, place, bindings, |child, text| {
            overlapping(child, below.through(text), bindings, f)
        }),
        Some(Level::Literal(level)) => {
            accepting(node, level, place, bindings, |child| overlapping(child, below, bindings, f))
        }
        Some(_) => ControlFlow::Continue(()),
    }
}

fn matched<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    place: Place<'_>,
    f: &mut F,
) -> ControlFlow<B> {
    let (level, below) = place.step();
    match level.map(Level::of_filter) {
        None => visit(node.value.as_ref(), f),
        Some(Level::Hash) => {
            visit(node.value.as_ref(), f)?;
            literals(node, place).try_for_each(|(_, child)| every_literal(child, f))
        }
        Some(Level::Plus) => {
            literals(node, place).try_for_each(|(_, child)| matched(child, below, f))
        }
        Some(Level::Literal(level)) => {
            match node.branches.as_ref().and_then(|it| it.literal(level)) {
                Some(child) => matched(child, below, f),
                None => ControlFlow::Continue(()),
            }
        }
        Some(_) => ControlFlow::Continue(()),
    }
}

/// The value here and all below, as far as their placeholders have values.
fn everything<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    depth: usize,
    bindings: &Bindings<'_>,
    f: &mut F,
) -> ControlFlow<B> {
    visit(node.value.as_ref(), f)?;
    visit(node.hash(), f)?;
    let place = Place { rest: Levels::of(""), depth, first_is_empty: false };
    reachable(node, place, bindings, |child, _| everything(child, depth + 1, bindings, f))
}

/// The value here and those of all literal keys below.
fn every_literal<'t, V, B, F: FnMut(&'t V) -> ControlFlow<B>>(
    node: &'t Node<V>,
    f: &mut F,
) -> ControlFlow<B> {
    visit(node.value.as_ref(), f)?;
    let branches = node.branches.iter();
    branches.flat_map(|it| it.literals()).try_for_each(|(_, child)| every_literal(child, f))
}

/// Calls `f` with each child (not `#`) that takes this level.
fn accepting<'t, V, B>(
    node: &'t Node<V>,
    level: &str,
    place: Place<'_>,
    bindings: &Bindings<'_>,
    mut f: impl FnMut(&'t Node<V>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let Some(branches) = node.branches.as_deref() else { return ControlFlow::Continue(()) };
    if let Some(child) = branches.literal(level) {
        f(child)?;
    }
    let Some(special) = branches.special() else { return ControlFlow::Continue(()) };
    if let Some(child) = &special.plus
        && !place.hides(Some(level))
    {
        f(child)?;
    }
    if let Some(child) = &special.username
        && bindings.username_at(place.depth) == Some(level)
    {
        f(child)?;
    }
    if let Some(child) = &special.client_id
        && bindings.client_id_at(place.depth) == Some(level)
    {
        f(child)?;
    }
    ControlFlow::Continue(())
}

/// Calls `f` with each child (not `#`) that a wildcard here can meet, and with its text if it is a
/// literal (a level that is not one is never the empty text).
fn reachable<'t, V, B>(
    node: &'t Node<V>,
    place: Place<'_>,
    bindings: &Bindings<'_>,
    mut f: impl FnMut(&'t Node<V>, &[u8]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    literals(node, place).try_for_each(|(text, child)| f(child, text))?;
    let special = node.branches.as_deref().and_then(Branches::special);
    let Some(special) = special else { return ControlFlow::Continue(()) };
    if let Some(child) = &special.plus {
        f(child, b"+")?;
    }
    if let Some(child) = &special.username
        && let Some(value) = bindings.username_at(place.depth)
    {
        f(child, value.as_bytes())?;
    }
    if let Some(child) = &special.client_id
        && let Some(value) = bindings.client_id_at(place.depth)
    {
        f(child, value.as_bytes())?;
    }
    ControlFlow::Continue(())
}

/// The literal children that a wildcard here reaches. [MQTT-4.7.2-1]
fn literals<'t, V>(
    node: &'t Node<V>,
    place: Place<'_>,
) -> impl Iterator<Item = (&'t [u8], &'t Node<V>)> {
    let branches = node.branches.iter();
    branches
        .flat_map(|it| it.literals())
        .filter(move |(text, _)| place.depth > 0 || !text.starts_with(b"$"))
}

fn plus<V>(node: &Node<V>) -> Option<&Node<V>> {
    node.branches.as_ref()?.special()?.plus.as_ref()
}

fn visit<'t, V, B>(
    value: Option<&'t V>,
    f: &mut impl FnMut(&'t V) -> ControlFlow<B>,
) -> ControlFlow<B> {
    value.map_or(ControlFlow::Continue(()), f)
}
