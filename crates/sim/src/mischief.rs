//! What clients want, what goes wrong, and who may do what: drawn at random.

use broker::ConnectionLost;
use mqtt::ReasonCode;
use testkit::Version;
use testkit::judge::{Check, Hello, Rights, Rule, Sent, Taken, Wish};

use crate::link::Link;
use crate::mutation::Mutation;
use crate::people::{FILTERS, ROOT, TOPICS, all_rights, draw, user_id};
use crate::run::Sim;
use crate::setting::LASTING_S;

impl Sim {
    pub(crate) fn step_client(&mut self) {
        let client = self.choices.below(self.clients.len());
        let it = &self.clients[client];
        if it.link.is_none() {
            let hello = self.draw_hello(client);
            let keep_alive_s = self.choices.pick(&[0, 0, 5]);
            return self.open(client, hello, keep_alive_s);
        }
        if !it.is_in {
            return;
        }
        match self.choices.weighted(&[30, 8, 2, 3, 1, 1, 1]) {
            0 => self.step_publish(client),
            1 => self.step_subscribe(client),
            2 => {
                let filter = self.choices.pick(&FILTERS);
                let packet = self.clients[client].unsubscribe(filter);
                self.send(client, vec![packet]);
            }
            3 => {
                let is_sluggish = self.choices.chance(1, 3);
                self.clients[client].is_sluggish = is_sluggish;
                let late = self.clients[client].late.drain(..).collect();
                self.send(client, late);
            }
            4 => self.step_disconnect(client),
            5 => self.send(client, vec![(testkit::wire::ping(), Taken::Ping)]),
            _ => self.step_nonsense(client),
        }
    }

    fn draw_hello(&mut self, client: usize) -> Hello {
        let (who, version) = (self.clients[client].who, self.clients[client].version);
        let is_clean = self.choices.chance(1, 8);
        let expiry_s = self.choices.pick(&[LASTING_S, LASTING_S, LASTING_S, 3, 0]);
        let will = self.choices.chance(1, 4).then(|| {
            let sent = self.draw_sent();
            let delay_s = if version == Version::V5 { self.choices.pick(&[0, 0, 1, 2]) } else { 0 };
            (Sent { expires: false, ..sent }, delay_s)
        });
        Hello {
            who,
            shard: self.shard_of(client),
            is_v5: version == Version::V5,
            is_clean,
            expiry_s,
            receive_max: self.choices.pick(&[None, None, Some(1), Some(3)]),
            packet_max: self.choices.pick(&[u32::MAX, u32::MAX, u32::MAX, 150]),
            alias_max: self.choices.pick(&[0, 2, 10]),
            will,
        }
    }

    fn draw_sent(&mut self) -> Sent {
        self.next_number += 1;
        Sent {
            number: self.next_number,
            topic: self.choices.pick(&TOPICS).to_owned(),
            qos: u8::try_from(self.choices.below(3)).unwrap_or(0),
            retain: self.choices.chance(1, 6),
            expires: false,
            size: self.choices.pick(&[4, 4, 4, 20, 300]),
        }
    }

    fn step_publish(&mut self, client: usize) {
        if self.clients[client].unacked.len() > UNACKED_MAX {
            return;
        }
        if self.choices.chance(1, 20) {
            let topic = self.choices.pick(&TOPICS);
            self.clients[client].clear(topic);
        } else {
            let mut sent = self.draw_sent();
            sent.expires =
                self.clients[client].version == Version::V5 && self.choices.chance(1, 12);
            if let Some(packet) = self.clients[client].publish(sent) {
                self.send(client, vec![packet]);
            }
        }
        let due = self.clients[client].due();
        self.send(client, due);
    }

    fn step_subscribe(&mut self, client: usize) {
        let is_v5 = self.clients[client].version == Version::V5;
        let mut wishes: Vec<Wish> = Vec::new();
        for _ in 0..=self.choices.below(2) {
            let filter = self.choices.pick(&FILTERS).to_owned();
            let is_no_local = is_v5 && !filter.starts_with('$') && self.choices.chance(1, 8);
            let qos = self.choices.pick(&[1, 2, 2, 0]);
            let keeps_retain = is_v5 && self.choices.chance(1, 6);
            if !wishes.iter().any(|it| it.filter == filter) {
                wishes.push(Wish { filter, qos, is_no_local, keeps_retain });
            }
        }
        let packet = self.clients[client].subscribe(wishes);
        self.send(client, vec![packet]);
    }

