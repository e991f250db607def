//! What another policy would take from whom, asked before it is swapped in.
//!
//! It is asked by the same gates that judge when it is (`rejudge.rs`), session by session and in
//! slices, so that traffic goes on in between. Nothing is changed.

use std::collections::VecDeque;
use std::sync::Arc;

use access::{Denial, Lapse, Policy, Rights, UserName};
use hashbrown::HashMap;
use mqtt::Timestamp;
use thiserror::Error;
use topic::{SubscriptionFilter, TopicName};

use crate::engine::Engine;
use crate::identity::{SessionKey, SessionRef};
use crate::publishers::{Published, is_of_last_day};
use crate::rejudge::{LastJudged, judge_subscription, judge_will, lapse_of};
use crate::session::Session;

/// What one shard's clients would lose, as far as it is known yet.
#[derive(Debug)]
pub struct Forecast {
    base: u64,
    next: Arc<Policy>,
    places: VecDeque<SessionRef>,
    publishers: VecDeque<SessionKey>,
    clients: HashMap<SessionKey, ClientLoss>,
    /// Whether every publisher of the last day was noted.
    pub are_publishers_complete: bool,
}

/// What one client would lose.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientLoss {
    /// The user's name.
    pub user_name: UserName,
    /// Whether it has a connection.
    pub is_connected: bool,
    /// Of its session, if it has one that loses anything.
    pub session: Option<SessionLoss>,
    /// Topics that it published to within the last day, and may not any more.
    pub publishes: Vec<PublishLoss>,
    /// Whether all that it published to was noted.
    pub are_publishes_complete: bool,
}

/// What one session would lose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionLoss {
    /// Why the connection ends, if it does.
    pub connection: Option<Lapse>,
    /// Whether the session ends, and with it all that it holds.
    pub session_ends: bool,
    /// Subscriptions that end.
    pub subscriptions: Vec<SubscriptionLoss>,
    /// Subscriptions that stay, and of which a part is not delivered any more.
    pub narrowed: Vec<SubscriptionFilter>,
    /// The topic of the will, if it is not to be sent any more, and why.
    pub will: Option<(TopicName, Denial)>,
    /// Messages that wait for the client or for its acknowledgement, and are dropped.
    pub messages: u64,
    /// Whether all that wait were looked at.
    pub are_messages_complete: bool,
}

/// A subscription that ends.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionLoss {
    /// As it was subscribed.
    pub filter: SubscriptionFilter,
    /// Why; `None`: it ends with its session.
    pub denial: Option<Denial>,
}

/// A topic that a client may not publish to any more.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishLoss {
    /// As the client sent it.
    pub topic: TopicName,
    /// When it published there; it may have done so for an hour after that.
    pub seen_at: Timestamp,
    /// Why not.
    pub denial: Denial,
}

/// The policy has changed since the forecast was begun: what was foreseen is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the policy has changed meanwhile")]
pub struct PolicyMoved;

/// Whether a forecast has more to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Ask again.
    More,
    /// All is looked at.
    Done,
}

impl Engine {
    /// Begins a forecast of what `next` would do, which was made from the policy of generation `base`.
    #[must_use]
    pub fn forecast(&self, base: u64, next: Arc<Policy>) -> Forecast {
        Forecast {
            base,
            next,
            places: self.shard.sessions.places().into(),
            publishers: self.shard.publishers.keys().into(),
            clients: HashMap::new(),
            are_publishers_complete: self.shard.publishers.is_complete(),
        }
    }

    /// Looks at some more clients: about as many as `steps`, each subscription, topic and ten messages
    /// being a step as well.
    ///
    /// # Errors
    /// If the policy is not the one any more that the forecast began with.
    pub fn forecast_more(
        &mut self,
        forecast: &mut Forecast,
        steps: usize,
        now: Timestamp,
    ) -> Result<Progress, PolicyMoved> {
        self.take_policy(now);
        if self.shard.policy.generation() != forecast.base {
            return Err(PolicyMoved);
        }
        let mut steps_left = steps;
        while steps_left > 0 {
            let taken = if let Some(place) = forecast.places.pop_front() {
                self.foresee_session(place, forecast)
            } else if let Some(key) = forecast.publishers.pop_front() {
                self.foresee_publisher(&key, forecast, now)
            } else {
                return Ok(Progress::Done);
            };
            steps_left = steps_left.saturating_sub(taken.max(1));
        }
        Ok(Progress::More)
    }

    fn foresee_session(&self, place: SessionRef, forecast: &mut Forecast) -> usize {
        let Some(session) = self.shard.sessions.get(place) else { return 1 };
        let next = &forecast.next;
        let is_same = session.rights.as_ref().is_some_and(|rights| rights.are_current_in(next));
        if is_same {
            return 1;
        }
        let steps = 1
            + session.subscriptions.len()
            + (session.queue.iter().count() + session.outbound.len()) / 10;
        if let Some(loss) = foresee(session, next) {
            let key = session.identity.key.clone();
            let client = ClientLoss::of(&session.client.user_name, session.connection.is_some());
            forecast.clients.entry(key).or_insert(client).session = Some(loss);
        }
        steps
    }

