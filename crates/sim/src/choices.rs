//! Where the decisions of a run come from: a seed, or the bytes of a fuzzer.

use testkit::Random;

/// A source of decisions.
#[derive(Debug)]
pub(crate) enum Choices {
    /// As many as are wanted.
    Seeded(Random),
    /// One or two bytes each; when they are used up, all are 0.
    Bytes(std::collections::VecDeque<u8>),
}

impl Choices {
    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        match self {
            Self::Seeded(random) => random.below(bound),
            Self::Bytes(bytes) => {
                let mut byte = || usize::from(bytes.pop_front().unwrap_or(0));
                if bound > 256 { (byte() << 8 | byte()) % bound } else { byte() % bound }
            }
        }
    }

    /// True in `part` of `whole` cases.
    pub(crate) fn chance(&mut self, part: usize, whole: usize) -> bool {
        self.below(whole) < part
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// An index, each as often as its weight says.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut at = self.below(weights.iter().sum::<usize>().max(1));
        for (index, weight) in weights.iter().enumerate() {
            if at < *weight {
                return index;
            }
            at -= weight;
        }
        0
    }

    /// Whether there is nothing left to decide by.
    pub(crate) fn are_over(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}