    fn step_disconnect(&mut self, client: usize) {
        let Some(number) = self.clients[client].link else { return };
        let drops_will = self.choices.chance(3, 4) || self.clients[client].version == Version::V311;
        let is_new = self.clients[client].is_lasting && self.choices.chance(1, 3);
        let is_v5 = self.clients[client].version == Version::V5;
        let expiry_s = (is_new && is_v5).then(|| self.choices.pick(&[0, 2, LASTING_S]));
        let (bytes, taken) = self.clients[client].disconnect(drops_will, expiry_s);
        let bytes = if self.mutation == Some(Mutation::HideDisconnect) && is_v5 {
            // A DISCONNECT with the will.
            testkit::wire::packet(0xE0, &[4])
        } else {
            bytes
        };
        self.send(client, vec![(bytes, taken)]);
        self.leave(number);
    }

    fn step_nonsense(&mut self, client: usize) {
        let Some(number) = self.clients[client].link else { return };
        let length = 1 + self.choices.below(12);
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..length {
            bytes.push(u8::try_from(self.choices.below(256)).unwrap_or(0));
        }
        if let Some(link) = self.links.get_mut(&number) {
            link.is_wild = true;
        }
        // A reserved packet type first: what follows is never anything else than nonsense.
        bytes.insert(0, 0xF5);
        self.send(client, vec![(bytes, Taken::Nonsense)]);
    }

    pub(crate) fn step_fault(&mut self) {
        match self.choices.below(5) {
            // The connection breaks; what was on its way is lost.
            0 => {
                let Some(number) = self.any_link(|it| !it.is_closed) else { return };
                let link = self.links.get_mut(&number).expect("it is there");
                link.down.clear();
                self.leave(number);
                self.lose(number, ConnectionLost::Failed);
            }
            // The client closes it; what it sent arrives.
            1 => {
                if let Some(number) = self.any_link(|it| !it.is_left && !it.is_closed) {
                    self.trace.note(format!("{number} is closed by its client"));
                    self.leave(number);
                }
            }
            // The client is gone, and the broker does not notice.
            2 => {
                let Some(number) = self.any_link(|it| !it.is_left && !it.is_closed) else { return };
                self.trace.note(format!("{number} is half open"));
                self.leave(number);
                let Some(link) = self.links.get_mut(&number) else { return };
                link.is_left = false;
                link.up.clear();
                let end = link.used + u64::try_from(link.unused.bytes().len()).expect("fits");
                link.marks.retain(|(at, _)| *at <= end);
            }
            3 => self.stick(),
            _ => {
                // It takes too long to take its last bytes.
                if let Some(number) = self.any_link(|it| it.is_closing) {
                    self.lose(number, ConnectionLost::Failed);
                }
            }
        }
    }

    fn stick(&mut self) {
        let is_stuck = self.choices.chance(1, 2);
        if let Some(number) = self.any_link(|it: &Link| it.is_stuck != is_stuck) {
            self.trace.note(format!("{number} is stuck: {is_stuck}"));
            self.links.get_mut(&number).expect("it is there").is_stuck = is_stuck;
        }
    }

    pub(crate) fn step_rights(&mut self) {
        let person = self.choices.below(ROOT);
        match self.choices.below(8) {
            0 => self.kick(),
            1 => {
                // Another password.
                self.epochs[person] += 1;
                self.judge.change_secret(person);
                let rights = self.rights[person].clone();
                self.set_rights(person, rights);
            }
            2 => self.set_rights(person, Rights::default()),
            3 | 4 => self.set_rights(person, all_rights()),
            _ => {
                let rights = draw(&mut self.choices);
                self.set_rights(person, rights);
            }
        }
    }

    fn kick(&mut self) {
        let client = self.choices.below(self.clients.len());
        let shard = self.shard_of(client);
        let (who, name) = (self.clients[client].who, self.clients[client].name());
        self.trace.note(format!("{who:?} is kicked"));
        let at = self.world.at();
        let reason = ReasonCode::AdministrativeAction;
        self.world.engines[shard].kick(user_id(who.0), &name, reason, at);
        let now = self.world.now;
        self.judge.end_session(who, now);
        self.pump(shard);
    }

