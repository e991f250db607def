//! docs/conformance.md names for every statement of the standards the tests that show it, and each of those tests says so
//! itself, in a comment that begins with `Shows`: neither can be changed without the other.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::backticked;
use super::tree::Tree;

/// A version and the id of one of its statements.
type Statement = (Version, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V311,
    V5,
}

impl Version {
    const ALL: [(Version, &str, usize); 2] = [(Self::V311, "3.1.1", 141), (Self::V5, "5.0", 253)];

    fn named(name: &str) -> Option<Version> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(version, ..)| *version)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(it, ..)| *it == self).map_or("", |(_, name, _)| name)
    }
}

/// A row of the page.
struct Row {
    statement: Statement,
    shown_by: BTreeSet<String>,
    /// The last cell as it stands, for a statement that no test can show.
    last_cell: String,
}

/// What is wrong with the page, given the tests of the tree.
pub(crate) fn check(page: &str, tree: &Tree) -> Vec<String> {
    let shown = shown(tree);
    let mut findings = check_rows(&rows(page), &shown);
    for (version, name, count) in Version::ALL {
        let found = rows(page).iter().filter(|row| row.statement.0 == version).count();
        if found != count {
            findings
                .push(format!("conformance.md: {found} statements of {name} in place of {count}"));
        }
    }
    findings
}

/// The page with the names of its tests as the tests themselves say.
pub(crate) fn updated(page: &str, tree: &Tree) -> String {
    let shown = shown(tree);
    let mut version = None;
    let mut out = String::new();
    for line in page.lines() {
        version = section(line).or(version);
        match (row(line, version), line.rsplit_once(" | ")) {
            (Some(row), Some((front, _))) if shown.contains_key(&row.statement) => {
                let tests = shown.get(&row.statement).into_iter().flatten();
                let names: Vec<_> = tests.map(|name| format!("`{name}`")).collect();
                out.push_str(&format!("{front} | {} |", names.join(", ")));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn check_rows(rows: &[Row], shown: &BTreeMap<Statement, BTreeSet<String>>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut listed = BTreeSet::new();
    for row in rows {
        let (version, id) = &row.statement;
        let name = format!("{} {id}", version.name());
        if !listed.insert(row.statement.clone()) {
            findings.push(format!("conformance.md: {name} has two rows"));
        }
        let empty = BTreeSet::new();
        let tests = shown.get(&row.statement).unwrap_or(&empty);
        for test in row.shown_by.difference(tests) {
            findings
                .push(format!("conformance.md: {name}: `{test}` does not say that it shows it"));
        }
        for test in tests.difference(&row.shown_by) {
            findings.push(format!("conformance.md: {name}: `{test}` shows it and is not named"));
        }
        let is_explained = REASONS.iter().any(|reason| row.last_cell.starts_with(reason));
        if row.shown_by.is_empty() && !is_explained {
            findings.push(format!("conformance.md: {name} has neither a test nor a reason"));
        }
    }
    let unknown = shown.keys().filter(|statement| !listed.contains(*statement));
    findings.extend(unknown.map(|(version, id)| {
        format!("conformance.md: there is no {} {id}, which a test says it shows", version.name())
    }));
    findings
}

fn rows(page: &str) -> Vec<Row> {
    let mut version = None;
    let mut rows = Vec::new();
    for line in page.lines() {
        version = section(line).or(version);
        rows.extend(row(line, version));
    }
    rows
}

/// The version whose statements follow.
fn section(line: &str) -> Option<Version> {
    line.strip_prefix("## MQTT ").and_then(|name| Version::named(name.trim()))
}

fn row(line: &str, version: Option<Version>) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let (id, last_cell) = (cells.first()?, cells.last()?);
    id.strip_prefix("MQTT")?;
    let shown_by = backticked(last_cell).map(str::to_owned).collect();
    let statement = (version?, (*id).to_owned());
    Some(Row { statement, shown_by, last_cell: (*last_cell).to_owned() })
}

/// What the tests say that they show: functions of Rust files, and sections of the tables of packets.
fn shown(tree: &Tree) -> BTreeMap<Statement, BTreeSet<String>> {
    let mut shown: BTreeMap<Statement, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in &tree.files {
        let claims = if path.ends_with(".rs") {
            claims_of_tests(text)
        } else if path.starts_with(TABLES) {
            claims_of_sections(text)
        } else {
            continue;
        };
        for (name, claim) in claims {
            for statement in statements(&claim) {
                shown.entry(statement).or_default().insert(name.clone());
            }
        }
    }
    shown
}

/// Each test function with the comment in front of its attribute that says what it shows.
fn claims_of_tests(text: &str) -> Vec<(String, String)> {
    let mut claims = Vec::new();
    let mut comment = String::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("//") {
            gather(&mut comment, said);
        } else if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !line.starts_with("#[") {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            if let Some((name, _)) = name.filter(|_| is_test && !comment.is_empty()) {
                claims.push((name.to_owned(), comment.clone()));
            }
            comment.clear();
            is_test = false;
        }
    }
    claims
}

/// Each section of a table with the comment behind its title.
fn claims_of_sections(text: &str) -> Vec<(String, String)> {
    let mut claims: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# --- ") {
            claims.push((format!("table: {title}"), String::new()));
        } else if let Some((said, (_, claim))) = line.strip_prefix('#').zip(claims.last_mut()) {
            gather(claim, said);
        }
    }
    claims
}

