//! The one secret the store keeps: the hash of a password.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A password hash as text, most often in PHC string format. Whoever has it can guess at leisure, so it is wiped when dropped and can be
/// neither printed nor serialized.
///
/// There may be a million of them: what this broker makes itself is kept as bytes, which takes little more than half the room.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PasswordHash(Box<[u8]>);

impl PasswordHash {
    /// Takes a text over; whether it is one is judged by whoever hashes.
    pub fn new(phc: String) -> PasswordHash {
        let phc = Zeroizing::new(phc);
        // Only if nothing of the spelling is lost.
        let packed = pack(&phc).filter(|packed| unpack(packed).as_ref() == Some(&phc));
        if let Some(packed) = packed {
            return PasswordHash(packed.as_slice().into());
        }
        let mut text = Zeroizing::new(Vec::with_capacity(phc.len().saturating_add(1)));
        text.push(TEXT);
        text.extend_from_slice(phc.as_bytes());
        PasswordHash(text.as_slice().into())
    }

    /// The text.
    pub fn expose(&self) -> Zeroizing<String> {
        if let Some((&TEXT, text)) = self.0.split_first() {
            return Zeroizing::new(String::from_utf8_lossy(text).into_owned());
        }
        // Made by `new` only, which has seen that it can be read.
        unpack(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Argon2id of version 19 with small numbers: memory, passes, lanes, the salt after its length, the output.
fn pack(phc: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (memory, rest) = phc.strip_prefix(ARGON2ID)?.split_once(",t=")?;
    let (passes, rest) = rest.split_once(",p=")?;
    let (lanes, rest) = rest.split_once('$')?;
    let (salt, output) = rest.split_once('$')?;
    let salt = Zeroizing::new(STANDARD_NO_PAD.decode(salt).ok()?);
    let output = Zeroizing::new(STANDARD_NO_PAD.decode(output).ok()?);
    // Not more than this, so that it is never moved and left behind.
    let mut packed = Zeroizing::new(Vec::with_capacity(phc.len()));
    packed.push(PACKED);
    packed.extend_from_slice(&memory.parse::<u32>().ok()?.to_be_bytes());
    packed.push(passes.parse().ok()?);
    packed.push(lanes.parse().ok()?);
    packed.push(u8::try_from(salt.len()).ok()?);
    packed.extend_from_slice(&salt);
    packed.extend_from_slice(&output);
    Some(packed)
}

fn unpack(packed: &[u8]) -> Option<Zeroizing<String>> {
    let [PACKED, m0, m1, m2, m3, passes, lanes, salt_len, rest @ ..] = packed else { return None };
    let memory = u32::from_be_bytes([*m0, *m1, *m2, *m3]);
    let (salt, output) = rest.split_at_checked(usize::from(*salt_len))?;
    let salt = Zeroizing::new(STANDARD_NO_PAD.encode(salt));
    let output = Zeroizing::new(STANDARD_NO_PAD.encode(output));
    let (salt, output) = (salt.as_str(), output.as_str());
    let mut phc = Zeroizing::new(String::with_capacity(
        salt.len().saturating_add(output.len()).saturating_add(PARAMETERS_MAX),
    ));
    let head = format!("{ARGON2ID}{memory},t={passes},p={lanes}$");
    for part in [&head, salt, "$", output] {
        phc.push_str(part);
    }
    Some(phc)
}

const ARGON2ID: &str = "$argon2id$v=19$m=";

/// The longest text before the salt, and the sign after it.
const PARAMETERS_MAX: usize = 48;

/// First byte of a text.
const TEXT: u8 = 0;
/// First byte of what [`pack`] makes.
const PACKED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_packed: bool) {
        let hash = PasswordHash::new(text.to_owned());
        assert_eq!(hash.expose().as_str(), text);
        assert_eq!(hash.0.first() == Some(&PACKED), is_packed, "{text}");
        assert_eq!(hash.clone().expose().as_str(), text);
    }

    #[test]
    fn every_text_is_given_back_as_it_came() {
        let salt = "c29tZXNhbHRzb21lc2FsdA";
        let output = "T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E";
        check(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${output}"), true);
        check(&format!("$argon2id$v=19$m=4294967295,t=255,p=255${salt}${output}"), true);
        check(&format!("$argon2id$v=19$m=0,t=0,p=0$${output}"), true);
        check("$argon2id$v=19$m=1,t=1,p=1$$", true);
        for other in [
            format!("$argon2id$v=19$m=019456,t=2,p=1${salt}${output}"),
            format!("$argon2id$v=19$m=+19456,t=2,p=1${salt}${output}"),
            format!("$argon2id$v=19$m=4294967296,t=2,p=1${salt}${output}"),
            format!("$argon2id$v=19$m=19456,t=256,p=1${salt}${output}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1,keyid=a${salt}${output}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}==${output}"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${output}="),
            // Its last sign has bits that are of no byte.
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${}", output.replace("Oq2E", "Oq2F")),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${output}$"),
            format!("$argon2id$v=19$m=19456,t=2,p=1${}${output}", "c29t".repeat(100)),
            format!("$argon2id$v=16$m=19456,t=2,p=1${salt}${output}"),
            format!("$argon2i$v=19$m=19456,t=2,p=1${salt}${output}"),
            format!("$argon2id$m=19456,t=2,p=1${salt}${output}"),
        ] {
            check(&other, false);
        }
        for other in ["", "one", "\0", "\u{1}", "ä$", "$6$c2FsdA==$b3V0cHV0"] {
            check(other, false);
        }
    }
}
