//! What waits for one session: the oldest messages in memory, of a session that outlives its connection
//! no more than a few; what is behind them on disk only, and known here by place and size.
//!
//! Invariants: in order, first the head, then what is on disk only, then what is not durable yet.
//! Nothing is counted as on disk before it is durable, and nothing is sent past what is there.

use std::collections::VecDeque;

use access::UserId;

use crate::disk_share::DiskShare;
use crate::fetch::Reading;
use crate::hub::Hub;
use crate::limits::{Limits, QueueFull};
use crate::message::Delivery;
use crate::report::DropRule;
use crate::runs::Runs;

/// QoS 1 and 2 messages that wait: for the client to come back, to acknowledge, or to read.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    head: VecDeque<Queued>,
    head_bytes: usize,
    /// Of all that waits, wherever it is.
    len: usize,
    bytes: usize,
    /// What did not fit into the head. `None`: all did.
    spill: Option<Box<Spill>>,
}

/// A message in memory.
#[derive(Debug)]
struct Queued {
    delivery: Delivery,
    /// The commit that makes it durable: 0 if it is, [`NEVER`] if none does.
    commit: u64,
}

/// What is behind the head.
#[derive(Debug)]
struct Spill {
    runs: Runs,
    /// Younger than that, and not durable yet.
    tail: VecDeque<Queued>,
    tail_bytes: usize,
    reading: Reading,
    /// Its bytes and those of `runs`.
    share: DiskShare,
}

/// A message for the end of a queue.
pub(crate) struct Arrival {
    pub(crate) delivery: Delivery,
    /// The commit that makes it durable, or [`NEVER`].
    pub(crate) commit: u64,
    pub(crate) is_online: bool,
    /// Whose queue it is.
    pub(crate) user: UserId,
}

/// What came of an arrival.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Places of the messages that were given up for it, possibly its own.
    pub(crate) dropped: Vec<u64>,
    /// Which rule gave them up.
    pub(crate) rule: DropRule,
    /// It is the first that waits behind the head for its commit.
    pub(crate) waits_for_commit: bool,
}

impl Default for Arrived {
    fn default() -> Arrived {
        Arrived { dropped: Vec::new(), rule: DropRule::QueueFull, waits_for_commit: false }
    }
}

/// How much of a durable session's queue may be in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadMax {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl HeadMax {
    /// Of a session that nobody reads from, an eighth.
    pub(crate) fn of(limits: &Limits, is_online: bool) -> HeadMax {
        let part = if is_online { 1 } else { OFFLINE_PART };
        HeadMax {
            messages: (limits.queue_memory_messages_max / part).max(1),
            bytes: limits.queue_memory_bytes_max / part,
        }
    }
}

impl Queue {
    /// What a broker left behind of this user's: messages that are here, by place, and those that are on disk only.
    /// What is more than one queue may have by the limits of now is returned, to be removed. What is more than all
    /// of a user's or of the broker's may have on disk is kept: it was confirmed, and is there already.
    pub(crate) fn restored(
        here: impl IntoIterator<Item = Delivery>,
        behind: Runs,
        user: UserId,
        hub: &Hub,
    ) -> (Queue, Vec<u64>) {
        let (limits, mut queue) = (hub.limits(), Queue::default());
        let max = HeadMax::of(limits, false);
        let (mut before, mut after) = (Runs::default(), Runs::default());
        for delivery in here {
            let (sequence, size) = (delivery.sequence, delivery.message.size());
            let is_before = behind.first().is_none_or(|first| sequence < first);
            queue.len += 1;
            queue.bytes += size;
            if is_before && before.is_empty() && queue.head_has_room(size, max) {
                queue.push_head(Queued { delivery, commit: 0 });
            } else if is_before {
                before.push_back(sequence, size);
            } else {
                after.push_back(sequence, size);
            }
        }
        queue.len += behind.len();
        queue.bytes += behind.bytes();
        before.append(behind);
        before.append(after);
        if !before.is_empty() {
            let spill = queue.spill_mut(user, hub);
            spill.share.grow(before.bytes());
            spill.runs = before;
        }
        let mut dropped = Vec::new();
        while queue.len > limits.queue_messages_max || queue.bytes > limits.queue_bytes_max {
            let gone = match limits.queue_full {
                QueueFull::DropOldest => queue.drop_oldest(),
                QueueFull::DropNewest => queue.drop_newest(),
            };
            let Some(gone) = gone else { break };
            dropped.push(gone);
        }
        (queue, dropped)
    }

