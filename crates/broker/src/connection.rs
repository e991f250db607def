//! The part of a session that lasts as long as its network connection.

use std::collections::VecDeque;

use access::PublishPermit;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{InboundAliases, KeepAlive, OutboundAliases, ProtocolVersion, Timestamp};

use crate::client_view::Traffic;
use crate::identity::{ConnectionId, ShardId};
use crate::message::Delivery;
use crate::outbox::Outbox;
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
    /// Patience is over: nobody is held back for it until it has caught up.
    pub(crate) is_given_up: bool,
}

/// The topics a publisher repeats, with the permit for each and its route.
#[derive(Debug)]
pub(crate) struct PermitCache {
    policy_generation: u64,
    by_topic: HashMap<Box<str>, CachedTopic, FixedState>,
}

#[derive(Debug)]
pub(crate) struct CachedTopic {
    pub(crate) permit: PublishPermit,
    pub(crate) route: RouteIndex,
}

impl PermitCache {
    pub(crate) fn new() -> PermitCache {
        PermitCache { policy_generation: 0, by_topic: HashMap::with_hasher(FixedState::default()) }
    }

    pub(crate) fn get(
        &mut self,
        as_sent: &str,
        policy_generation: u64,
    ) -> Option<&mut CachedTopic> {
        if self.policy_generation != policy_generation {
            self.by_topic = HashMap::with_hasher(FixedState::default());
            self.policy_generation = policy_generation;
        }
        self.by_topic.get_mut(as_sent)
    }

    pub(crate) fn put(&mut self, as_sent: &str, cached: CachedTopic, topics_max: usize) {
        if as_sent.len() > CACHED_TOPIC_BYTES_MAX {
            return;
        }
        if self.by_topic.len() >= topics_max {
            self.by_topic.clear();
        }
        self.by_topic.insert(as_sent.into(), cached);
    }
}

/// Longer topics are judged each time, so that the cache's memory is bounded.
const CACHED_TOPIC_BYTES_MAX: usize = 512;
