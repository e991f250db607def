//! One connection as its client sees it: which answers it waits for, and what it may be sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::input::{Hello, Taken, Wish};
use super::session::Numbers;
use crate::Version;

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) who: (usize, usize),
    /// The session it belongs to.
    pub(super) serial: u64,
    pub(super) version: Version,
    /// Bytes that are no whole packet yet.
    pub(super) rest: Vec<u8>,
    /// What the shard knew of rights when the first of these bytes was written.
    pub(super) began: u64,
    /// What CONNACK must say of the session, if that is known.
    pub(super) is_present: Option<bool>,
    pub(super) is_answered: bool,
    /// DISCONNECT was sent: nothing may follow.
    pub(super) is_closed: bool,
    /// The broker has ended it, or its client: it is not looked at closely any more.
    pub(super) is_over: bool,
    /// When it was let in.
    pub(super) time: u64,
    /// The last numbers that its session had got when it ended, and since then on it.
    pub(super) last: Numbers,
    /// The least ones that later connections of its session have got.
    pub(super) later: Numbers,
    pub(super) receive_max: u16,
    pub(super) packet_max: u32,
    pub(super) alias_max: u16,
    pub(super) aliases: BTreeMap<u16, String>,
    /// Packet ids that count against its receive maximum.
    pub(super) in_flight: BTreeSet<u16>,
    /// Answers that are due: the packet type of the answer and the packet id.
    due: BTreeMap<(u8, u16), u32>,
    /// Numbers of messages that wait for PUBACK or PUBREC.
    pub(super) publishing: BTreeMap<u16, VecDeque<u32>>,
    /// With the version of the rights that the shard was sure to know.
    pub(super) asking: VecDeque<(u16, Vec<Wish>, u64)>,
    pub(super) giving_up: VecDeque<(u16, usize)>,
}

impl Line {
    pub(super) fn new(hello: &Hello, is_present: Option<bool>, receive_max: u16) -> Self {
        Self {
            who: hello.who,
            serial: 0,
            version: if hello.is_v5 { Version::V5 } else { Version::V311 },
            rest: Vec::new(),
            began: 0,
            is_present,
            is_answered: false,
            is_closed: false,
            is_over: false,
            time: 0,
            last: Numbers::new(),
            later: Numbers::new(),
            receive_max,
            packet_max: hello.packet_max,
            alias_max: hello.alias_max,
            aliases: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            due: BTreeMap::new(),
            publishing: BTreeMap::new(),
            asking: VecDeque::new(),
            giving_up: VecDeque::new(),
        }
    }

    /// Notes which answer a packet asks for.
    pub(super) fn note(&mut self, taken: &Taken, version: u64) {
        let mut due = |kind, id| *self.due.entry((kind, id)).or_insert(0) += 1;
        match taken {
            Taken::Publish(sent, id) if sent.qos > 0 => {
                due(3 + sent.qos, *id);
                self.publishing.entry(*id).or_default().push_back(sent.number);
            }
            Taken::Clear(_, id) => due(4, *id),
            Taken::PubRel(id) => due(7, *id),
            Taken::PubRec(id) => due(6, *id),
            Taken::PubAck(id) | Taken::PubComp(id) => drop(self.in_flight.remove(id)),
            Taken::Subscribe(id, wishes) => {
                self.asking.push_back((*id, wishes.clone(), version));
            }
            Taken::Unsubscribe(id, filters) => self.giving_up.push_back((*id, filters.len())),
            Taken::Ping => due(13, 0),
            Taken::Publish(..) | Taken::Disconnect { .. } | Taken::Nonsense => {}
        }
    }

    /// Takes an answer off the list. False: nobody has asked for it.
    pub(super) fn answer(&mut self, kind: u8, id: u16) -> bool {
        match self.due.get_mut(&(kind, id)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Answers that never came.
    pub(super) fn missing(&self) -> Vec<(u8, u16)> {
        let missing = self.due.iter().filter(|(key, count)| key.0 != 6 && **count > 0);
        missing.map(|(key, _)| *key).collect()
    }
}
