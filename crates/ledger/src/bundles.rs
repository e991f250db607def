//! Messages of one session that follow each other and are written at once are one entry, a *bundle*: what the log has of them, and which
//! of their messages are gone.
//!
//! A bundle is never written again. When messages of it go, a *mark* beside it says which; when the last goes, both are removed. Invariant:
//! this is what the disk will have when all is written that was brought together so far.

use std::collections::{BTreeMap, VecDeque};

/// The bundles of a log.
#[derive(Debug, Default)]
pub struct Bundles {
    /// By session: the key of its entries as far as they all have it. In the order of their places.
    sessions: BTreeMap<Box<[u8]>, VecDeque<Bundle>>,
}

#[derive(Debug, Clone, Copy)]
struct Bundle {
    first: u64,
    /// 0: there is only a mark, and nothing that it could be of.
    count: u8,
    /// A bit for each message that is gone, the lowest for the first.
    gone: u64,
}

/// A bundle of which something was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) first: u64,
    /// Whether there was a mark before.
    pub(crate) was_marked: bool,
}

/// What has to be said about a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing of it is left; it had so many messages.
    Nothing { count: u8 },
    /// All but these.
    AllBut { gone: u64 },
}

impl Bundle {
    fn end(self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    fn all(self) -> u64 {
        u64::MAX.checked_shr(u64::BITS.saturating_sub(u32::from(self.count))).unwrap_or(0)
    }
}

impl Bundles {
    /// A bundle is written.
    pub(crate) fn insert(&mut self, session: &[u8], first: u64, count: u8) {
        self.change(session, first, |it| (it.count, it.gone) = (count, 0));
    }

    /// A message is removed. `None`: it is in no bundle.
    pub(crate) fn remove(&mut self, session: &[u8], sequence: u64) -> Option<Touched> {
        let bundle = self.holder(session, sequence)?;
        let was_marked = bundle.gone != 0;
        bundle.gone |= 1 << (sequence - bundle.first);
        Some(Touched { first: bundle.first, was_marked })
    }

    /// What is left of a bundle of which something was removed. One that has nothing left is forgotten.
    pub(crate) fn left(&mut self, session: &[u8], first: u64) -> Option<Left> {
        let bundles = self.sessions.get_mut(session)?;
        let at = bundles.binary_search_by_key(&first, |it| it.first).ok()?;
        let bundle = *bundles.get(at)?;
        if bundle.gone & bundle.all() != bundle.all() {
            return Some(Left::AllBut { gone: bundle.gone });
        }
        bundles.remove(at);
        if bundles.is_empty() {
            self.sessions.remove(session);
        } else if bundles.len() < bundles.capacity() / 4 {
            bundles.shrink_to_fit();
        }
        Some(Left::Nothing { count: bundle.count })
    }

    /// A session is removed with all that it has.
    pub(crate) fn forget(&mut self, session: &[u8]) {
        self.sessions.remove(session);
    }

    /// Takes in a mark that a start has read.
    pub(crate) fn load_mark(&mut self, session: &[u8], first: u64, gone: u64) {
        self.change(session, first, |it| it.gone = gone);
    }

    /// Takes in a bundle that a start has read, behind its mark if it has one. Gives what is gone of it.
    pub(crate) fn load(&mut self, session: &[u8], first: u64, count: u8) -> u64 {
        self.change(session, first, |it| {
            it.count = count;
            it.gone
        })
    }

    /// Takes out marks of which a start has found no bundle: whose, and of which place.
    pub(crate) fn take_stray_marks(&mut self) -> Vec<(Box<[u8]>, u64)> {
        let mut strays = Vec::new();
        self.sessions.retain(|session, bundles| {
            bundles.retain(|it| {
                if it.count == 0 {
                    strays.push((session.clone(), it.first));
                }
                it.count > 0
            });
            !bundles.is_empty()
        });
        strays
    }

    fn holder(&mut self, session: &[u8], sequence: u64) -> Option<&mut Bundle> {
        let bundles = self.sessions.get_mut(session)?;
        let behind = bundles.partition_point(|it| it.first <= sequence);
        bundles.get_mut(behind.checked_sub(1)?).filter(|it| sequence < it.end())
    }

    /// Changes the bundle that begins there, or a new one.
    fn change<T>(&mut self, session: &[u8], first: u64, f: impl FnOnce(&mut Bundle) -> T) -> T {
        if let Some(bundles) = self.sessions.get_mut(session)
            && let Ok(at) = bundles.binary_search_by_key(&first, |it| it.first)
            && let Some(bundle) = bundles.get_mut(at)
        {
            return f(bundle);
        }
        let mut bundle = Bundle { first, count: 0, gone: 0 };
        let given = f(&mut bundle);
        let bundles = self.sessions.entry(session.into()).or_default();
        bundles.insert(bundles.partition_point(|it| it.first < first), bundle);
        given
    }
}

/// Messages of a bundle: as many as its mark has bits.
pub(crate) const BUNDLE_MESSAGES_MAX: usize = 64;