    /// What was refused before is not lost by the change.
    fn foresee_publisher(
        &self,
        key: &SessionKey,
        forecast: &mut Forecast,
        now: Timestamp,
    ) -> usize {
        let Some(published) = self.shard.publishers.of(key) else { return 1 };
        let Some(rights) = self.shard.policy.rights(key.user, Arc::clone(&key.client_id)) else {
            return 1;
        };
        if rights.are_current_in(&forecast.next) {
            return 1;
        }
        let next = forecast.next.rights(key.user, Arc::clone(&key.client_id));
        let lost = lost_publishes(published, &rights, next.as_ref(), now);
        let is_complete = published.incomplete_at.is_none_or(|at| !is_of_last_day(at, now));
        if !lost.is_empty() || !is_complete {
            let entry = forecast.clients.entry(key.clone());
            let is_connected = self.is_connected(key.user, &key.client_id);
            let client = entry.or_insert_with(|| ClientLoss::of(rights.user_name(), is_connected));
            client.publishes = lost;
            client.are_publishes_complete = is_complete;
        }
        1 + published.topics.len()
    }
}

impl Forecast {
    /// What was found, by user and client id.
    #[must_use]
    pub fn into_clients(self) -> Vec<(SessionKey, ClientLoss)> {
        self.clients.into_iter().collect()
    }
}

impl ClientLoss {
    fn of(user_name: &UserName, is_connected: bool) -> ClientLoss {
        ClientLoss {
            user_name: user_name.clone(),
            is_connected,
            session: None,
            publishes: Vec::new(),
            are_publishes_complete: true,
        }
    }
}

/// What [`Engine::policy_changed`] would take from the session; `None` if nothing.
fn foresee(session: &Session, next: &Policy) -> Option<SessionLoss> {
    let key = &session.identity.key;
    let rights = next.rights(key.user, Arc::clone(&key.client_id));
    let is_connected = session.connection.is_some();
    let lapse = lapse_of(session, session.rights.as_ref(), next);
    let connection = lapse.filter(|_| is_connected);
    let session_ends =
        next.user(key.user).is_none() || (connection.is_some() && session.expiry_s == 0);
    let mut loss = SessionLoss { connection, session_ends, ..SessionLoss::default() };
    for (filter, subscription) in &session.subscriptions {
        let permit = judge_subscription(rights.as_ref(), filter);
        let is_narrowed =
            permit.as_ref().is_ok_and(|it| it.is_filtered() && !subscription.is_filtered);
        let denial = permit.err();
        if session_ends || denial.is_some() {
            loss.subscriptions.push(SubscriptionLoss { filter: filter.clone(), denial });
        } else if is_narrowed {
            loss.narrowed.push(filter.clone());
        }
    }
    let will = session.will.as_ref();
    loss.will = will.and_then(|will| {
        let denial = judge_will(rights.as_ref(), will).err().or(lapse.map(Denial::Lapsed))?;
        Some((will.topic.clone(), denial))
    });
    count_lost_messages(session, rights, &mut loss);
    let is_something = loss.connection.is_some()
        || loss.session_ends
        || !loss.subscriptions.is_empty()
        || !loss.narrowed.is_empty()
        || loss.will.is_some()
        || loss.messages > 0
        || !loss.are_messages_complete;
    is_something.then_some(loss)
}

fn count_lost_messages(session: &Session, rights: Option<Rights>, loss: &mut SessionLoss) {
    let mut judged = LastJudged::new(rights);
    let in_flight = session.outbound.iter().filter_map(|(_, _, delivery)| delivery);
    let mut held = session.queue.iter().chain(in_flight);
    let is_lost = |delivery: &&crate::message::Delivery| {
        loss.session_ends || !judged.may_read(delivery.message.topic())
    };
    let count = held.by_ref().take(MESSAGES_JUDGED_MAX).filter(is_lost).count();
    loss.messages = u64::try_from(count).unwrap_or(u64::MAX);
    // What is on disk only is judged when it comes back.
    loss.are_messages_complete = held.next().is_none() && session.queue.behind().0 == 0;
}

fn lost_publishes(
    published: &Published,
    rights: &Rights,
    next: Option<&Rights>,
    now: Timestamp,
) -> Vec<PublishLoss> {
    let seen = published.topics.iter().filter(|(_, at)| is_of_last_day(**at, now));
    let lost = seen.filter_map(|(topic, at)| {
        let denial = match next {
            Some(next) => crate::gate::publish(next, topic.as_str()).err()?,
            None => crate::gate::gone(),
        };
        let was_allowed = crate::gate::publish(rights, topic.as_str()).is_ok();
        was_allowed.then(|| PublishLoss { topic: topic.clone(), seen_at: *at, denial })
    });
    lost.collect()
}

/// Messages of one session that a forecast judges. More: the count is one of at least so many.
const MESSAGES_JUDGED_MAX: usize = 10_000;
