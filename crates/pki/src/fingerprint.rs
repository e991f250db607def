//! A certificate's fingerprint: SHA-256 of its DER, written as lower-case hexadecimal.

use std::fmt;

use aws_lc_rs::digest;

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of these DER bytes.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self::of_parts([der])
    }

    /// From 64 hexadecimal digits in either case, colons accepted; `None` if it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        bytes_of_hex(text)?.try_into().ok().map(Self)
    }

    /// From its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of a sequence of parts; each part's length is hashed too, so that no two sequences look alike.
    pub(crate) fn of_sequence<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        Self::finished(context)
    }

    fn of_parts<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(part);
        }
        Self::finished(context)
    }

    fn finished(context: digest::Context) -> Self {
        let mut bytes = [0; 32];
        // SHA-256 gives 32 bytes; zipping needs no panic to say so.
        for (byte, hashed) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *byte = *hashed;
        }
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Hexadecimal digits to bytes; colons are skipped, an odd first digit stands alone.
pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(text.len() + 1);
    for character in text.chars().filter(|character| *character != ':') {
        digits.push(u8::try_from(character.to_digit(16)?).ok()?);
    }
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints() {
        let printed = Fingerprint::of(b"certificate").to_string();
        assert_eq!(printed.len(), 64);
        assert_eq!(Fingerprint::parse(&printed), Some(Fingerprint::of(b"certificate")));
    }

    #[test]
    fn a_fingerprint_of_the_wrong_length_is_none() {
        assert_eq!(Fingerprint::parse("abcd"), None);
    }

    #[test]
    fn sequences_that_join_to_the_same_bytes_differ() {
        let one: [&[u8]; 2] = [b"ab", b"c"];
        let other: [&[u8]; 2] = [b"a", b"bc"];
        assert_ne!(Fingerprint::of_sequence(one), Fingerprint::of_sequence(other));
    }
}