    /// Puts a message at the end, by the rules of a full queue.
    pub(crate) fn push(&mut self, arrival: Arrival, hub: &Hub) -> Arrived {
        let Arrival { delivery, commit, is_online, user } = arrival;
        let (limits, size) = (hub.limits(), delivery.message.size());
        let mut arrived = Arrived::default();
        while self.len >= limits.queue_messages_max
            || self.bytes.saturating_add(size) > limits.queue_bytes_max
        {
            let oldest = match limits.queue_full {
                QueueFull::DropOldest => self.drop_oldest(),
                QueueFull::DropNewest => None,
            };
            let Some(oldest) = oldest else {
                arrived.dropped.push(delivery.sequence);
                return arrived;
            };
            arrived.dropped.push(oldest);
        }
        let is_memory_only = commit == NEVER && self.spill.is_none();
        let fits = is_memory_only
            || self.spill.is_none() && self.head_has_room(size, HeadMax::of(limits, is_online));
        if fits {
            self.push_head(Queued { delivery, commit });
        } else {
            let spill = self.spill_mut(user, hub);
            if let Err(rule) = spill.share.take(size, limits) {
                self.tidy();
                arrived.dropped.push(delivery.sequence);
                return Arrived { rule, ..arrived };
            }
            arrived.waits_for_commit = spill.tail.back().is_none_or(|last| last.commit != commit);
            spill.tail_bytes += size;
            spill.tail.push_back(Queued { delivery, commit });
        }
        self.len += 1;
        self.bytes += size;
        arrived
    }

