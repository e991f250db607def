//! The one common name of a subject: exactly one, in a plain encoding, byte for byte.
//!
//! Guessing here is how other systems let one name stand for another, so anything that is not
//! plainly one name is refused: none, several, other string types, invisible characters.

use x509_parser::asn1_rs::Tag;
use x509_parser::oid_registry::OID_X509_COMMON_NAME;
use x509_parser::x509::X509Name;

/// Why a subject has no usable common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommonNameFault {
    #[error("its subject has no common name")]
    None,
    #[error("its subject has {0} common names")]
    Several(usize),
    #[error("its common name is neither a UTF8String nor a PrintableString")]
    Encoding,
    #[error("its common name holds a NUL or another control character, or is empty")]
    Characters,
}

/// The common name of this subject.
pub(crate) fn common_name(subject: &X509Name<'_>) -> Result<String, CommonNameFault> {
    let mut names = subject
        .iter_attributes()
        .filter(|attribute| *attribute.attr_type() == OID_X509_COMMON_NAME);
    let first = names.next().ok_or(CommonNameFault::None)?;
    let others = names.count();
    if others > 0 {
        return Err(CommonNameFault::Several(others + 1));
    }
    let value = first.attr_value();
    if value.header.is_constructed() {
        return Err(CommonNameFault::Encoding);
    }
    let text = std::str::from_utf8(value.data).map_err(|_| CommonNameFault::Encoding)?;
    match value.tag() {
        Tag::Utf8String => {}
        Tag::PrintableString if text.is_ascii() => {}
        _ => return Err(CommonNameFault::Encoding),
    }
    check_characters(text).map(|()| text.to_owned())
}

/// Whether this text can be a common name at all.
pub(crate) fn check_characters(text: &str) -> Result<(), CommonNameFault> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(CommonNameFault::Characters);
    }
    Ok(())
}
