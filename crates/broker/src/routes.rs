//! From a topic to its receivers, judged and remembered until policy or subscriptions change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use access::Policy;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::Qos;
use topic::TopicName;

use crate::gate;
use crate::hub::Hub;
use crate::identity::{SessionIdentity, SessionRef, ShardId};
use crate::message::Identifiers;
use crate::subscription_table::{Member, ShareGroup};

/// One session that receives the messages of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) place: SessionRef,
    pub(crate) session: Arc<SessionIdentity>,
    options: TargetOptions,
    own: Own,
}

/// What the session's matching subscriptions come to.
#[derive(Debug, Clone)]
pub(crate) struct TargetOptions {
    pub(crate) qos: Qos,
    pub(crate) retain_as_published: bool,
    pub(crate) identifiers: Identifiers,
}

/// What they come to for the session's own messages.
#[derive(Debug, Clone)]
enum Own {
    /// No subscription is No Local.
    Same,
    /// All are.
    Nothing,
    /// Some are.
    Others(Box<TargetOptions>),
}

impl Target {
    /// [MQTT-3.8.3-3] No Local: nothing for the session that wrote it.
    pub(crate) fn options_for(&self, writer: SessionRef) -> Option<&TargetOptions> {
        if self.place != writer {
            return Some(&self.options);
        }
        match &self.own {
            Own::Same => Some(&self.options),
            Own::Nothing => None,
            Own::Others(options) => Some(options),
        }
    }
}

/// All receivers of one topic, seen from one shard.
#[derive(Debug)]
pub(crate) struct Route {
    /// The topic inside the permit the route was made for.
    pub(crate) topic: TopicName,
    pub(crate) stamp: RouteStamp,
    pub(crate) local: Vec<Target>,
    pub(crate) remote: Vec<(ShardId, Arc<[Target]>)>,
    pub(crate) shared: Vec<SharedTargets>,
}

/// What a batch for another shard says about the route of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteStamp {
    /// Tells routes apart in a batch; 0: for this message only.
    pub(crate) serial: u64,
    /// The subscriptions it was made from.
    pub(crate) table_generation: u64,
}

/// The members of one share group: each message goes to one of them.
#[derive(Debug)]
pub(crate) struct SharedTargets {
    cursor: Arc<AtomicUsize>,
    members: Vec<(Arc<SessionIdentity>, Arc<[Target]>)>,
}

impl SharedTargets {
    /// [MQTT-4.8.2-4] One member: the next one that is online, else the next one.
    pub(crate) fn choose(&self) -> Option<&Arc<[Target]>> {
        let count = self.members.len();
        let start = self.cursor.fetch_add(1, Ordering::Relaxed).checked_rem(count)?;
        let in_turn = || self.members.iter().skip(start).chain(self.members.iter().take(start));
        let online = in_turn().find(|(session, _)| session.is_online.load(Ordering::Relaxed));
        online.or_else(|| in_turn().next()).map(|(_, target)| target)
    }
}

impl Route {
    /// Whether anything of a message on this route would be recorded.
    pub(crate) fn has_durable(&self) -> bool {
        let is_durable = |target: &Target| target.session.is_durable.load(Ordering::Relaxed);
        self.local.iter().any(is_durable)
            || self.remote.iter().any(|(_, targets)| targets.iter().any(is_durable))
            || self.shared.iter().any(|group| {
                group.members.iter().any(|(session, _)| session.is_durable.load(Ordering::Relaxed))
            })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty() && self.shared.is_empty()
    }

    fn targets(&self) -> usize {
        let remote: usize = self.remote.iter().map(|(_, targets)| targets.len()).sum();
        let shared: usize = self.shared.iter().map(|group| group.members.len()).sum();
        1 + self.local.len() + remote + shared
    }

    fn compute(topic: &TopicName, shard: ShardId, hub: &Hub, policy: &Policy) -> Route {
        let mut members: Vec<Member> = Vec::new();
        let mut shared = Vec::new();
        let generation = hub.table.visit_matching(topic, |node| {
            members.extend(node.members.iter().filter(|m| may_receive(m, topic, policy)).cloned());
            shared.extend(node.groups.iter().filter_map(|group| share(group, topic, policy)));
        });
        members.sort_by_key(|member| member.session.place);
        let mut route = Route {
            topic: topic.clone(),
            stamp: RouteStamp { serial: 0, table_generation: generation },
            local: Vec::new(),
            remote: Vec::new(),
            shared,
        };
        let mut targets: Vec<Target> =
            members.chunk_by(|a, b| a.session.place == b.session.place).filter_map(merge).collect();
        for of_shard in targets.chunk_by(|a, b| a.place.shard == b.place.shard) {
            let Some(first) = of_shard.first() else { continue };
            if first.place.shard != shard {
                route.remote.push((first.place.shard, of_shard.into()));
            }
        }
        targets.retain(|target| target.place.shard == shard);
        route.local = targets;
        route
    }
}

