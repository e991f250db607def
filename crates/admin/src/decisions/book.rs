//! The refusals that are kept: the last ones of each client and user, and who pushes out whom.
//!
//! Rules: the same refusal again is counted and not kept again. Whoever has too many pushes out its own oldest, first of
//! the client, then of the user. Only when all places of a class are taken is the oldest of all given up; and the classes
//! are apart: nobody who has not proven to be a user pushes out what users were refused, and names that no user has push
//! out nothing of those that one has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use store::RefusalRow;

use super::record::{Class, DecisionId, Record};
use crate::decision_model::DeedModel;
use crate::settings::RefusalSettings;

/// The refusals that are kept.
#[derive(Debug, Default)]
pub(crate) struct Book {
    settings: RefusalSettings,
    records: HashMap<u64, Kept>,
    by_decision: HashMap<DecisionId, u64>,
    by_likeness: HashMap<Likeness, u64>,
    /// Of each name in each class, by when they were last seen.
    by_user: HashMap<(Class, String), BTreeMap<u64, u64>>,
    /// Of each class, by when they were last seen.
    by_age: BTreeMap<Class, BTreeMap<u64, u64>>,
    next_number: u64,
    /// Counts everything that is noted: a clock that never stands still.
    moment: u64,
    /// Records that are on disk otherwise, or not at all.
    unwritten: BTreeSet<u64>,
}

#[derive(Debug)]
struct Kept {
    record: Record,
    moment: u64,
    /// It is on disk, though perhaps not as it is here.
    is_on_disk: bool,
}

/// What makes two refusals the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness {
    class: Class,
    user: String,
    client_id: Option<String>,
    deed: DeedModel,
    resource: Option<String>,
    reason: String,
    /// The address without its port, of those who have proven nothing.
    source: Option<String>,
}

/// How many are kept of one class.
struct Room {
    of_client: usize,
    of_user: usize,
    of_all: usize,
}

impl Class {
    fn room(self, settings: &RefusalSettings) -> Room {
        let of_logins = |of_all| Room {
            of_client: settings.logins_per_client_max,
            of_user: settings.logins_per_user_max,
            of_all,
        };
        match self {
            Class::Proven => Room {
                of_client: settings.per_client_max,
                of_user: settings.per_user_max,
                of_all: settings.clients_max,
            },
            Class::Claimed => of_logins(settings.logins_max),
            Class::Unknown => of_logins(settings.unknown_logins_max),
        }
    }
}

impl Book {
    /// The book as it is on disk.
    pub(crate) fn restore(rows: Vec<(u64, Record)>, settings: RefusalSettings) -> Book {
        let mut book = Book { settings, ..Book::default() };
        let mut rows = rows;
        rows.sort_by_key(|(number, record)| (record.last_ms, *number));
        for (number, record) in rows {
            book.next_number = book.next_number.max(number);
            book.insert(number, record);
            if let Some(kept) = book.records.get_mut(&number) {
                kept.is_on_disk = true;
            }
        }
        // Whatever a smaller limit has pushed out is still to be removed; the rest is there already.
        let kept = &book.records;
        book.unwritten.retain(|number| !kept.contains_key(number));
        book
    }

    /// How many are kept of a class.
    pub(crate) fn count_of(&self, class: Class) -> usize {
        self.by_age.get(&class).map_or(0, BTreeMap::len)
    }

    /// Notes a refusal.
    pub(crate) fn note(&mut self, record: Record) {
        let likeness = Likeness::of(&record);
        let Some(number) = self.by_likeness.get(&likeness).copied() else {
            self.next_number += 1;
            return self.insert(self.next_number, record);
        };
        let Some(kept) = self.records.get_mut(&number) else { return };
        kept.record.count = kept.record.count.saturating_add(record.count);
        kept.record.last_ms = kept.record.last_ms.max(record.last_ms);
        kept.record.address = record.address;
        kept.record.listener = record.listener;
        for id in record.ids {
            if !kept.record.ids.contains(&id) {
                kept.record.ids.push(id);
                self.by_decision.insert(id, number);
            }
        }
        let too_many = kept.record.ids.len().saturating_sub(IDS_PER_RECORD_MAX);
        for id in kept.record.ids.drain(..too_many) {
            self.by_decision.remove(&id);
        }
        self.touch(number);
    }

    /// The refusal that was decided under this name.
    pub(crate) fn find(&self, decision: DecisionId) -> Option<&Record> {
        let number = self.by_decision.get(&decision)?;
        self.records.get(number).map(|kept| &kept.record)
    }

    /// Those that are wanted, the last seen first.
    pub(crate) fn list(&self, wanted: &Wanted<'_>) -> Vec<&Record> {
        let mut found: Vec<&Kept> = match wanted.user {
            None => self.records.values().collect(),
            Some(user) => [Class::Proven, Class::Claimed, Class::Unknown]
                .into_iter()
                .filter_map(|class| self.by_user.get(&(class, user.to_owned())))
                .flat_map(BTreeMap::values)
                .filter_map(|number| self.records.get(number))
                .collect(),
        };
        found.retain(|kept| wanted.admits(&kept.record));
        found.sort_unstable_by_key(|kept| std::cmp::Reverse((kept.record.last_ms, kept.moment)));
        found.into_iter().map(|kept| &kept.record).collect()
    }

