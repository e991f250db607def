//! Back from disk: records become sessions again, with what they hold, and are judged like everything
//! that fires later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use access::ProvenMethods;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{
    Inbound, Outbound, PacketId, ProtocolVersion, Qos, Stage, SubscribeOptions, Timestamp, Will,
};
use topic::{SubscriptionFilter, TopicName};

use crate::engine::Engine;
use crate::gate;
use crate::held_will::HeldWill;
use crate::hub::Hub;
use crate::identity::{ClientName, SessionIdentity, SessionKey, SessionRef, ShardId, shard_of};
use crate::limits::Limits;
use crate::message::{Delivery, Message};
use crate::queue::{HeadMax, Queue};
use crate::record::{Record, StoredDelivery, Way};
use crate::report::{RefusalReason, RefusedAction};
use crate::runs::Runs;
use crate::session::{Session, Subscription};
use crate::subscription_table::Member;
use crate::timers::Timer;

/// What the records come to that a broker left behind: put them in with [`Image::take`], in the
/// order in which they were made or, where nothing that was removed is among them, in any.
#[derive(Debug, Default)]
pub struct Image {
    sessions: BTreeMap<(access::UserId, Arc<str>), SessionImage>,
    retained: BTreeMap<TopicName, Arc<Message>>,
    forwards: BTreeMap<Way, Vec<(SessionKey, StoredDelivery)>>,
}

#[derive(Debug, Default)]
struct SessionImage {
    header: Option<Header>,
    subscriptions: Vec<(SubscriptionFilter, SubscribeOptions, Option<u32>)>,
    queued: BTreeMap<u64, StoredDelivery>,
    /// Messages behind those that stay on disk.
    behind: Runs,
    /// Of what is to be in memory, and is not in flight.
    head_messages: usize,
    head_bytes: usize,
    /// The last place among what is in flight.
    in_flight_last: u64,
    /// The last place that no new message may get.
    reserved: u64,
    /// With the place among what the session sends.
    in_flight: BTreeMap<PacketId, (u64, Stage)>,
    received: BTreeSet<PacketId>,
    will: Option<(Arc<Will>, Option<Timestamp>)>,
}

#[derive(Debug)]
struct Header {
    expiry_s: u32,
    offline_since: Option<Timestamp>,
    client: Arc<ClientName>,
    version: ProtocolVersion,
    connected_at: Timestamp,
    clean_start: bool,
    methods: ProvenMethods,
}

impl Image {
    /// Takes in one record.
    pub fn take(&mut self, record: Record) {
        match record {
            Record::SessionPut {
                key,
                expiry_s,
                offline_since,
                client,
                version,
                connected_at,
                clean_start,
                methods,
            } => {
                self.session(key).header = Some(Header {
                    expiry_s,
                    offline_since,
                    client,
                    version,
                    connected_at,
                    clean_start,
                    methods,
                });
            }
            Record::SessionRemove(key) => {
                self.sessions.remove(&(key.user, key.client_id));
            }
            Record::RetainedPut(message) => {
                self.retained.insert(message.topic().clone(), message);
            }
            Record::RetainedRemove(topic) => {
                self.retained.remove(&topic);
            }
            Record::ForwardPut { way, targets } => {
                self.forwards.insert(way, targets);
            }
            Record::ForwardRemove(way) => {
                self.forwards.remove(&way);
            }
            Record::SubscriptionPut { key, filter, options, identifier } => {
                let subscriptions = &mut self.session(key).subscriptions;
                subscriptions.retain(|(other, ..)| *other != filter);
                subscriptions.push((filter, options, identifier));
            }
            Record::SubscriptionRemove { key, filter } => {
                self.session(key).subscriptions.retain(|(other, ..)| *other != filter);
            }
            Record::WillPut { key, will, due } => self.session(key).will = Some((will, due)),
            Record::WillRemove(key) => self.session(key).will = None,
            Record::QueuedPut { .. }
            | Record::MessageRemove { .. }
            | Record::InflightPut { .. }
            | Record::InflightReleased { .. }
            | Record::InflightRemove { .. }
            | Record::ReceivedPut { .. }
            | Record::ReceivedRemove { .. } => self.take_exchange(record),
        }
    }

    /// Whether this message of a session is to be taken in with its content. Others stay on disk: see
    /// [`Image::take_behind`]. To be asked for messages in their order, after what is in flight was taken.
    #[must_use]
    pub fn wants(&self, key: &SessionKey, sequence: u64, limits: &Limits) -> bool {
        let name = (key.user, Arc::clone(&key.client_id));
        let Some(session) = self.sessions.get(&name) else { return true };
        let max = HeadMax::of(limits, false);
        sequence <= session.in_flight_last
            || session.behind.is_empty()
                && session.head_messages < max.messages
                && session.head_bytes < max.bytes
    }

    /// Takes in that there is such a message on disk, with a content of this [`Message::size`].
    pub fn take_behind(&mut self, key: SessionKey, sequence: u64, size: usize) {
        self.session(key).behind.push_back(sequence, size);
    }

