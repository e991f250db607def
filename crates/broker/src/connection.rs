//! The part of a session that lasts as long as its network connection.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use access::PublishPermit;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mqtt::{InboundAliases, KeepAlive, OutboundAliases, ProtocolVersion, Timestamp};
use topic::TopicName;

use crate::budget::Allowance;
use crate::client_view::Traffic;
use crate::identity::{ConnectionId, ShardId};
use crate::message::Delivery;
use crate::outbox::Outbox;
use crate::pressure::FutileRun;
use crate::refused::RefusedLately;
use crate::routes::RouteIndex;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) version: ProtocolVersion,
    pub(crate) wants_problem_information: bool,
    /// [MQTT-3.1.2-24] Bytes of the largest packet the client takes.
    pub(crate) packet_size_max: u32,
    pub(crate) outbox: Outbox,
    /// The round that has a flush for this connection.
    pub(crate) flush_mark: u64,
    /// The last commit that its packets have a part in.
    pub(crate) owes_until: u64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) keep_alive_armed: Option<Timestamp>,
    /// How many receivers hold this connection back.
    pub(crate) holds: u32,
    /// Until when it waits for its budget or for memory: one of the holds.
    pub(crate) waits: Option<Timestamp>,
    /// Its part in its user's publish budget; `None`: no bound.
    pub(crate) allowance: Option<Box<Allowance>>,
    /// Publishers that this connection, as a receiver, holds back.
    pub(crate) pressure: Option<Box<Pressure>>,
    pub(crate) permits: PermitCache,
    pub(crate) aliases_in: Option<Box<InboundAliases<()>>>,
    pub(crate) aliases_out: Option<Box<OutboundAliases>>,
    pub(crate) alias_out_max: u16,
    /// Retained messages of a SUBSCRIBE that wait for room in the outbox.
    pub(crate) backlog: VecDeque<Delivery>,
    pub(crate) traffic: Traffic,
    /// Messages dropped since the last report of a slow consumer; `None`: not slow.
    pub(crate) slow: Option<u64>,
    /// As a publisher: what of late was for nobody.
    pub(crate) futile: FutileRun,
    /// What it was refused under its present rights.
    pub(crate) refused: Option<Box<RefusedLately>>,
}

impl Connection {
    /// Frames were taken out of the outbox, perhaps ones that told the client an alias: all are told
    /// anew.
    pub(crate) fn forget_aliases(&mut self) {
        if let Some(aliases) = self.aliases_out.as_deref_mut() {
            *aliases = OutboundAliases::new(self.alias_out_max);
        }
    }
}

/// What a receiver that is behind has set in motion.
#[derive(Debug)]
pub(crate) struct Pressure {
    pub(crate) waiters: Vec<(ShardId, ConnectionId)>,
    pub(crate) due: Timestamp,
    /// Since patience with it began, something came from it while it was held back itself.
    pub(crate) has_sent: bool,
    /// How often patience has begun anew.
    pub(crate) renewals: u8,
    /// Patience is over: nobody is held back for it until it has caught up.
    pub(crate) is_given_up: bool,
}

/// The topics a publisher repeats, with the permit for each and its route.
#[derive(Debug)]
pub(crate) struct PermitCache {
    /// The engine's permit epoch that the permits are of.
    epoch: u64,
    entries: Vec<CachedTopic>,
    /// Indices of `entries` by the topic as sent.
    by_topic: HashTable<usize>,
    /// Of the entry that was asked for last: most publishers ask for it again.
    last: usize,
}

#[derive(Debug)]
pub(crate) struct CachedTopic {
    /// Before the publish prefix was added.
    as_sent: TopicName,
    pub(crate) permit: PublishPermit,
    pub(crate) route: RouteIndex,
}

impl PermitCache {
    pub(crate) fn new() -> PermitCache {
        PermitCache { epoch: 0, entries: Vec::new(), by_topic: HashTable::new(), last: 0 }
    }

    pub(crate) fn get(&mut self, as_sent: &str, epoch: u64) -> Option<&mut CachedTopic> {
        if self.epoch != epoch {
            self.clear();
            self.epoch = epoch;
        }
        let is_last =
            self.entries.get(self.last).is_some_and(|entry| entry.as_sent.as_str() == as_sent);
        if !is_last {
            let is_it = |index: &usize| {
                self.entries.get(*index).is_some_and(|entry| entry.as_sent.as_str() == as_sent)
            };
            self.last = *self.by_topic.find(hash(as_sent), is_it)?;
        }
        self.entries.get_mut(self.last)
    }

    /// Remembers a topic that [`PermitCache::get`] has not found, and gives it back; one that is too
    /// long is not remembered.
    pub(crate) fn put(
        &mut self,
        as_sent: &str,
        permit: PublishPermit,
        route: RouteIndex,
        topics_max: usize,
    ) -> Option<&TopicName> {
        if as_sent.len() > CACHED_TOPIC_BYTES_MAX {
            return None;
        }
        // Without a prefix both are the same, and share their text.
        let topic = permit.topic();
        let shared = (topic.as_str() == as_sent).then(|| topic.clone());
        let as_sent = shared.or_else(|| TopicName::parse(as_sent).ok())?;
        if self.entries.len() >= topics_max {
            self.clear();
        }
        self.last = self.entries.len();
        let rehash = |index: &usize| {
            self.entries.get(*index).map_or(0, |entry| hash(entry.as_sent.as_str()))
        };
        self.by_topic.insert_unique(hash(as_sent.as_str()), self.last, rehash);
        self.entries.push(CachedTopic { as_sent, permit, route });
        self.entries.last().map(|entry| &entry.as_sent)
    }

    /// Makes `known` the topic that was sent last, if it is remembered.
    pub(crate) fn recall(&self, known: &mut Option<TopicName>) {
        let Some(CachedTopic { as_sent, .. }) = self.entries.get(self.last) else { return };
        let is_same =
            known.as_ref().is_some_and(|known| std::ptr::eq(known.as_str(), as_sent.as_str()));
        if !is_same {
            *known = Some(as_sent.clone());
        }
    }

    /// Forgets all, and the memory for it.
    pub(crate) fn clear(&mut self) {
        self.entries = Vec::new();
        self.by_topic = HashTable::new();
    }
}

fn hash(topic: &str) -> u64 {
    FixedState::default().hash_one(topic)
}

/// Longer topics are judged each time, so that the cache's memory is bounded.
const CACHED_TOPIC_BYTES_MAX: usize = 512;
