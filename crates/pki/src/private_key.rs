//! A private key as text: wiped when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A private key as PKCS#8 PEM. Whoever reads it says so by [`PrivateKeyPem::expose`].
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the one who is to have the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(..)")
    }
}
