//! Protection against guessing passwords: failures counted per user and per source, with growing delays and a lock-out.
//!
//! Unknown users are counted like known ones, so that a lock tells nothing. A table of failures has a fixed size; where
//! it is full, what makes room is what counts least: places without a lock and with few failures go first, and where a
//! name falls is decided by a key that nobody outside knows. So nobody pushes a lock out but by as many failures as the
//! whole table has places for locks.
//!
//! Time is an argument: nothing here reads a clock or waits.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use parking_lot::Mutex;

use crate::hash::{HashError, random};
use crate::pool::Source;
use crate::settings::ProtectionSettings;

/// What failed logins have added up to.
pub(crate) struct Protection {
    settings: ProtectionSettings,
    key: hmac::Key,
    users: Mutex<Table>,
    sources: Mutex<Table>,
}

/// Whether a login may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may.
    Open,
    /// Not for so long, unless it is by a secret that was proven before from its usual address.
    Locked {
        /// Which of the two is locked.
        what: Locked,
        /// Until then.
        until_ms: u64,
    },
}

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    User,
    Source,
}

/// A lock, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The user name as it was given, cut where it is long, or the address.
    pub(crate) name: String,
    pub(crate) until_ms: u64,
    /// How often it was locked without an hour of peace between.
    pub(crate) repetitions: u32,
}

impl Protection {
    pub(crate) fn new(settings: ProtectionSettings) -> Result<Protection, HashError> {
        let mut bytes = zeroize::Zeroizing::new(random::<32>()?);
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_mut());
        let table = || Mutex::new(Table::default());
        Ok(Protection { settings, key, users: table(), sources: table() })
    }

    /// Whether a login as this user from this source may be tried now.
    pub(crate) fn gate(&self, username: &str, source: Source, now_ms: u64) -> Gate {
        let locked =
            |what, until_ms: Option<u64>| until_ms.map(|until_ms| Gate::Locked { what, until_ms });
        let of_source = || {
            let until = self.sources.lock().locked_until(self.source_key(source)?, now_ms);
            locked(Locked::Source, until)
        };
        let of_user = || {
            let until = self.users.lock().locked_until(self.user_key(username)?, now_ms);
            locked(Locked::User, until)
        };
        of_source().or_else(of_user).unwrap_or(Gate::Open)
    }

    /// Counts a failure, and says how long its answer is to be held back.
    pub(crate) fn failed(&self, username: Option<&str>, source: Source, now_ms: u64) -> Duration {
        let settings = &self.settings;
        let mut delay = Duration::ZERO;
        let user = username.and_then(|name| Some((self.user_key(name)?, name)));
        if let Some((key, name)) = user {
            let limit = settings.failures_per_user;
            let count = self.users.lock().failed(key, name, limit, settings, now_ms);
            delay = delay.max(delay_after(count, limit));
        }
        if let Some(key) = self.source_key(source) {
            let limit = settings.failures_per_source;
            let name = source.to_string();
            let count = self.sources.lock().failed(key, &name, limit, settings, now_ms);
            delay = delay.max(delay_after(count, limit));
        }
        delay
    }

    /// Ends a user's lock and forgets its failures. True if there was anything.
    pub(crate) fn unlock_user(&self, username: &str) -> bool {
        let key = self.tag(USER, username.as_bytes());
        self.users.lock().forget(key)
    }

    /// The same for a source: that of this address.
    pub(crate) fn unlock_source(&self, address: IpAddr) -> bool {
        let Source::Network(number) = Source::of(address) else { return false };
        let key = self.tag(SOURCE, &number.to_be_bytes());
        self.sources.lock().forget(key)
    }

    /// The users that are locked now.
    pub(crate) fn locked_users(&self, now_ms: u64) -> Vec<Lock> {
        self.users.lock().locks(now_ms)
    }

    /// The sources that are locked now.
    pub(crate) fn locked_sources(&self, now_ms: u64) -> Vec<Lock> {
        self.sources.lock().locks(now_ms)
    }

    fn user_key(&self, username: &str) -> Option<Key> {
        (self.settings.failures_per_user > 0).then(|| self.tag(USER, username.as_bytes()))
    }

    /// This machine's own socket is not guessed at: who may open it may do everything.
    fn source_key(&self, source: Source) -> Option<Key> {
        let Source::Network(number) = source else { return None };
        (self.settings.failures_per_source > 0).then(|| self.tag(SOURCE, &number.to_be_bytes()))
    }

    fn tag(&self, kind: u8, bytes: &[u8]) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[kind]);
        context.update(bytes);
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        key
    }
}

type Key = [u8; 16];

/// Failures by key, in buckets of a few places each.
#[derive(Default)]
struct Table {
    /// Empty until the first failure.
    places: Vec<Option<Place>>,
}

#[derive(Clone, Debug)]
struct Place {
    key: Key,
    name: Box<str>,
    failures: u32,
    window_began_at_ms: u64,
    last_failed_at_ms: u64,
    locked_until_ms: u64,
    repetitions: u32,
}

impl Table {
    fn locked_until(&self, key: Key, now_ms: u64) -> Option<u64> {
        let place = self.bucket(key).iter().flatten().find(|place| place.key == key)?;
        Some(place.locked_until_ms).filter(|until_ms| *until_ms > now_ms)
    }