    /// Some of what is not on disk as it is here.
    pub(crate) fn take_unwritten(&mut self, count_max: usize) -> Vec<RefusalRow> {
        let numbers: Vec<u64> = self.unwritten.iter().take(count_max).copied().collect();
        let mut rows = Vec::with_capacity(numbers.len());
        for number in numbers {
            self.unwritten.remove(&number);
            let record = self.records.get_mut(&number).and_then(|kept| {
                kept.is_on_disk = true;
                // A record is texts and numbers: it can be written as JSON always.
                serde_json::to_string(&kept.record).ok()
            });
            rows.push(RefusalRow { number, record });
        }
        rows
    }

    /// These could not be written.
    pub(crate) fn put_back(&mut self, rows: &[RefusalRow]) {
        self.unwritten.extend(rows.iter().map(|row| row.number));
    }

    fn insert(&mut self, number: u64, record: Record) {
        self.make_room(&record);
        self.by_decision.extend(record.ids.iter().map(|id| (*id, number)));
        self.by_likeness.insert(Likeness::of(&record), number);
        self.records.insert(number, Kept { record, moment: 0, is_on_disk: false });
        self.touch(number);
    }

    fn touch(&mut self, number: u64) {
        self.moment += 1;
        let Some(kept) = self.records.get_mut(&number) else { return };
        let before = std::mem::replace(&mut kept.moment, self.moment);
        let owner = (kept.record.class, kept.record.user.clone());
        for places in
            [self.by_age.entry(owner.0).or_default(), self.by_user.entry(owner).or_default()]
        {
            places.remove(&before);
            places.insert(self.moment, number);
        }
        self.unwritten.insert(number);
    }

    fn make_room(&mut self, record: &Record) {
        let room = record.class.room(&self.settings);
        let owner = (record.class, record.user.clone());
        if let Some(of_user) = self.by_user.get(&owner) {
            let is_of_client = |number: &&u64| {
                self.records.get(*number).is_some_and(|it| it.record.client_id == record.client_id)
            };
            let of_client: Vec<u64> = of_user.values().filter(is_of_client).copied().collect();
            let oldest = if of_client.len() >= room.of_client {
                of_client.first().copied()
            } else if of_user.len() >= room.of_user {
                of_user.values().next().copied()
            } else {
                None
            };
            if let Some(oldest) = oldest {
                return self.remove(oldest);
            }
        }
        let of_class = self.by_age.get(&record.class);
        let oldest =
            of_class.filter(|it| it.len() >= room.of_all).and_then(|it| it.values().next());
        if let Some(oldest) = oldest.copied() {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(kept) = self.records.remove(&number) else { return };
        let Kept { record, moment, is_on_disk } = kept;
        self.by_likeness.remove(&Likeness::of(&record));
        for id in &record.ids {
            self.by_decision.remove(id);
        }
        let Record { class, user, .. } = record;
        if let Some(places) = self.by_age.get_mut(&class) {
            places.remove(&moment);
        }
        let owner = (class, user);
        if let Some(places) = self.by_user.get_mut(&owner) {
            places.remove(&moment);
            if places.is_empty() {
                self.by_user.remove(&owner);
            }
        }
        if is_on_disk {
            self.unwritten.insert(number);
        } else {
            self.unwritten.remove(&number);
        }
    }
}

/// Which refusals are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) user: Option<&'a str>,
    /// Not those of an earlier user of the same name.
    pub(crate) user_id: Option<uuid::Uuid>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) deed: Option<DeedModel>,
}

impl Wanted<'_> {
    fn admits(&self, record: &Record) -> bool {
        let is_same = |wanted: Option<uuid::Uuid>| {
            wanted.is_none_or(|id| record.user_id.is_none_or(|it| it == id))
        };
        is_same(self.user_id)
            && self.client_id.is_none_or(|id| record.client_id.as_deref() == Some(id))
            && self.deed.is_none_or(|deed| record.deed == deed)
    }
}

impl Likeness {
    fn of(record: &Record) -> Likeness {
        let source = || {
            let address: Option<std::net::SocketAddr> = record.address.parse().ok();
            address.map_or_else(|| record.address.clone(), |address| address.ip().to_string())
        };
        Likeness {
            class: record.class,
            user: record.user.clone(),
            client_id: record.client_id.clone(),
            deed: record.deed,
            resource: record.resource.clone(),
            reason: record.reason.clone(),
            source: (record.class != Class::Proven).then(source),
        }
    }
}

/// Decisions that were the same, whose names are remembered. More: the oldest names go.
pub(super) const IDS_PER_RECORD_MAX: usize = 8;
