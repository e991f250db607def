//! What goes into the broker.

use super::line::Line;
use super::message::{Message, Sent};
use super::session::{Session, Subscription, Will};
use super::{Judge, matching};

/// A CONNECT that the broker has let in.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Person and client.
    pub who: (usize, usize),
    /// Where its session lives.
    pub shard: usize,
    /// Whether it is MQTT 5.
    pub is_v5: bool,
    /// Whether it wants a new session.
    pub is_clean: bool,
    /// Seconds its session may outlive it.
    pub expiry_s: u32,
    /// Its receive maximum, if it gave one.
    pub receive_max: Option<u16>,
    /// Bytes of the largest packet it takes.
    pub packet_max: u32,
    /// Topic aliases it takes.
    pub alias_max: u16,
    /// Its will and the delay of that.
    pub will: Option<(Sent, u32)>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug)]
pub struct Wish {
    /// As sent.
    pub filter: String,
    /// At most this QoS.
    pub qos: u8,
    /// No Local.
    pub is_no_local: bool,
    /// Retain As Published.
    pub keeps_retain: bool,
}

/// A packet of a client that the broker has taken in.
#[derive(Clone, Debug)]
pub enum Taken {
    /// A message with its packet id.
    Publish(Sent, u16),
    /// An empty retained message of QoS 1 with its packet id: nothing is retained on the topic any more.
    Clear(String, u16),
    /// SUBSCRIBE.
    Subscribe(u16, Vec<Wish>),
    /// UNSUBSCRIBE.
    Unsubscribe(u16, Vec<String>),
    /// PUBACK.
    PubAck(u16),
    /// PUBREC without an error.
    PubRec(u16),
    /// PUBREL.
    PubRel(u16),
    /// PUBCOMP.
    PubComp(u16),
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect {
        /// It is a normal one.
        drops_will: bool,
        /// The new expiry, if it says one.
        expiry_s: Option<u32>,
    },
    /// Bytes that are no packet, or not for a broker.
    Nonsense,
}

impl Judge {
    /// A client was let in as this connection, a number never used before.
    pub fn greet(&mut self, connection: usize, hello: Hello, now: u64) {
        self.time += 1;
        let former = self.sessions.get(&hello.who);
        if let Some(old) = former.and_then(|it| it.connection) {
            self.end(old, now);
        }
        if hello.is_clean {
            self.end_session(hello.who, now);
        }
        let former = self.sessions.get(&hello.who);
        let is_open = former.is_some_and(|it| {
            it.is_maybe || it.is_muddled || it.ends.is_some_and(|(first, _)| first <= now)
        });
        if is_open && former.is_some_and(|it| it.was_lasting) && self.setup.is_persistent {
            self.ghosts.insert(hello.who, hello.shard);
        }
        let is_ghost = self.ghosts.contains_key(&hello.who) && former.is_none();
        let is_present = (!is_open).then_some(former.is_some());
        let small = hello.packet_max < SMALL_BYTES;
        let receive_max = hello.receive_max.unwrap_or(u16::MAX).min(self.setup.in_flight_max);
        let line = Line::new(&hello, is_present.filter(|_| !is_ghost), receive_max);
        self.lines.insert(connection, line);
        self.serial += 1;
        let fresh = || Session::new(self.serial, hello.shard);
        let session = self.sessions.entry(hello.who).or_insert_with(fresh);
        // What was taken back while it was on the way is not sent again, unless that was undone before its shard knew.
        session.outbound.retain(|_, it| it.qos > 1 || !it.is_gone);
        if session.is_small || small {
            // What it cannot take is given up.
            session.outbound.values_mut().for_each(|it| it.is_doubtful = true);
        }
        session.is_muddled |= is_open;
        session.is_maybe = false;
        session.ends = None;
        session.connection = Some(connection);
        session.connections += 1;
        session.expiry_s = hello.expiry_s;
        session.was_lasting |= hello.expiry_s > 0;
        session.is_unsure = true;
        session.is_small |= small;
        let (serial, former_will) = (session.serial, session.will.take());
        if let Some(line) = self.lines.get_mut(&connection) {
            (line.serial, line.time) = (serial, self.time);
        }
        let version = self.history.known(hello.shard);
        session.will = hello.will.as_ref().map(|(sent, delay_s)| Will {
            number: sent.number,
            delay_s: *delay_s,
            due: None,
            version,
        });
        if let Some(will) = former_will
            && let Some(message) = self.messages.get_mut(&will.number)
            && message.taken == 0
        {
            // [MQTT-3.1.3-9] The session went on in time, or nobody knows.
            let in_time = !is_open && will.due.is_some_and(|due| due > now);
            message.forbidden = in_time.then_some("the session went on before the will was due");
            message.is_muddled = true;
            self.cancelled.push((hello.shard, will.number));
        }
        if let Some((sent, _)) = hello.will {
            let number = sent.number;
            let mut message = Message::new(sent, hello.who, serial, hello.shard);
            message.is_will = true;
            message.forbidden = Some("the will was not due");
            self.messages.insert(number, message);
        }
    }

