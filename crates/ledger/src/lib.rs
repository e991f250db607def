//! What the engine records, as keys and values, and back: the form of the state log, byte by byte in `docs/storage.md`.
//!
//! It knows what the engine's records mean and nothing of files: what is to be written is gathered in [`Changes`], what was
//! read is given to [`load()`] or [`Messages::read`]. So the server's disk and a simulated one hold the same bytes.
//!
//! Invariants: an entry is read as it was written or not at all; whatever the bytes are, reading them does not panic and
//! holds no more than a few times their length.

#[cfg(test)]
mod bundle_tests;
mod bundles;
mod bytes;
mod changes;
mod load;
mod messages;
mod record;
mod runs;
#[cfg(test)]
mod tests;

pub use bundles::Bundles;
pub use changes::{Changes, Folded};
pub use load::load;
pub use messages::{Messages, message_range};
pub use record::put;