    /// The next message, if it is in memory.
    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = match self.head.pop_front() {
            Some(queued) => {
                self.head_bytes = self.head_bytes.saturating_sub(queued.delivery.message.size());
                queued.delivery
            }
            None => self.pop_tail()?,
        };
        self.forget(1, delivery.message.size());
        if self.head.is_empty() && self.head.capacity() > QUEUE_CAPACITY_KEPT {
            self.head = VecDeque::new();
        }
        Some(delivery)
    }

    /// Gives back the memory that an empty head has kept.
    pub(crate) fn give_back(&mut self) {
        if self.head.is_empty() {
            self.head = VecDeque::new();
        }
    }

    /// Keeps what `keep` wants of what is in memory; returns the rest.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Delivery) -> bool) -> Vec<Delivery> {
        let mut dropped = Vec::new();
        let mut sift = |messages: &mut VecDeque<Queued>| {
            for queued in std::mem::take(messages) {
                if keep(&queued.delivery) {
                    messages.push_back(queued);
                } else {
                    dropped.push(queued.delivery);
                }
            }
            messages.iter().map(|it| it.delivery.message.size()).sum()
        };
        self.head_bytes = sift(&mut self.head);
        if let Some(spill) = &mut self.spill {
            let left = sift(&mut spill.tail);
            spill.share.shrink(spill.tail_bytes.saturating_sub(left));
            spill.tail_bytes = left;
        }
        let bytes = dropped.iter().map(|it| it.message.size()).sum();
        self.forget(dropped.len(), bytes);
        dropped
    }

    /// Commits up to this one are durable: what has waited for that needs no memory any more, except
    /// for what has a place in the head.
    pub(crate) fn settle(&mut self, committed: u64, max: HeadMax) {
        while let Some(spill) = self.spill.as_mut().filter(|it| it.runs.is_empty())
            && let Some(size) = spill.tail.front().map(|it| it.delivery.message.size())
            && self.head_has_room(size, max)
        {
            self.take_tail();
        }
        if let Some(spill) = &mut self.spill {
            spill.write_off(committed);
        }
        self.tidy();
    }

    /// Nobody takes messages for now: what is durable of a long head needs no memory either, and what is
    /// being read is not wanted. Gives the commit that there is to wait for before it can be shorter.
    ///
    /// No limit is asked: the disk has it in any case, and memory has the more room.
    pub(crate) fn shorten(&mut self, committed: u64, user: UserId, hub: &Hub) -> Option<u64> {
        if let Some(spill) = &mut self.spill {
            spill.reading = Reading::default();
        }
        let max = HeadMax::of(hub.limits(), false);
        while self.head.len() > max.messages || self.head_bytes > max.bytes && self.head.len() > 1 {
            let commit = self.head.back()?.commit;
            if commit > committed {
                return Some(commit);
            }
            let Queued { delivery, .. } = self.head.pop_back()?;
            let size = delivery.message.size();
            self.head_bytes = self.head_bytes.saturating_sub(size);
            let spill = self.spill_mut(user, hub);
            spill.share.grow(size);
            spill.runs.push_front(delivery.sequence, size);
        }
        self.head.shrink_to_fit();
        None
    }

    /// The session does not outlive its connection any more, and nothing is on disk only: all of it
    /// moves into memory.
    pub(crate) fn gather(&mut self) {
        while self.spill.as_ref().is_some_and(|it| it.runs.is_empty()) {
            if !self.take_tail() {
                self.tidy();
                return;
            }
        }
    }

    /// The places of the messages to read next, at most one head full; none if the head is not low or
    /// nothing is on disk only.
    pub(crate) fn wanted(&self, max: HeadMax) -> Vec<u64> {
        let Some(spill) = &self.spill else { return Vec::new() };
        let is_low = self.head.len() <= max.messages / 2 && self.head_bytes <= max.bytes / 2;
        if !is_low {
            return Vec::new();
        }
        let (mut places, mut bytes) = (Vec::new(), self.head_bytes);
        for (sequence, size) in spill.runs.iter().take(max.messages - self.head.len()) {
            bytes = bytes.saturating_add(size);
            if bytes > max.bytes && !places.is_empty() {
                break;
            }
            places.push(sequence);
        }
        places
    }

    /// What is being read.
    pub(crate) fn reading(&mut self) -> Option<&mut Reading> {
        self.spill.as_deref_mut().map(|it| &mut it.reading)
    }

    /// The first place that is on disk only.
    pub(crate) fn first_behind(&self) -> Option<u64> {
        self.spill.as_ref()?.runs.first()
    }

    /// The first that was on disk only is in memory now, behind the head.
    pub(crate) fn take_back(&mut self, delivery: Delivery) {
        let Some((_, counted)) = self.pop_behind() else { return };
        let size = delivery.message.size();
        self.bytes = self.bytes.saturating_sub(counted) + size;
        self.push_head(Queued { delivery, commit: 0 });
    }

    /// The first that was on disk only is given up.
    pub(crate) fn drop_behind(&mut self) {
        if let Some((_, size)) = self.pop_behind() {
            self.forget(1, size);
        }
    }

    /// Drops what is empty. To be called after the two above.
    pub(crate) fn tidy(&mut self) {
        if self.spill.as_ref().is_some_and(|it| it.runs.is_empty() && it.tail.is_empty()) {
            self.spill = None;
        }
    }

    /// What is in memory.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        let tail = self.spill.iter().flat_map(|it| &it.tail);
        self.head.iter().chain(tail).map(|it| &it.delivery)
    }

    /// All that waits.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is anything behind the head.
    pub(crate) fn is_spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Messages that are on disk only, and their bytes.
    pub(crate) fn behind(&self) -> (usize, usize) {
        self.spill.as_ref().map_or((0, 0), |it| (it.runs.len(), it.runs.bytes()))
    }

    /// Bytes that it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let spilled = |it: &Spill| it.tail_bytes + it.runs.memory_bytes();
        self.head_bytes + self.spill.as_deref().map_or(0, spilled)
    }

    fn head_has_room(&self, size: usize, max: HeadMax) -> bool {
        let fits = self.head_bytes.saturating_add(size) <= max.bytes || self.head.is_empty();
        fits && self.head.len() < max.messages
    }

    fn push_head(&mut self, queued: Queued) {
        self.head_bytes += queued.delivery.message.size();
        self.head.push_back(queued);
    }

    /// Moves the first of the tail to the end of the head. Nothing may be on disk only.
    fn take_tail(&mut self) -> bool {
        let Some(spill) = &mut self.spill else { return false };
        let Some(queued) = spill.pop_tail() else { return false };
        self.push_head(queued);
        true
    }

    fn pop_tail(&mut self) -> Option<Delivery> {
        let spill = self.spill.as_mut().filter(|it| it.runs.is_empty())?;
        let queued = spill.pop_tail()?;
        self.tidy();
        Some(queued.delivery)
    }

    fn pop_behind(&mut self) -> Option<(u64, usize)> {
        let spill = self.spill.as_mut()?;
        let (sequence, size) = spill.runs.pop_front()?;
        spill.share.shrink(size);
        Some((sequence, size))
    }

    fn drop_oldest(&mut self) -> Option<u64> {
        if !self.head.is_empty() || self.first_behind().is_none() {
            return self.pop().map(|it| it.sequence);
        }
        let (sequence, size) = self.pop_behind()?;
        self.forget(1, size);
        self.tidy();
        Some(sequence)
    }

    /// Of what was restored: nothing of it waits for a commit.
    fn drop_newest(&mut self) -> Option<u64> {
        if let Some(spill) = &mut self.spill
            && let Some((sequence, size)) = spill.runs.pop_back()
        {
            spill.share.shrink(size);
            self.forget(1, size);
            self.tidy();
            return Some(sequence);
        }
        let Queued { delivery, .. } = self.head.pop_back()?;
        let size = delivery.message.size();
        self.head_bytes = self.head_bytes.saturating_sub(size);
        self.forget(1, size);
        Some(delivery.sequence)
    }

    fn forget(&mut self, messages: usize, bytes: usize) {
        self.len = self.len.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn spill_mut(&mut self, user: UserId, hub: &Hub) -> &mut Spill {
        self.spill.get_or_insert_with(|| {
            Box::new(Spill {
                runs: Runs::default(),
                tail: VecDeque::new(),
                tail_bytes: 0,
                reading: Reading::default(),
                share: hub.disk_share(user),
            })
        })
    }
}

impl Spill {
    /// What is durable is known by place and size from here on.
    fn write_off(&mut self, committed: u64) {
        while self.tail.front().is_some_and(|first| first.commit <= committed) {
            let Some(Queued { delivery, .. }) = self.tail.pop_front() else { return };
            let size = delivery.message.size();
            self.tail_bytes = self.tail_bytes.saturating_sub(size);
            self.runs.push_back(delivery.sequence, size);
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
    }

    fn pop_tail(&mut self) -> Option<Queued> {
        let queued = self.tail.pop_front()?;
        let size = queued.delivery.message.size();
        self.tail_bytes = self.tail_bytes.saturating_sub(size);
        self.share.shrink(size);
        Some(queued)
    }
}

/// No commit makes it durable.
pub(crate) const NEVER: u64 = u64::MAX;
/// What a session without a connection may have in memory: this part of what others may.
const OFFLINE_PART: usize = 8;
/// Places an empty queue may keep for what comes next.
const QUEUE_CAPACITY_KEPT: usize = 32;
