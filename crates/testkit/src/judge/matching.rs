//! Filters against topics and filters, written once more: the broker's matcher is what is under test.

/// Whether a topic is one of those that `filter` means.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    covers(filter, topic)
}

/// Whether `filter` takes in every topic that `other` (a filter, or a topic) takes in.
pub(super) fn covers(filter: &str, other: &str) -> bool {
    let (head, rest) = level(filter);
    let (other_head, other_rest) = level(other);
    match head {
        "#" => true,
        "+" if other_head == "#" => false,
        _ if head != "+" && head != other_head => false,
        _ => match (rest, other_rest) {
            (None, None) | (Some("#"), None) => true,
            (Some(rest), Some(other_rest)) => covers(rest, other_rest),
            _ => false,
        },
    }
}

/// The group and the filter inside `$share/group/filter`.
pub(super) fn share(subscription: &str) -> (Option<&str>, &str) {
    match subscription.strip_prefix("$share/") {
        None => (None, subscription),
        Some(rest) => {
            let (group, filter) = level(rest);
            (Some(group), filter.unwrap_or_default())
        }
    }
}

fn level(text: &str) -> (&str, Option<&str>) {
    match text.find('/') {
        None => (text, None),
        Some(at) => {
            let (head, rest) = text.split_at(at);
            (head, rest.strip_prefix('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{covers, matches, share};

    #[test]
    fn levels_wildcards_and_the_parent_of_a_hash_match_as_the_standard_says() {
        for (filter, topic) in [("#", "a/b"), ("a/#", "a"), ("a/#", "a/b/c"), ("+/b", "a/b")] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [("a", "a/b"), ("a/+", "a"), ("+", "a/b"), ("b/#", "a")] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
        assert!(covers("a/#", "a/+") && covers("+/b", "a/b") && covers("#", "#"));
        assert!(!covers("a/+", "a/#") && !covers("a/b", "a/+"));
        assert_eq!(share("$share/g/a/b"), (Some("g"), "a/b"));
        assert_eq!(share("a/b"), (None, "a/b"));
    }
}