/// A comment counts from the word `Shows` on.
fn gather(comment: &mut String, said: &str) {
    let said = said.trim();
    if !comment.is_empty() || said.starts_with("Shows ") {
        comment.push(' ');
        comment.push_str(said);
    }
}

fn statements(claim: &str) -> Vec<Statement> {
    let mut version = None;
    let mut found = Vec::new();
    for word in claim.split_whitespace() {
        if let Some(name) = word.strip_suffix(':') {
            version = Version::named(name).or(version);
        }
        let id = word.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(id, _)| id);
        let id = id.filter(|id| id.starts_with("MQTT"));
        found.extend(version.zip(id).map(|(version, id)| (version, id.to_owned())));
    }
    found
}

/// Where the tables of packets are.
const TABLES: &str = "crates/mqtt/tests/table/";
/// How the cell of a statement begins that no test of a server can show.
const REASONS: [&str; 2] = ["for clients", "does not apply: "];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tree::Tree;
    use super::{
        check_rows, claims_of_sections, claims_of_tests, rows, shown, statements, updated,
    };

    fn tree(test: &str) -> Tree {
        let files = [("crates/a/tests/b.rs", test), ("docs/c.md", "// Shows 5.0: [MQTT-9].")];
        Tree { files: BTreeMap::from(files.map(|(path, text)| (path.into(), text.into()))) }
    }

    const TEST: &str =
        "// Shows 3.1.1: [MQTT-1],\n// [MQTT-2]; 5.0: [MQTT-1].\n#[test]\nfn it_is_so() {}\n";

    fn check(page: &str, expected: &[&str]) {
        let findings = check_rows(&rows(page), &shown(&tree(TEST)));
        let expected: Vec<_> = expected.iter().map(|it| format!("conformance.md: {it}")).collect();
        assert_eq!(findings, expected);
    }

    const PAGE: &str = "## MQTT 3.1.1\n| MQTT-1 | x | `it_is_so` |\n| MQTT-2 | x | `it_is_so` |\n\
        | MQTT-3 | x | for clients |\n## MQTT 5.0\n| MQTT-1 | x | `it_is_so` |\n";

    #[test]
    fn a_page_that_agrees_with_its_tests_is_in_order() {
        check(PAGE, &[]);
    }

    #[test]
    fn a_claim_without_a_row_and_a_row_without_a_claim_are_found() {
        check(
            &PAGE.replace("| MQTT-2 | x | `it_is_so` |\n", ""),
            &["there is no 3.1.1 MQTT-2, which a test says it shows"],
        );
        check(
            &PAGE.replace("for clients", "`it_is_so`"),
            &["3.1.1 MQTT-3: `it_is_so` does not say that it shows it"],
        );
        check(
            &PAGE.replace("for clients", "surely"),
            &["3.1.1 MQTT-3 has neither a test nor a reason"],
        );
        check(
            &PAGE.replace(
                "## MQTT 5.0\n| MQTT-1 | x | `it_is_so` |",
                "## MQTT 5.0\n| MQTT-1 | x | for clients |",
            ),
            &["5.0 MQTT-1: `it_is_so` shows it and is not named"],
        );
    }

    #[test]
    fn two_rows_for_one_statement_are_found() {
        check(
            &PAGE.replace("| MQTT-3 | x | for clients |", "| MQTT-1 | x | `it_is_so` |"),
            &["3.1.1 MQTT-1 has two rows"],
        );
    }

    #[test]
    fn the_names_of_tests_can_be_filled_in() {
        let page = PAGE.replace("`it_is_so`", "`an_old_name`");
        assert_eq!(updated(&page, &tree(TEST)), PAGE);
    }

    #[test]
    fn only_a_comment_in_front_of_a_test_is_a_claim() {
        let text = "// Shows 5.0: [MQTT-1].\nfn helper() {}\n#[test]\nfn without() {}\n// Why.\n#[test]\nfn b() {}\n\
            // Shows 5.0: [MQTT-2].\n#[test]\n#[ignore]\nfn c() {}\n";
        assert_eq!(claims_of_tests(text), [("c".to_owned(), " Shows 5.0: [MQTT-2].".to_owned())]);
    }

    #[test]
    fn sections_of_tables_claim_as_well() {
        let claims = claims_of_sections(
            "# Shows 5.0: [MQTT-0]\n# --- A\n# Shows 5.0: [MQTT-1],\n# [MQTT-2]\nrow\n# --- B\n",
        );
        let of = |at: usize| (claims[at].0.as_str(), statements(&claims[at].1).len());
        assert_eq!([of(0), of(1)], [("table: A", 2), ("table: B", 0)]);
    }
}
