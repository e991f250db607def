//! What hangs below a node: literal levels, wildcards and placeholders.

use super::level_key::LevelKey;
use super::node::Node;
use crate::Level;
use hashbrown::HashMap;

/// The children of a node. The rare kinds share one box, so that a node with literals only stays
/// small.
pub(super) struct Branches<V> {
    literals: Literals<V>,
    special: Option<Box<Special<V>>>,
}

impl<V> Branches<V> {
    pub(super) fn literal(&self, level: &str) -> Option<&Node<V>> {
        self.literals.get(level)
    }

    pub(super) fn literals(&self) -> impl Iterator<Item = (&[u8], &Node<V>)> {
        self.literals.iter()
    }

    pub(super) fn special(&self) -> Option<&Special<V>> {
        self.special.as_deref()
    }

    pub(super) fn child(&self, level: Level<'_>) -> Option<&Node<V>> {
        match level {
            Level::Literal(text) => self.literals.get(text),
            Level::Plus => self.special()?.plus.as_ref(),
            Level::Username => self.special()?.username.as_ref(),
            Level::ClientId => self.special()?.client_id.as_ref(),
            Level::Hash => None,
        }
    }

    pub(super) fn child_mut(&mut self, level: Level<'_>) -> Option<&mut Node<V>> {
        match level {
            Level::Literal(text) => self.literals.get_mut(text),
            _ => self.special.as_mut()?.child_slot(level)?.as_mut(),
        }
    }

    pub(super) fn hash_mut(&mut self) -> Option<&mut V> {
        self.special.as_mut()?.hash.as_mut()
    }

    pub(super) fn hash_slot(&mut self) -> &mut Option<V> {
        &mut self.special.get_or_insert_default().hash
    }

    /// The child at this level, which is not `#`: that one ends a key and has a value only.
    pub(super) fn child_or_insert(&mut self, level: Level<'_>) -> &mut Node<V> {
        match level {
            Level::Literal(text) => self.literals.get_or_insert(text),
            Level::Username => {
                self.special.get_or_insert_default().username.get_or_insert_default()
            }
            Level::ClientId => {
                self.special.get_or_insert_default().client_id.get_or_insert_default()
            }
            Level::Plus | Level::Hash => {
                self.special.get_or_insert_default().plus.get_or_insert_default()
            }
        }
    }

    pub(super) fn remove<'a>(
        &mut self,
        level: Level<'a>,
        rest: impl Iterator<Item = Level<'a>>,
    ) -> Option<V> {
        if let Level::Literal(text) = level {
            let child = self.literals.get_mut(text)?;
            let removed = child.remove(rest)?;
            if child.is_empty() {
                self.literals.remove(text);
            }
            return Some(removed);
        }
        let special = self.special.as_mut()?;
        let removed = special.remove(level, rest)?;
        if special.is_empty() {
            self.special = None;
        }
        Some(removed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.special.is_none() && self.literals.is_empty()
    }
}

impl<V> Default for Branches<V> {
    fn default() -> Self {
        Branches { literals: Literals::default(), special: None }
    }
}

/// The children that are no literals.
pub(super) struct Special<V> {
    pub(super) plus: Option<Node<V>>,
    pub(super) hash: Option<V>,
    pub(super) username: Option<Node<V>>,
    pub(super) client_id: Option<Node<V>>,
}

impl<V> Special<V> {
    fn child_slot(&mut self, level: Level<'_>) -> Option<&mut Option<Node<V>>> {
        match level {
            Level::Plus => Some(&mut self.plus),
            Level::Username => Some(&mut self.username),
            Level::ClientId => Some(&mut self.client_id),
            Level::Literal(_) | Level::Hash => None,
        }
    }

