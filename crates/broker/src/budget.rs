//! Publish budgets: how much a user may publish a second, over all its connections on all shards.
//!
//! One [`Bucket`] a user, shared by its connections. It keeps no tokens but the time at which all that
//! was published would have been due at the budget's rate: one that is far enough in the future makes
//! the next message wait. A message that has to wait has its place in time reserved, so that many
//! connections of one user come to their turn without asking again and again.

use std::sync::Arc;

use access::{PublishBudget, Rate, UserId};
use hashbrown::HashMap;
use mqtt::Timestamp;
use parking_lot::Mutex;

/// The buckets of all users that have a budget and a connection, or had one a moment ago: whoever
/// comes back at once finds the bucket it has emptied.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_user: HashMap<UserId, Arc<Bucket>>,
    /// How many there may be until those that are idle are looked for.
    sweep_at: usize,
}

/// What one user has published of late.
#[derive(Debug)]
pub(crate) struct Bucket {
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    messages: Meter,
    bytes: Meter,
}

#[derive(Debug, Clone, Copy)]
struct Meter {
    rate: Option<Rate>,
    /// Nanoseconds since the Unix epoch: when all so far is due at the rate.
    due_ns: u64,
}

/// What a message costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// A connection's part in its user's budget.
#[derive(Debug)]
pub(crate) struct Allowance {
    pub(crate) bucket: Arc<Bucket>,
    /// Paid for and not yet taken in: the next message of the connection.
    pub(crate) reserved: Option<Cost>,
    /// When it was last reported that there is none left.
    told_at: Option<Timestamp>,
}

impl Budgets {
    /// The bucket of this user, from now on of this size; `None` if nothing is bounded.
    pub(crate) fn of(
        &self,
        user: UserId,
        budget: PublishBudget,
        now: Timestamp,
    ) -> Option<Arc<Bucket>> {
        let mut buckets = self.buckets.lock();
        if budget.is_unbounded() {
            if !buckets.by_user.is_empty() {
                buckets.by_user.remove(&user);
            }
            return None;
        }
        if buckets.by_user.len() >= buckets.sweep_at.max(SWEEP_MIN) {
            buckets.by_user.retain(|_, it| Arc::strong_count(it) > 1 || !it.is_idle(now));
            buckets.sweep_at = buckets.by_user.len() * 2;
        }
        let bucket = buckets.by_user.entry(user).or_insert_with(|| Arc::new(Bucket::new(budget)));
        bucket.resize(budget, now);
        Some(Arc::clone(bucket))
    }
}

impl Bucket {
    fn new(budget: PublishBudget) -> Bucket {
        let meter = |rate| Meter { rate, due_ns: 0 };
        let state = State { messages: meter(budget.messages), bytes: meter(budget.bytes) };
        Bucket { state: Mutex::new(state) }
    }

    fn resize(&self, budget: PublishBudget, now: Timestamp) {
        let mut state = self.state.lock();
        state.messages.resize(budget.messages, now);
        state.bytes.resize(budget.bytes, now);
    }

    /// Takes what a message costs, whatever is left. Returns when the message may go: now or later.
    pub(crate) fn take(&self, cost: Cost, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        let at = state.messages.take(cost.messages, now).max(state.bytes.take(cost.bytes, now));
        Timestamp(at.div_ceil(NS_PER_MS))
    }

    /// Takes what a message costs if it may go now.
    pub(crate) fn try_take(&self, cost: Cost, now: Timestamp) -> bool {
        let mut state = self.state.lock();
        let mut after = *state;
        let at = after.messages.take(cost.messages, now).max(after.bytes.take(cost.bytes, now));
        let may_go = at <= now_ns(now);
        if may_go {
            *state = after;
        }
        may_go
    }

    /// Gives back what a message cost that never came.
    pub(crate) fn give_back(&self, cost: Cost) {
        let mut state = self.state.lock();
        state.messages.give_back(cost.messages);
        state.bytes.give_back(cost.bytes);
    }

