//! Making password hashes, with Argon2id, and checking them, also those that came from elsewhere; the memory of a hash is
//! kept between two of them.
//!
//! Everything here is slow by intent and runs on the threads of [`crate::pool`] only.

mod parsed;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, pbkdf2};
use store::PasswordHash;
use zeroize::Zeroizing;

pub(crate) use self::parsed::ParsedHash;
use self::parsed::Scheme;
use crate::settings::HashCost;

/// Why a hash cannot be made or understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The text is none of the hashes that are known.
    #[error("no password hash of a known form: {0}")]
    Malformed(String),
    /// Argon2 does not take these parameters.
    #[error("argon2 refused: {0}")]
    Refused(String),
    /// The system gives no random bytes.
    #[error("no random bytes from the system")]
    NoRandomness,
}

impl HashCost {
    /// Blocks written: what a hash takes, in time.
    pub(crate) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    pub(crate) fn params(self, output_bytes: Option<usize>) -> Result<Params, HashError> {
        Params::new(self.memory_kib, self.passes, self.lanes, output_bytes)
            .map_err(|error| HashError::Refused(error.to_string()))
    }
}

/// One thread's means of hashing.
pub(crate) struct Hasher {
    cost: HashCost,
    /// Kept from one hash to the next, since fresh memory for each costs thousands of page faults; given back when
    /// there has been none for a while.
    memory: Vec<Block>,
}

impl Hasher {
    pub(crate) fn new(cost: HashCost) -> Hasher {
        Hasher { cost, memory: Vec::new() }
    }

    /// Gives the memory back until the next hash.
    pub(crate) fn rest(&mut self) {
        self.memory = Vec::new();
    }

    /// Whether there is memory to give back.
    pub(crate) fn is_rested(&self) -> bool {
        self.memory.capacity() == 0
    }

    /// Makes a hash with a fresh salt, and checks it before it is given out: no hash that would refuse its own password,
    /// or accept another, gets into the store.
    pub(crate) fn make(&mut self, password: &[u8]) -> Result<PasswordHash, HashError> {
        self.make_with(password, &random::<SALT_BYTES>()?, self.cost)
    }

    /// Makes a hash at the price of one comparison, for where a comparison is expected. Whether it proves its password is
    /// not checked, which would cost another.
    pub(crate) fn make_once(&mut self, password: &[u8]) -> Result<ParsedHash, HashError> {
        self.made_with(password, &random::<SALT_BYTES>()?, self.cost)
    }

    /// Makes the hash of a second password, with the first one's salt and cost: one computation then judges a guess
    /// against both, so that two passwords are not told from one by time.
    pub(crate) fn make_beside(
        &mut self,
        password: &[u8],
        first: &ParsedHash,
    ) -> Result<PasswordHash, HashError> {
        match first.cost() {
            Some(cost) => self.make_with(password, &first.salt, cost),
            // Another algorithm: each costs its own.
            None => self.make(password),
        }
    }

    /// Which of the candidates the password proves. Equal salts and costs are computed once. A miss costs at least
    /// what a hash of the present cost takes, so that a weak hash in store does not show that its user exists.
    pub(crate) fn verify(&mut self, password: &[u8], candidates: &[ParsedHash]) -> Option<usize> {
        let mut found = None;
        let mut computed: Option<(&ParsedHash, Zeroizing<Vec<u8>>)> = None;
        let mut work = 0;
        for (index, candidate) in candidates.iter().enumerate() {
            let reusable = computed.as_ref().is_some_and(|(of, _)| of.is_computed_as(candidate));
            if !reusable {
                work += candidate.work();
                let output = self.compute(password, candidate).ok();
                computed = output.map(|output| (candidate, output));
            }
            let Some((_, output)) = &computed else { continue };
            if verify_slices_are_equal(output, &candidate.output).is_ok() {
                found = found.or(Some(index));
            }
        }
        if found.is_none() {
            self.spend(self.cost.work().saturating_sub(work));
        }
        found
    }

    fn make_with(
        &mut self,
        password: &[u8],
        salt: &[u8],
        cost: HashCost,
    ) -> Result<PasswordHash, HashError> {
        let text = self.made_with(password, salt, cost)?.to_phc()?;
        let back = ParsedHash::parse(&text)?;
        let again = self.compute(password, &back)?;
        if verify_slices_are_equal(&again, &back.output).is_err() {
            return Err(HashError::Refused("the new hash does not prove its password".to_owned()));
        }
        Ok(text)
    }

    fn made_with(
        &mut self,
        password: &[u8],
        salt: &[u8],
        cost: HashCost,
    ) -> Result<ParsedHash, HashError> {
        let mut made = like(cost, salt.to_vec());
        made.output = self.compute(password, &made)?;
        Ok(made)
    }

