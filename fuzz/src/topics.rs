//! Two filters and a name: the relations between them agree with each other and with the tree.

use std::ops::ControlFlow;
use topic::{Bindings, Pattern, SubscriptionFilter, TopicFilter, TopicName, Tree};

pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        any_text(text);
    }
    // A NUL separates, so that the fuzzer finds the parts.
    let mut parts =
        data.splitn(3, |&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let (Some(a), Some(b), Some(name)) = (parts.next(), parts.next(), parts.next()) else { return };
    let (Ok(a), Ok(b)) = (TopicFilter::parse(&a), TopicFilter::parse(&b)) else { return };
    pair(&a, &b);
    if let Ok(name) = TopicName::parse(&name) {
        triple(&a, &b, &name);
    }
}

/// Nothing panics, and what parses is what was parsed.
fn any_text(text: &str) {
    if let Ok(name) = TopicName::parse(text) {
        assert_eq!(name.as_str(), text);
        let same = TopicFilter::parse(text);
        assert!(same.is_err() || same.is_ok_and(|filter| filter.matches(&name)));
    }
    assert_eq!(TopicName::validate(text).is_ok(), TopicName::parse(text).is_ok());
    if let Ok(filter) = SubscriptionFilter::parse(text) {
        assert_eq!(filter.to_string(), text);
    }
    if let Ok(pattern) = Pattern::parse(text) {
        assert_eq!(pattern.as_str(), text);
    }
}

fn pair(a: &TopicFilter, b: &TopicFilter) {
    assert!(a.covers(a) && a.overlaps(a), "{a:?}");
    assert_eq!(a.overlaps(b), b.overlaps(a), "{a:?} {b:?}");
    assert!(!a.covers(b) || a.overlaps(b), "{a:?} covers {b:?} and does not overlap it");
    let tree = tree_of(a);
    let none = Bindings { username: None, client_id: None };
    let covering = tree.visit_covering(b, &none, |()| ControlFlow::Break(())).is_break();
    assert_eq!(covering, a.covers(b), "covering {a:?} {b:?}");
    let overlapping = tree.visit_overlapping(b, &none, |()| ControlFlow::Break(())).is_break();
    assert_eq!(overlapping, a.overlaps(b), "overlapping {a:?} {b:?}");
}

fn triple(a: &TopicFilter, b: &TopicFilter, name: &TopicName) {
    let (in_a, in_b) = (a.matches(name), b.matches(name));
    assert_eq!(in_a, a.matches_str(name.as_str()));
    assert!(!in_a || !in_b || a.overlaps(b), "{name:?} is in {a:?} and {b:?}");
    assert!(in_a || !in_b || !a.covers(b), "{name:?} is in {b:?} and not in {a:?} that covers it");
    let none = Bindings { username: None, client_id: None };
    let visit =
        |filter| tree_of(filter).visit_matching(name.as_str(), &none, |()| ControlFlow::Break(()));
    assert_eq!((visit(a).is_break(), visit(b).is_break()), (in_a, in_b), "{a:?} {b:?} {name:?}");
    let mut names = Tree::new();
    names.insert(name, ());
    let matched = names.visit_matched(a, |()| ControlFlow::Break(())).is_break();
    assert_eq!(matched, in_a, "{a:?} {name:?}");
}

fn tree_of(filter: &TopicFilter) -> Tree<()> {
    let mut tree = Tree::new();
    tree.insert(filter, ());
    tree
}
