//! Fingerprints of secrets, kept in memory, so that a secret proven once by its slow hash is confirmed in microseconds.
//!
//! A fingerprint is an HMAC under a key drawn at start and never stored: memory read by somebody without the key tells
//! nothing, and what was learnt ends with the process. Every tag is bound to what must end it: the tag of a proven
//! password to the user and its credential epoch, the tag of a refused one to the generation of the policy.

use access::{AuthMethod, ProvenMethods};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::hash::{HashError, random};

/// The process's key.
pub(crate) struct ProofKey(hmac::Key);

/// A fingerprint.
#[derive(Clone, Copy)]
pub(crate) struct Tag([u8; 32]);

/// What an attempt to log in has to show.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a [u8],
    /// What it would be proven by.
    pub(crate) methods: ProvenMethods,
}

impl ProofKey {
    pub(crate) fn draw() -> Result<ProofKey, HashError> {
        let mut bytes = zeroize::Zeroizing::new(random::<32>()?);
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_mut());
        Ok(ProofKey(key))
    }

    /// The tag of a user's password. The fields before the password have one length, so no two inputs are the same text.
    pub(crate) fn of_password(&self, user: Uuid, epoch: u64, password: &[u8]) -> Tag {
        self.tag(&[&[PASSWORD], user.as_bytes(), &epoch.to_be_bytes(), password])
    }

    /// The tag of an attempt to log in, whoever it names: what is refused with a password alone may be right beside a
    /// certificate.
    pub(crate) fn of_attempt(&self, generation: u64, attempt: Attempt<'_>) -> Tag {
        let Attempt { username, password, methods } = attempt;
        let kind = [ATTEMPT, u8::from(methods.contains(AuthMethod::Certificate))];
        let length = u64::try_from(username.len()).unwrap_or(u64::MAX);
        let name = username.as_bytes();
        self.tag(&[&kind, &generation.to_be_bytes(), &length.to_be_bytes(), name, password])
    }

    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut tag = [0; 32];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Tag(tag)
    }
}

impl Tag {
    /// For looking up by a tag: whoever has no key can neither make one nor choose where it lands.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Tag) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// The last refused attempts, of known and unknown users alike. A client that repeats one wrong password forever costs
/// one hash, not one a try. Any change of the policy ends them all.
pub(crate) struct Refusals {
    slots: Mutex<Vec<Option<Tag>>>,
}

impl Refusals {
    pub(crate) fn new() -> Refusals {
        Refusals { slots: Mutex::new(vec![None; REFUSALS_MAX]) }
    }

    /// Remembers one, in the place of whichever was there.
    pub(crate) fn remember(&self, tag: Tag) {
        if let Some(slot) = self.slots.lock().get_mut(place(tag)) {
            *slot = Some(tag);
        }
    }

    pub(crate) fn holds(&self, tag: Tag) -> bool {
        self.slots.lock().get(place(tag)).is_some_and(|slot| *slot == Some(tag))
    }
}

fn place(tag: Tag) -> usize {
    let [a, b, ..] = tag.0;
    usize::from(u16::from_be_bytes([a, b])) % REFUSALS_MAX
}

const PASSWORD: u8 = 1;
const ATTEMPT: u8 = 2;

/// Refused attempts that are remembered, 33 bytes each.
const REFUSALS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt<'a>(username: &'a str, password: &'a [u8]) -> Attempt<'a> {
        Attempt { username, password, methods: AuthMethod::Password.into() }
    }

    #[test]
    fn a_tag_changes_with_everything_it_is_bound_to() {
        let key = ProofKey::draw().unwrap();
        let (alice, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let tag = key.of_password(alice, 1, b"secret");
        let check = |other: Tag, same: bool| assert_eq!(tag == other, same);
        check(key.of_password(alice, 1, b"secret"), true);
        check(key.of_password(bob, 1, b"secret"), false);
        check(key.of_password(alice, 2, b"secret"), false);
        check(key.of_password(alice, 1, b"Secret"), false);
        check(key.of_attempt(1, attempt("alice", b"secret")), false);
        check(ProofKey::draw().unwrap().of_password(alice, 1, b"secret"), false);
    }

    #[test]
    fn name_and_password_do_not_run_into_each_other() {
        let key = ProofKey::draw().unwrap();
        assert!(key.of_attempt(1, attempt("ab", b"c")) != key.of_attempt(1, attempt("a", b"bc")));
        assert!(key.of_attempt(1, attempt("ab", b"c")) != key.of_attempt(2, attempt("ab", b"c")));
        let both = attempt("ab", b"c").methods.with(AuthMethod::Certificate);
        let beside = Attempt { methods: both, ..attempt("ab", b"c") };
        assert!(key.of_attempt(1, attempt("ab", b"c")) != key.of_attempt(1, beside));
    }

    #[test]
    fn refusals_are_remembered_within_their_bound() {
        let (key, refusals) = (ProofKey::draw().unwrap(), Refusals::new());
        let tags: Vec<Tag> =
            (0..10_000).map(|number| key.of_attempt(number, attempt("bob", b"wrong"))).collect();
        for tag in &tags {
            assert!(!refusals.holds(*tag));
            refusals.remember(*tag);
            assert!(refusals.holds(*tag));
        }
        let held = tags.iter().filter(|tag| refusals.holds(**tag)).count();
        assert!((1000..=REFUSALS_MAX).contains(&held), "{held}");
    }
}
