//! A client that keeps to the standard: it repeats what was not acknowledged, and answers what it gets.

use std::collections::{BTreeSet, VecDeque};

use testkit::judge::{Hello, Sent, Taken, Wish};
use testkit::wire::{self, Publish};
use testkit::{Packet, Property, Version, decode};

/// One client of one person.
#[derive(Debug)]
pub(crate) struct Client {
    /// Person and client.
    pub(crate) who: (usize, usize),
    pub(crate) version: Version,
    pub(crate) link: Option<usize>,
    /// It was let in.
    pub(crate) is_in: bool,
    /// Its last connection asked for a session that outlives it.
    pub(crate) is_lasting: bool,
    /// It takes its time to acknowledge.
    pub(crate) is_sluggish: bool,
    /// What it sent and was not yet acknowledged to the end, in order.
    pub(crate) unacked: VecDeque<Outgoing>,
    /// QoS 2 messages it has and that were not released.
    incoming: BTreeSet<u16>,
    rest: Vec<u8>,
    next_id: u16,
    /// How many messages the broker takes at a time.
    receive_max: usize,
    alias_max: u16,
    /// The topic that alias 1 stands for on this connection.
    alias: Option<String>,
    /// The session that all this belongs to. A client cannot know that it lost one if it never read the CONNACK
    /// that said so; this one does, or it would repeat what nobody knows any more.
    serial: Option<u64>,
    /// Acknowledgements it has not got round to.
    pub(crate) late: VecDeque<Packet2>,
    /// SUBSCRIBE and UNSUBSCRIBE that wait for their answers.
    pub(crate) asked: usize,
}

/// A packet to send: its bytes, and what they say.
pub(crate) type Packet2 = (Vec<u8>, Taken);

/// A message on its way to the broker.
#[derive(Debug)]
pub(crate) struct Outgoing {
    id: u16,
    sent: Sent,
    /// An empty retained message.
    clears: bool,
    /// It was sent on this connection.
    is_sent: bool,
    /// It was sent before.
    was_sent: bool,
    /// PUBREC has come.
    is_released: bool,
}

