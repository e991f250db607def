//! The one secret the store keeps: the hash of a password.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password hash as text, most often in PHC string format. Whoever has it can guess at leisure, so it is wiped when dropped and can be
/// neither printed nor serialized.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Takes a text over; whether it is one is judged by whoever hashes.
    pub fn new(phc: String) -> PasswordHash {
        PasswordHash(phc.into_boxed_str())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}
