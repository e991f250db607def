//! Secrets: wiped when dropped, compared in constant time, impossible to print or to serialize.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A password in clear. It can be read only by the name [`Secret::expose`], which is easy to find.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8. For the one place that shows a first password to its owner, and for the policy.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.as_bytes().to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        let mut text = Zeroizing::new(String::deserialize(from)?);
        Ok(Secret::from(std::mem::take(&mut *text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaw_31_a_secret_cannot_be_printed() {
        let secret = Secret::from("s3cret-in-clear");
        let shown = format!("{secret:?} {:?} {:#?}", Some(&secret), [&secret]);
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("Secret(..)"));
    }

    #[test]
    fn secrets_are_equal_only_if_every_byte_is() {
        let check = |a: &str, b: &str, equal| assert_eq!(Secret::from(a) == Secret::from(b), equal);
        check("", "", true);
        check("abc", "abc", true);
        check("abc", "abC", false);
        check("abc", "abcd", false);
    }
}
