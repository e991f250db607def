//! The files of the tree, and Rust text without its comments and tests.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context, ensure};

/// Every text file that belongs to the tree, by its path from the root.
pub(crate) struct Tree {
    /// Path to content.
    pub(crate) files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads all files that are committed or could be.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .output()
            .context("cannot start git")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout).context("paths are UTF-8")?;
        let mut files = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // What is not text has no words to check; what was deleted but is still listed is no file.
            if let Ok(text) = fs::read_to_string(path) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Self { files })
    }

    /// The text of a file that must be there.
    pub(crate) fn text(&self, path: &str) -> anyhow::Result<&str> {
        let text = self.files.get(path);
        Ok(text.with_context(|| format!("`{path}` is missing"))?)
    }

    /// The Rust files of the tree.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(|(path, _)| path.ends_with(".rs"))
    }
}

/// Whether a file holds nothing but tests and what they need.
pub(crate) fn is_test_file(path: &str, text: &str) -> bool {
    let in_test_folder = ["/tests/", "/examples/", "/benches/", "/fuzz_targets/"];
    let is_named_so = path.ends_with("/tests.rs") || path.starts_with("fuzz/");
    is_named_so
        || in_test_folder.iter().any(|folder| path.contains(folder))
        || path.starts_with("crates/testkit/")
        || path.starts_with("crates/sim/")
        || text.contains("#![cfg(test)]")
}

/// Rust text without comments and without what follows the last `#[cfg(test)] mod`.
pub(crate) fn product_code(text: &str) -> String {
    let code = without_comments(text);
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code.get(..at).unwrap_or_default().to_owned(),
        None => code,
    }
}

/// Rust text without its comments; strings and characters stay, line numbers too.
pub(crate) fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('/', Some('/')) => {
                // The line's end belongs to the code.
                while rest.peek().is_some_and(|c| *c != '\n') {
                    rest.next();
                }
            }
            ('"', _) => {
                out.push(c);
                while let Some(inside) = rest.next() {
                    out.push(inside);
                    match inside {
                        '\\' => out.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            ('\'', Some('"')) => {
                // The character `'"'` opens no string.
                out.push(c);
                out.extend(rest.next());
            }
            ('\'', Some('\\')) => {
                out.push(c);
                out.extend(rest.next());
                out.extend(rest.next());
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{is_test_file, product_code, without_comments};

    #[test]
    fn comments_go_and_strings_stay() {
        let text =
            "let a = \"http://x\"; // split('/')\n/// doc\nlet b = '\"'; // gone \"\nc('\\'')";
        assert_eq!(without_comments(text), "let a = \"http://x\"; \n\nlet b = '\"'; \nc('\\'')");
    }

    #[test]
    fn product_code_ends_where_the_tests_begin() {
        assert_eq!(product_code("a();\n#[cfg(test)]\nmod tests {\n b();\n}\n"), "a();\n");
        assert_eq!(
            product_code("#[cfg(test)]\nmod tests;\na();\n"),
            "#[cfg(test)]\nmod tests;\na();\n"
        );
    }

    #[test]
    fn test_files_are_known_by_folder_name_or_attribute() {
        assert!(is_test_file("crates/broker/src/engine/tests.rs", ""));
        assert!(is_test_file("crates/server/tests/e2e/main.rs", ""));
        assert!(is_test_file("crates/broker/src/pair.rs", "#![cfg(test)]"));
        assert!(!is_test_file("crates/broker/src/engine.rs", "#[cfg(test)]\nmod tests;"));
    }
}
