//! Who published where lately, so that a change of rights can be foreseen to refuse it.
//!
//! Noted is only what is judged anew: a topic's first message on a connection, and its first one after
//! the permits were forgotten, which happens once an hour for all. So a message whose permit is
//! remembered costs nothing here, and the time noted is at most an hour too early. It is kept in
//! memory, by user and client id, and outlives connection and session.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::Timestamp;
use topic::TopicName;

use access::UserId;

use crate::identity::SessionKey;

/// The publishers of one shard.
#[derive(Debug)]
pub(crate) struct Publishers {
    clients: HashMap<SessionKey, Published, FixedState>,
    by_user: HashMap<UserId, usize, FixedState>,
    /// Clients and topics, each of which takes one.
    places: usize,
    /// The last time something was not noted for want of room.
    full_at: Option<Timestamp>,
}

/// Where one client published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Topics as the client sent them, each with the time noted.
    pub(crate) topics: HashMap<TopicName, Timestamp, FixedState>,
    /// The last time a topic of this client was not noted.
    pub(crate) incomplete_at: Option<Timestamp>,
}

impl Publishers {
    pub(crate) fn new(seed: u64) -> Publishers {
        Publishers {
            clients: HashMap::with_hasher(FixedState::with_seed(seed)),
            by_user: HashMap::with_hasher(FixedState::with_seed(seed)),
            places: 0,
            full_at: None,
        }
    }

    /// Notes a publish that was permitted; `None`: its topic is too long to be noted.
    pub(crate) fn note(&mut self, key: &SessionKey, topic: Option<&TopicName>, now: Timestamp) {
        let Publishers { clients, by_user, places, full_at } = self;
        let of_user = by_user.get(&key.user).copied().unwrap_or_default();
        let is_new = !clients.contains_key(key);
        let needed = 1 + usize::from(is_new);
        let has_room =
            *places + needed <= PLACES_PER_SHARD_MAX && of_user + needed <= PLACES_PER_USER_MAX;
        if is_new && !has_room {
            return *full_at = Some(now);
        }
        let mut take_place = || {
            *places += 1;
            *by_user.entry(key.user).or_insert(0) += 1;
        };
        if is_new {
            take_place();
        }
        let published = clients.entry(key.clone()).or_default();
        let Some(topic) = topic else { return published.incomplete_at = Some(now) };
        if let Some(noted) = published.topics.get_mut(topic) {
            return *noted = now;
        }
        if !has_room || published.topics.len() >= TOPICS_PER_CLIENT_MAX {
            return published.incomplete_at = Some(now);
        }
        published.topics.insert(topic.clone(), now);
        take_place();
    }

    /// Forgets what is too old to matter.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let Publishers { clients, by_user, places, full_at } = self;
        let is_old = |at: Timestamp| now.since(at) > KEPT_MS;
        clients.retain(|key, published| {
            let before = published.topics.len();
            published.topics.retain(|_, at| !is_old(*at));
            published.incomplete_at = published.incomplete_at.filter(|at| !is_old(*at));
            let is_kept = !published.topics.is_empty() || published.incomplete_at.is_some();
            let gone = before - published.topics.len() + usize::from(!is_kept);
            *places = places.saturating_sub(gone);
            if let Some(of_user) = by_user.get_mut(&key.user) {
                *of_user = of_user.saturating_sub(gone);
            }
            is_kept
        });
        by_user.retain(|_, of_user| *of_user > 0);
        *full_at = full_at.filter(|at| !is_old(*at));
    }

    /// Whether there is nobody to forget.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.full_at.is_none()
    }

    /// Whether every publisher of the time kept is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.full_at.is_none()
    }

    pub(crate) fn keys(&self) -> Vec<SessionKey> {
        self.clients.keys().cloned().collect()
    }

    pub(crate) fn of(&self, key: &SessionKey) -> Option<&Published> {
        self.clients.get(key)
    }
}

/// Whether something noted then may have happened within the last day.
pub(crate) fn is_of_last_day(noted: Timestamp, now: Timestamp) -> bool {
    now.since(noted) <= KEPT_MS
}