    /// Takes in that no new message of this session may get this place, or one before it.
    pub fn reserve(&mut self, key: SessionKey, sequence: u64) {
        let session = self.session(key);
        session.reserved = session.reserved.max(sequence);
    }

    /// Gives the messages that were on their way between shards to the sessions they were for. The
    /// records that say so are to be durable before anything else happens.
    #[must_use]
    pub fn settle(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for (way, targets) in std::mem::take(&mut self.forwards) {
            for (key, delivery) in targets {
                let name = (key.user, Arc::clone(&key.client_id));
                // By the same name there may be a later session, for which the message is not: all that it was sent to has
                // ended with the former.
                let session = self.sessions.get_mut(&name);
                let is_for = |it: &&mut SessionImage| it.has_subscribed(delivery.message.topic());
                let Some(session) = session.filter(is_for) else { continue };
                let sequence = session.last_sequence() + 1;
                session.queued.insert(sequence, delivery.clone());
                records.push(Record::QueuedPut { key, sequence, delivery });
            }
            records.push(Record::ForwardRemove(way));
        }
        let is_whole = |session: &SessionImage| session.header.is_some();
        let strays = self.sessions.iter().filter(|(_, session)| !is_whole(session));
        records.extend(strays.map(|((user, client_id), _)| {
            Record::SessionRemove(SessionKey { user: *user, client_id: Arc::clone(client_id) })
        }));
        self.sessions.retain(|_, session| is_whole(session));
        records
    }

    /// Puts what was retained into the hub. Gives back what is to be forgotten.
    #[must_use]
    pub fn restore_retained(&mut self, hub: &Hub, now: Timestamp) -> Vec<Record> {
        let mut gone = Vec::new();
        for (topic, message) in std::mem::take(&mut self.retained) {
            if message.is_expired(now) || hub.retained.put(message, now, &mut gone).is_err() {
                gone.push(topic);
            }
        }
        gone.into_iter().map(Record::RetainedRemove).collect()
    }

    /// How many sessions and retained messages it holds.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.retained.len())
    }

    fn take_exchange(&mut self, record: Record) {
        match record {
            Record::QueuedPut { key, sequence, delivery } => {
                let session = self.session(key);
                if sequence > session.in_flight_last {
                    session.head_messages += 1;
                    session.head_bytes += delivery.message.size();
                }
                session.queued.insert(sequence, delivery);
            }
            Record::MessageRemove { key, sequence } => {
                self.session(key).queued.remove(&sequence);
            }
            Record::InflightPut { key, sequence, packet_id, qos } => {
                let stage = if qos == Qos::ExactlyOnce { Stage::PubRec } else { Stage::PubAck };
                let session = self.session(key);
                session.in_flight_last = session.in_flight_last.max(sequence);
                session.in_flight.insert(packet_id, (sequence, stage));
            }
            Record::InflightReleased { key, sequence, packet_id } => {
                self.session(key).in_flight.insert(packet_id, (sequence, Stage::PubComp));
            }
            Record::InflightRemove { key, packet_id } => {
                self.session(key).in_flight.remove(&packet_id);
            }
            Record::ReceivedPut { key, packet_id } => {
                self.session(key).received.insert(packet_id);
            }
            Record::ReceivedRemove { key, packet_id } => {
                self.session(key).received.remove(&packet_id);
            }
            _ => {}
        }
    }

    fn session(&mut self, key: SessionKey) -> &mut SessionImage {
        self.sessions.entry((key.user, key.client_id)).or_default()
    }

    fn sessions_of(&mut self, shard: ShardId, shards: usize) -> Vec<(SessionKey, SessionImage)> {
        let is_mine = |user, client_id: &str| shard_of(user, client_id, shards) == shard;
        let all = std::mem::take(&mut self.sessions);
        let (mine, others) =
            all.into_iter().partition::<Vec<_>, _>(|((user, id), _)| is_mine(*user, id));
        self.sessions.extend(others);
        mine.into_iter()
            .map(|((user, client_id), session)| (SessionKey { user, client_id }, session))
            .collect()
    }
}

impl SessionImage {
    fn has_subscribed(&self, topic: &TopicName) -> bool {
        self.subscriptions.iter().any(|(filter, ..)| filter.filter.matches(topic))
    }

    fn last_sequence(&self) -> u64 {
        let queued = self.queued.last_key_value().map(|(sequence, _)| *sequence);
        let sent = self.in_flight.values().map(|(sequence, _)| *sequence).max();
        queued.max(sent).max(self.behind.last()).unwrap_or(0).max(self.reserved)
    }

    /// What waits for an acknowledgement, and what is to be sent first.
    fn outbound(&mut self) -> Outbound<Delivery> {
        let mut outbound = Outbound::new(0);
        let mut in_flight: Vec<_> = std::mem::take(&mut self.in_flight).into_iter().collect();
        in_flight.sort_by_key(|(_, (sequence, _))| *sequence);
        for (packet_id, (sequence, stage)) in in_flight {
            let message = match stage {
                Stage::PubComp => None,
                Stage::PubAck | Stage::PubRec => {
                    let stored = self.queued.remove(&sequence);
                    stored.map(|stored| Delivery::restored(stored, sequence))
                }
            };
            match (stage, &message) {
                // Withdrawn: the client may hold the packet id of a QoS 2 message.
                (Stage::PubRec, None) => outbound.restore(packet_id, Stage::PubComp, None),
                (Stage::PubAck, None) => {}
                _ => outbound.restore(packet_id, stage, message),
            }
        }
        outbound
    }
}

