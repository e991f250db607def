//! The three relations between a pattern and a name or filter, each one walk over the levels of
//! both.
//!
//! Two facts of MQTT make the corners: wildcards at the first level reach no `$`-topic, and a topic
//! name is never empty. From the second follows that `/#` is the same as `/+/#` (its parent level
//! would be the empty name), just as `#` is the same as `+/#`.

use crate::level::{Level, Levels, is_dollar};
use crate::pattern::Bindings;

/// True if `name` is among the names of `pattern`. [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.2-1]
pub(crate) fn matches<'a>(
    mut pattern: impl Iterator<Item = Level<'a>>,
    name: &str,
    bindings: &Bindings<'_>,
) -> bool {
    let mut names = Levels::of(name);
    for depth in 0.. {
        match (pattern.next(), names.next()) {
            (None, None) => return true,
            (Some(Level::Hash), level) => return depth > 0 || !level.is_some_and(is_dollar),
            (Some(own), Some(level)) if accepts(own, level, depth, bindings) => {}
            _ => return false,
        }
    }
    false
}

/// True if every name of `filter` is among the names of `pattern`.
pub(crate) fn covers<'a, 'b>(
    mut pattern: impl Iterator<Item = Level<'a>>,
    filter: impl Iterator<Item = Level<'b>> + Clone,
    bindings: &Bindings<'_>,
) -> bool {
    let mut rest = filter.clone();
    for depth in 0.. {
        let is_covered = match (pattern.next(), rest.next()) {
            (None, None) => return true,
            (Some(Level::Hash), Some(level)) => return is_reached(level, depth),
            (Some(Level::Hash), None) => return true,
            (Some(Level::Plus), Some(Level::Hash)) => {
                return pattern.next() == Some(Level::Hash) && lacks_parent(filter, depth);
            }
            (Some(own), Some(Level::Literal(level))) => accepts(own, level, depth, bindings),
            (Some(Level::Plus), Some(Level::Plus)) => true,
            _ => false,
        };
        if !is_covered {
            return false;
        }
    }
    false
}

/// True if `pattern` and `filter` have a name in common.
pub(crate) fn overlaps<'a, 'b>(
    pattern: impl Iterator<Item = Level<'a>> + Clone,
    filter: impl Iterator<Item = Level<'b>> + Clone,
    bindings: &Bindings<'_>,
) -> bool {
    if !is_bound(pattern.clone(), bindings) {
        return false;
    }
    let (mut own, mut other) = (pattern.clone(), filter.clone());
    for depth in 0.. {
        match (own.next(), other.next()) {
            (None, None) => return true,
            // The parent level of a `#`: there must be a name that ends here.
            (Some(Level::Hash), None) => return !lacks_parent(pattern, depth),
            (None, Some(Level::Hash)) => return !lacks_parent(filter, depth),
            (Some(Level::Hash), Some(level)) | (Some(level), Some(Level::Hash)) => {
                return is_reached(level, depth);
            }
            (Some(Level::Plus), Some(level)) | (Some(level), Some(Level::Plus))
                if is_reached(level, depth) => {}
            (Some(own), Some(Level::Literal(level))) if accepts(own, level, depth, bindings) => {}
            _ => return false,
        }
    }
    false
}

/// True if the level of a pattern (not `#`) takes this level of a name.
fn accepts(own: Level<'_>, level: &str, depth: usize, bindings: &Bindings<'_>) -> bool {
    match own {
        Level::Literal(text) => text == level,
        Level::Plus => depth > 0 || !is_dollar(level),
        Level::Username => bindings.username_at(depth) == Some(level),
        Level::ClientId => bindings.client_id_at(depth) == Some(level),
        Level::Hash => false,
    }
}

/// True if a wildcard of the other side meets this level. [MQTT-4.7.2-1]
fn is_reached(level: Level<'_>, depth: usize) -> bool {
    !matches!(level, Level::Literal(text) if depth == 0 && is_dollar(text))
}

/// True if no name ends where the `#` at this depth has its parent: there the name would be empty.
fn lacks_parent<'a>(mut levels: impl Iterator<Item = Level<'a>>, depth: usize) -> bool {
    depth == 0 || (depth == 1 && levels.next() == Some(Level::Literal("")))
}

/// True if each placeholder has a value that can stand at its place.
fn is_bound<'a>(levels: impl Iterator<Item = Level<'a>>, bindings: &Bindings<'_>) -> bool {
    levels.enumerate().all(|(depth, level)| match level {
        Level::Username => bindings.username_at(depth).is_some(),
        Level::ClientId => bindings.client_id_at(depth).is_some(),
        Level::Literal(_) | Level::Plus | Level::Hash => true,
    })
}
