//! Laws that hold for all filters, names and trees, also those with many and long levels.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use topic::{Bindings, Pattern, SubscriptionFilter, TopicFilter, TopicName, Tree};

/// A few texts that meet often, and now and then any other.
fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "", "$x", "level", LONG_LEVEL])
            .prop_map(str::to_owned),
        1 => "[^/+#\u{0}]{0,30}",
    ]
}

/// Longer than what a node of the tree keeps in place.
const LONG_LEVEL: &str = "a-level-that-is-longer-than-a-node-holds";

fn topic_text() -> impl Strategy<Value = String> {
    vec(literal(), 1..7)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |text| !text.is_empty())
}

fn name() -> impl Strategy<Value = TopicName> {
    topic_text().prop_map(|text| TopicName::parse(&text).unwrap())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![3 => literal(), 2 => Just("+".to_owned())];
    let text = (vec(level, 0..6), any::<bool>()).prop_map(|(mut levels, is_open)| {
        levels.extend(is_open.then(|| "#".to_owned()));
        levels.join("/")
    });
    text.prop_filter_map("not a filter", |text| TopicFilter::parse(&text).ok())
}

/// A name that the filter matches, most of the time.
fn name_within(filter: &TopicFilter, fill: &[String]) -> Option<TopicName> {
    let mut fill = fill.iter().cycle();
    let mut levels = Vec::new();
    for level in filter.as_str().split('/') {
        match level {
            "+" => levels.push(fill.next()?.as_str()),
            "#" => levels.extend(fill.by_ref().take(2).map(String::as_str)),
            _ => levels.push(level),
        }
    }
    TopicName::parse(&levels.join("/")).ok().filter(|name| filter.matches(name))
}

/// A filter that the given one covers, most of the time: some of its wildcards are filled in.
fn narrowed(filter: &TopicFilter, fill: &[(String, bool)]) -> Option<TopicFilter> {
    let mut fill = fill.iter().cycle();
    let mut levels = Vec::new();
    for level in filter.as_str().split('/') {
        match (level, fill.next()?) {
            ("+", (text, true)) => levels.push(text.as_str()),
            ("#", (text, true)) => levels.extend([text.as_str(), "+", "#"]),
            ("#", (text, false)) => levels.extend(["+", text.as_str()]),
            _ => levels.push(level),
        }
    }
    TopicFilter::parse(&levels.join("/")).ok()
}