    fn remove<'a>(&mut self, level: Level<'a>, rest: impl Iterator<Item = Level<'a>>) -> Option<V> {
        if level == Level::Hash {
            return self.hash.take();
        }
        let slot = self.child_slot(level)?;
        let child = slot.as_mut()?;
        let removed = child.remove(rest)?;
        if child.is_empty() {
            *slot = None;
        }
        Some(removed)
    }

    fn is_empty(&self) -> bool {
        self.plus.is_none()
            && self.hash.is_none()
            && self.username.is_none()
            && self.client_id.is_none()
    }
}

impl<V> Default for Special<V> {
    fn default() -> Self {
        Special { plus: None, hash: None, username: None, client_id: None }
    }
}

/// The literal children: a short list until there are many.
enum Literals<V> {
    Few(Vec<(LevelKey, Node<V>)>),
    Many(Box<HashMap<LevelKey, Node<V>, foldhash::fast::RandomState>>),
}

impl<V> Literals<V> {
    fn get(&self, level: &str) -> Option<&Node<V>> {
        let level = level.as_bytes();
        match self {
            Literals::Few(list) => {
                list.iter().find(|(key, _)| key.as_bytes() == level).map(|(_, node)| node)
            }
            Literals::Many(map) => map.get(level),
        }
    }

    fn get_mut(&mut self, level: &str) -> Option<&mut Node<V>> {
        let level = level.as_bytes();
        match self {
            Literals::Few(list) => {
                list.iter_mut().find(|(key, _)| key.as_bytes() == level).map(|(_, node)| node)
            }
            Literals::Many(map) => map.get_mut(level),
        }
    }

    fn get_or_insert(&mut self, level: &str) -> &mut Node<V> {
        if let Literals::Few(list) = self
            && list.len() == FEW_MAX
            && list.iter().all(|(key, _)| key.as_bytes() != level.as_bytes())
        {
            let list = std::mem::take(list);
            *self = Literals::Many(Box::new(list.into_iter().collect()));
        }
        match self {
            Literals::Few(list) => get_or_push(list, level),
            Literals::Many(map) => map.entry(LevelKey::new(level)).or_default(),
        }
    }

    fn remove(&mut self, level: &str) {
        let level = level.as_bytes();
        match self {
            Literals::Few(list) => {
                list.retain(|(key, _)| key.as_bytes() != level);
                list.shrink_to_fit();
            }
            Literals::Many(map) => {
                map.remove(level);
                if map.len() <= FEW_MAX / 2 {
                    *self = Literals::Few(std::mem::take(map.as_mut()).into_iter().collect());
                } else if map.len() < map.capacity() / 4 {
                    // Left alone, a map keeps the memory of the most it ever held.
                    map.shrink_to(map.len() * 2);
                }
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Node<V>)> {
        let (few, many) = match self {
            Literals::Few(list) => (Some(list), None),
            Literals::Many(map) => (None, Some(map)),
        };
        let few = few.into_iter().flatten().map(|(key, node)| (key.as_bytes(), node));
        let many =
            many.into_iter().flat_map(|map| map.iter()).map(|(key, node)| (key.as_bytes(), node));
        few.chain(many)
    }

    fn is_empty(&self) -> bool {
        match self {
            Literals::Few(list) => list.is_empty(),
            Literals::Many(map) => map.is_empty(),
        }
    }
}

impl<V> Default for Literals<V> {
    fn default() -> Self {
        Literals::Few(Vec::new())
    }
}

#[expect(clippy::indexing_slicing, reason = "the position was found or pushed on the line above")]
fn get_or_push<'l, V>(list: &'l mut Vec<(LevelKey, Node<V>)>, level: &str) -> &'l mut Node<V> {
    let found = list.iter().position(|(key, _)| key.as_bytes() == level.as_bytes());
    let position = found.unwrap_or_else(|| {
        if list.len() == list.capacity() {
            // Most nodes have one child; a vector's own first step would make room for four.
            list.reserve_exact(list.len().max(1));
        }
        list.push((LevelKey::new(level), Node::new()));
        list.len() - 1
    });
    &mut list[position].1
}

/// The most children that are searched one by one.
const FEW_MAX: usize = 8;
