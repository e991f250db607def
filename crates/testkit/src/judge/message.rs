//! One message: what was sent, who must have it, who may, and who has it.

use std::collections::{BTreeMap, BTreeSet};

/// A message as its sender sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Larger for each message of the whole run; it is the payload's beginning.
    pub number: u32,
    /// Before any prefix.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Whether it has a message expiry interval.
    pub expires: bool,
    /// Bytes of the payload.
    pub size: usize,
}

/// What the judge knows of a message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) sent: Sent,
    /// Person and client.
    pub(super) writer: (usize, usize),
    /// The session that wrote it.
    pub(super) writer_serial: u64,
    pub(super) shard: usize,
    /// With the prefix, or the prefixes that it may have been given.
    pub(super) topics: Vec<String>,
    /// When it was first taken.
    pub(super) time: u64,
    /// The oldest version of the rights that may have been used then.
    pub(super) version: u64,
    /// How often the engine has taken it.
    pub(super) taken: u32,
    /// Perhaps it was not taken, or not permitted, or lost in a crash: nobody must have it.
    pub(super) is_doubtful: bool,
    /// Who may have it is not known.
    pub(super) is_muddled: bool,
    /// Nobody may have it.
    pub(super) forbidden: Option<&'static str>,
    /// A crash cannot take it back.
    pub(super) is_confirmed: bool,
    pub(super) is_will: bool,
    /// By the session's serial.
    pub(super) expected: BTreeMap<u64, Expected>,
    /// Share groups, each by name and filter, with the serials of their members.
    pub(super) groups: BTreeMap<String, Vec<u64>>,
}

/// What one session may get of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// By a subscription of its own.
    pub(super) is_direct: bool,
    /// By so many groups.
    pub(super) groups: u32,
    /// The ways that may bring it at QoS 2: these groups, and its own subscriptions, which are one without a name.
    pub(super) once: BTreeSet<String>,
    /// One of these subscriptions was to get it as retained as it was published.
    pub(super) keeps_retain: bool,
    /// At most at this QoS.
    pub(super) qos_max: u8,
    /// Times it was sent to it: exchanges begun, or QoS 0.
    pub(super) got: u32,
    /// Of these, at QoS 2.
    pub(super) got_once: u32,
    /// Of these, what a crash may have brought once more.
    pub(super) repeated: u32,
    /// The client has acknowledged it.
    pub(super) is_acknowledged: bool,
}

impl Message {
    pub(super) fn new(sent: Sent, writer: (usize, usize), serial: u64, shard: usize) -> Self {
        Self {
            sent,
            writer,
            writer_serial: serial,
            shard,
            topics: Vec::new(),
            time: 0,
            version: 0,
            taken: 0,
            is_doubtful: false,
            is_muddled: false,
            forbidden: None,
            is_confirmed: false,
            is_will: false,
            expected: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Whether this session was to get it as retained as it was published.
    pub(super) fn keeps_retain_for(&self, serial: u64) -> bool {
        self.expected.get(&serial).is_some_and(|it| it.keeps_retain)
    }

    /// How often each way to it may be gone.
    pub(super) fn times(&self) -> u32 {
        if self.sent.qos == 2 { 1 } else { self.taken.max(1) }
    }

    /// The broker has crashed, and only some sessions have outlived that. What it has taken back it will be sent again, and may give
    /// it to any member then; but what a session got at QoS 2 that is still there [MQTT-4.3.3-2] was there to stay.
    pub(super) fn survive_crash(&mut self, is_there: impl Fn(u64) -> bool) {
        if self.is_confirmed {
            return;
        }
        for (serial, it) in &mut self.expected {
            let stays = if is_there(*serial) { it.got_once } else { 0 };
            it.repeated = it.repeated.max(it.got.saturating_sub(stays));
        }
    }

    /// Deliveries by share groups: those beyond what a session has of its own, and what a crash did not bring once more: a member
    /// has that again, whoever gets the message when its writer sends it again.
    pub(super) fn shared(&self) -> u32 {
        let times = self.times();
        let own = |it: &Expected| if it.is_direct { times } else { 0 };
        self.expected.values().map(|it| it.got.saturating_sub(it.repeated + own(it))).sum()
    }
}
