//! Bytes that must not outlive their use nor be seen in a log.

use std::fmt;
use std::ops::Deref;
use zeroize::Zeroizing;

/// A password or authentication data: wiped when dropped, hidden in `Debug`, compared in constant
/// time.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; they are wiped when the secret is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that checks them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Secret {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let difference = self.0.iter().zip(other.0.iter()).fold(0, |sum, (a, b)| sum | (a ^ b));
        self.0.len() == other.0.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(..)");
    }

    #[test]
    fn secrets_are_equal_byte_for_byte() {
        let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
        assert_eq!(secret("abc"), secret("abc"));
        assert_ne!(secret("abc"), secret("abC"));
        assert_ne!(secret("abc"), secret("ab"));
        assert_ne!(secret(""), secret("a"));
    }
}
