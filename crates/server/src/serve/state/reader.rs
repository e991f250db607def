//! The thread that reads what waits on disk only: one question of a shard after the other, while the writer writes.
//!
//! No shard waits for it, and it waits for nobody but the disk. A session has one question open at most, so the number of its connections
//! bounds what waits here, and the largest answer what is held in memory for it.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use broker::{Fetch, FetchContent, Fetched, ShardId};
use ledger::Messages;
use store::StateReader;

use super::journal::Progress;
use crate::serve::clock::Stopwatch;

pub(super) struct Reader {
    pub(super) entries: StateReader,
    pub(super) progress: Arc<Progress>,
    pub(super) is_failing: bool,
}

impl Reader {
    pub(super) fn run(mut self, questions: &Receiver<(ShardId, Fetch)>) {
        while let Ok((shard, fetch)) = questions.recv() {
            let watch = Stopwatch::start();
            let answer = self.read(&fetch);
            self.progress.count_read(watch.elapsed());
            self.progress.tell_fetched(shard, answer);
        }
    }

    fn read(&mut self, fetch: &Fetch) -> Fetched {
        let (places, mut messages) =
            (fetch.sequences(), Vec::with_capacity(fetch.sequences().len()));
        let ranges: Vec<_> =
            places.iter().map(|it| ledger::message_range(fetch.key(), *it)).collect();
        let read = self.entries.read(&ranges, |key, value| {
            messages.extend(Messages::read(key, value).iter().flat_map(|it| it.at(places)));
        });
        if let Err(error) = read {
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::error!(
                    %error,
                    "messages that wait on disk cannot be read: they stay there, and are asked for again every second"
                );
            }
            return fetch.answer(FetchContent::Unavailable);
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("messages that wait on disk are read again");
        }
        if messages.len() < places.len() {
            let missing = places.len() - messages.len();
            let client = &fetch.key().client_id;
            tracing::error!(
                %client, missing,
                "messages that waited on disk are damaged: they are given up, and what comes after them goes on"
            );
        }
        fetch.answer(FetchContent::Messages(messages))
    }
}