    pub(crate) fn step_crash(&mut self) {
        self.crashes += 1;
        self.trace.note("crash".to_owned());
        // What the disk was writing is on it or not, and nobody was told.
        let groups = self.choices.below(self.world.pending.len() + 1);
        self.world.gather(groups);
        let there = self.choices.below(self.world.writer.written.len() + 2);
        self.trace.note(format!("disk has {there} of what was written"));
        for shard in self.world.die(there, self.mutation) {
            self.judge.make_durable(shard);
        }
        self.forget_commits();
        self.world.now += u64::try_from(self.choices.below(3)).unwrap_or(0) * 1_000;
        for number in self.links.keys().copied().collect::<Vec<_>>() {
            let link = self.links.get_mut(&number).expect("it is there");
            (link.is_closed, link.id) = (true, None);
            link.up.clear();
            if link.down.is_empty() || link.is_dead {
                self.forget(number);
            }
        }
        self.ids.clear();
        self.judge.set_storage_failing(false);
        let now = self.world.now;
        self.judge.crash(now);
        self.check_disk();
        self.world.restart(&self.judge);
        self.pump_all();
        self.pass_time();
    }

    /// A disk that lies has lost the last of what it said was there.
    fn forget_commits(&mut self) {
        let most = self.world.disk.forgettable();
        if most == 0 || !self.choices.chance(2, 3) {
            return;
        }
        let commits = 1 + self.choices.below(most);
        self.trace.note(format!("disk forgets {commits} commits"));
        let Some(earlier) = self.world.disk.forget(commits) else { return };
        self.forgotten += commits;
        if self.mutation != Some(Mutation::HideLie) {
            self.judge.fall_back(earlier);
        }
        // Only a power cut makes a disk forget, and that takes all connections with it.
        self.links.values_mut().for_each(|link| link.down.clear());
    }

    /// What is on the disk makes sense by itself, whatever happened to it.
    pub(crate) fn check_disk(&mut self) {
        if let Some(nonsense) = self.world.disk.nonsense() {
            self.judge.accuse(Check::Stray, nonsense);
        }
    }

    /// Nobody but the last may read anything any more, and every shard knows before it gets what was read from disk.
    pub(crate) fn step_forbid_reading(&mut self) {
        for person in 0..ROOT {
            self.forbid_reading(person);
        }
        self.take_fetched(0);
    }

    fn forbid_reading(&mut self, person: usize) {
        let mut rights = all_rights();
        let (is_allow, reads, writes) = (false, true, false);
        rights.rules.push(Rule { is_allow, reads, writes, filter: "#".to_owned() });
        self.set_rights(person, rights);
        for shard in 0..self.world.shards() {
            self.tell_rights(shard);
        }
    }

    pub(crate) fn step_storage(&mut self) {
        let is_failing = !self.world.disk.is_failing;
        self.world.disk.is_failing = is_failing;
        self.trace.note(format!("disk fails: {is_failing}"));
    }

    /// For some mutations: changes what the broker writes, if it is one whole PUBLISH or CONNACK.
    pub(crate) fn mutate_output(&mut self, number: usize, bytes: &mut Vec<u8>) {
        let Some(mutation) = self.mutation else { return };
        let version = self.clients[self.links[&number].client].version;
        let Ok(Some((packet, length))) = testkit::decode(bytes, version) else { return };
        match (mutation, packet) {
            (Mutation::LosePublish, testkit::Packet::Publish { qos: 1, .. }) => {
                bytes.drain(..length);
            }
            (Mutation::FlipSessionPresent, testkit::Packet::ConnAck { code: 0, .. }) => {
                bytes[2] ^= 1
            }
            (
                Mutation::StaleRetained,
                testkit::Packet::Publish { topic, payload, retain: true, .. },
            ) if payload.len() >= 4 && !topic.is_empty() => {
                let at = length - payload.len();
                let sent = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
                let before = *self.retained_before.entry(topic).or_insert(sent);
                bytes[at..at + 4].copy_from_slice(&before);
            }
            (Mutation::BreakPacket, testkit::Packet::Publish { .. }) => bytes[0] |= 6,
            (Mutation::ReusePacketId, testkit::Packet::Publish { qos: 1.., packet_id, .. }) => {
                let at = bytes.windows(2).position(|it| it == packet_id.to_be_bytes());
                if let Some(at) = at.filter(|at| *at > 1) {
                    bytes[at..at + 2].copy_from_slice(&1_u16.to_be_bytes());
                }
            }
            _ => {}
        }
    }

    /// Says that something never ends.
    pub(crate) fn is_stuck(&mut self, what: String) {
        self.judge.accuse(Check::Stuck, what);
    }
}

/// Messages a client has open at most.
const UNACKED_MAX: usize = 12;