/// A filter, a narrower one, and one that is narrower still.
fn three_filters() -> impl Strategy<Value = [TopicFilter; 3]> {
    let fill = || vec((literal(), any::<bool>()), 1..5);
    (filter(), fill(), fill()).prop_filter_map("not filters", |(wide, one, two)| {
        let middle = narrowed(&wide, &one)?;
        let narrow = narrowed(&middle, &two)?;
        Some([wide, middle, narrow])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_covered_filter_matches_no_topic_outside(
        [wide, narrow, _] in three_filters(), fill in vec(literal(), 1..5),
    ) {
        prop_assume!(wide.covers(&narrow));
        let name = name_within(&narrow, &fill);
        prop_assume!(name.is_some());
        prop_assert!(name.is_some_and(|name| wide.matches(&name)), "{wide} {narrow}");
    }

    #[test]
    fn two_filters_with_a_topic_in_common_overlap(
        [one, _, narrow] in three_filters(), other in filter(), fill in vec(literal(), 1..5),
    ) {
        let name = name_within(&narrow, &fill);
        prop_assume!(name.is_some());
        if let Some(name) = name {
            for two in [&one, &other] {
                if two.matches(&name) {
                    prop_assert!(narrow.overlaps(two), "{narrow} {two} {name}");
                }
            }
        }
    }

    #[test]
    fn every_filter_covers_and_overlaps_itself(one in filter()) {
        prop_assert!(one.covers(&one) && one.overlaps(&one), "{one}");
    }

    #[test]
    fn covers_is_transitive([one, two, three] in three_filters()) {
        prop_assume!(one.covers(&two) && two.covers(&three));
        prop_assert!(one.covers(&three), "{one} {two} {three}");
    }

    #[test]
    fn overlaps_is_symmetric_and_follows_from_covers(
        [one, narrow, _] in three_filters(), other in filter(),
    ) {
        for other in [narrow, other] {
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one), "{} {}", &one, &other);
            prop_assert!(one.overlaps(&other) || !one.covers(&other), "{one} {other}");
        }
    }

    #[test]
    fn to_cover_a_name_is_to_match_it(one in filter(), name in name()) {
        let exact = TopicFilter::from(name.clone());
        prop_assert_eq!(one.covers(&exact), one.matches(&name), "{} {}", &one, &name);
        prop_assert_eq!(one.overlaps(&exact), one.matches(&name), "{} {}", &one, &name);
    }

    #[test]
    fn a_subscription_filter_displays_as_it_was_written(
        text in "(\\$share/[a-z]{0,2}/)?[a-b/+#$]{0,8}",
    ) {
        if let Ok(filter) = SubscriptionFilter::parse(&text) {
            prop_assert_eq!(filter.to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic_and_what_it_takes_it_keeps(text in any::<String>()) {
        if let Ok(name) = TopicName::parse(&text) {
            prop_assert_eq!(name.as_str(), &text);
        }
        if let Ok(filter) = TopicFilter::parse(&text) {
            prop_assert_eq!(filter.as_str(), &text);
        }
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), &text);
        }
    }

    #[test]
    fn a_value_reaches_no_topic_that_the_same_level_as_plus_does_not(
        value in any::<String>(), topic in name(), before in literal(), is_open in any::<bool>(),
    ) {
        let end = if is_open { "/#" } else { "" };
        if let (Ok(pattern), Ok(wild)) = (
            Pattern::parse(&format!("{before}/${{clientId}}{end}")),
            TopicFilter::parse(&format!("{before}/+{end}")),
        ) {
            let bindings = Bindings { username: None, client_id: Some(&value) };
            prop_assert!(!pattern.matches(&topic, &bindings) || wild.matches(&topic));
            prop_assert!(!pattern.covers(&wild, &bindings), "{pattern} {value:?}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(TopicFilter, u32),
    GetOrInsert(TopicFilter, u32),
    Remove(TopicFilter),
    RemoveSome(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    // Many short filters below one level, so that nodes grow into maps and shrink back.
    let wide = (0..40_u32).prop_map(|n| TopicFilter::parse(&format!("a/{n}")).unwrap());
    let key = prop_oneof![filter(), wide];
    prop_oneof![
        4 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        1 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
        1 => key.prop_map(Step::Remove),
        3 => any::<prop::sample::Index>().prop_map(Step::RemoveSome),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_behaves_like_a_list_of_its_keys(
        steps in vec(step(), 0..200),
        names in vec(name(), 1..10),
        asked in vec(filter(), 1..10),
    ) {
        let mut tree = Tree::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    let former = tree.insert(&key, (key.clone(), value)).map(|it| it.1);
                    prop_assert_eq!(former, model.insert(key, value));
                }
                Step::GetOrInsert(key, value) => {
                    let found = tree.get_or_insert_with(&key, || (key.clone(), value)).1;
                    prop_assert_eq!(found, *model.entry(key).or_insert(value));
                }
                Step::Remove(key) => {
                    prop_assert_eq!(tree.remove(&key).map(|it| it.1), model.remove(&key));
                }
                Step::RemoveSome(index) => {
                    let some = model.keys().nth(index.index(model.len().max(1))).cloned();
                    if let Some(key) = some {
                        prop_assert_eq!(tree.remove(&key).map(|it| it.1), model.remove(&key));
                    }
                }
            }
            prop_assert_eq!(tree.len(), model.len());
        }
        for (key, value) in &model {
            prop_assert_eq!(tree.get(key).map(|it| it.1), Some(*value));
            prop_assert_eq!(tree.get_mut(key).map(|it| it.1), Some(*value));
        }
        let mut all: Vec<_> = tree.iter().cloned().collect();
        all.sort();
        prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        for name in &names {
            let found = keys(|f| tree.visit_matching(name.as_str(), &Bindings::NONE, f));
            prop_assert_eq!(found, expected(&model, |key| key.matches(name)), "{}", name);
        }
        for filter in &asked {
            let found = keys(|f| tree.visit_covering(filter, &Bindings::NONE, f));
            prop_assert_eq!(found, expected(&model, |key| key.covers(filter)), "{}", filter);
            let found = keys(|f| tree.visit_overlapping(filter, &Bindings::NONE, f));
            prop_assert_eq!(found, expected(&model, |key| key.overlaps(filter)), "{}", filter);
        }
        for key in model.keys() {
            tree.remove(key);
        }
        prop_assert!(tree.is_empty() && tree.iter().next().is_none());
    }
}

type Entry = (TopicFilter, u32);

fn keys<'t>(
    visit: impl FnOnce(&mut dyn FnMut(&'t Entry) -> ControlFlow<()>) -> ControlFlow<()>,
) -> Vec<TopicFilter> {
    let mut keys = Vec::new();
    let flow = visit(&mut |entry| {
        keys.push(entry.0.clone());
        ControlFlow::Continue(())
    });
    assert!(flow.is_continue());
    keys.sort();
    keys
}

fn expected(
    model: &BTreeMap<TopicFilter, u32>,
    is_in: impl Fn(&TopicFilter) -> bool,
) -> Vec<TopicFilter> {
    model.keys().filter(|key| is_in(key)).cloned().collect()
}
