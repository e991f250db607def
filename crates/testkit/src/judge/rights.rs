//! Who may do what, and since when: every change is a version, and every shard knows all up to one.

use super::matching::{covers, matches};

/// What one person may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// False: nothing at all, whatever the rules.
    pub is_enabled: bool,
    /// False: there is no such user.
    pub exists: bool,
    /// Put before each topic it publishes to.
    pub prefix: String,
    /// In any order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// It grants; else it refuses.
    pub is_allow: bool,
    /// It is about reading.
    pub reads: bool,
    /// It is about writing.
    pub writes: bool,
    /// The topics it is about.
    pub filter: String,
}

impl Rights {
    fn may(&self, is_about: impl Fn(&Rule) -> bool) -> bool {
        let hits = |is_allow| self.rules.iter().any(|it| it.is_allow == is_allow && is_about(it));
        self.exists && self.is_enabled && hits(true) && !hits(false)
    }

    pub(super) fn may_read(&self, topic: &str) -> bool {
        self.may(|rule| rule.reads && matches(&rule.filter, topic))
    }

    pub(super) fn may_write(&self, topic: &str) -> bool {
        self.may(|rule| rule.writes && matches(&rule.filter, topic))
    }

    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        self.may(|rule| rule.reads && covers(&rule.filter, filter))
    }
}

/// All versions of all rights.
#[derive(Clone, Debug)]
pub(super) struct History {
    now: u64,
    people: Vec<Vec<(u64, Rights)>>,
    known: Vec<u64>,
}

impl History {
    pub(super) fn new(people: usize, shards: usize) -> Self {
        let nobody = || vec![(0, Rights::default())];
        Self { now: 0, people: (0..people).map(|_| nobody()).collect(), known: vec![0; shards] }
    }

    pub(super) fn change(&mut self, person: usize, rights: Rights) {
        self.now += 1;
        self.people[person].push((self.now, rights));
    }

    pub(super) fn tell(&mut self, shard: usize) {
        self.known[shard] = self.now;
    }

    /// What this shard is sure to know.
    pub(super) fn known(&self, shard: usize) -> u64 {
        self.known[shard]
    }

    /// What every shard is sure to know.
    pub(super) fn known_by_all(&self) -> u64 {
        self.known.iter().copied().min().unwrap_or(0)
    }

    pub(super) fn newest(&self, person: usize) -> &Rights {
        &self.people[person].last().expect("there is a first version").1
    }

    /// Whether this held for a person's rights in that version or at any time since.
    pub(super) fn ever(&self, who: usize, version: u64, holds: impl Fn(&Rights) -> bool) -> bool {
        self.since(who, version).any(holds)
    }

    /// Whether it held all the time.
    pub(super) fn always(&self, who: usize, version: u64, holds: impl Fn(&Rights) -> bool) -> bool {
        self.since(who, version).all(holds)
    }

    /// Whether a person's rights are of a later version.
    pub(super) fn changed_since(&self, person: usize, version: u64) -> bool {
        self.people[person].last().is_some_and(|(number, _)| *number > version)
    }

    /// A person's rights in that version and all since.
    pub(super) fn since(&self, person: usize, version: u64) -> impl Iterator<Item = &Rights> {
        let versions = &self.people[person];
        let first = versions.partition_point(|(number, _)| *number <= version).saturating_sub(1);
        versions[first..].iter().map(|(_, rights)| rights)
    }
}
