//! A password hash in store, taken apart: what made it, with what salt, and what came out.
//!
//! New ones are Argon2id. The others come with the users of another broker, and go at their first good login:
//!
//! | text | what |
//! | --- | --- |
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$output` | Argon2 (`argon2i` and `argon2d` too), PHC format |
//! | `$pbkdf2-sha512$i=…$salt$output` | PBKDF2 by HMAC-SHA-512, PHC format |
//! | `$7$iterations$salt$output` | the same, as Mosquitto writes it |
//! | `$6$salt$output` | one SHA-512 of password and salt, as Mosquitto writes it |
//!
//! Salt and output are Base64; PHC's may lack the padding, Mosquitto's may not: so a `$6$` of crypt(3) is told from one of
//! Mosquitto, and refused.

use std::num::NonZeroU32;

use argon2::password_hash::phc;
use argon2::{Algorithm, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use store::PasswordHash;
use zeroize::Zeroizing;

use super::HashError;
use crate::settings::HashCost;

/// A hash in store, taken apart.
pub(crate) struct ParsedHash {
    pub(super) scheme: Scheme,
    pub(crate) salt: Vec<u8>,
    pub(super) output: Zeroizing<Vec<u8>>,
}

/// What makes a hash of a password and a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Argon2 in any of its forms.
    Argon2 { algorithm: Algorithm, version: Version, cost: HashCost },
    /// PBKDF2 by HMAC-SHA-512.
    Pbkdf2Sha512 { iterations: NonZeroU32 },
    /// One SHA-512 of the password and then the salt.
    SaltedSha512,
}

impl ParsedHash {
    pub(crate) fn parse(hash: &PasswordHash) -> Result<ParsedHash, HashError> {
        let text = hash.expose();
        let fields: Vec<&str> = text.split('$').collect();
        let parsed = match fields.as_slice() {
            ["", "6", salt, output] => {
                let output = mosquitto(output).filter(|output| output.len() == SHA512_BYTES);
                let made = mosquitto(salt).zip(output);
                let (salt, output) = made.ok_or_else(|| malformed(NOT_MOSQUITTO))?;
                ParsedHash { scheme: Scheme::SaltedSha512, salt, output: Zeroizing::new(output) }
            }
            ["", "6", ..] => return Err(malformed(NOT_MOSQUITTO)),
            ["", "7", iterations, salt, output] => {
                let made = mosquitto(salt).zip(mosquitto(output));
                pbkdf2(iterations, made)?
            }
            ["", "pbkdf2-sha512", parameters, salt, output] => {
                let iterations = parameters.split(',').find_map(|it| it.strip_prefix("i="));
                let made = phc_bytes(salt).zip(phc_bytes(output));
                pbkdf2(iterations.unwrap_or_default(), made)?
            }
            ["", name, parameters, salt, output] if name.starts_with("argon2") => {
                // PHC: a hash without a version is of the first one.
                argon2(name, Version::V0x10, parameters, (salt, output))?
            }
            ["", name, version, parameters, salt, output] if name.starts_with("argon2") => {
                let version = match *version {
                    "v=19" => Version::V0x13,
                    "v=16" => Version::V0x10,
                    _ => return Err(malformed("unknown version")),
                };
                argon2(name, version, parameters, (salt, output))?
            }
            _ => return Err(malformed("its beginning is of none that is known")),
        };
        if parsed.salt.is_empty() || parsed.salt.len() > SALT_BYTES_MAX {
            return Err(malformed("its salt is empty or too long"));
        }
        if !(OUTPUT_BYTES_MIN..=SHA512_BYTES).contains(&parsed.output.len()) {
            return Err(malformed("its output is too short or too long"));
        }
        Ok(parsed)
    }

    /// Whether comparing with it takes no more than a thread of the pool may give: a hash from elsewhere says itself how
    /// costly it is.
    ///
    /// # Errors
    /// What is too much.
    pub(crate) fn check_bearable(&self) -> Result<(), String> {
        match self.scheme {
            Scheme::Argon2 { cost, .. }
                if cost.memory_kib > MEMORY_KIB_MAX || self.work() > WORK_MAX =>
            {
                Err(format!(
                    "takes too much to compare: `m` may be {MEMORY_KIB_MAX} and `m` times `t` {WORK_MAX}, \
                     it has m={},t={}",
                    cost.memory_kib, cost.passes
                ))
            }
            Scheme::Pbkdf2Sha512 { iterations } if self.work() > WORK_MAX => Err(format!(
                "takes too much to compare: it has {iterations} iterations, and may have {}",
                WORK_MAX / WORK_OF_ITERATION
            )),
            Scheme::Argon2 { .. } | Scheme::Pbkdf2Sha512 { .. } | Scheme::SaltedSha512 => Ok(()),
        }
    }

    /// Whether a hash made now would be harder to guess.
    pub(crate) fn is_weaker_than(&self, new: HashCost) -> bool {
        match self.scheme {
            Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost } => {
                cost.memory_kib < new.memory_kib
                    || cost.passes < new.passes
                    || self.output.len() < super::OUTPUT_BYTES
            }
            Scheme::Argon2 { .. } | Scheme::Pbkdf2Sha512 { .. } | Scheme::SaltedSha512 => true,
        }
    }

    /// The cost of it, if it is of the kind that is made here; a second hash can share that then.
    pub(crate) fn cost(&self) -> Option<HashCost> {
        let nothing = HashCost { memory_kib: 0, passes: 0, lanes: 1 };
        match self.scheme {
            Scheme::Argon2 { cost, .. } if !self.is_weaker_than(nothing) => Some(cost),
            Scheme::Argon2 { .. } | Scheme::Pbkdf2Sha512 { .. } | Scheme::SaltedSha512 => None,
        }
    }

    /// What comparing with it takes, in time: blocks that Argon2 would write.
    pub(crate) fn work(&self) -> u64 {
        match self.scheme {
            Scheme::Argon2 { cost, .. } => cost.work(),
            Scheme::Pbkdf2Sha512 { iterations } => u64::from(iterations.get()) * WORK_OF_ITERATION,
            Scheme::SaltedSha512 => 0,
        }
    }

    pub(crate) fn is_computed_as(&self, other: &ParsedHash) -> bool {
        self.scheme == other.scheme
            && self.salt == other.salt
            && self.output.len() == other.output.len()
    }

    /// The hash as text, which reads back as it was made.
    pub(crate) fn to_checked_phc(&self) -> Result<PasswordHash, HashError> {
        let text = self.to_phc()?;
        let back = ParsedHash::parse(&text)?;
        let is_same = self.is_computed_as(&back)
            && verify_slices_are_equal(&self.output, &back.output).is_ok();
        if is_same {
            Ok(text)
        } else {
            Err(HashError::Refused("the new hash reads back differently".to_owned()))
        }
    }

    /// The text of it, if it is an Argon2.
    pub(super) fn to_phc(&self) -> Result<PasswordHash, HashError> {
        let Scheme::Argon2 { algorithm, cost, .. } = self.scheme else {
            return Err(HashError::Refused("only argon2 is written".to_owned()));
        };
        let refused =
            |error: argon2::password_hash::phc::Error| HashError::Refused(error.to_string());
        let params = cost.params(Some(self.output.len()))?;
        let phc = phc::PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(0x13),
            params: phc::ParamsString::try_from(&params)
                .map_err(|error| HashError::Refused(error.to_string()))?,
            salt: Some(phc::Salt::new(&self.salt).map_err(refused)?),
            hash: Some(phc::Output::new(&self.output).map_err(refused)?),
        };
        Ok(PasswordHash::new(phc.to_string()))
    }
}

fn argon2(
    name: &str,
    version: Version,
    parameters: &str,
    (salt, output): (&str, &str),
) -> Result<ParsedHash, HashError> {
    let algorithm = Algorithm::new(name).map_err(|_| malformed("unknown form of argon2"))?;
    let number = |name: &str| {
        let value = parameters.split(',').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        value.and_then(decimal).ok_or_else(|| malformed(&format!("no parameter `{name}`")))
    };
    let cost = HashCost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
    cost.params(None)?;
    let made = phc_bytes(salt).zip(phc_bytes(output));
    let (salt, output) = made.ok_or_else(|| malformed("no salt or no output"))?;
    if salt.len() < argon2::MIN_SALT_LEN {
        return Err(malformed("its salt is too short"));
    }
    let scheme = Scheme::Argon2 { algorithm, version, cost };
    Ok(ParsedHash { scheme, salt, output: Zeroizing::new(output) })
}

fn pbkdf2(iterations: &str, made: Option<(Vec<u8>, Vec<u8>)>) -> Result<ParsedHash, HashError> {
    let iterations = decimal(iterations).and_then(NonZeroU32::new);
    let iterations = iterations.ok_or_else(|| malformed("no number of iterations"))?;
    let (salt, output) = made.ok_or_else(|| malformed("no salt or no output"))?;
    let scheme = Scheme::Pbkdf2Sha512 { iterations };
    Ok(ParsedHash { scheme, salt, output: Zeroizing::new(output) })
}

/// Digits alone: no sign.
fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn mosquitto(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn phc_bytes(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&ALPHABET, config).decode(text).ok()
}

/// Of what is given, nothing is shown: it may be a password.
fn malformed(reason: &str) -> HashError {
    HashError::Malformed(reason.to_owned())
}

const NOT_MOSQUITTO: &str = "not Mosquitto's `$6$salt$output` (those of crypt(3) are not taken)";
const SHA512_BYTES: usize = 64;
const SALT_BYTES_MAX: usize = 64;
/// As in the PHC format.
const OUTPUT_BYTES_MIN: usize = 10;
/// 256 MiB.
const MEMORY_KIB_MAX: u32 = 262_144;
/// Half a second or so.
const WORK_MAX: u64 = 524_288;
/// An iteration takes about as long as two blocks of Argon2.
const WORK_OF_ITERATION: u64 = 2;