impl Engine {
    /// Makes this shard's sessions of the image, before any client comes. What they may not have any
    /// more is dropped, and what is due happens at the next [`Engine::handle_timeout`].
    pub fn restore(&mut self, image: &mut Image, now: Timestamp) {
        self.take_policy(now);
        for (key, session) in image.sessions_of(self.shard.id, self.shard.hub.shards()) {
            self.restore_session(key, session, now);
        }
        self.shard.take_out_withdrawn();
    }

    fn restore_session(&mut self, key: SessionKey, mut image: SessionImage, now: Timestamp) {
        let user = self.shard.policy.user(key.user).map(|user| user.name().clone());
        let (Some(user_name), Some(header)) = (user, image.header.take()) else {
            return self.shard.round.persist(Record::SessionRemove(key));
        };
        if header.expiry_s == 0 {
            // It was to end with its connection, and that has ended with the broker.
            return self.shard.round.persist(Record::SessionRemove(key));
        }
        let client = Arc::new(ClientName { user_name, ..ClientName::clone(&header.client) });
        let rights = self.shard.policy.rights(key.user, Arc::clone(&key.client_id));
        let next_sequence = image.last_sequence();
        let outbound = image.outbound();
        let offline_since = header.offline_since.unwrap_or(now);
        let (will, will_due) = match image.will.take() {
            Some((will, due)) => {
                // Its connection ended with the broker.
                let delay_s = u64::from(will.properties.delay_s);
                let due = due.unwrap_or(offline_since.plus_s(delay_s));
                (Some(HeldWill::restored(will, key.user, &self.shard.hub)), Some(due))
            }
            None => (None, None),
        };
        let make = |place: SessionRef| Session {
            identity: Arc::new(SessionIdentity::new(key.clone(), place)),
            client,
            proof: None,
            methods: header.methods,
            rights,
            version: header.version,
            clean_start: header.clean_start,
            expiry_s: header.expiry_s,
            connected_at: header.connected_at,
            disconnected_at: Some(offline_since),
            expires_at: None,
            will,
            will_due,
            subscriptions: HashMap::with_hasher(FixedState::default()),
            outbound,
            inbound: Inbound::restored(std::mem::take(&mut image.received)),
            queue: Queue::default(),
            next_sequence,
            is_recorded: true,
            is_overflow_reported: false,
            connection: None,
        };
        let Some(place) = self.shard.sessions.insert(make) else { return };
        self.shard.note_judged(place);
        self.shard.hub.enter_session_again(key.user);
        if let Some(due) = will_due {
            self.shard.timers.arm(due, Timer::Will(place));
        }
        self.shard.arm_session_expiry(place, offline_since);
        // It says when the session went offline, if the broker was what ended its connection.
        self.shard.persist_session(place);
        self.restore_subscriptions(place, image.subscriptions);
        self.restore_queue(place, image.queued, image.behind);
        self.shard.withdraw(place, now);
    }

    fn restore_subscriptions(
        &mut self,
        place: SessionRef,
        subscriptions: Vec<(SubscriptionFilter, SubscribeOptions, Option<u32>)>,
    ) {
        let crate::engine::Shard { sessions, hub, round, .. } = &mut self.shard;
        let Some(session) = sessions.get_mut(place) else { return };
        for (filter, options, identifier) in subscriptions {
            let permit = match session.rights.as_ref() {
                Some(rights) => gate::subscription(rights, &filter),
                None => Err(gate::gone()),
            };
            let is_filtered = match permit {
                Ok(permit) => permit.is_filtered(),
                Err(denial) => {
                    let (action, reason) = (RefusedAction::Held, RefusalReason::Denied(denial));
                    round.refuse(&session.client, action, &filter.to_string(), reason);
                    let key = session.identity.key.clone();
                    round.persist(Record::SubscriptionRemove { key, filter });
                    continue;
                }
            };
            let member =
                Member { session: Arc::clone(&session.identity), options, identifier, is_filtered };
            hub.table.put(&filter, member);
            session.subscriptions.insert(filter, Subscription { options, identifier, is_filtered });
        }
    }

    /// What waits, within the limits of now.
    fn restore_queue(
        &mut self,
        place: SessionRef,
        queued: BTreeMap<u64, StoredDelivery>,
        behind: Runs,
    ) {
        let crate::engine::Shard { sessions, hub, round, .. } = &mut self.shard;
        let Some(session) = sessions.get_mut(place) else { return };
        let here = queued.into_iter().map(|(sequence, it)| Delivery::restored(it, sequence));
        let (queue, dropped) = Queue::restored(here, behind, session.client.user, hub);
        session.queue = queue;
        for sequence in dropped {
            let key = session.identity.key.clone();
            round.persist(Record::MessageRemove { key, sequence });
        }
    }
}