impl Client {
    pub(crate) fn new(who: (usize, usize), version: Version) -> Self {
        Self {
            who,
            version,
            link: None,
            is_in: false,
            is_lasting: false,
            is_sluggish: false,
            unacked: VecDeque::new(),
            incoming: BTreeSet::new(),
            rest: Vec::new(),
            next_id: 0,
            receive_max: 65_535,
            alias_max: 0,
            alias: None,
            serial: None,
            late: VecDeque::new(),
            asked: 0,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("c{}", self.who.1)
    }

    fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// Begins a connection and gives its CONNECT.
    pub(crate) fn connect(&mut self, link: usize, hello: &Hello, keep_alive_s: u16) -> Vec<u8> {
        self.link = Some(link);
        self.is_in = false;
        self.is_lasting = hello.expiry_s > 0;
        self.rest.clear();
        self.late.clear();
        self.alias = None;
        self.asked = 0;
        for outgoing in &mut self.unacked {
            outgoing.is_sent = false;
        }
        let mut properties = Vec::new();
        let mut number = |id: u8, bytes: &[u8]| {
            properties.push(id);
            properties.extend_from_slice(bytes);
        };
        number(0x11, &hello.expiry_s.to_be_bytes());
        if let Some(receive_max) = hello.receive_max {
            number(0x21, &receive_max.to_be_bytes());
        }
        if hello.packet_max != u32::MAX {
            number(0x27, &hello.packet_max.to_be_bytes());
        }
        if hello.alias_max > 0 {
            number(0x22, &hello.alias_max.to_be_bytes());
        }
        let payload = hello.will.as_ref().map(|(will, _)| payload(will));
        let will = hello.will.as_ref().zip(payload.as_ref()).map(|((will, delay_s), payload)| {
            wire::Will {
                topic: &will.topic,
                payload,
                qos: will.qos,
                retain: will.retain,
                delay_s: Some(*delay_s).filter(|_| self.is_v5()),
            }
        });
        wire::connect(&wire::Connect {
            version: self.version,
            client_id: &self.name(),
            username: None,
            password: None,
            clean_start: hello.is_clean,
            keep_alive_s,
            will,
            properties: &properties,
        })
    }

    /// The connection is over for the client.
    pub(crate) fn leave(&mut self) {
        self.link = None;
        self.is_in = false;
    }

    /// Wants to send a message.
    pub(crate) fn publish(&mut self, sent: Sent) -> Option<Packet2> {
        if sent.qos > 0 {
            let id = self.free_id();
            self.unacked.push_back(Outgoing::new(id, sent, false));
            return None;
        }
        let mut properties = if sent.expires { EXPIRES.to_vec() } else { Vec::new() };
        let mut topic = sent.topic.clone();
        if self.is_v5() && self.alias_max > 0 && sent.number.is_multiple_of(3) {
            properties.extend([0x23, 0, 1]);
            if self.alias.as_ref() == Some(&topic) {
                topic.clear();
            } else {
                self.alias = Some(topic.clone());
            }
        }
        let payload = payload(&sent);
        let publish = Publish {
            retain: sent.retain,
            properties: &properties,
            ..Publish::new(&topic, &payload)
        };
        Some((wire::publish(self.version, &publish), Taken::Publish(sent, 0)))
    }

    /// Wants nothing to be retained on a topic any more.
    pub(crate) fn clear(&mut self, topic: &str) {
        let id = self.free_id();
        let sent = Sent {
            number: 0,
            topic: topic.to_owned(),
            qos: 1,
            retain: true,
            expires: false,
            size: 0,
        };
        self.unacked.push_back(Outgoing::new(id, sent, true));
    }

    pub(crate) fn subscribe(&mut self, wishes: Vec<Wish>) -> Packet2 {
        self.asked += 1;
        let id = 40_000 + self.free_id() % 10_000;
        let options = |wish: &Wish| {
            wish.qos | u8::from(wish.is_no_local) << 2 | u8::from(wish.keeps_retain) << 3
        };
        let filters: Vec<_> = wishes.iter().map(|it| (it.filter.as_str(), options(it))).collect();
        (wire::subscribe(self.version, id, &filters), Taken::Subscribe(id, wishes.clone()))
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Packet2 {
        self.asked += 1;
        let id = 50_000 + self.free_id() % 10_000;
        let bytes = wire::unsubscribe(self.version, id, &[filter]);
        (bytes, Taken::Unsubscribe(id, vec![filter.to_owned()]))
    }

    pub(crate) fn disconnect(&mut self, drops_will: bool, expiry_s: Option<u32>) -> Packet2 {
        let taken = Taken::Disconnect { drops_will, expiry_s };
        if !self.is_v5() {
            return (wire::disconnect(), taken);
        }
        let mut properties = Vec::new();
        if let Some(seconds) = expiry_s {
            self.is_lasting = seconds > 0;
            properties = [&[0x11][..], &seconds.to_be_bytes()].concat();
        }
        let reason = if drops_will { 0 } else { 4 };
        let body = [&[reason][..], &wire::properties(self.version, &properties)].concat();
        (wire::packet(0xE0, &body), taken)
    }

    /// Messages that are to be sent now, as far as the broker takes them.
    pub(crate) fn due(&mut self) -> Vec<Packet2> {
        let mut packets = Vec::new();
        if !self.is_in {
            return packets;
        }
        let mut in_transit = self.unacked.iter().filter(|it| it.is_sent).count();
        for it in &mut self.unacked {
            if it.is_sent {
                continue;
            }
            if it.is_released {
                it.is_sent = true;
                packets.push((wire::acknowledge(0x62, it.id), Taken::PubRel(it.id)));
            } else if in_transit < self.receive_max {
                in_transit += 1;
                packets.push(it.packet(self.version));
                it.is_sent = true;
                it.was_sent = true;
            } else {
                break;
            }
        }
        packets
    }

    /// Takes in bytes of the broker and gives the answers. `None`: the broker has said farewell.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        serial: Option<u64>,
    ) -> Result<Option<Vec<Packet2>>, String> {
        self.rest.extend_from_slice(bytes);
        let mut answers = Vec::new();
        while let Some((packet, length)) = decode(&self.rest, self.version)? {
            self.rest.drain(..length);
            match packet {
                Packet::Disconnect { .. } => return Ok(None),
                Packet::ConnAck { code, .. } if code != 0 => return Ok(None),
                Packet::ConnAck { session_present, properties, .. } => {
                    let is_same = std::mem::replace(&mut self.serial, serial) == serial;
                    self.enter(session_present && is_same, &properties);
                }
                Packet::Publish { qos: 0, .. } | Packet::PingResp => {}
                Packet::Publish { qos: 1, packet_id, .. } => {
                    answers.push((wire::acknowledge(0x40, packet_id), Taken::PubAck(packet_id)));
                }
                Packet::Publish { packet_id, .. } => {
                    self.incoming.insert(packet_id);
                    answers.push((wire::acknowledge(0x50, packet_id), Taken::PubRec(packet_id)));
                }
                Packet::Ack { kind, packet_id, code, .. } => {
                    answers.extend(self.take_ack(kind, packet_id, code));
                }
                Packet::SubAck { .. } | Packet::UnsubAck { .. } => {
                    self.asked = self.asked.saturating_sub(1);
                }
            }
        }
        if self.is_sluggish {
            self.late.extend(answers.drain(..));
        }
        Ok(Some(answers))
    }

    fn enter(&mut self, is_same: bool, properties: &[Property]) {
        let number = |id: u8| {
            properties.iter().find_map(|it| match it {
                Property::Number(found, value) if *found == id => Some(*value),
                _ => None,
            })
        };
        self.is_in = true;
        self.receive_max = usize::try_from(number(0x21).unwrap_or(65_535)).expect("fits");
        self.alias_max = u16::try_from(number(0x22).unwrap_or(0)).expect("two bytes");
        if !is_same {
            self.forget();
        }
    }

    /// What belonged to the former session is given up.
    fn forget(&mut self) {
        self.incoming.clear();
        self.unacked.retain(|it| !it.was_sent);
    }

    fn take_ack(&mut self, kind: u8, id: u16, code: u8) -> Option<Packet2> {
        if kind == 6 {
            self.incoming.remove(&id);
            return Some((wire::acknowledge(0x70, id), Taken::PubComp(id)));
        }
        let at = self.unacked.iter().position(|it| it.id == id)?;
        if kind == 5 && code < 0x80 {
            self.unacked[at].is_released = true;
            return Some((wire::acknowledge(0x62, id), Taken::PubRel(id)));
        }
        self.unacked.remove(at);
        None
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 30_000 + 1;
            if !self.unacked.iter().any(|it| it.id == self.next_id) {
                return self.next_id;
            }
        }
    }
}

impl Outgoing {
    fn new(id: u16, sent: Sent, clears: bool) -> Self {
        Self { id, sent, clears, is_sent: false, was_sent: false, is_released: false }
    }

    fn packet(&self, version: Version) -> Packet2 {
        let properties = if self.sent.expires { EXPIRES } else { &[] };
        let payload = if self.clears { Vec::new() } else { payload(&self.sent) };
        let publish = Publish {
            retain: self.sent.retain,
            dup: self.was_sent,
            properties,
            ..Publish::new(&self.sent.topic, &payload).qos(self.sent.qos, self.id)
        };
        let taken = if self.clears {
            Taken::Clear(self.sent.topic.clone(), self.id)
        } else {
            Taken::Publish(self.sent.clone(), self.id)
        };
        (wire::publish(version, &publish), taken)
    }
}

/// The number, then as much as the size says.
fn payload(sent: &Sent) -> Vec<u8> {
    let mut payload = sent.number.to_be_bytes().to_vec();
    payload.resize(sent.size.max(4), 0x2E);
    payload
}

/// Message expiry: 20 seconds.
const EXPIRES: &[u8] = &[2, 0, 0, 0, 20];
