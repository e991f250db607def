//! The first administrator's password: decoded from the environment, or drawn.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::hash::{HashError, random};
use crate::secret::Secret;

/// The value of a password variable is not Base64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Base64 text of a password: {0}")]
pub struct NotBase64(&'static str);

/// Reads a password variable such as `CYBUS_INITIAL_ADMIN_USER_PASSWORD`; white space around it is ignored, and the
/// padding may be missing.
///
/// # Errors
/// If it is not Base64 of UTF-8 text, or empty. The error does not repeat the value.
pub fn decode_base64_password(text: &str) -> Result<Secret, NotBase64> {
    let engine = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let decoded = engine.decode(text.trim()).map_err(|_| NotBase64("it cannot be decoded"))?;
    let decoded = Secret::new(decoded);
    match decoded.expose_text() {
        Some("") => Err(NotBase64("it is empty")),
        Some(_) => Ok(decoded),
        None => Err(NotBase64("what it holds is not UTF-8")),
    }
}

/// Draws a password of 30 characters out of 31 (148 bits), in groups that can be read aloud.
pub(crate) fn random_password() -> Result<Secret, HashError> {
    let mut text = Zeroizing::new(String::with_capacity(RANDOM_CHARACTERS * 2));
    let mut drawn = 0;
    while drawn < RANDOM_CHARACTERS {
        let bytes = Zeroizing::new(random::<32>()?);
        for byte in bytes.iter() {
            // Five bits, and another try for the one value without a letter: every letter is as likely as any other.
            let Some(letter) = ALPHABET.get(usize::from(byte & 31)) else { continue };
            if drawn == RANDOM_CHARACTERS {
                break;
            }
            if drawn > 0 && drawn % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(*letter));
            drawn += 1;
        }
    }
    Ok(Secret::from(text.as_str()))
}

/// Without letters and digits that look alike.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const RANDOM_CHARACTERS: usize = 30;
const GROUP: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_variable_is_base64_or_an_error() {
        let check = |text: &str, password: Option<&str>| {
            let decoded = decode_base64_password(text).ok();
            assert_eq!(decoded, password.map(Secret::from), "{text}");
        };
        check("YWRtaW4tcGFzc3dvcmQ=", Some("admin-password"));
        check(" YWRtaW4tcGFzc3dvcmQ=\n", Some("admin-password"));
        check("YWRtaW4tcGFzc3dvcmQ", Some("admin-password"));
        check("not base64!", None);
        check("", None);
        check("gIA=", None);
    }

    #[test]
    fn random_passwords_differ_and_are_long() {
        let passwords: Vec<Secret> = (0..50).map(|_| random_password().unwrap()).collect();
        for (index, password) in passwords.iter().enumerate() {
            let text = password.expose_text().unwrap();
            let letters = text.bytes().filter(|byte| ALPHABET.contains(byte)).count();
            assert_eq!((letters, text.len()), (30, 35), "30 letters in 6 groups");
            assert!(!passwords[..index].contains(password));
        }
        // log2(31) * 30 = 148 bits
    }
}
