//! `matches`, `covers`, `overlaps` and the tree against brute force: every filter of up to four
//! levels from a small alphabet, each taken as the set of the topics it matches.
//!
//! Five levels of topics tell every pair of such filters apart: one level more than the longest
//! filter shows what `#` adds, and the letter that no filter has shows what `+` adds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use topic::{Bindings, Pattern, TopicFilter, TopicName, Tree};

/// A set of numbers, as bits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn of(size: usize, members: impl IntoIterator<Item = usize>) -> Set {
        let mut words = vec![0; size.div_ceil(64)];
        for member in members {
            assert_eq!(words[member / 64] >> (member % 64) & 1, 0, "{member} came twice");
            words[member / 64] |= 1_u64 << (member % 64);
        }
        Set(words)
    }

    fn is_superset(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| other & !own == 0)
    }

    fn meets(&self, other: &Set) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// What the standard says in prose, over lists of levels. Shares nothing with the crate.
fn oracle(filter: &[&str], topic: &[&str]) -> bool {
    let begins_wild = matches!(filter.first(), Some(&"+" | &"#"));
    if begins_wild && topic[0].starts_with('$') {
        return false;
    }
    match filter.iter().position(|level| *level == "#") {
        Some(before) => topic.len() >= before && same_levels(&filter[..before], &topic[..before]),
        None => topic.len() == filter.len() && same_levels(filter, topic),
    }
}

fn same_levels(filter: &[&str], topic: &[&str]) -> bool {
    filter.iter().zip(topic).all(|(own, level)| *own == "+" || own == level)
}

/// All lists of one to `levels_max` levels, joined; `last` may only be at the end.
fn texts(alphabet: &[&str], last: Option<&str>, levels_max: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut prefixes = vec![Vec::new()];
    for _ in 0..levels_max {
        let mut longer = Vec::new();
        for prefix in &prefixes {
            for level in alphabet {
                longer.push([prefix.as_slice(), &[*level]].concat());
            }
            all.extend(last.map(|last| [prefix.as_slice(), &[last]].concat().join("/")));
        }
        all.extend(longer.iter().map(|levels| levels.join("/")));
        prefixes = longer;
    }
    all.retain(|text| !text.is_empty());
    all
}

fn topics(levels_max: usize) -> Vec<TopicName> {
    let texts = texts(&["a", "b", "c", "", "$x"], None, levels_max);
    texts.iter().map(|text| TopicName::parse(text).unwrap()).collect()
}

fn filters(levels_max: usize) -> Vec<TopicFilter> {
    let texts = texts(&["a", "b", "", "$x", "+"], Some("#"), levels_max);
    texts.iter().map(|text| TopicFilter::parse(text).unwrap()).collect()
}

fn levels(text: &str) -> Vec<&str> {
    text.split('/').collect()
}

/// The topics of each filter.
fn topic_sets(filters: &[TopicFilter], topics: &[TopicName]) -> Vec<Set> {
    let topic_levels: Vec<_> = topics.iter().map(|topic| levels(topic.as_str())).collect();
    let set = |filter: &TopicFilter| {
        let filter = levels(filter.as_str());
        let members = (0..topics.len()).filter(|at| oracle(&filter, &topic_levels[*at]));
        Set::of(topics.len(), members)
    };
    filters.iter().map(set).collect()
}

// Shows 3.1.1: [MQTT-3.3.2-3], [MQTT-4.7.2-1]; 5.0: [MQTT-3.3.2-3], [MQTT-4.7.2-1].
#[test]
fn matches_agrees_with_brute_force_on_every_filter_and_topic() {
    let (filters, topics) = (filters(4), topics(5));
    let sets = topic_sets(&filters, &topics);
    assert_eq!((filters.len(), topics.len()), (935, 3904));
    for (filter, set) in filters.iter().zip(&sets) {
        let found = (0..topics.len()).filter(|at| filter.matches(&topics[*at]));
        assert_eq!(&Set::of(topics.len(), found), set, "{filter}");
        assert!(!set.is_empty(), "{filter}");
    }
}