    /// Milliseconds that a message would have to wait now.
    pub(crate) fn backlog_ms(&self, now: Timestamp) -> u64 {
        let mut state = *self.state.lock();
        let at = state.messages.take(0, now).max(state.bytes.take(0, now));
        at.saturating_sub(now_ns(now)) / NS_PER_MS
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        let state = self.state.lock();
        state.messages.due_ns.max(state.bytes.due_ns) <= now_ns(now)
    }
}

impl Meter {
    /// Takes the cost and says when it may go.
    fn take(&mut self, cost: u64, now: Timestamp) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        let now_ns = now_ns(now);
        let cost_ns = span_ns(cost, rate);
        self.due_ns = self.due_ns.max(now_ns).saturating_add(cost_ns);
        // What is larger than the whole burst goes when the bucket is full, and is paid for later.
        let burst_ns = span_ns(u64::from(rate.burst.get()), rate).max(EXACT_NS).max(cost_ns);
        self.due_ns.saturating_sub(burst_ns).max(now_ns)
    }

    /// What is owed stays owed, and is paid at the new rate.
    fn resize(&mut self, rate: Option<Rate>, now: Timestamp) {
        if self.rate == rate {
            return;
        }
        let owed_ns = self.due_ns.saturating_sub(now_ns(now));
        let scaled = match (self.rate, rate) {
            (Some(old), Some(new)) => {
                u128::from(owed_ns) * u128::from(old.per_s.get()) / u128::from(new.per_s.get())
            }
            (None, _) | (_, None) => 0,
        };
        self.due_ns = now_ns(now).saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX));
        self.rate = rate;
    }

    fn give_back(&mut self, cost: u64) {
        if let Some(rate) = self.rate {
            self.due_ns = self.due_ns.saturating_sub(span_ns(cost, rate));
        }
    }
}

impl Allowance {
    pub(crate) fn new(bucket: Arc<Bucket>) -> Allowance {
        Allowance { bucket, reserved: None, told_at: None }
    }

    /// An alias stands for a topic that the packet did not hold.
    pub(crate) fn pay_for_alias(&self, topic: &str, now: Timestamp) {
        let bytes = u64::try_from(topic.len()).unwrap_or(u64::MAX);
        self.bucket.take(Cost { messages: 0, bytes }, now);
    }

    /// Whether it is time to report again that there is none left.
    pub(crate) fn is_to_be_told(&mut self, now: Timestamp) -> bool {
        let is_new = self.told_at.is_none_or(|at| now.since(at) >= TOLD_AGAIN_MS);
        if is_new {
            self.told_at = Some(now);
        }
        is_new
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        if let Some(cost) = self.reserved.take() {
            self.bucket.give_back(cost);
        }
    }
}

fn span_ns(count: u64, rate: Rate) -> u64 {
    count.saturating_mul(NS_PER_S) / u64::from(rate.per_s.get())
}

fn now_ns(now: Timestamp) -> u64 {
    now.0.saturating_mul(NS_PER_MS)
}