    /// The broker has taken in a packet; if not `is_sure`, it may have ended the connection before.
    pub fn take(&mut self, connection: usize, taken: &Taken, is_sure: bool, now: u64) {
        self.time += 1;
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let who = line.who;
        let Some(session) = self.sessions.get_mut(&who) else { return };
        line.note(taken, self.history.known(session.shard));
        if let (Taken::PubAck(id) | Taken::PubRec(id) | Taken::PubComp(id), false) =
            (taken, is_sure)
            && let Some(exchange) = session.outbound.get_mut(id)
        {
            exchange.is_doubtful = true;
            let number = exchange.number;
            if let Some(message) = self.messages.get_mut(&number) {
                message.expected.entry(session.serial).or_default().is_acknowledged = true;
            }
            return;
        }
        match taken {
            Taken::Publish(sent, _) => self.take_publish(who, sent, is_sure),
            Taken::Clear(topic, _) => self.clear(who, topic, is_sure),
            Taken::Subscribe(_, wishes) => self.ask(who, wishes),
            Taken::Unsubscribe(_, filters) => self.give_up(who, filters, is_sure),
            Taken::PubAck(id) => self.acknowledge(who, *id, 1),
            Taken::PubRec(id) => self.acknowledge(who, *id, 2),
            Taken::PubComp(id) => self.session(who, |it| {
                it.outbound.remove(id);
            }),
            Taken::Disconnect { drops_will, expiry_s } => {
                self.take_disconnect(connection, *drops_will, *expiry_s, is_sure, now);
            }
            Taken::PubRel(_) | Taken::Ping | Taken::Nonsense => {}
        }
    }

    fn take_disconnect(
        &mut self,
        connection: usize,
        drops_will: bool,
        expiry_s: Option<u32>,
        is_sure: bool,
        now: u64,
    ) {
        let Some(who) = self.lines.get(&connection).map(|it| it.who) else { return };
        let mut will = None;
        self.session(who, |it| {
            it.expiry_s = expiry_s.unwrap_or(it.expiry_s).max(u32::from(!is_sure));
            will = it.will.take_if(|_| drops_will);
        });
        if let Some(message) = will.and_then(|it| self.messages.get_mut(&it.number)) {
            message.forbidden = is_sure.then_some("a normal DISCONNECT drops the will");
            message.is_muddled = true;
            self.cancelled.push((message.shard, message.sent.number));
        }
        self.end(connection, now);
        if !is_sure {
            self.session(who, |it| {
                (it.is_maybe, it.is_muddled) = (true, true);
                it.ends = Some((now, u64::MAX));
            });
        }
    }