#[test]
fn covers_and_overlaps_agree_with_brute_force_on_every_pair_of_filters() {
    let (filters, topics) = (filters(4), topics(5));
    let sets = topic_sets(&filters, &topics);
    let (mut covered, mut overlapping) = (0, 0);
    for (one, one_set) in filters.iter().zip(&sets) {
        for (other, other_set) in filters.iter().zip(&sets) {
            let (covers, overlaps) = (one_set.is_superset(other_set), one_set.meets(other_set));
            assert_eq!(one.covers(other), covers, "{one} covers {other}");
            assert_eq!(one.overlaps(other), overlaps, "{one} overlaps {other}");
            covered += usize::from(covers);
            overlapping += usize::from(overlaps);
        }
    }
    assert!(covered > filters.len() && overlapping > covered, "{covered} {overlapping}");
}

#[test]
fn the_intersection_of_two_filters_matches_what_both_match() {
    let (filters, topics) = (filters(3), topics(4));
    let sets = topic_sets(&filters, &topics);
    let mut found = 0;
    for (one, one_set) in filters.iter().zip(&sets) {
        for (other, other_set) in filters.iter().zip(&sets) {
            let common = one.intersection(other);
            assert_eq!(common.is_some(), one_set.meets(other_set), "{one} and {other}");
            let Some(common) = common else { continue };
            let both = Set(one_set.0.iter().zip(&other_set.0).map(|(a, b)| a & b).collect());
            let set = &topic_sets(std::slice::from_ref(&common), &topics)[0];
            assert_eq!(set, &both, "{one} and {other} are {common}");
            found += 1;
        }
    }
    assert!(found > filters.len(), "{found}");
}

// Shows 3.1.1: [MQTT-4.7.2-1]; 5.0: [MQTT-4.7.2-1].
#[test]
fn a_tree_of_every_filter_finds_what_brute_force_finds() {
    let (filters, topics) = (filters(4), topics(5));
    let sets = topic_sets(&filters, &topics);
    let mut tree = Tree::new();
    for (at, filter) in filters.iter().enumerate() {
        assert_eq!(tree.insert(filter, at), None);
    }
    for (at, topic) in topics.iter().enumerate() {
        let mut found = Vec::new();
        tree.for_each_matching(topic.as_str(), &Bindings::NONE, |key| found.push(*key));
        let expected =
            (0..filters.len()).filter(|filter| sets[*filter].0[at / 64] >> (at % 64) & 1 == 1);
        check_found("matching", topic, filters.len(), found, expected);
    }
    for (filter, set) in filters.iter().zip(&sets) {
        let found = all(|f| tree.visit_covering(filter, &Bindings::NONE, f));
        let expected = (0..filters.len()).filter(|other| sets[*other].is_superset(set));
        check_found("covering", filter, filters.len(), found, expected);

        let found = all(|f| tree.visit_overlapping(filter, &Bindings::NONE, f));
        let expected = (0..filters.len()).filter(|other| sets[*other].meets(set));
        check_found("overlapping", filter, filters.len(), found, expected);
    }
}

#[test]
fn a_tree_of_every_topic_finds_those_a_filter_matches() {
    let (filters, topics) = (filters(4), topics(5));
    let sets = topic_sets(&filters, &topics);
    let mut tree = Tree::new();
    for (at, topic) in topics.iter().enumerate() {
        assert_eq!(tree.insert(topic, at), None);
    }
    for (filter, set) in filters.iter().zip(&sets) {
        let mut found = Vec::new();
        tree.for_each_matched(filter, |key| found.push(*key));
        assert_eq!(&Set::of(topics.len(), found), set, "{filter}");
    }
}

