//! A certificate's serial number: big-endian bytes without leading zeros, written as lower-case hexadecimal.

use std::fmt;

/// A certificate's serial number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// From big-endian bytes; leading zeros carry no meaning and are dropped.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let significant = bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
        if significant.is_empty() { Self(Box::new([0])) } else { Self(significant.into()) }
    }

    /// From hexadecimal digits in either case, colons accepted; `None` if it is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = crate::fingerprint::bytes_of_hex(text)?;
        (!bytes.is_empty() && bytes.len() <= LENGTH_MAX).then(|| Self::from_bytes(&bytes))
    }

    /// Orders serials as the numbers that they are.
    pub(crate) fn rank(&self) -> (usize, Vec<u8>) {
        (self.0.len(), self.0.to_vec())
    }

    /// Big-endian bytes without leading zeros, at least one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::fingerprint::write_hex(f, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 5280 4.1.2.2 allows 20 octets; older authorities went beyond, so the bound is generous.
const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Serial::parse(text).map(|serial| serial.to_string()).as_deref(), expected);
    }

    #[test]
    fn a_serial_is_read_with_and_without_colons_and_in_either_case() {
        check("0A:ff", Some("0aff"));
        check("0aFF", Some("0aff"));
    }

    #[test]
    fn leading_zeros_carry_no_meaning() {
        check("00000aff", Some("0aff"));
        check("00", Some("00"));
    }

    #[test]
    fn what_is_not_hexadecimal_is_no_serial() {
        check("", None);
        check("0x12", None);
        check("gg", None);
        check("é1", None);
    }

    #[test]
    fn an_odd_digit_counts_as_if_a_zero_stood_before_it() {
        check("fff", Some("0fff"));
    }
}
