//! Logins that wait for the same hash: a thousand connections of one user cost one, not a thousand.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use store::{PasswordHash, PasswordSlot};
use tokio::sync::watch;

use crate::proof::Tag;
use crate::protection::Gate;

/// What a hash told.
#[derive(Clone)]
pub(crate) enum Verdict {
    /// The password is the one in this slot of the user in this credential epoch.
    Proven(Arc<Proven>),
    /// It is none. The failure was counted, and the answer to it is to be held back for so long.
    Refused(Duration),
    /// It was not compared: meanwhile there were too many failures.
    Locked(Gate),
}

/// A proven password.
pub(crate) struct Proven {
    pub(crate) slot: PasswordSlot,
    pub(crate) credential_epoch: u64,
    /// The serial of the second password that the account had.
    pub(crate) second_password: Option<NonZeroU32>,
    /// A stronger hash of it, if the one in store is weak. The first who takes it stores it.
    pub(crate) renewed: Mutex<Option<PasswordHash>>,
}

/// The hashes that are waited for, each by the tag of its attempt. As many as the pool has waiting and running.
#[derive(Default)]
pub(crate) struct Flights {
    waiting: Arc<Waiting>,
}

type Waiting = Mutex<HashMap<[u8; 32], Weak<Sender>>>;
type Sender = watch::Sender<Option<Verdict>>;

/// The answer to come. It errs if the hash is dropped unmade.
pub(crate) type Answer = watch::Receiver<Option<Verdict>>;

/// The duty to answer, which goes with the hash.
pub(crate) struct Flight {
    tag: [u8; 32],
    sender: Option<Arc<Sender>>,
    waiting: Arc<Waiting>,
}

impl Flights {
    /// Joins the attempt's hash, or begins it: then the flight must be handed to the pool.
    pub(crate) fn join(&self, tag: Tag) -> (Answer, Option<Flight>) {
        let tag = tag.bytes();
        let mut waiting = self.waiting.lock();
        if let Some(sender) = waiting.get(&tag).and_then(Weak::upgrade) {
            return (sender.subscribe(), None);
        }
        let (sender, answer) = watch::channel(None);
        let sender = Arc::new(sender);
        waiting.insert(tag, Arc::downgrade(&sender));
        let flight = Flight { tag, sender: Some(sender), waiting: Arc::clone(&self.waiting) };
        (answer, Some(flight))
    }
}

impl Flight {
    /// Whether nobody waits any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.sender.as_ref().is_none_or(|sender| sender.receiver_count() == 0)
    }

    /// Answers all who have joined. Nobody joins any more: the verdict is of now, and not of whenever somebody finds it.
    pub(crate) fn land(mut self, verdict: Verdict) {
        if let Some(sender) = self.withdraw() {
            sender.send_replace(Some(verdict));
        }
    }

    fn withdraw(&mut self) -> Option<Arc<Sender>> {
        let sender = self.sender.take()?;
        let mut waiting = self.waiting.lock();
        // Another may have begun in its place.
        let own = Arc::as_ptr(&sender);
        if waiting.get(&self.tag).is_some_and(|other| std::ptr::eq(other.as_ptr(), own)) {
            waiting.remove(&self.tag);
        }
        drop(waiting);
        Some(sender)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::{Attempt, ProofKey};

    fn attempt(key: &ProofKey, password: &[u8]) -> Tag {
        let methods = access::AuthMethod::Password.into();
        key.of_attempt(1, Attempt { username: "alice", password, methods })
    }

    #[tokio::test]
    async fn all_who_join_get_the_one_answer_and_nothing_is_left() {
        let (flights, key) = (Flights::default(), ProofKey::draw().unwrap());
        let tag = attempt(&key, b"secret");
        let (mut first, flight) = flights.join(tag);
        let flight = flight.unwrap();
        let mut followers: Vec<_> = (0..1000).map(|_| flights.join(tag)).collect();
        assert!(followers.iter().all(|(_, flight)| flight.is_none()));
        assert!(flights.join(attempt(&key, b"Secret")).1.is_some());
        flight.land(Verdict::Refused(Duration::ZERO));
        assert!(first.wait_for(Option::is_some).await.is_ok());
        for (answer, _) in &mut followers {
            assert!(answer.wait_for(Option::is_some).await.is_ok());
        }
        assert!(flights.waiting.lock().is_empty());
        assert!(flights.join(tag).1.is_some(), "the next one begins anew");
    }

    #[tokio::test]
    async fn a_dropped_hash_is_noticed_and_leaves_nothing() {
        let (flights, key) = (Flights::default(), ProofKey::draw().unwrap());
        let (mut answer, flight) = flights.join(attempt(&key, b"secret"));
        drop(flight);
        assert!(answer.wait_for(Option::is_some).await.is_err());
        assert!(flights.waiting.lock().is_empty());
    }

    #[test]
    fn a_flight_knows_when_nobody_waits() {
        let (flights, key) = (Flights::default(), ProofKey::draw().unwrap());
        let (answer, flight) = flights.join(attempt(&key, b"secret"));
        let flight = flight.unwrap();
        assert!(!flight.is_abandoned());
        drop(answer);
        assert!(flight.is_abandoned());
    }
}