/// How often permits are forgotten, and what is old with them.
pub(crate) const HOUR_MS: u64 = 3_600_000;
/// A day, and the hour by which the time noted may be too early.
const KEPT_MS: u64 = 25 * HOUR_MS;
/// Topics of one client. Full: others are not noted, and the foresight says so.
const TOPICS_PER_CLIENT_MAX: usize = 1_024;
/// Clients of one user and their topics, so that no user leaves the others without room. Full: as above.
const PLACES_PER_USER_MAX: usize = 32_768;
/// All clients of a shard and their topics. Full: as above.
const PLACES_PER_SHARD_MAX: usize = 131_072;

#[cfg(test)]
mod tests {
    use super::{
        HOUR_MS, PLACES_PER_SHARD_MAX, PLACES_PER_USER_MAX, Publishers, TOPICS_PER_CLIENT_MAX,
    };
    use crate::identity::SessionKey;
    use access::UserId;
    use mqtt::Timestamp;
    use topic::TopicName;

    fn key(user: u128, client_id: &str) -> SessionKey {
        SessionKey { user: UserId(uuid::Uuid::from_u128(user)), client_id: client_id.into() }
    }

    fn topic(number: usize) -> TopicName {
        TopicName::parse(&format!("t/{number}")).unwrap()
    }

    #[test]
    fn one_client_fills_its_own_room_only_and_that_is_known() {
        let mut publishers = Publishers::new(1);
        for number in 0..TOPICS_PER_CLIENT_MAX + 5 {
            publishers.note(&key(1, "c"), Some(&topic(number)), Timestamp(1));
        }
        publishers.note(&key(1, "d"), Some(&topic(0)), Timestamp(1));
        let of = |client_id: &str| publishers.of(&key(1, client_id)).unwrap();
        assert_eq!(of("c").topics.len(), TOPICS_PER_CLIENT_MAX);
        assert!(of("c").incomplete_at.is_some() && of("d").incomplete_at.is_none());
        assert!(publishers.is_complete());
    }

    #[test]
    fn one_user_with_any_number_of_client_ids_leaves_room_for_others() {
        let mut publishers = Publishers::new(1);
        for number in 0..PLACES_PER_USER_MAX {
            publishers.note(&key(1, &format!("c{number}")), Some(&topic(0)), Timestamp(1));
        }
        publishers.note(&key(2, "c"), Some(&topic(0)), Timestamp(1));
        assert!(publishers.of(&key(2, "c")).is_some());
        assert_eq!(publishers.keys().len(), PLACES_PER_USER_MAX / 2 + 1);
        assert!(!publishers.is_complete(), "what was left out is known");
    }

    #[test]
    fn all_users_together_have_so_much_room_and_a_day_later_it_is_free_again() {
        let mut publishers = Publishers::new(1);
        let users = PLACES_PER_SHARD_MAX / 1_000 + 1;
        for user in 0..users {
            for number in 0..1_000 {
                let id = u128::try_from(user).unwrap();
                publishers.note(&key(id, "c"), Some(&topic(number)), Timestamp(1));
            }
        }
        let noted = |it: &Publishers| -> usize {
            it.keys().iter().map(|key| it.of(key).unwrap().topics.len()).sum()
        };
        let all = noted(&publishers);
        assert_eq!(publishers.places, PLACES_PER_SHARD_MAX);
        assert_eq!(all + publishers.keys().len(), PLACES_PER_SHARD_MAX);
        publishers.sweep(Timestamp(1 + 25 * HOUR_MS));
        assert_eq!(noted(&publishers), all, "not a day and an hour yet");
        publishers.sweep(Timestamp(2 + 25 * HOUR_MS));
        assert!(publishers.is_empty() && publishers.by_user.is_empty());
        assert_eq!(publishers.places, 0);
    }

    #[test]
    fn a_topic_that_is_too_long_makes_its_client_incomplete_and_nothing_else() {
        let mut publishers = Publishers::new(1);
        publishers.note(&key(1, "c"), None, Timestamp(1));
        let published = publishers.of(&key(1, "c")).unwrap();
        assert!(published.topics.is_empty() && published.incomplete_at.is_some());
    }
}
