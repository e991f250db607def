//! Reading single entries while another thread writes.

use std::io::ErrorKind;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use fjall::{Guard, Keyspace, UserKey};
use parking_lot::Mutex;

use crate::StoreError;

/// Reads entries of a [`super::StateLog`] that are committed. It sees the log that is open at the moment, also after
/// that was opened anew.
#[derive(Clone)]
pub struct StateReader {
    pub(super) entries: Shared,
}

/// The entries, for as long as the log is open.
pub(super) type Shared = Arc<Mutex<Option<Keyspace>>>;

impl StateReader {
    /// Gives the last entry of each of these ranges, from a key to a key that belong to it, to `f`: once, in order. Both ends must ascend
    /// from range to range. What lies between two ranges may be given as well; where a range is empty or damaged, there is nothing.
    ///
    /// # Errors
    /// The disk cannot be read at the moment, or the log is not open after a failure. Some entries may have been given.
    pub fn read(
        &self,
        ranges: &[(Vec<u8>, Vec<u8>)],
        mut f: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let (Some((from, to)), Some((_, end))) = (ranges.first(), ranges.last()) else {
            return Ok(());
        };
        let Some(entries) = self.entries.lock().clone() else {
            return Err(unavailable(&fjall::Error::Poisoned));
        };
        let mut given: Option<UserKey> = None;
        let mut give = |entry: Guard| {
            let (key, value) = entry.into_inner()?;
            if given.as_ref().is_none_or(|it| *it < key) {
                f(&key, &value);
                given = Some(key);
            }
            Ok(())
        };
        // They lie next to each other, and are read as such.
        let whole = attempt(|| {
            entries.range(&**from..=&**to).next_back().map_or(Ok(()), &mut give)?;
            let behind = (Bound::Excluded(&**to), Bound::Included(&**end));
            entries.range::<&[u8], _>(behind).try_for_each(&mut give)
        });
        if whole.is_ok() {
            return Ok(());
        }
        // What is damaged must not take the others with it.
        for (from, to) in ranges {
            let last = || entries.range(&**from..=&**to).next_back().map_or(Ok(()), &mut give);
            match attempt(last) {
                Err(error) if !is_damage(&error) => return Err(unavailable(&error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// What is damaged must not bring the server down, whatever the engine below makes of it.
fn attempt<T>(read: impl FnOnce() -> Result<T, fjall::Error>) -> Result<T, fjall::Error> {
    std::panic::catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::InvalidData).into()))
}

/// Whether what was written is not there any more, as opposed to a disk that does not answer.
fn is_damage(error: &fjall::Error) -> bool {
    let is_damaged = |kind| matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            is_damaged(error.kind())
        }
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted => false,
        _ => true,
    }
}

fn unavailable(error: &fjall::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

impl std::fmt::Debug for StateReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateReader").finish_non_exhaustive()
    }
}
