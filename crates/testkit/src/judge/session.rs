//! One session as the standard has it: subscriptions, exchanges under way, a will.

use std::collections::BTreeMap;

use super::matching::{matches, share};

/// What is known of a session of one person and client.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Never used for another session.
    pub(super) serial: u64,
    pub(super) shard: usize,
    pub(super) connection: Option<usize>,
    pub(super) connections: u32,
    /// Seconds it outlives its connection; `u32::MAX`: for ever.
    pub(super) expiry_s: u32,
    /// It ends between these two.
    pub(super) ends: Option<(u64, u64)>,
    /// A crash now may undo that it knows when it went offline.
    pub(super) is_end_unsure: bool,
    /// Perhaps it is not there.
    pub(super) is_maybe: bool,
    /// What it holds is not known.
    pub(super) is_muddled: bool,
    /// A crash now may undo how it began, or that its client went.
    pub(super) is_unsure: bool,
    /// It was one that outlives its connection at some time.
    pub(super) was_lasting: bool,
    /// A client of it once took small packets only.
    pub(super) is_small: bool,
    /// The broker said that it dropped messages for it.
    pub(super) is_dropped_for: bool,
    pub(super) crashes: u32,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    /// Subscriptions that are no more: when they were asked for, and until when they may have brought something.
    pub(super) ended: BTreeMap<String, (u64, u64)>,
    pub(super) outbound: BTreeMap<u16, Exchange>,
    pub(super) will: Option<Will>,
    /// The last ones that were written.
    pub(super) last: Numbers,
}

/// Writer, topic, QoS as published and as delivered: what comes on one way comes in order.
pub(super) type Way = (u64, String, u8, u8);

/// A number of each way.
pub(super) type Numbers = BTreeMap<Way, u32>;

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// It is in force without a doubt since then; `None`: perhaps it is.
    pub(super) since: Option<u64>,
    /// When it was asked for first.
    pub(super) asked: u64,
    /// The least QoS that it may have been granted.
    pub(super) qos_least: u8,
    pub(super) qos_max: u8,
    pub(super) is_no_local: bool,
    pub(super) keeps_retain: bool,
    /// A crash cannot take back how it is now.
    pub(super) is_confirmed: bool,
    /// It was given up, and only a crash could bring it back.
    pub(super) is_gone: bool,
}

/// A message under way to the client at QoS 1 or 2.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) number: u32,
    pub(super) qos: u8,
    /// PUBREC was taken.
    pub(super) is_released: bool,
    /// The connection it was last sent on.
    pub(super) connection: usize,
    /// A crash cannot take it back.
    pub(super) is_confirmed: bool,
    /// The broker has crashed since.
    pub(super) is_crashed: bool,
    /// An acknowledgement of it was perhaps not taken: it may be over or not.
    pub(super) is_doubtful: bool,
    /// The reader was not allowed to read it at some time since, or cannot take it.
    pub(super) is_withdrawn: bool,
    /// And its shard was told so: it is not sent again.
    pub(super) is_gone: bool,
}

/// The will of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Will {
    pub(super) number: u32,
    pub(super) delay_s: u32,
    /// When it is sent; `None`: the connection lives.
    pub(super) due: Option<u64>,
    /// The version of the rights it was taken under.
    pub(super) version: u64,
}

impl Session {
    pub(super) fn new(serial: u64, shard: usize) -> Self {
        Self {
            serial,
            shard,
            connection: None,
            connections: 0,
            expiry_s: 0,
            ends: None,
            is_end_unsure: false,
            is_maybe: false,
            is_muddled: false,
            is_unsure: true,
            was_lasting: false,
            is_small: false,
            is_dropped_for: false,
            crashes: 0,
            subscriptions: BTreeMap::new(),
            ended: BTreeMap::new(),
            outbound: BTreeMap::new(),
            will: None,
            last: BTreeMap::new(),
        }
    }

    /// What it perhaps has that matches: by its own subscriptions, or by those in groups.
    pub(super) fn matching(&self, topic: &str) -> impl Iterator<Item = (&str, &Subscription)> {
        let fits = move |text: &str| matches(share(text).1, topic);
        let all = self.subscriptions.iter().filter(move |(text, it)| !it.is_gone && fits(text));
        all.map(|(text, it)| (text.as_str(), it))
    }

    /// Of what was or is there and may have brought what is retained on this topic, which those in groups do not:
    /// when it was asked for, and until when it did so.
    pub(super) fn bringing(&self, topic: &str) -> impl Iterator<Item = (u64, u64)> {
        let fits = move |text: &str| share(text).0.is_none() && matches(text, topic);
        let ended = self.ended.iter().filter(move |(text, _)| fits(text)).map(|(_, it)| *it);
        let there = self.subscriptions.iter().filter(move |(text, _)| fits(text));
        ended.chain(there.map(|(_, it)| (it.asked, u64::MAX)))
    }

    /// Lets go of the subscriptions that are over for good.
    fn forget(&mut self, is_over: impl Fn(&Subscription) -> bool, time: u64) {
        let ended = &mut self.ended;
        self.subscriptions.retain(|text, it| {
            let is_over = is_over(it);
            if is_over {
                let (asked, until) = ended.entry(text.clone()).or_insert((it.asked, time));
                (*asked, *until) = ((*asked).min(it.asked), time);
            }
            !is_over
        });
    }

    /// It goes on after a crash: what was not confirmed may be so or otherwise.
    pub(super) fn survive_crash(&mut self, time: u64) {
        self.crashes += 1;
        self.connection = None;
        self.forget(|it| it.is_gone && it.is_confirmed, time);
        for it in self.subscriptions.values_mut().filter(|it| !it.is_confirmed) {
            it.since = None;
            it.is_gone = false;
        }
        for it in self.outbound.values_mut() {
            it.is_crashed = true;
            // The message goes again as another exchange, or is lost as a whole: which of them is for others to judge.
            it.is_doubtful |= !it.is_confirmed;
        }
        if self.is_unsure {
            self.is_muddled = true;
            self.is_maybe = true;
            self.subscriptions.values_mut().for_each(|it| it.since = None);
        }
    }

    pub(super) fn confirm(&mut self, time: u64) {
        self.is_unsure = false;
        self.is_end_unsure = false;
        self.forget(|it| it.is_gone, time);
        self.subscriptions.values_mut().for_each(|it| it.is_confirmed = true);
        self.outbound.values_mut().for_each(|it| it.is_confirmed = true);
    }
}