/// How often one connection is reported at most.
const TOLD_AGAIN_MS: u64 = 60_000;
const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// Who waits is woken on some 50 ms exactly: a burst of less than twice that could not reach its rate.
const EXACT_NS: u64 = 100 * NS_PER_MS;
/// So many buckets are not worth looking through.
const SWEEP_MIN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::{Bucket, Budgets, Cost, SWEEP_MIN};
    use access::{PublishBudget, UserId};
    use mqtt::Timestamp;
    use std::sync::Arc;
    use uuid::Uuid;

    const START: u64 = 1_795_000_000_000;
    const ONE: Cost = Cost { messages: 1, bytes: 10 };

    fn budget(text: &str) -> PublishBudget {
        text.parse().unwrap()
    }

    /// Milliseconds from the start at which each of these costs may go if they all come at the start.
    fn check(text: &str, costs: &[Cost], expected_ms: &[u64]) {
        let bucket = Bucket::new(budget(text));
        let went: Vec<_> =
            costs.iter().map(|cost| bucket.take(*cost, Timestamp(START)).0 - START).collect();
        assert_eq!(went, expected_ms, "{text}");
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        check("messages=1:3", &[ONE; 6], &[0, 0, 0, 1_000, 2_000, 3_000]);
        check("messages=2:2", &[ONE; 5], &[0, 0, 500, 1_000, 1_500]);
    }

    #[test]
    fn bytes_and_messages_both_have_to_allow_it() {
        check("messages=1:2,bytes=10:40", &[ONE; 4], &[0, 0, 1_000, 2_000]);
        check("messages=1:4,bytes=10:20", &[ONE; 4], &[0, 0, 1_000, 2_000]);
    }

    #[test]
    fn a_message_larger_than_the_burst_goes_when_nothing_is_owed_and_is_paid_for_by_the_next() {
        let huge = Cost { messages: 1, bytes: 1_000 };
        check("bytes=100:100", &[huge, ONE], &[0, 9_100]);
        check("bytes=100:100", &[ONE, huge, ONE], &[0, 100, 9_200]);
    }

    #[test]
    fn a_burst_too_small_for_the_exactness_of_the_clock_is_a_tenth_of_a_second() {
        let mut expected = vec![0; 100];
        expected.push(1);
        check("messages=1000:1", &[ONE; 101], &expected);
    }

    #[test]
    fn what_is_refused_costs_nothing_and_what_never_came_is_given_back() {
        let bucket = Bucket::new(budget("messages=1:2"));
        let now = Timestamp(START);
        assert!(bucket.try_take(ONE, now) && bucket.try_take(ONE, now));
        assert!(!bucket.try_take(ONE, now) && !bucket.try_take(ONE, now));
        assert!(bucket.try_take(ONE, now.plus_ms(1_000)));
        assert_eq!(bucket.backlog_ms(now.plus_ms(1_000)), 0);
        bucket.take(ONE, now.plus_ms(1_000));
        bucket.take(ONE, now.plus_ms(1_000));
        assert_eq!(bucket.backlog_ms(now.plus_ms(1_000)), 2_000);
        bucket.give_back(ONE);
        assert_eq!(bucket.backlog_ms(now.plus_ms(1_000)), 1_000);
    }

    #[test]
    fn whoever_comes_back_finds_the_bucket_it_emptied_and_a_new_size_holds_at_once() {
        let budgets = Budgets::default();
        let user = UserId(Uuid::from_u128(1));
        let now = Timestamp(START);
        let bucket = budgets.of(user, budget("messages=1:1"), now).unwrap();
        for _ in 0..11 {
            bucket.take(ONE, now);
        }
        drop(bucket);
        let again = budgets.of(user, budget("messages=1:1"), now).unwrap();
        assert_eq!(again.backlog_ms(now), 10_000);
        let wider = budgets.of(user, budget("messages=1:6"), now).unwrap();
        assert!(Arc::ptr_eq(&again, &wider));
        assert_eq!(again.backlog_ms(now), 5_000);
        assert!(budgets.of(user, budget("messages=11:11"), now).is_some());
        assert_eq!(again.backlog_ms(now), 0, "what is owed is paid at the new rate");
        assert!(budgets.of(user, PublishBudget::default(), now).is_none());
    }

    #[test]
    fn buckets_nobody_needs_are_not_kept_for_ever() {
        let budgets = Budgets::default();
        let live = budgets.of(UserId(Uuid::from_u128(0)), budget("bytes=1"), Timestamp(START));
        for number in 1..5_000 {
            let later = Timestamp(START + number);
            let user = UserId(Uuid::from_u128(u128::from(number)));
            let bucket = budgets.of(user, budget("messages=1000"), later).unwrap();
            bucket.take(ONE, later);
        }
        let left = budgets.buckets.lock().by_user.len();
        assert!(left <= SWEEP_MIN * 2, "{left}");
        assert!(live.is_some_and(|it| Arc::strong_count(&it) == 2), "one in use stays");
    }
}