    fn compute(
        &mut self,
        password: &[u8],
        like: &ParsedHash,
    ) -> Result<Zeroizing<Vec<u8>>, HashError> {
        let mut output = Zeroizing::new(vec![0; like.output.len()]);
        match like.scheme {
            Scheme::Argon2 { algorithm, version, cost } => {
                let params = cost.params(Some(output.len()))?;
                let blocks = params.block_count();
                if self.memory.len() < blocks {
                    if self.memory.capacity() < blocks {
                        self.memory = Vec::with_capacity(blocks.max(MAPPED_BLOCKS_MIN));
                    }
                    self.memory.resize(blocks, Block::new());
                }
                let memory = self.memory.get_mut(..blocks).unwrap_or_default();
                Argon2::new(algorithm, version, params)
                    .hash_password_into_with_memory(password, &like.salt, &mut output, memory)
                    .map_err(|error| HashError::Refused(error.to_string()))?;
            }
            Scheme::Pbkdf2Sha512 { iterations } => {
                let function = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::derive(function, iterations, &like.salt, password, &mut output);
            }
            Scheme::SaltedSha512 => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(&like.salt);
                output = Zeroizing::new(context.finish().as_ref().to_vec());
            }
        }
        Ok(output)
    }

    /// Takes the time of so much work, and forgets the result.
    fn spend(&mut self, work: u64) {
        let passes = self.cost.passes.max(1);
        let Ok(memory_kib) = u32::try_from(work / u64::from(passes)) else { return };
        let cost = HashCost { memory_kib, passes, lanes: 1 };
        // Too little to be worth a hash is refused by Argon2, and costs nothing.
        drop(self.compute(b"", &like(cost, vec![0; SALT_BYTES])));
    }
}

/// A hash of our own making, but for its output.
fn like(cost: HashCost, salt: Vec<u8>) -> ParsedHash {
    ParsedHash {
        scheme: Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost },
        salt,
        output: Zeroizing::new(vec![0; OUTPUT_BYTES]),
    }
}

/// Whether a hash can be taken over from elsewhere.
///
/// # Errors
/// If its form is not known, or to compare with it would take too much.
pub fn check_password_hash(text: &str) -> Result<(), String> {
    let parsed = ParsedHash::parse(&PasswordHash::new(text.to_owned()));
    parsed.map_err(|error| error.to_string())?.check_bearable()
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    let digest = digest::digest(&digest::SHA256, bytes);
    for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    sum
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], HashError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| HashError::NoRandomness)?;
    Ok(bytes)
}

