//! Documents that list things must list all of them, and nothing else.

use std::collections::BTreeSet;

use super::layers::Package;

/// ARCHITECTURE.md names every crate, as `crates/NAME`, and no other.
pub(crate) fn check_architecture(text: &str, packages: &[Package]) -> Vec<String> {
    let named = backticked(text).filter_map(|word| word.strip_prefix("crates/"));
    let named = named.filter_map(|rest| rest.split('/').next());
    let named: BTreeSet<&str> = named.filter(|name| !name.is_empty()).collect();
    let there = packages.iter().map(|package| package.name.as_str()).collect();
    compare("ARCHITECTURE.md", "crate", &named, &there)
}

/// DEPENDENCIES.md has a row for every direct dependency and no other.
pub(crate) fn check_dependencies(text: &str, packages: &[Package]) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let named = rows.filter_map(|row| row.split_once('`').map(|(name, _)| name)).collect();
    let there = packages.iter().flat_map(|p| p.foreign.iter().chain(&p.foreign_for_tests));
    let there = there.map(String::as_str).collect();
    compare("DEPENDENCIES.md", "dependency", &named, &there)
}

fn compare(file: &str, what: &str, named: &BTreeSet<&str>, there: &BTreeSet<&str>) -> Vec<String> {
    let missing = there.difference(named).map(|name| format!("{file}: {what} `{name}` is missing"));
    let extra = named.difference(there).map(|name| format!("{file}: there is no {what} `{name}`"));
    missing.chain(extra).collect()
}

/// The words between backticks, line by line.
pub(crate) fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[cfg(test)]
mod tests {
    use super::{Package, check_architecture, check_dependencies};

    fn packages() -> Vec<Package> {
        let foreign = ["tokio".to_owned()].into();
        let foreign_for_tests = ["proptest".to_owned()].into();
        vec![
            Package { name: "topic".to_owned(), foreign_for_tests, ..Package::default() },
            Package { name: "server".to_owned(), foreign, ..Package::default() },
        ]
    }

    #[test]
    fn a_crate_that_is_missing_or_made_up_is_found() {
        let check = |text: &str| check_architecture(text, &packages()).len();
        assert_eq!(check("in `crates/`: `crates/topic` and `crates/server/src/main.rs`"), 0);
        assert_eq!(check("`crates/topic`"), 1);
        assert_eq!(check("`crates/topic` `crates/server` `crates/helpers`"), 1);
    }

    #[test]
    fn a_dependency_without_a_row_and_a_row_without_one_are_found() {
        let check = |text: &str| check_dependencies(text, &packages()).len();
        assert_eq!(check("| `tokio` | runtime |\n| `proptest` | laws |"), 0);
        assert_eq!(check("| `tokio` | runtime |"), 1);
        assert_eq!(check("| `tokio` | a |\n| `proptest` | b |\n| `openssl` | c |"), 1);
    }
}
