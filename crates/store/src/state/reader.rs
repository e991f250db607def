//! Reading single entries while another thread writes.

use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use fjall::Keyspace;
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
    /// Gives the value of each of these keys, which must ascend, with its index to `f`. Keys that are not there, or
    /// damaged, are left out.
    ///
    /// # Errors
    /// The disk cannot be read at the moment, or the log is not open after a failure. Some values may have been given.
    pub fn read(
        &self,
        keys: &[Vec<u8>],
        mut f: impl FnMut(usize, &[u8]),
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(()) };
        let Some(entries) = self.entries.lock().clone() else {
            return Err(unavailable(&fjall::Error::Poisoned));
        };
        let mut next = 0;
        // They lie next to each other, and are read as such. What is damaged must not take the others with it.
        let _is_whole = attempt(|| {
            for entry in entries.range(first.as_slice()..=last.as_slice()) {
                let (key, value) = entry.into_inner()?;
                while keys.get(next).is_some_and(|it| it.as_slice() < &*key) {
                    next += 1;
                }
                if keys.get(next).is_some_and(|it| it.as_slice() == &*key) {
                    f(next, &value);
                    next += 1;
                }
            }
            next = keys.len();
            Ok(())
        });
        for (index, key) in keys.iter().enumerate().skip(next) {
            match attempt(|| entries.get(key)) {
                Ok(Some(value)) => f(index, &value),
                Ok(None) => {}
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(unavailable(&error)),
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
