//! A disk that says neither yes nor no: a network that is gone below it, a controller that hangs.
//!
//! No thread that serves clients waits for it, but those do whose answers need it. After some time they are told, and others that would
//! need it are refused, as with a disk that says no; what it has taken by the time it answers is there.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{Hub, Storage};

use super::journal::Journal;
use crate::serve::clock::{self, Stopwatch};

/// What a thread has to do with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    /// Whether anything waits.
    pub(super) is_any: bool,
    /// How often the disk has answered.
    pub(super) answers: u64,
}

/// Looks until the server stops whether the disk answers.
pub(crate) async fn watch(journal: Arc<Journal>, hub: Arc<Hub>, patience: Duration) {
    let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let (mut writing, mut reading) = (Stall::default(), Stall::default());
    loop {
        tokio::time::sleep(LOOK.min(patience)).await;
        let now_ms = clock::now().0;
        let news = writing.look(journal.writing(), now_ms, patience_ms);
        see_to(news, &journal, &hub);
        match reading.look(journal.reading(), now_ms, patience_ms) {
            News::Began => tracing::error!(
                silent_s = patience.as_secs(),
                "the disk does not answer: messages that wait there are not read, and those they are for wait with them"
            ),
            News::Over(after) => {
                tracing::info!(
                    after_s = after.as_secs(),
                    "the disk answers: messages are read again"
                );
            }
            News::Lasts | News::None => {}
        }
    }
}

fn see_to(news: News, journal: &Journal, hub: &Hub) {
    match news {
        News::None => {}
        News::Began | News::Lasts => {
            // One that says no between its silences has told of itself.
            if hub.move_storage(Storage::Working, Storage::Stalled) {
                tracing::error!(
                    waiting_bytes = journal.waiting_bytes(),
                    "the disk does not answer: what needs the state of sessions to be written is refused with 0x83 until it \
                     does; look after the disk, and it goes on by itself"
                );
            }
            if hub.move_storage(Storage::Stalled, Storage::Stalled) {
                journal.give_up_waiting();
            }
        }
        News::Over(after) => {
            if hub.move_storage(Storage::Stalled, Storage::Working) {
                tracing::info!(
                    after_s = after.as_secs(),
                    "the disk answers, and the state of sessions is written again; nothing that was confirmed is lost"
                );
            }
        }
    }
}

/// Waits for the end of a thread as long as the disk answers it within `patience`. False if it did not.
pub(super) fn join(thread: JoinHandle<()>, patience: Duration, answers: impl Fn() -> u64) -> bool {
    let (mut known, mut since) = (answers(), Stopwatch::start());
    while !thread.is_finished() {
        let now = answers();
        if now != known {
            (known, since) = (now, Stopwatch::start());
        } else if since.elapsed() > patience {
            return false;
        }
        std::thread::sleep(JOIN_LOOK);
    }
    drop(thread.join());
    true
}

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    Began,
    Lasts,
    /// After so long.
    Over(Duration),
}

/// Since when nothing was answered.
#[derive(Debug, Default)]
struct Stall {
    answers: u64,
    since_ms: u64,
    is_told: bool,
}

impl Stall {
    fn look(&mut self, work: Work, now_ms: u64, patience_ms: u64) -> News {
        let silent_ms = now_ms.saturating_sub(self.since_ms);
        if !work.is_any || work.answers != self.answers {
            let was_told = std::mem::take(&mut self.is_told);
            (self.answers, self.since_ms) = (work.answers, now_ms);
            return if was_told {
                News::Over(Duration::from_millis(silent_ms))
            } else {
                News::None
            };
        }
        if silent_ms < patience_ms {
            return News::None;
        }
        if std::mem::replace(&mut self.is_told, true) { News::Lasts } else { News::Began }
    }
}

const LOOK: Duration = Duration::from_millis(500);
const JOIN_LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(u64, bool, u64, News)]) {
        let mut stall = Stall::default();
        for (now_s, is_any, answers, expected) in steps {
            let work = Work { is_any: *is_any, answers: *answers };
            assert_eq!(stall.look(work, now_s * 1000, 10_000), *expected, "after {now_s} s");
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_is_noticed_when_patience_is_over_and_when_it_is_back() {
        let over = News::Over(Duration::from_secs(25));
        check(&[
            (100, false, 7, News::None),
            (109, true, 7, News::None),
            (110, true, 7, News::Began),
            (111, true, 7, News::Lasts),
            (125, true, 8, over),
            (134, true, 8, News::None),
            (135, true, 8, News::Began),
        ]);
    }

    #[test]
    fn a_disk_that_is_slow_or_says_no_or_has_nothing_to_do_answers() {
        check(&[
            (1, true, 1, News::None),
            (10, true, 2, News::None),
            (19, true, 3, News::None),
            (28, false, 3, News::None),
            (900, false, 3, News::None),
            (909, true, 3, News::None),
            (909, false, 4, News::None),
        ]);
    }
}
