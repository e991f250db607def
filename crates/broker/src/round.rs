//! What one round of the engine has gathered: effects in order, connections to flush, batches for
//! other shards. Each comes out once a round, however many packets it was made of.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connection::Connection;
use crate::counters::Counters;
use crate::effect::Effect;
use crate::fetch::Fetch;
use crate::identity::{ClientName, ConnectionId, ShardId};
use crate::message::{Message, Publication};
use crate::outbox::BufferPool;
use crate::record::{Record, Way};
use crate::report::{DecisionId, Refusal, RefusalReason, RefusedAction, Report};
use crate::routes::{RouteStamp, Target};
use crate::shard_message::{Body, PublishBatch, ShardMessage};

#[derive(Debug)]
pub(crate) struct Round {
    shard: ShardId,
    run: u32,
    number: u64,
    decisions: u64,
    effects: VecDeque<Effect>,
    links: Vec<Link>,
    has_batches: bool,
    dirty: Vec<ConnectionId>,
    /// Records so far, in all rounds.
    records: u64,
    /// Records when the packet came in that is looked at now.
    records_before: u64,
    has_records: bool,
    /// Number of the last `Commit`.
    commits: u64,
    /// The last one that is durable.
    committed: u64,
    /// Connections with output that waits for a commit, in its order.
    held: VecDeque<(u64, ConnectionId)>,
    closing: Vec<ConnectionId>,
    fetches: u64,
    pub(crate) policy_generation: u64,
    pub(crate) pool: BufferPool,
    pub(crate) counters: Counters,
}

/// The way to one other shard.
#[derive(Debug, Default)]
struct Link {
    batch: PublishBatch,
    /// Bytes sent and not yet delivered there.
    on_way: usize,
    /// Publishers that are held back until there are fewer.
    waiters: Vec<ConnectionId>,
    /// Recorded messages sent that way.
    forwards: u64,
    /// Bytes from there that are delivered here, and of which it has not been told.
    untold: usize,
}

impl Round {
    pub(crate) fn new(shard: ShardId, shards: usize, run: u32) -> Round {
        Round {
            shard,
            run,
            number: 1,
            decisions: 0,
            effects: VecDeque::new(),
            links: (0..shards).map(|_| Link::default()).collect(),
            has_batches: false,
            dirty: Vec::new(),
            records: 0,
            records_before: 0,
            has_records: false,
            commits: 0,
            committed: 0,
            held: VecDeque::new(),
            closing: Vec::new(),
            fetches: 0,
            policy_generation: 0,
            pool: BufferPool::default(),
            counters: Counters::default(),
        }
    }

