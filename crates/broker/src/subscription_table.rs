//! The one table of all subscriptions of all shards. A SUBSCRIBE writes into it before its SUBACK,
//! so every shard routes to it from then on; the generation tells their caches.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;
use topic::{Bindings, ShareName, SubscriptionFilter, TopicName, Tree};

use crate::identity::{SessionIdentity, SessionRef};

/// One session's subscription to one filter.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) session: Arc<SessionIdentity>,
    pub(crate) options: mqtt::SubscribeOptions,
    pub(crate) identifier: Option<u32>,
    /// A deny rule overlaps the filter: each topic is judged for this session.
    pub(crate) is_filtered: bool,
}

/// The members of `$share/<name>/<filter>`.
#[derive(Debug)]
pub(crate) struct ShareGroup {
    name: ShareName,
    pub(crate) members: Vec<Member>,
    /// Whose turn it is; routes of all shards share it.
    pub(crate) cursor: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Sorted by place.
    pub(crate) members: Vec<Member>,
    pub(crate) groups: Vec<ShareGroup>,
}

#[derive(Debug)]
pub(crate) struct SubscriptionTable {
    tree: RwLock<Tree<Node>>,
    generation: AtomicU64,
}

impl SubscriptionTable {
    pub(crate) fn new() -> SubscriptionTable {
        SubscriptionTable { tree: RwLock::new(Tree::new()), generation: AtomicU64::new(1) }
    }

    /// Adds a subscription or replaces the same session's one with the same filter.
    pub(crate) fn put(&self, filter: &SubscriptionFilter, member: Member) {
        let mut tree = self.tree.write();
        let node = tree.get_or_insert_with(&filter.filter, Node::default);
        match &filter.share {
            None => put_sorted(&mut node.members, member),
            Some(name) => match node.groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => put_sorted(&mut group.members, member),
                None => node.groups.push(ShareGroup {
                    name: name.clone(),
                    members: vec![member],
                    cursor: Arc::new(AtomicUsize::new(0)),
                }),
            },
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes one session's subscription out.
    pub(crate) fn remove(&self, filter: &SubscriptionFilter, place: SessionRef) {
        self.remove_by(filter, |members| remove_sorted(members, place));
    }

    /// Takes those of many sessions out, which are sorted, at the cost of one walk.
    pub(crate) fn remove_all(&self, filter: &SubscriptionFilter, places: &[SessionRef]) {
        self.remove_by(filter, |members| {
            members.retain(|member| places.binary_search(&member.session.place).is_err());
            shrink(members);
        });
    }

    fn remove_by(&self, filter: &SubscriptionFilter, remove: impl FnOnce(&mut Vec<Member>)) {
        let mut tree = self.tree.write();
        let Some(node) = tree.get_mut(&filter.filter) else { return };
        match &filter.share {
            None => remove(&mut node.members),
            Some(name) => {
                if let Some(group) = node.groups.iter_mut().find(|group| group.name == *name) {
                    remove(&mut group.members);
                }
                node.groups.retain(|group| !group.members.is_empty());
            }
        }
        if node.members.is_empty() && node.groups.is_empty() {
            tree.remove(&filter.filter);
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether any filter matches this topic.
    pub(crate) fn has_reader(&self, topic: &TopicName) -> bool {
        let first = |_: &Node| ControlFlow::Break(());
        self.tree.read().visit_matching(topic.as_str(), &Bindings::default(), first).is_break()
    }

    /// Changes with every change of the table.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Visits every node whose filter matches; returns the generation that was visited.
    pub(crate) fn visit_matching(&self, topic: &TopicName, mut f: impl FnMut(&Node)) -> u64 {
        let tree = self.tree.read();
        let generation = self.generation();
        let _all: ControlFlow<()> =
            tree.visit_matching(topic.as_str(), &Bindings::default(), |node| {
                f(node);
                ControlFlow::Continue(())
            });
        generation
    }
}

fn put_sorted(members: &mut Vec<Member>, member: Member) {
    match members.binary_search_by_key(&member.session.place, |other| other.session.place) {
        Ok(at) => {
            if let Some(old) = members.get_mut(at) {
                *old = member;
            }
        }
        Err(at) => members.insert(at, member),
    }
}

fn remove_sorted(members: &mut Vec<Member>, place: SessionRef) {
    if let Ok(at) = members.binary_search_by_key(&place, |other| other.session.place) {
        members.remove(at);
        shrink(members);
    }
}

/// A filter that once had a crowd must not keep its memory.
fn shrink(members: &mut Vec<Member>) {
    if members.capacity() > 64 && members.len() < members.capacity() / 4 {
        members.shrink_to(members.len() * 2);
    }
}
