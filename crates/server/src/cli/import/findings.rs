//! What an import says about the files: what was not taken over exactly, and what makes them unreadable.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::failure::Failure;

/// A file of the other broker.
pub(super) struct Source {
    name: String,
    pub(super) text: String,
    /// Where each line feed is.
    line_ends: Vec<usize>,
}

/// Something that is not here as it was there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Finding {
    file: Option<String>,
    line: Option<usize>,
    what: String,
}

/// All of them, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    /// The same again, to say nothing twice.
    known: HashSet<Finding>,
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

impl Malformed {
    pub(super) fn new(line: usize, reason: impl Into<String>) -> Malformed {
        Malformed { line, reason: reason.into() }
    }
}

impl Source {
    pub(super) fn read(file: &Path) -> Result<Source, Failure> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| Failure::File {
            action: "read",
            path: file.to_owned(),
            error,
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Source::of(&name, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = error.as_bytes().iter().take(good);
                let line = before.filter(|byte| **byte == b'\n').count() + 1;
                let reason = "this is not UTF-8: convert the file, for example with `iconv`";
                Err(Failure::Usage(format!("`{name}`, line {line}: {reason}")))
            }
        }
    }

    pub(super) fn of(name: &str, text: impl Into<String>) -> Source {
        let text = text.into();
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Source { name: name.to_owned(), text, line_ends }
    }

    /// The line in which a part of the text begins.
    pub(super) fn line_of(&self, part: &str) -> usize {
        let at = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        self.line_ends.partition_point(|end| *end < at) + 1
    }

    /// The lines with their numbers, without the white space at their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines()).map(|(number, line)| (number, line.trim_ascii_end()))
    }

    pub(super) fn malformed(&self, malformed: Malformed) -> Failure {
        let Malformed { line, reason } = malformed;
        Failure::Usage(format!("`{}`, line {line}: {reason}; nothing was imported", self.name))
    }
}

impl Findings {
    /// About a line.
    pub(super) fn at(&mut self, source: &Source, line: usize, what: impl Into<String>) {
        let finding =
            Finding { file: Some(source.name.clone()), line: Some(line), what: what.into() };
        if self.known.insert(finding.clone()) {
            self.list.push(finding);
        }
    }

    /// About all of it.
    pub(super) fn in_general(&mut self, what: impl Into<String>) {
        self.list.push(Finding { file: None, line: None, what: what.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any of them is about a line, and not only about Mosquitto's ways.
    pub(super) fn is_about_lines(&self) -> bool {
        self.list.iter().any(|finding| finding.line.is_some())
    }

    /// By file and line; what is general comes last.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|it| (it.file.is_none(), it.file.clone(), it.line));
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let show = |finding: &Finding| match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("  {file}:{line}: {}", finding.what),
            (_, _) => format!("  {}", finding.what),
        };
        self.list.iter().map(show).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let one = |it: &Finding| json!({"file": it.file, "line": it.line, "what": it.what});
        self.list.iter().map(one).collect()
    }

    #[cfg(test)]
    pub(super) fn about(&self, line: usize) -> Vec<&str> {
        let about = self.list.iter().filter(|finding| finding.line == Some(line));
        about.map(|finding| finding.what.as_str()).collect()
    }
}
