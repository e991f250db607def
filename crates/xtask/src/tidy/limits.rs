//! The page of limits has every bound that is a constant, so that each was looked at: is it a key, or why not?

use std::collections::BTreeSet;

use super::tree::{Tree, is_test_file, product_code};

/// `docs/limits.md` has a row for each constant of the product whose name ends with `_MAX`, and no other.
pub(crate) fn check(page: &str, tree: &Tree) -> Vec<String> {
    let files = tree.rust().filter(|(path, text)| is_product(path) && !is_test_file(path, text));
    let there: BTreeSet<_> = files.flat_map(|(path, text)| bounds(path, text)).collect();
    let named: BTreeSet<_> = page.lines().filter_map(row).collect();
    let of = |(file, name): &(String, String)| format!("`{name}` of `{file}`");
    let missing = there.difference(&named).map(|it| format!("{PAGE}: {} is missing", of(it)));
    let extra = named.difference(&there).map(|it| format!("{PAGE}: there is no {}", of(it)));
    missing.chain(extra).collect()
}

/// What serves clients; load generator and command line serve their caller.
fn is_product(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("crates/") else { return false };
    let is_served = PRODUCT.iter().any(|name| rest.starts_with(&format!("{name}/src/")));
    is_served && !rest.starts_with("server/src/bench/") && !rest.starts_with("server/src/cli/")
}

fn bounds(path: &str, text: &str) -> Vec<(String, String)> {
    let file = path.trim_start_matches("crates/");
    let code = product_code(text);
    let lines = code.lines().map(str::trim_start);
    let names = lines.filter_map(|line| {
        let (before, rest) = line.split_once("const ")?;
        let is_definition = before.is_empty() || before.starts_with("pub");
        let name = rest.split_once(": ").filter(|_| is_definition)?.0;
        name.ends_with("_MAX").then(|| (file.to_owned(), name.to_owned()))
    });
    names.collect()
}

/// Of a row: file and constant.
fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split("` | `");
    let file = cells.next()?;
    let (name, _) = cells.next()?.split_once('`')?;
    Some((file.to_owned(), name.to_owned()))
}

const PAGE: &str = "docs/limits.md";
const PRODUCT: &[&str] =
    &["topic", "access", "mqtt", "broker", "ledger", "store", "pki", "admin", "api", "server"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Tree, check};

    fn tree() -> Tree {
        let files = [
            ("crates/broker/src/a.rs", "pub(crate) const ROOM_MAX: usize = 8;\nlet x = ROOM_MAX;"),
            ("crates/broker/tests/a.rs", "const TRIES_MAX: usize = 8;"),
            ("crates/server/src/bench/a.rs", "const LOAD_MAX: usize = 8;"),
            ("crates/sim/src/a.rs", "const STEPS_MAX: usize = 8;"),
        ];
        let owned = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        Tree { files: BTreeMap::from(owned) }
    }

    #[test]
    fn a_bound_without_a_row_and_a_row_without_a_bound_are_found() {
        let good = "| `broker/src/a.rs` | `ROOM_MAX` | 8 | rooms |";
        let count = |page: &str| check(page, &tree()).len();
        assert_eq!(count(good), 0);
        assert_eq!(count("| file | constant |"), 1);
        assert_eq!(count(&format!("{good}\n| `broker/src/b.rs` | `OTHER_MAX` | 9 | |")), 1);
    }
}