    pub(super) fn session(&mut self, who: (usize, usize), act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&who) {
            act(session);
        }
    }

    fn take_publish(&mut self, who: (usize, usize), sent: &Sent, is_sure: bool) {
        let Some(session) = self.sessions.get(&who) else { return };
        let (serial, shard, is_muddled) = (session.serial, session.shard, session.is_muddled);
        let make = || Message::new(sent.clone(), who, serial, shard);
        let message = self.messages.entry(sent.number).or_insert_with(make);
        let is_there = message.taken > 0 && !message.is_doubtful && message.forbidden.is_none();
        if sent.qos == 2 && is_there && !is_muddled {
            // [MQTT-4.3.3-10] It is there already.
            return;
        }
        // Unless that was another session of its writer, which a crash has ended: then it is there, perhaps, and comes once more.
        message.is_muddled |= sent.qos == 2 && message.taken > 0 && is_muddled;
        message.is_doubtful |= !is_sure;
        self.publish(sent.number);
    }

    fn clear(&mut self, who: (usize, usize), topic: &str, is_sure: bool) {
        let Some(session) = self.sessions.get(&who) else { return };
        let shard = session.shard;
        let known = self.history.known(shard);
        let rights: Vec<_> = self.history.since(who.0, known).cloned().collect();
        let topics: Vec<_> = rights.iter().map(|it| format!("{}{topic}", it.prefix)).collect();
        let all_may = rights.iter().zip(&topics).all(|(it, topic)| it.may_write(topic));
        let is_one = topics.iter().all(|it| *it == topics[0]);
        if all_may && is_one && is_sure && !self.is_storage_failing {
            self.replace_kept(&topics[0], 0, shard);
        }
    }

    fn ask(&mut self, who: (usize, usize), wishes: &[Wish]) {
        let time = self.time;
        let Some(session) = self.sessions.get_mut(&who) else { return };
        for wish in wishes {
            let fresh = Subscription {
                since: None,
                asked: time,
                qos_least: wish.qos,
                qos_max: wish.qos,
                is_no_local: wish.is_no_local,
                keeps_retain: wish.keeps_retain,
                is_confirmed: false,
                is_gone: false,
            };
            let it = session.subscriptions.entry(wish.filter.clone()).or_insert(fresh);
            it.qos_least = it.qos_least.min(wish.qos);
            it.qos_max = it.qos_max.max(wish.qos);
            if std::mem::replace(&mut it.is_gone, false) {
                it.since = None;
            }
            if it.is_no_local != wish.is_no_local {
                // Which of the two holds is not known before the answer, if it comes.
                it.since = None;
                it.is_no_local = false;
            }
            it.keeps_retain |= wish.keeps_retain;
            it.is_confirmed = false;
        }
    }

    fn give_up(&mut self, who: (usize, usize), filters: &[String], is_sure: bool) {
        self.session(who, |session| {
            for filter in filters {
                if let Some(it) = session.subscriptions.get_mut(filter) {
                    it.since = None;
                    it.is_confirmed = false;
                    it.is_gone = is_sure;
                }
            }
        });
    }

    /// The client has a message: it need not come again.
    fn acknowledge(&mut self, who: (usize, usize), packet_id: u16, qos: u8) {
        let Some(session) = self.sessions.get_mut(&who) else { return };
        let serial = session.serial;
        let Some(exchange) = session.outbound.get_mut(&packet_id) else { return };
        if exchange.qos != qos {
            return;
        }
        exchange.is_released = true;
        let number = exchange.number;
        if qos == 1 {
            session.outbound.remove(&packet_id);
        }
        if let Some(message) = self.messages.get_mut(&number) {
            message.expected.entry(serial).or_default().is_acknowledged = true;
        }
    }

    /// Whether `who` had the right to read this topic all the time since that version.
    pub(super) fn always_read(&self, person: usize, topic: &str, version: u64) -> bool {
        self.history.always(person, version, |it| it.may_read(topic))
    }

    /// Subscriptions of its own, without a doubt since before that time, that give this at QoS 1 at least.
    pub(super) fn is_owed(&self, session: &Session, message: &Message) -> bool {
        let topic = &message.topics[0];
        let is_own = session.serial == message.writer_serial;
        session.matching(topic).any(|(text, it)| {
            matching::share(text).0.is_none()
                && it.since.is_some_and(|since| since < message.time)
                && it.qos_least > 0
                && !(is_own && it.is_no_local)
        })
    }
}

/// A client that takes no larger packets may miss messages.
const SMALL_BYTES: u32 = 4096;
