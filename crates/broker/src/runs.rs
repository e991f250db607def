//! Messages that are on disk only, known by place and size. Those of one size that follow each other
//! without a gap are one run: a long queue of like messages takes no memory to speak of.

use std::collections::VecDeque;

/// Places in ascending order, each with the bytes it counts for.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: VecDeque<Run>,
    len: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    count: u32,
    size: u32,
}

impl Run {
    fn of(sequence: u64, size: usize) -> Run {
        Run { first: sequence, count: 1, size: u32::try_from(size).unwrap_or(u32::MAX) }
    }

    /// The place behind its last.
    fn end(self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    fn size(self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

impl Runs {
    /// Puts one behind all others.
    pub(crate) fn push_back(&mut self, sequence: u64, size: usize) {
        let new = Run::of(sequence, size);
        self.len += 1;
        self.bytes += new.size();
        if let Some(last) = self.runs.back_mut()
            && last.size == new.size
            && last.end() == sequence
            && last.count < u32::MAX
        {
            last.count += 1;
            return;
        }
        self.runs.push_back(new);
    }

    /// Puts one before all others.
    pub(crate) fn push_front(&mut self, sequence: u64, size: usize) {
        let new = Run::of(sequence, size);
        self.len += 1;
        self.bytes += new.size();
        if let Some(first) = self.runs.front_mut()
            && first.size == new.size
            && new.end() == first.first
            && first.count < u32::MAX
        {
            first.first = sequence;
            first.count += 1;
            return;
        }
        self.runs.push_front(new);
    }

    /// Takes the first: its place and size.
    pub(crate) fn pop_front(&mut self) -> Option<(u64, usize)> {
        let run = self.runs.front_mut()?;
        let (sequence, size) = (run.first, run.size());
        run.first = run.first.saturating_add(1);
        run.count -= 1;
        if run.count == 0 {
            self.runs.pop_front();
            self.give_back();
        }
        self.forget(size);
        Some((sequence, size))
    }

    /// Takes the last.
    pub(crate) fn pop_back(&mut self) -> Option<(u64, usize)> {
        let run = self.runs.back_mut()?;
        run.count -= 1;
        let (sequence, size) = (run.end(), run.size());
        if run.count == 0 {
            self.runs.pop_back();
        }
        self.forget(size);
        Some((sequence, size))
    }

    /// Puts all of `other` behind these.
    pub(crate) fn append(&mut self, mut other: Runs) {
        self.len += other.len;
        self.bytes += other.bytes;
        self.runs.append(&mut other.runs);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, usize)> {
        self.runs.iter().flat_map(|run| (run.first..run.end()).map(|it| (it, run.size())))
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.runs.front().map(|run| run.first)
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.back().map(|run| run.end().saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the messages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that it takes to know them.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn forget(&mut self, size: usize) {
        self.len = self.len.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    /// What a long queue of messages of different sizes has taken is not kept once it is short.
    fn give_back(&mut self) {
        if self.runs.capacity() > RUNS_KEPT && self.runs.len() < self.runs.capacity() / 4 {
            self.runs.shrink_to(self.runs.len() * 2);
        }
    }
}

const RUNS_KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::Runs;

    fn runs(messages: &[(u64, usize)]) -> Runs {
        let mut runs = Runs::default();
        messages.iter().for_each(|(sequence, size)| runs.push_back(*sequence, *size));
        runs
    }

    #[test]
    fn what_goes_in_at_the_end_comes_out_in_front_whatever_its_gaps_and_sizes() {
        let messages = [(1, 10), (2, 10), (3, 11), (5, 11), (6, 11), (9, 10)];
        let mut runs = runs(&messages);
        assert_eq!((runs.len(), runs.bytes()), (6, 63));
        assert_eq!((runs.first(), runs.last()), (Some(1), Some(9)));
        assert_eq!(runs.iter().collect::<Vec<_>>(), messages);
        let taken: Vec<_> = std::iter::from_fn(|| runs.pop_front()).collect();
        assert_eq!(taken, messages);
        assert!(runs.is_empty() && runs.bytes() == 0 && runs.first().is_none());
    }

    #[test]
    fn what_is_put_back_in_front_comes_out_first_and_the_last_can_be_taken_too() {
        let mut runs = runs(&[(5, 10), (6, 10)]);
        runs.push_front(4, 10);
        runs.push_front(2, 7);
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(2, 7), (4, 10), (5, 10), (6, 10)]);
        assert_eq!(runs.pop_back(), Some((6, 10)));
        assert_eq!(runs.pop_front(), Some((2, 7)));
        assert_eq!((runs.len(), runs.bytes(), runs.last()), (2, 20, Some(5)));
    }

    #[test]
    fn a_million_like_messages_take_no_memory_to_speak_of() {
        let mut runs = Runs::default();
        (0..1_000_000).for_each(|sequence| runs.push_back(sequence, 250));
        assert_eq!((runs.len(), runs.bytes()), (1_000_000, 250_000_000));
        assert!(runs.memory_bytes() < 1_000);
    }
}
