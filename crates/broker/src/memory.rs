//! How much room the process has left, as its surroundings see it, and what the engine does when it
//! gets short: publishers are slowed first, then what would need more memory is refused, before the
//! system ends the process.

use std::sync::atomic::{AtomicU8, Ordering};

/// How short memory is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// There is enough.
    #[default]
    Ample,
    /// It gets short: publishers are slowed.
    Short,
    /// There is none to spare: new connections, subscriptions and messages that would have to be kept
    /// are refused, and outboxes get smaller.
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryGauge(AtomicU8);

impl MemoryGauge {
    pub(crate) fn set(&self, memory: Memory) {
        let value = match memory {
            Memory::Ample => 0,
            Memory::Short => 1,
            Memory::Full => 2,
        };
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Memory {
        match self.0.load(Ordering::Relaxed) {
            0 => Memory::Ample,
            1 => Memory::Short,
            _ => Memory::Full,
        }
    }
}

/// The limit that memory is, in refusals.
pub(crate) const MEMORY: &str = "memory_bytes_max";
/// How long a publisher waits while memory is short, before it is read again.
pub(crate) const SLOW_MS: u64 = 100;
/// What an outbox is cut down to when there is no memory to spare: this part of its bound.
pub(crate) const OUTBOX_PART: usize = 16;