/// Each pattern is brought to a filter by putting the values in, which is safe here because it is
/// the oracle that does it, after it has looked at the value by itself.
#[test]
fn patterns_agree_with_brute_force_for_every_kind_of_value() {
    let (filters, topics) = (filters(3), topics(4));
    let sets = topic_sets(&filters, &topics);
    let alphabet = ["a", "", "+", "${username}", "${clientId}"];
    let patterns: Vec<_> = texts(&alphabet, Some("#"), 3);
    for (username, client_id) in [
        (Some("a"), Some("b")),
        (Some("b"), Some("#")),
        (Some("b"), Some("+")),
        (Some("a"), Some("a/b")),
        (Some("a"), Some("")),
        (Some("a"), Some("$x")),
        (Some("a"), Some("b\0")),
        (None, Some("a")),
        (Some("a"), None),
    ] {
        let bindings = Bindings { username, client_id };
        let mut tree = Tree::new();
        let mut pattern_sets = Vec::new();
        for (at, text) in patterns.iter().enumerate() {
            let pattern = Pattern::parse(text).unwrap();
            tree.insert(&pattern, at);
            let bound = bind(text, username, client_id);
            let is_in = |topic: &TopicName| {
                bound.as_ref().is_some_and(|it| oracle(&levels(it), &levels(topic.as_str())))
            };
            let set = Set::of(topics.len(), (0..topics.len()).filter(|at| is_in(&topics[*at])));
            let found = (0..topics.len()).filter(|at| pattern.matches(&topics[*at], &bindings));
            assert_eq!(Set::of(topics.len(), found), set, "{text} for {bindings:?}");
            for (filter, filter_set) in filters.iter().zip(&sets) {
                let relations =
                    (pattern.covers(filter, &bindings), pattern.overlaps(filter, &bindings));
                let expected = (set.is_superset(filter_set), set.meets(filter_set));
                assert_eq!(relations, expected, "{text} for {bindings:?} and {filter}");
            }
            pattern_sets.push(set);
        }
        check_pattern_tree(&tree, &pattern_sets, &bindings, (&filters, &sets), &topics);
    }
}

fn check_pattern_tree(
    tree: &Tree<usize>,
    pattern_sets: &[Set],
    bindings: &Bindings<'_>,
    (filters, filter_sets): (&[TopicFilter], &[Set]),
    topics: &[TopicName],
) {
    let size = pattern_sets.len();
    for (at, topic) in topics.iter().enumerate() {
        let mut found = Vec::new();
        tree.for_each_matching(topic.as_str(), bindings, |key| found.push(*key));
        let expected = (0..size).filter(|key| pattern_sets[*key].0[at / 64] >> (at % 64) & 1 == 1);
        check_found("matching", topic, size, found, expected);
    }
    for (filter, set) in filters.iter().zip(filter_sets) {
        let found = all(|f| tree.visit_covering(filter, bindings, f));
        let expected = (0..size).filter(|key| pattern_sets[*key].is_superset(set));
        check_found("covering", filter, size, found, expected);

        let found = all(|f| tree.visit_overlapping(filter, bindings, f));
        let expected = (0..size).filter(|key| pattern_sets[*key].meets(set));
        check_found("overlapping", filter, size, found, expected);
    }
}

/// The pattern with its values, or nothing if one of those it needs cannot stand for a level.
fn bind(pattern: &str, username: Option<&str>, client_id: Option<&str>) -> Option<String> {
    let mut bound = Vec::new();
    for (at, level) in pattern.split('/').enumerate() {
        let value = match level {
            "${username}" => username?,
            "${clientId}" => client_id?,
            _ => {
                bound.push(level);
                continue;
            }
        };
        if value.is_empty()
            || value.contains(['+', '#', '/', '\0'])
            || (at == 0 && value.starts_with('$'))
        {
            return None;
        }
        bound.push(value);
    }
    Some(bound.join("/"))
}

/// All that a visit comes by.
fn all<'t>(
    visit: impl FnOnce(&mut dyn FnMut(&'t usize) -> ControlFlow<()>) -> ControlFlow<()>,
) -> Vec<usize> {
    let mut found = Vec::new();
    let flow = visit(&mut |key| {
        found.push(*key);
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    found
}

fn check_found(
    relation: &str,
    asked: &dyn std::fmt::Display,
    size: usize,
    found: Vec<usize>,
    expected: impl Iterator<Item = usize>,
) {
    assert_eq!(Set::of(size, found), Set::of(size, expected), "{relation} {asked}");
}