const SALT_BYTES: usize = 16;
/// Blocks of 1 KiB. From 32 MiB on the C library always maps memory of its own, which goes back to the system when it
/// is freed; less it may keep for ever. What is not used of it takes addresses, no memory.
const MAPPED_BLOCKS_MIN: usize = 33 * 1024;
const OUTPUT_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn parsed(hash: &PasswordHash) -> ParsedHash {
        ParsedHash::parse(hash).unwrap()
    }

    #[test]
    fn a_hash_proves_its_password_and_no_other() {
        let mut hasher = Hasher::new(CHEAP);
        let hash = hasher.make(b"alice-password").unwrap();
        assert!(
            hash.expose().starts_with("$argon2id$v=19$m=64,t=1,p=1$"),
            "{}",
            hash.expose().as_str()
        );
        let mut check = |password: &[u8], proves| {
            let found = hasher.verify(password, &[parsed(&hash)]);
            assert_eq!(found, proves, "{password:?}");
        };
        check(b"alice-password", Some(0));
        check(b"Alice-password", None);
        check(b"alice-password\0", None);
        check(b"", None);
        check(b"alice", None);
    }

    #[test]
    fn a_hasher_that_rests_holds_no_memory_and_hashes_again() {
        let mut hasher = Hasher::new(CHEAP);
        assert!(hasher.is_rested());
        let hash = hasher.make(b"alice-password").unwrap();
        assert!(!hasher.is_rested());
        hasher.rest();
        assert!(hasher.is_rested());
        assert_eq!(hasher.verify(b"alice-password", &[parsed(&hash)]), Some(0));
    }

    #[test]
    fn hashes_of_other_makers_are_understood() {
        // of the reference implementation's test suite
        let hash =
            "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E";
        let hash = [parsed(&PasswordHash::new(hash.to_owned()))];
        assert!(hash.iter().all(|hash| hash.is_weaker_than(CHEAP)), "argon2i is renewed");
        let mut hasher = Hasher::new(CHEAP);
        assert_eq!(hasher.verify(b"password", &hash), Some(0));
        hasher.make(b"another").unwrap();
        assert_eq!(hasher.verify(b"password", &hash), Some(0), "in memory that was used");
        assert_eq!(hasher.verify(b"wrong", &hash), None);
        assert_eq!(hasher.verify(b"password", &hash), Some(0));
    }

    #[test]
    fn flaw_25_a_malformed_hash_is_an_error_and_never_a_user_without_password() {
        let check = |text: &str| {
            let parsed = ParsedHash::parse(&PasswordHash::new(text.to_owned()));
            assert!(
                matches!(parsed, Err(HashError::Malformed(_) | HashError::Refused(_))),
                "{text}"
            );
        };
        check("");
        check("password");
        check("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ");
        check("$argon2id$v=19$m=64,t=1,p=1");
        check("$argon2id$v=19$m=64,t=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$argon2id$v=20$m=64,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$scrypt$v=19$m=64,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$argon2id$v=19$m=+64,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$6$c29tZXNhbHQ=");
        check("$6$c29tZXNhbHQ=$c29tZXNhbHQ=");
        check("$7$101$c29tZXNhbHQ=$");
        check("$7$101$$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$7$0$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$7$-1$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$7$4294967296$c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$7$101$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        check("$pbkdf2-sha512$l=32$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
        // crypt(3), of `password`
        check(
            "$6$usesomesillystri$D4IrlXatmP7rx3P3InaxBeoomnAihCKRVQUVd9HOIFpDqpPLjGNVLmgHjIDvh18ocmFGGSTyYIEHAwiTsdoUv1",
        );
    }

    #[test]
    fn hashes_of_mosquitto_prove_their_password_and_are_renewed() {
        // by `mosquitto_passwd` 2.0.11 with `-H sha512-pbkdf2`, `-I 5000` and `-H sha512`
        let check = |text: &str, password: &[u8]| {
            let hash = parsed(&PasswordHash::new(text.to_owned()));
            assert_eq!(hash.is_weaker_than(CHEAP), !text.starts_with("$argon2id$"));
            assert_eq!(hash.check_bearable(), Ok(()));
            let mut hasher = Hasher::new(CHEAP);
            let all = [hash];
            assert_eq!(hasher.verify(password, &all), Some(0), "{text}");
            assert_eq!(hasher.verify(b"another-password", &all), None);
            assert_eq!(hasher.verify(b"", &all), None);
        };
        let alice = [
            "qLCD1S+OYAjeDz48",
            "5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==",
        ];
        check(&format!("$7$101${}${}", alice[0], alice[1]), b"alice-password");
        let output = alice[1].trim_end_matches('=');
        check(&format!("$pbkdf2-sha512$i=101,l=64${}${output}", alice[0]), b"alice-password");
        check(
            "$7$5000$tNz9nbr+BXnYiwn3$jfPnK4fcuTYLfs/wHKC320MANMmwDl1adLj0Zfgod9+FgBWR1929kfXuoXpKSBZQFlHk5H/+ggZcqSi84jW8Cg==",
            b"carl-password",
        );
        check(
            "$6$BQ2b3qj1TS+MzuTl$y7AqizEqMpwl1sIC5FuDcf9ICSXGbwNYEYLd/mRkz3y+ddtm1EnVwGRT5gAzblLt9o1XUeMZG8aksk1jYE7kKw==",
            b"bob-password",
        );
        // As later versions write it, with padding.
        check(
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4=",
            b"password",
        );
    }

    #[test]
    fn a_hash_that_would_hold_a_thread_for_long_is_not_bearable() {
        let check = |text: &str, says: &str| {
            let refused = parsed(&PasswordHash::new(text.to_owned())).check_bearable();
            assert!(refused.as_ref().is_err_and(|error| error.contains(says)), "{refused:?}");
        };
        let rest = "c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
        check(&format!("$7$262145${rest}"), "262145 iterations, and may have 262144");
        check(&format!("$7$4294967295${rest}"), "iterations");
        check(&format!("$argon2id$v=19$m=262145,t=1,p=1${rest}"), "m=262145");
        check(&format!("$argon2id$v=19$m=65536,t=9,p=1${rest}"), "t=9");
        let at_most = parsed(&PasswordHash::new(format!("$7$262144${rest}")));
        assert_eq!(at_most.check_bearable(), Ok(()));
    }

    #[test]
    fn a_second_password_is_judged_by_the_same_computation() {
        let mut hasher = Hasher::new(CHEAP);
        let first = hasher.make(b"first-password").unwrap();
        let second = hasher.make_beside(b"second-password", &parsed(&first)).unwrap();
        assert!(parsed(&first).is_computed_as(&parsed(&second)));
        let mut check = |password: &[u8], proves| {
            assert_eq!(hasher.verify(password, &[parsed(&first), parsed(&second)]), proves);
        };
        check(b"first-password", Some(0));
        check(b"second-password", Some(1));
        check(b"third-password", None);
    }

    #[test]
    fn only_harder_parameters_make_a_hash_weak() {
        let hash = parsed(&Hasher::new(CHEAP).make(b"some-password").unwrap());
        let check = |memory_kib, passes, weaker| {
            let cost = HashCost { memory_kib, passes, lanes: 1 };
            assert_eq!(hash.is_weaker_than(cost), weaker, "{cost:?}");
        };
        check(64, 1, false);
        check(32, 1, false);
        check(65, 1, true);
        check(64, 2, true);
    }
}
