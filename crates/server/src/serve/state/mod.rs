//! The state of sessions on disk: read when the server starts, then written by one thread.
//!
//! What lies under which key is the crate `ledger`'s, where it lies the crate `store`'s; `writer.rs` is the
//! thread that writes, and `flight.rs` the one that makes durable what was written.

mod flight;
mod journal;
mod reader;
mod stall;
mod writer;

use std::path::Path;
use std::sync::Arc;

use broker::{Engine, Hub, Image, Limits, ShardId};
use ledger::{Bundles, Changes};
use store::{Safety, StateLog};

pub(crate) use journal::{Journal, Records};
pub(crate) use stall::watch;

use super::clock;
use super::error::ServeError;
use crate::config::Durability;

/// Engines with what they had when the broker last ran, and the journal that they write to.
pub(crate) struct State {
    /// One for each shard of the hub.
    pub(crate) engines: Vec<Engine>,
    /// `None`: nothing is kept.
    pub(crate) journal: Option<Arc<Journal>>,
}

impl State {
    /// Reads what is in the data directory, if anything is to be kept.
    ///
    /// # Errors
    /// The log cannot be used at all. What is damaged is told in the log, and what is whole is kept.
    pub(crate) fn open(
        durability: Durability,
        data_dir: &Path,
        hub: &Arc<Hub>,
    ) -> Result<Self, ServeError> {
        let mut engines: Vec<_> = (0..hub.shards())
            .map(|shard| Engine::new(ShardId(u16::try_from(shard).unwrap_or(0)), Arc::clone(hub)))
            .collect();
        let safety = match durability {
            Durability::None => return Ok(Self { engines, journal: None }),
            Durability::Fsync => Safety::Synced,
            Durability::Buffered => Safety::Buffered,
        };
        let refuse = |error: store::StoreError| ServeError::State(error.to_string());
        let (mut log, damage) =
            StateLog::open(&data_dir.join(DIRECTORY), safety).map_err(refuse)?;
        tell_damage(&damage);
        let (mut image, mut bundles, unreadable) = read(&log, hub.limits()).map_err(refuse)?;
        if unreadable > 0 {
            // What cannot be read cannot be removed either, and would be in the way for ever.
            let aside = log.rebuild().map_err(refuse)?.unwrap_or_default();
            tracing::error!(
                put_aside = %aside.display(), unreadable,
                "tables of the state of sessions are damaged: what can be read is kept, the damaged log is put aside"
            );
        }
        let (sessions, retained) = image.counts();
        let now = clock::now();
        // What was between two shards is settled before anything else can happen to it.
        let mut changes = Changes::default();
        changes.remove_stray_marks(&mut bundles);
        for settled in image.settle().iter().chain(&image.restore_retained(hub, now)) {
            ledger::put(settled, &mut changes);
        }
        commit(&mut log, &mut changes, &mut bundles, hub).map_err(refuse)?;
        for engine in &mut engines {
            engine.restore(&mut image, now);
        }
        tracing::info!(sessions, retained, "state was read");
        let journal = Journal::start(log, bundles, Arc::clone(hub)).map_err(|reason| {
            ServeError::System { what: "the thread that writes state", reason }
        })?;
        Ok(Self { engines, journal: Some(journal) })
    }
}

/// Makes the changes durable. They stay if that fails, to be committed again.
fn commit(
    log: &mut StateLog,
    changes: &mut Changes,
    bundles: &mut Bundles,
    hub: &Hub,
) -> Result<(), store::StoreError> {
    let folded = changes.fold(bundles, hub);
    let committed = log.commit(folded.removed_prefixes(), folded.entries());
    match committed {
        Ok(()) => changes.clear(),
        Err(_) => changes.are_perhaps_there(),
    }
    committed
}

fn tell_damage(damage: &store::Damage) {
    if !damage.missing.is_empty() {
        tracing::error!(
            missing = ?damage.missing,
            "files of the state of sessions are missing: what was in them is lost; what else is there is kept. Restore \
             the directory from a backup if you have one"
        );
    }
    if let Some(aside) = &damage.put_aside {
        tracing::error!(
            put_aside = %aside.display(), bytes_lost = damage.bytes_cut,
            "the state of sessions was damaged: what was written before the damage is kept, the damaged log is put aside"
        );
    } else if damage.bytes_cut > 0 {
        tracing::warn!(
            bytes_cut = damage.bytes_cut,
            "the state of sessions did not end in a whole group: the rest is dropped. After a crash that is what was \
             being written and not confirmed; more than that is damage"
        );
    }
}

/// What is on the disk, and how much of it cannot be read at all.
fn read(log: &StateLog, limits: &Limits) -> Result<(Image, Bundles, usize), store::StoreError> {
    let (mut image, mut bundles) = (Image::default(), Bundles::default());
    let mut not_understood = 0;
    let unreadable = log.read(|key, value| {
        let is_understood = ledger::load((key, value), &mut image, limits, &mut bundles);
        not_understood += usize::from(!is_understood);
    })?;
    if not_understood > 0 {
        tracing::error!(
            not_understood,
            "entries of the state of sessions are not understood: they are left out, and left where they are"
        );
    }
    Ok((image, bundles, unreadable))
}

/// Below the data directory.
const DIRECTORY: &str = "state";
