//! docs/security/threats.md answers every known flaw, with a test that exists or a plain reason.

use std::collections::BTreeSet;

use super::{documents::backticked, tree::Tree};

/// The flaws are numbered from 1 to this.
const FLAWS: usize = 41;

/// How a row says that there is no way yet to commit the flaw.
const NOT_REACHABLE: &str = "not reachable yet: ";

/// What is wrong with the table of threats.
pub(crate) fn check(text: &str, tree: &Tree) -> Vec<String> {
    let tests: BTreeSet<&str> = tree.rust().flat_map(|(_, text)| test_names(text)).collect();
    check_rows(text, &tests)
}

fn check_rows(text: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(number) = cells.first().and_then(|cell| cell.parse::<usize>().ok()) else {
            continue;
        };
        if !seen.insert(number) {
            findings.push(format!("threats.md: {number} has two rows"));
        }
        findings.extend(check_answer(number, cells.last().copied().unwrap_or_default(), tests));
    }
    let missing = (1..=FLAWS).filter(|number| !seen.contains(number));
    findings.extend(missing.map(|number| format!("threats.md: {number} has no row")));
    findings
}

fn check_answer(number: usize, answer: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let named: Vec<&str> = backticked(answer).filter(|word| is_function_name(word)).collect();
    if named.is_empty() && !answer.contains(NOT_REACHABLE) {
        return vec![format!("threats.md: {number} names neither a test nor a reason")];
    }
    let unknown = named.into_iter().filter(|name| !tests.contains(name));
    unknown.map(|name| format!("threats.md: {number}: there is no test `{name}`")).collect()
}

/// Test names are sentences: lower-case words joined by underscores.
fn is_function_name(word: &str) -> bool {
    let is_fitting = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.matches('_').count() >= 2 && word.chars().all(is_fitting)
}

/// The functions of a file that have a test attribute.
fn test_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && !line.starts_with("#[") && !line.starts_with("//") {
            let declared = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            names.extend(declared.map(|(name, _)| name));
            is_test = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FLAWS, check_rows, test_names};

    fn table(change: impl Fn(usize) -> Option<String>) -> String {
        let usual = |n| format!("| {n} | somebody | rule | `a_good_test` |");
        let rows = (1..=FLAWS).map(|n| change(n).unwrap_or_else(|| usual(n)));
        rows.collect::<Vec<_>>().join("\n")
    }

    fn check(text: &str, expected: usize) {
        let findings = check_rows(text, &BTreeSet::from(["a_good_test"]));
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn a_whole_table_is_in_order() {
        check(&table(|_| None), 0);
        check(
            &table(|n| (n == 7).then(|| format!("| {n} | x | y | not reachable yet: no TLS |"))),
            0,
        );
    }

    #[test]
    fn a_missing_or_double_number_is_found() {
        check(&table(|n| (n == 7).then(String::new)), 1);
        check(&table(|n| (n == 7).then(|| "| 8 | x | y | `a_good_test` |".to_owned())), 2);
    }

    #[test]
    fn a_test_that_does_not_exist_and_an_empty_answer_are_found() {
        check(&table(|n| (n == 7).then(|| "| 7 | x | y | `no_such_test` |".to_owned())), 1);
        check(&table(|n| (n == 7).then(|| "| 7 | x | y | tested |".to_owned())), 1);
    }

    #[test]
    fn only_functions_with_a_test_attribute_are_tests() {
        let text = "#[test]\n#[ignore]\nfn a_b_c() {}\nfn helper_of_it() {}\n#[tokio::test]\nasync fn d() {}";
        assert_eq!(test_names(text), ["a_b_c", "d"]);
    }
}