fn may_receive(member: &Member, topic: &TopicName, policy: &Policy) -> bool {
    // Another shard may not have come to judge its sessions by this policy yet: what it noted under an older one
    // says nothing.
    let is_judged = member.session.judged.load(Ordering::Acquire) >= policy.generation();
    is_judged && !member.is_filtered
        || gate::delivery_to(policy, &member.session.key, topic).is_ok()
}

fn share(group: &ShareGroup, topic: &TopicName, policy: &Policy) -> Option<SharedTargets> {
    let members: Vec<_> = group
        .members
        .iter()
        .filter(|member| may_receive(member, topic, policy))
        .filter_map(|member| {
            let target = merge(std::slice::from_ref(member))?;
            Some((Arc::clone(&member.session), Arc::from([target])))
        })
        .collect();
    (!members.is_empty()).then(|| SharedTargets { cursor: Arc::clone(&group.cursor), members })
}

/// [MQTT-3.3.4-2] Overlapping subscriptions of one session: one copy, at the highest QoS, with the
/// identifiers of all of them [MQTT-3.3.4-4].
fn merge(members: &[Member]) -> Option<Target> {
    let session = Arc::clone(&members.first()?.session);
    let local_count = members.iter().filter(|member| member.options.no_local).count();
    let own = match local_count {
        0 => Own::Same,
        n if n == members.len() => Own::Nothing,
        _ => Own::Others(Box::new(combine(members.iter().filter(|m| !m.options.no_local)))),
    };
    Some(Target { place: session.place, session, options: combine(members.iter()), own })
}

fn combine<'a>(members: impl Iterator<Item = &'a Member> + Clone) -> TargetOptions {
    let identifiers: Vec<u32> = members.clone().filter_map(|member| member.identifier).collect();
    TargetOptions {
        qos: members.clone().map(|member| member.options.qos).max().unwrap_or_default(),
        retain_as_published: members.clone().any(|member| member.options.retain_as_published),
        identifiers: (!identifiers.is_empty()).then(|| identifiers.into()),
    }
}

/// The routes one shard remembers. An index is valid as long as the epoch it was given in lasts.
#[derive(Debug)]
pub(crate) struct RouteCache {
    routes: Vec<Route>,
    by_topic: HashMap<TopicName, usize, FixedState>,
    targets: usize,
    targets_max: usize,
    policy_generation: u64,
    table_generation: u64,
    epoch: u64,
    serial: u64,
}

/// A remembered route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteIndex {
    epoch: u64,
    index: usize,
}

impl RouteCache {
    pub(crate) fn new(targets_max: usize, seed: u64) -> RouteCache {
        RouteCache {
            routes: Vec::new(),
            by_topic: HashMap::with_hasher(FixedState::with_seed(seed)),
            targets: 0,
            targets_max,
            policy_generation: 0,
            table_generation: 0,
            epoch: 1,
            serial: 0,
        }
    }

    /// Forgets everything if policy or subscriptions have changed.
    pub(crate) fn refresh(&mut self, hub: &Hub, policy: &Policy) {
        let table = hub.table.generation();
        if table != self.table_generation || policy.generation() != self.policy_generation {
            self.policy_generation = policy.generation();
            self.table_generation = table;
            self.clear();
        }
    }

    pub(crate) fn get(&self, index: RouteIndex) -> Option<&Route> {
        if index.epoch != self.epoch {
            return None;
        }
        self.routes.get(index.index)
    }

    pub(crate) fn find(
        &mut self,
        topic: &TopicName,
        shard: ShardId,
        hub: &Hub,
        policy: &Policy,
    ) -> RouteIndex {
        if let Some(&index) = self.by_topic.get(topic) {
            return RouteIndex { epoch: self.epoch, index };
        }
        let mut route = Route::compute(topic, shard, hub, policy);
        let generation = route.stamp.table_generation;
        if self.targets + route.targets() > self.targets_max || generation != self.table_generation
        {
            self.table_generation = generation;
            self.clear();
        }
        self.serial += 1;
        route.stamp.serial = self.serial;
        self.targets += route.targets();
        let index = self.routes.len();
        self.routes.push(route);
        self.by_topic.insert(topic.clone(), index);
        RouteIndex { epoch: self.epoch, index }
    }

    fn clear(&mut self) {
        self.routes.clear();
        self.by_topic.clear();
        self.targets = 0;
        self.epoch += 1;
    }
}