    /// Counts one, and gives how many there are in the window.
    fn failed(
        &mut self,
        key: Key,
        name: &str,
        limit: u32,
        settings: &ProtectionSettings,
        now_ms: u64,
    ) -> u32 {
        let Some(place) = self.place(key, name, now_ms) else { return 0 };
        if place.locked_until_ms > now_ms {
            // A try at a closed door does not close it for longer: the lock would never end.
            return limit;
        }
        if now_ms.saturating_sub(place.last_failed_at_ms.max(place.locked_until_ms))
            >= LOCKOUT_MS_MAX
        {
            place.repetitions = 0;
        }
        if now_ms.saturating_sub(place.window_began_at_ms) >= millis(settings.window) {
            place.window_began_at_ms = now_ms;
            place.failures = 0;
        }
        place.failures = place.failures.saturating_add(1);
        place.last_failed_at_ms = now_ms;
        let failures = place.failures;
        if failures >= limit {
            let doubled = 1_u64.checked_shl(place.repetitions).unwrap_or(u64::MAX);
            let lockout_ms = millis(settings.lockout).saturating_mul(doubled).min(LOCKOUT_MS_MAX);
            place.locked_until_ms = now_ms.saturating_add(lockout_ms);
            place.repetitions = place.repetitions.saturating_add(1);
            place.failures = 0;
            place.window_began_at_ms = now_ms;
        }
        failures
    }

    fn forget(&mut self, key: Key) -> bool {
        let range = bucket_range(key);
        let mut places = self.places.get_mut(range).into_iter().flatten();
        match places.find(|place| place.as_ref().is_some_and(|place| place.key == key)) {
            Some(place) => place.take().is_some(),
            None => false,
        }
    }

    fn locks(&self, now_ms: u64) -> Vec<Lock> {
        let locked = self.places.iter().flatten().filter(|place| place.locked_until_ms > now_ms);
        let mut locks: Vec<_> = locked
            .map(|place| Lock {
                name: place.name.to_string(),
                until_ms: place.locked_until_ms,
                repetitions: place.repetitions,
            })
            .collect();
        locks.sort_by(|a, b| a.name.cmp(&b.name));
        locks
    }

    fn bucket(&self, key: Key) -> &[Option<Place>] {
        self.places.get(bucket_range(key)).unwrap_or_default()
    }

    /// The place of a key, made if there is none: in the bucket's emptiest one.
    fn place(&mut self, key: Key, name: &str, now_ms: u64) -> Option<&mut Place> {
        if self.places.is_empty() {
            self.places.resize(BUCKETS * BUCKET_PLACES, None);
        }
        let bucket = self.places.get_mut(bucket_range(key))?;
        let is_own = |place: &Option<Place>| place.as_ref().is_some_and(|place| place.key == key);
        let index = match bucket.iter().position(is_own) {
            Some(index) => index,
            None => {
                let weights = bucket.iter().map(|place| weight(place.as_ref(), now_ms));
                let (index, _) = weights.enumerate().min_by_key(|(_, weight)| *weight)?;
                *bucket.get_mut(index)? = Some(Place {
                    key,
                    name: name.chars().take(NAME_CHARACTERS_MAX).collect::<String>().into(),
                    failures: 0,
                    window_began_at_ms: now_ms,
                    last_failed_at_ms: now_ms,
                    locked_until_ms: 0,
                    repetitions: 0,
                });
                index
            }
        };
        bucket.get_mut(index)?.as_mut()
    }
}

/// How much would be lost with a place: first by the lock it holds, then by what it has counted, then by its age.
fn weight(place: Option<&Place>, now_ms: u64) -> (u64, u32, u32, u64) {
    let Some(place) = place else { return (0, 0, 0, 0) };
    let locked_ms = place.locked_until_ms.saturating_sub(now_ms);
    (locked_ms, place.repetitions, place.failures.saturating_add(1), place.last_failed_at_ms)
}

fn bucket_range(key: Key) -> std::ops::Range<usize> {
    let [a, b, ..] = key;
    let bucket = usize::from(u16::from_be_bytes([a, b])) % BUCKETS;
    bucket * BUCKET_PLACES..(bucket + 1) * BUCKET_PLACES
}

/// A fifth of the failures before the lock costs nothing, as anybody's typing errors; then each costs twice the last.
fn delay_after(failures: u32, limit: u32) -> Duration {
    let beyond = failures.saturating_sub(limit / 5);
    if beyond == 0 {
        return Duration::ZERO;
    }
    let doubled = 1_u32.checked_shl(beyond - 1).unwrap_or(u32::MAX);
    DELAY_FIRST.saturating_mul(doubled).min(DELAY_MAX)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

const USER: u8 = 1;
const SOURCE: u8 = 2;
const DELAY_FIRST: Duration = Duration::from_millis(50);
/// Also what a try at a locked door is held back.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1);
/// The longest lock, and the peace after which a lock is the first one again.
const LOCKOUT_MS_MAX: u64 = 3_600_000;
/// Two tables of 16,384 places, some 2 MiB each when they are full of long names.
const BUCKETS: usize = 2048;
const BUCKET_PLACES: usize = 8;
const NAME_CHARACTERS_MAX: usize = 64;

#[cfg(test)]
mod tests;