    /// The next effect: first what was asked for in order (records, reports), then what goes to
    /// other shards, then the flushes that may depend on all of it, then closes.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.seal();
        }
        self.effects.pop_front()
    }

    pub(crate) fn persist(&mut self, record: Record) {
        self.records += 1;
        self.has_records = true;
        self.effects.push_back(Effect::Persist(record));
    }

    /// Notes that what is recorded from now on is because of another packet.
    pub(crate) fn begin_packet(&mut self) {
        self.records_before = self.records;
    }

    /// Whether the packet that is looked at now has made records.
    pub(crate) fn has_recorded(&self) -> bool {
        self.records != self.records_before
    }

    /// Records so far, to compare with later.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The commit that makes everything recorded so far durable.
    pub(crate) fn commit(&self) -> u64 {
        self.commits + u64::from(self.has_records)
    }

    /// Holds back what is written to this connection from now on until all that is recorded so far
    /// is durable.
    pub(crate) fn hold(&mut self, connection: &mut Connection) {
        let commit = self.commit();
        if commit > self.committed {
            connection.outbox.hold(commit);
            connection.owes_until = commit;
            if self.held.back() != Some(&(commit, connection.id)) {
                self.held.push_back((commit, connection.id));
            }
        }
    }

    /// Records up to this commit are durable. Gives the connections back that have waited for it.
    pub(crate) fn committed(&mut self, commit: u64) -> Vec<ConnectionId> {
        self.committed = self.committed.max(commit);
        let waited = self.held.partition_point(|(number, _)| *number <= self.committed);
        let released: Vec<_> = self.held.drain(..waited).map(|(_, id)| id).collect();
        self.dirty.extend_from_slice(&released);
        released
    }

    /// The last commit that is durable.
    pub(crate) fn last_committed(&self) -> u64 {
        self.committed
    }

    /// Everybody with output that waits for a commit.
    pub(crate) fn held(&self) -> Vec<ConnectionId> {
        self.held.iter().map(|(_, id)| *id).collect()
    }

    /// The place of the next recorded message to this shard.
    pub(crate) fn next_way(&mut self, to: ShardId) -> Way {
        let forwards = self.links.get_mut(usize::from(to.0)).map_or(0, |link| {
            link.forwards += 1;
            link.forwards
        });
        Way { from: self.shard, to, number: forwards }
    }

    #[inline]
    pub(crate) fn count_message_out(&mut self, payload: usize) {
        self.counters.messages_out += 1;
        self.counters.payload_bytes_out += u64::try_from(payload).unwrap_or(u64::MAX);
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.effects.push_back(Effect::Report(report));
    }

    /// Reports a refusal under an id of its own.
    pub(crate) fn refuse(
        &mut self,
        client: &Arc<ClientName>,
        action: RefusedAction,
        topic: &str,
        reason: RefusalReason,
    ) -> DecisionId {
        self.refuse_all(client, action, topic, reason, 1)
    }

    /// The same for so many at once.
    pub(crate) fn refuse_all(
        &mut self,
        client: &Arc<ClientName>,
        action: RefusedAction,
        topic: &str,
        reason: RefusalReason,
        count: u64,
    ) -> DecisionId {
        let decision = self.decide();
        let (client, topic) = (Arc::clone(client), topic.into());
        self.report(Report::Refused(Refusal { decision, client, action, topic, reason, count }));
        decision
    }

    /// The next decision.
    pub(crate) fn decide(&mut self) -> DecisionId {
        self.decisions += 1;
        DecisionId { run: self.run, shard: self.shard.0, number: self.decisions }
    }

    /// A number that no other question to the disk has.
    pub(crate) fn next_fetch(&mut self) -> u64 {
        self.fetches += 1;
        self.fetches
    }

    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        self.effects.push_back(Effect::Fetch(Box::new(fetch)));
    }

    pub(crate) fn pause(&mut self, connection: ConnectionId) {
        self.counters.held_back += 1;
        self.effects.push_back(Effect::Pause(connection));
    }

    pub(crate) fn resume(&mut self, connection: ConnectionId) {
        self.effects.push_back(Effect::Resume(connection));
    }

    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.closing.push(connection);
    }

    /// Asks for a flush, unless `marked` says that this round already has.
    pub(crate) fn flush(&mut self, connection: ConnectionId, marked: &mut u64) {
        if *marked != self.number {
            *marked = self.number;
            self.dirty.push(connection);
        }
    }

    pub(crate) fn send(&mut self, shard: ShardId, body: Body) {
        self.effects.push_back(Effect::Forward(shard, ShardMessage(body)));
    }

    /// Puts a message into the batch for another shard. Returns how many bytes are on their way there.
    pub(crate) fn forward(
        &mut self,
        shard: ShardId,
        route: RouteStamp,
        targets: &Arc<[Target]>,
        publication: &Publication<'_>,
        message: Option<&Arc<Message>>,
        way: Option<Way>,
    ) -> usize {
        let policy_generation = self.policy_generation;
        let Some(link) = self.links.get_mut(usize::from(shard.0)) else { return 0 };
        let batch = &mut link.batch;
        if batch.is_empty() {
            batch.policy_generation = policy_generation;
            batch.table_generation = route.table_generation;
        } else if batch.policy_generation != policy_generation {
            // Judged under two policies in one round: the older generation has the receiver judge all again.
            batch.policy_generation = 0;
        }
        batch.table_generation = batch.table_generation.min(route.table_generation);
        batch.push(route.serial, targets, self.shard, publication, message, way);
        self.has_batches = true;
        link.on_way + batch.window_bytes()
    }

    /// Notes that this connection is held back until the other shard has caught up. False if it is
    /// noted already.
    pub(crate) fn wait_for(&mut self, shard: ShardId, id: ConnectionId) -> bool {
        let Some(link) = self.links.get_mut(usize::from(shard.0)) else { return false };
        if link.waiters.contains(&id) {
            return false;
        }
        link.waiters.push(id);
        true
    }

    /// Bytes that came from the other shard are delivered. It is told when it is worth waking it for: what it is never
    /// told of is less than `least`, which must be at most half of what it waits to fall to.
    pub(crate) fn tell_delivered(&mut self, shard: ShardId, bytes: usize, least: usize) {
        let own = self.shard;
        let Some(link) = self.links.get_mut(usize::from(shard.0)) else { return };
        link.untold += bytes;
        if link.untold >= least {
            let bytes = std::mem::take(&mut link.untold);
            self.send(shard, Body::Delivered(own, bytes));
        }
    }

    /// The other shard has delivered so much; returns who need not wait any longer.
    pub(crate) fn delivered(
        &mut self,
        shard: ShardId,
        bytes: usize,
        low: usize,
    ) -> Vec<ConnectionId> {
        let Some(link) = self.links.get_mut(usize::from(shard.0)) else { return Vec::new() };
        link.on_way = link.on_way.saturating_sub(bytes);
        if link.on_way > low { Vec::new() } else { std::mem::take(&mut link.waiters) }
    }

    fn seal(&mut self) {
        self.number += 1;
        if self.has_records {
            self.has_records = false;
            self.commits += 1;
            self.effects.push_back(Effect::Commit(self.commits));
        }
        if self.has_batches {
            self.has_batches = false;
            for (index, link) in self.links.iter_mut().enumerate() {
                if !link.batch.is_empty() {
                    let shard = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
                    link.on_way += link.batch.window_bytes();
                    let body = Body::Publishes(Box::new(std::mem::take(&mut link.batch)));
                    self.effects.push_back(Effect::Forward(shard, ShardMessage(body)));
                }
            }
        }
        self.effects.extend(self.dirty.drain(..).map(Effect::Flush));
        self.effects.extend(self.closing.drain(..).map(Effect::Close));
    }
}

#[cfg(test)]
mod tests {
    use super::Round;
    use crate::effect::Effect;
    use crate::identity::ShardId;
    use crate::shard_message::{Body, ShardMessage};

    /// What another shard is told when so many bytes of it are delivered after each other.
    fn check(delivered: &[usize], least: usize, expected: &[usize]) {
        let mut round = Round::new(ShardId(0), 2, 0);
        for bytes in delivered {
            round.tell_delivered(ShardId(1), *bytes, least);
        }
        let told: Vec<_> = std::iter::from_fn(|| round.poll())
            .map(|effect| match effect {
                Effect::Forward(ShardId(1), ShardMessage(Body::Delivered(ShardId(0), bytes))) => {
                    bytes
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn another_shard_is_woken_for_a_good_part_of_its_window_only_and_told_every_byte_of_it() {
        check(&[10, 10], 25, &[]);
        check(&[10, 10, 10, 5, 30], 25, &[30, 35]);
        check(&[1, 2], 0, &[1, 2]);
    }
}
