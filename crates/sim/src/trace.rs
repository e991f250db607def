//! What happened, in order: the end of it in words, all of it as one number.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The trace of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    count: usize,
    hash: u64,
    /// Something was wrong: what follows does not matter.
    pub(crate) is_over: bool,
}

impl Trace {
    pub(crate) fn note(&mut self, line: String) {
        if self.is_over {
            return;
        }
        // `DefaultHasher::new` has fixed keys.
        let mut hasher = DefaultHasher::new();
        (self.hash, &line).hash(&mut hasher);
        self.hash = hasher.finish();
        self.count += 1;
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:5} {line}", self.count));
    }

    /// A number that differs when anything in the trace does.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

const LINES_KEPT: usize = 2_000;
