//! Argon2id: making and checking password hashes, with the memory of a hash kept between two of them.
//!
//! Everything here is slow by intent and runs on the threads of [`crate::pool`] only.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use store::PasswordHash;
use zeroize::Zeroizing;

use crate::settings::HashCost;

/// Why a hash cannot be made or understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The text in store is no Argon2 hash in PHC format.
    #[error("not an argon2 hash in PHC format: {0}")]
    Malformed(String),
    /// Argon2 does not take these parameters.
    #[error("argon2 refused: {0}")]
    Refused(String),
    /// The system gives no random bytes.
    #[error("no random bytes from the system")]
    NoRandomness,
}

/// A hash in store, taken apart.
pub(crate) struct ParsedHash {
    algorithm: Algorithm,
    version: Version,
    pub(crate) cost: HashCost,
    pub(crate) salt: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
}

impl ParsedHash {
    pub(crate) fn parse(hash: &PasswordHash) -> Result<ParsedHash, HashError> {
        let malformed = |reason: &str| HashError::Malformed(reason.to_owned());
        let parsed = phc::PasswordHash::new(hash.expose())
            .map_err(|error| HashError::Malformed(error.to_string()))?;
        let algorithm = Algorithm::new(parsed.algorithm.as_str())
            .map_err(|error| HashError::Malformed(error.to_string()))?;
        let version = match parsed.version {
            Some(0x13) => Version::V0x13,
            // PHC: a hash without a version is of the first one.
            Some(0x10) | None => Version::V0x10,
            Some(_) => return Err(malformed("unknown version")),
        };
        let number = |name: &str| {
            let value = parsed.params.get_decimal(name);
            value.ok_or_else(|| HashError::Malformed(format!("no parameter `{name}`")))
        };
        let cost = HashCost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        cost.params(None)?;
        let (Some(salt), Some(output)) = (parsed.salt, parsed.hash) else {
            return Err(malformed("no salt or no output"));
        };
        let salt: &[u8] = salt.as_ref();
        Ok(ParsedHash {
            algorithm,
            version,
            cost,
            salt: salt.to_vec(),
            output: Zeroizing::new(output.as_bytes().to_vec()),
        })
    }

    /// Whether comparing with it takes no more than a thread of the pool may give: a hash from elsewhere says itself how
    /// costly it is.
    pub(crate) fn is_bearable(&self) -> bool {
        self.cost.memory_kib <= MEMORY_KIB_MAX && self.cost.work() <= WORK_MAX
    }

    /// Whether a hash made now would be harder to guess.
    pub(crate) fn is_weaker_than(&self, cost: HashCost) -> bool {
        !matches!(self.algorithm, Algorithm::Argon2id)
            || !matches!(self.version, Version::V0x13)
            || self.cost.memory_kib < cost.memory_kib
            || self.cost.passes < cost.passes
            || self.output.len() < OUTPUT_BYTES
    }
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
        if first.is_weaker_than(HashCost { memory_kib: 0, passes: 0, ..self.cost }) {
            return self.make(password); // another algorithm: cannot share
        }
        self.make_with(password, &first.salt, first.cost)
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
                work += candidate.cost.work();
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
        let mut made = ParsedHash {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            cost,
            salt: salt.to_vec(),
            output: Zeroizing::new(vec![0; OUTPUT_BYTES]),
        };
        made.output = self.compute(password, &made)?;
        Ok(made)
    }

    fn compute(
        &mut self,
        password: &[u8],
        like: &ParsedHash,
    ) -> Result<Zeroizing<Vec<u8>>, HashError> {
        let params = like.cost.params(Some(like.output.len()))?;
        let blocks = params.block_count();
        if self.memory.len() < blocks {
            if self.memory.capacity() < blocks {
                self.memory = Vec::with_capacity(blocks.max(MAPPED_BLOCKS_MIN));
            }
            self.memory.resize(blocks, Block::new());
        }
        let memory = self.memory.get_mut(..blocks).unwrap_or_default();
        let mut output = Zeroizing::new(vec![0; like.output.len()]);
        Argon2::new(like.algorithm, like.version, params)
            .hash_password_into_with_memory(password, &like.salt, &mut output, memory)
            .map_err(|error| HashError::Refused(error.to_string()))?;
        Ok(output)
    }

    /// Takes the time of so much work, and forgets the result.
    fn spend(&mut self, work: u64) {
        let passes = self.cost.passes.max(1);
        let Ok(memory_kib) = u32::try_from(work / u64::from(passes)) else { return };
        let cost = HashCost { memory_kib, passes, lanes: 1 };
        let like = ParsedHash {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            cost,
            salt: vec![0; SALT_BYTES],
            output: Zeroizing::new(vec![0; OUTPUT_BYTES]),
        };
        // Too little to be worth a hash is refused by Argon2, and costs nothing.
        drop(self.compute(b"", &like));
    }
}

impl ParsedHash {
    fn is_computed_as(&self, other: &ParsedHash) -> bool {
        self.algorithm == other.algorithm
            && self.version == other.version
            && self.cost == other.cost
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

    fn to_phc(&self) -> Result<PasswordHash, HashError> {
        let refused =
            |error: argon2::password_hash::phc::Error| HashError::Refused(error.to_string());
        let params = self.cost.params(Some(self.output.len()))?;
        let phc = phc::PasswordHash {
            algorithm: self.algorithm.ident(),
            version: Some(0x13),
            params: phc::ParamsString::try_from(&params)
                .map_err(|error| HashError::Refused(error.to_string()))?,
            salt: Some(phc::Salt::new(&self.salt).map_err(refused)?),
            hash: Some(phc::Output::new(&self.output).map_err(refused)?),
        };
        Ok(PasswordHash::new(phc.to_string()))
    }
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
/// 256 MiB.
const MEMORY_KIB_MAX: u32 = 262_144;
/// Half a second or so.
const WORK_MAX: u64 = 524_288;
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
        assert!(hash.expose().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.expose());
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
        let hash = parsed(&PasswordHash::new(hash.to_owned()));
        assert!(hash.is_weaker_than(CHEAP), "argon2i is renewed");
        assert_eq!(Hasher::new(CHEAP).verify(b"password", &[hash]), Some(0));
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
