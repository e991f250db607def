//! How much of what all queues may have on disk one of them has, and how much of what its user's may.
//!
//! Invariant: what is counted for a user and for all is the sum of the shares there are; a share that is gone has given
//! its bytes back. Two shards that take the last room at the same moment do not both get it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;
use crate::report::DropRule;

/// The bytes that one queue has behind its head.
#[derive(Debug)]
pub(crate) struct DiskShare {
    bytes: usize,
    of_all: Arc<AtomicUsize>,
    of_user: Arc<AtomicUsize>,
}

impl DiskShare {
    /// Nothing yet. `of_user` counts what the queues of its user have, `of_all` what all have.
    pub(crate) fn new(of_user: Arc<AtomicUsize>, of_all: Arc<AtomicUsize>) -> DiskShare {
        DiskShare { bytes: 0, of_all, of_user }
    }

    /// Takes so much more, if there is room.
    ///
    /// # Errors
    /// The rule by which what was to have it is dropped.
    pub(crate) fn take(&mut self, bytes: usize, limits: &Limits) -> Result<(), DropRule> {
        if !reserve(&self.of_user, bytes, limits.queue_disk_bytes_per_user_max) {
            return Err(DropRule::DiskQueueOfUserFull);
        }
        if !reserve(&self.of_all, bytes, limits.queue_disk_bytes_max) {
            self.of_user.fetch_sub(bytes, Ordering::Relaxed);
            return Err(DropRule::DiskQueueFull);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Counts what is on disk whatever the limits are.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of_user.fetch_add(bytes, Ordering::Relaxed);
        self.of_all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives so much back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.of_user.fetch_sub(bytes, Ordering::Relaxed);
        self.of_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for DiskShare {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

fn reserve(counter: &AtomicUsize, bytes: usize, max: usize) -> bool {
    let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Arc, AtomicUsize, DiskShare, DropRule, Limits, Ordering};

    fn limits() -> Limits {
        Limits {
            queue_disk_bytes_max: 1_000,
            queue_disk_bytes_per_user_max: 600,
            ..Limits::default()
        }
    }

    #[test]
    fn a_share_ends_at_that_of_its_user_and_at_that_of_all_and_gives_back_what_it_had() {
        let all = Arc::new(AtomicUsize::new(0));
        let (ann, bob) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let share = |user: &Arc<AtomicUsize>| DiskShare::new(Arc::clone(user), Arc::clone(&all));
        let used = || [&all, &ann, &bob].map(|it| it.load(Ordering::Relaxed));
        let (mut one, mut two, mut other) = (share(&ann), share(&ann), share(&bob));
        assert_eq!(one.take(400, &limits()), Ok(()));
        assert_eq!(two.take(201, &limits()), Err(DropRule::DiskQueueOfUserFull));
        assert_eq!(two.take(200, &limits()), Ok(()));
        assert_eq!(other.take(401, &limits()), Err(DropRule::DiskQueueFull));
        assert_eq!(used(), [600, 600, 0], "what is refused takes nothing of either");
        assert_eq!(other.take(400, &limits()), Ok(()));
        one.shrink(1);
        assert_eq!(one.take(1, &limits()), Ok(()));
        // What a start finds, or what a client leaves when it goes, is there.
        two.grow(50);
        assert_eq!(used(), [1_050, 650, 400]);
        assert_eq!(other.take(1, &limits()), Err(DropRule::DiskQueueFull));
        drop(one);
        assert_eq!(used(), [650, 250, 400]);
        drop((two, other));
        assert_eq!(used(), [0, 0, 0]);
    }

    #[test]
    fn two_shards_never_take_the_same_room() {
        let (all, user) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut shares = [(); 4].map(|()| DiskShare::new(Arc::clone(&user), Arc::clone(&all)));
        let taken: usize = std::thread::scope(|scope| {
            let takers = shares.each_mut().map(|share| {
                let take = move || (0..10_000).filter(|_| share.take(7, &limits()).is_ok()).count();
                scope.spawn(take)
            });
            takers.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(taken, 600 / 7);
        assert_eq!((all.load(Ordering::Relaxed), user.load(Ordering::Relaxed)), (595, 595));
    }
}
