//! What comes out of the broker, byte by byte and packet by packet.

use super::line::Line;
use super::rights::Rights;
use super::session::{Exchange, Way};
use super::{Check, Judge, Kept, matching};
use crate::received::{Packet, Property, decode};

/// A PUBLISH of the broker.
struct Delivery {
    number: u32,
    topic: String,
    qos: u8,
    retain: bool,
    dup: bool,
    packet_id: u16,
    is_empty: bool,
}

type Judged = Result<(), (Check, String)>;

impl Judge {
    /// The broker has written these bytes to a connection.
    pub fn write(&mut self, connection: usize, bytes: &[u8]) {
        let Some(mut line) = self.lines.remove(&connection) else { return };
        let outcome = self.read(connection, &mut line, bytes);
        let who = line.who;
        self.lines.insert(connection, line);
        if let Err((check, text)) = outcome {
            self.accuse(check, format!("connection {connection} of {who:?}: {text}"));
        }
    }

    fn read(&mut self, connection: usize, line: &mut Line, mut bytes: &[u8]) -> Judged {
        let shard = self.sessions.get(&line.who).map_or(0, |it| it.shard);
        while !bytes.is_empty() {
            if line.rest.is_empty() {
                line.began = self.history.known(shard);
            }
            // Byte by byte at the joint would be slow: all that is there is tried at once.
            line.rest.extend_from_slice(bytes);
            let decoded = decode(&line.rest, line.version);
            let found = decoded.map_err(|text| (Check::Protocol, text))?;
            let Some((packet, length)) = found else { return Ok(()) };
            let rest = line.rest.split_off(length);
            line.rest.clear();
            bytes = bytes.get(bytes.len() - rest.len()..).unwrap_or_default();
            if u32::try_from(length).is_ok_and(|length| length > line.packet_max) {
                return fault(Check::Quota, format!("{length} bytes, at most {}", line.packet_max));
            }
            self.judge(connection, line, &packet)?;
        }
        Ok(())
    }

    fn judge(&mut self, connection: usize, line: &mut Line, packet: &Packet) -> Judged {
        if line.is_closed {
            return fault(Check::Protocol, format!("{packet:?} after DISCONNECT"));
        }
        let is_connack = matches!(packet, Packet::ConnAck { .. });
        if is_connack == line.is_answered {
            return fault(Check::Protocol, format!("{packet:?} instead of or after CONNACK"));
        }
        match packet {
            Packet::ConnAck { session_present, code, .. } => {
                self.judge_connack(connection, line, *session_present, *code)
            }
            Packet::Publish { .. } => {
                let delivery = delivery(line, packet)?;
                self.judge_delivery(connection, line, &delivery)
            }
            Packet::Ack { kind: 6, packet_id, code, .. } => {
                self.judge_release(connection, line, *packet_id, *code)
            }
            Packet::Ack { kind, packet_id, code, .. } => {
                self.judge_answer(line, *kind, *packet_id, *code)
            }
            Packet::SubAck { packet_id, codes } => {
                self.judge_suback(connection, line, *packet_id, codes)
            }
            Packet::UnsubAck { packet_id, codes } => {
                let asked = line.giving_up.pop_front();
                let fits = asked.is_some_and(|(id, count)| {
                    id == *packet_id && (codes.is_empty() || codes.len() == count)
                });
                expect(fits, Check::Protocol, || format!("UNSUBACK {packet_id} for {asked:?}"))
            }
            Packet::PingResp => {
                let is_due = line.answer(13, 0);
                expect(is_due, Check::Protocol, || "PINGRESP without PINGREQ".to_owned())
            }
            Packet::Disconnect { .. } => {
                line.is_closed = true;
                Ok(())
            }
        }
    }

    fn judge_connack(
        &mut self,
        connection: usize,
        line: &mut Line,
        is_present: bool,
        code: u8,
    ) -> Judged {
        line.is_answered = true;
        expect(code == 0, Check::Protocol, || format!("CONNACK {code} after it was let in"))?;
        let fits = line.is_present.is_none_or(|expected| expected == is_present);
        let Some(session) = self.sessions.get_mut(&line.who) else { return Ok(()) };
        if session.connection == Some(connection) {
            session.is_unsure = false;
        }
        expect(fits, Check::Session, || format!("session present: {is_present}"))
    }

    fn judge_suback(
        &mut self,
        connection: usize,
        line: &mut Line,
        packet_id: u16,
        codes: &[u8],
    ) -> Judged {
        let Some((id, wishes, version)) = line.asking.pop_front() else {
            return fault(Check::Protocol, format!("SUBACK {packet_id} without SUBSCRIBE"));
        };
        if id != packet_id || codes.len() != wishes.len() {
            return fault(Check::Protocol, format!("SUBACK {packet_id} {codes:?} for {id}"));
        }
        let time = self.time;
        let Some(session) = self.sessions.get_mut(&line.who) else { return Ok(()) };
        for (wish, code) in wishes.iter().zip(codes) {
            let (group, filter) = matching::share(&wish.filter);
            if *code > 2 {
                // Refused: what was there before stays, if anything was.
                continue;
            }
            let may = |rights: &super::Rights| rights.may_subscribe(filter);
            if !self.history.ever(line.who.0, version, may) && !session.is_muddled {
                return fault(Check::Rights, format!("`{filter}` was granted (group {group:?})"));
            }
            let is_asked_again = |(_, wishes, _): &(u16, Vec<super::Wish>, u64)| {
                wishes.iter().any(|it| it.filter == wish.filter)
            };
            if session.connection == Some(connection)
                && !line.asking.iter().any(is_asked_again)
                && self.history.always(line.who.0, version, may)
                && let Some(it) = session.subscriptions.get_mut(&wish.filter)
                && !it.is_gone
            {
                it.since = it.since.or(Some(time));
                it.is_no_local = wish.is_no_local;
                it.is_confirmed = true;
            }
        }
        Ok(())
    }

    /// PUBACK, PUBREC, PUBCOMP.
    fn judge_answer(&mut self, line: &mut Line, kind: u8, id: u16, code: u8) -> Judged {
        if !line.answer(kind, id) {
            return fault(Check::Protocol, format!("packet type {kind} for {id}: nobody asked"));
        }
        if kind == 7 {
            return Ok(());
        }
        let number = line.publishing.get_mut(&id).and_then(std::collections::VecDeque::pop_front);
        let Some(message) = number.and_then(|number| self.messages.get_mut(&number)) else {
            return Ok(());
        };
        if code >= 0x80 {
            let is_delivered = message.expected.values().any(|it| it.got > 0);
            if message.taken == 1 && message.forbidden.is_none() {
                message.forbidden = Some("it was refused");
                message.is_doubtful = true;
                let text =
                    || format!("message {} was delivered, then refused", message.sent.number);
                return expect(!is_delivered, Check::Protocol, text);
            }
            return Ok(());
        }
        let is_v5 = line.version == crate::Version::V5;
        if is_v5 && message.taken == 1 && message.forbidden.is_some() {
            let text =
                format!("message {} was confirmed: {:?}", message.sent.number, message.forbidden);
            return fault(Check::Rights, text);
        }
        message.is_confirmed = true;
        let number = message.sent.number;
        // What it took the place of is gone for good; whether it is still there itself, this says nothing about.
        for kept in self.retained.values_mut().flatten().filter(|it| it.by == number) {
            kept.is_confirmed = true;
        }
        Ok(())
    }

    /// PUBREL.
    fn judge_release(&mut self, connection: usize, line: &mut Line, id: u16, code: u8) -> Judged {
        let was_asked = line.answer(6, id);
        // It may have waited longer than its session has lived, and there may be another by now.
        let present = self.sessions.get(&line.who).filter(|it| it.serial == line.serial);
        let over = || self.over.get(&line.serial).map(|(_, session)| session);
        let Some(session) = present.or_else(over) else { return Ok(()) };
        let exchange = session.outbound.get(&id);
        let is_early = exchange
            .is_some_and(|it| it.connection == connection && !it.is_released && !it.is_doubtful);
        expect(!is_early || code != 0, Check::Protocol, || format!("PUBREL {id} before PUBREC"))?;
        let is_known = was_asked || session.connections > 1 || session.is_muddled;
        expect(is_known, Check::Protocol, || format!("PUBREL {id}: nobody asked"))
    }

    fn judge_delivery(&mut self, connection: usize, line: &mut Line, it: &Delivery) -> Judged {
        let person = line.who.0;
        let may_read = self.history.ever(person, line.began, |rights| rights.may_read(&it.topic));
        expect(may_read, Check::Rights, || format!("`{}` may not be read", it.topic))?;
        if it.is_empty {
            // Something that clears what was retained: it goes to subscribers as well.
            return self.judge_exchange(connection, line, it).map(drop);
        }
        let Some(message) = self.messages.get(&it.number) else {
            return fault(Check::Uninvited, format!("message {} was never sent", it.number));
        };
        if let Some(why) = message.forbidden {
            let check = if message.is_will { Check::Will } else { Check::Rights };
            return fault(check, format!("message {} was delivered: {why}", it.number));
        }
        let fits = message.topics.contains(&it.topic) && it.qos <= message.sent.qos;
        expect(fits || message.is_muddled, Check::Protocol, || {
            format!("message {} on `{}` at QoS {}", it.number, it.topic, it.qos)
        })?;
        if self.sessions.get(&line.who).is_none_or(|session| session.serial != line.serial) {
            // A frame that was begun is written to its end, also when its session is over.
            return Ok(());
        }
        let is_new = self.judge_exchange(connection, line, it)?;
        if it.retain {
            return self.judge_retained(line, it, is_new);
        }
        if is_new { self.judge_copy(line, it) } else { Ok(()) }
    }

    /// The exchange that a delivery belongs to. Says whether it is a new one.
    fn judge_exchange(
        &mut self,
        connection: usize,
        line: &mut Line,
        it: &Delivery,
    ) -> Result<bool, (Check, String)> {
        let Some(session) = self.sessions.get_mut(&line.who) else { return Ok(false) };
        if it.qos == 0 || session.connection != Some(connection) {
            return Ok(it.qos == 0);
        }
        let old = session.outbound.get(&it.packet_id);
        let is_same = old.is_some_and(|old| old.number == it.number && old.qos == it.qos);
        if let Some(old) = old.filter(|it| !it.is_doubtful) {
            let is_free = old.qos == 1 && old.connection != connection;
            if old.connection == connection {
                let text = format!("packet id {} is in use by {}", it.packet_id, old.number);
                return Err((Check::PacketId, text));
            }
            if is_same && old.is_released && !old.is_crashed {
                let text = format!("message {} again after its PUBREC", it.number);
                return Err((Check::PacketId, text));
            }
            if is_same && !it.dup && !old.is_crashed {
                return Err((Check::Protocol, format!("message {} again without DUP", it.number)));
            }
            let may_go = is_free && (old.is_withdrawn || old.is_crashed || session.is_small);
            if !is_same && !may_go && !session.is_muddled {
                let text = format!("packet id {} still belongs to {}", it.packet_id, old.number);
                return Err((Check::PacketId, text));
            }
        } else if it.dup
            && !is_same
            && session.connections == 1
            && session.crashes == 0
            && !session.is_muddled
        {
            return Err((Check::Protocol, format!("DUP in the first sending of {}", it.number)));
        }
        // Its last bytes come to the client now; it was taken back before that if a change has met it half written.
        let known = self.history.known(session.shard);
        let may_read = |rights: &Rights| rights.may_read(&it.topic);
        let is_allowed = self.history.always(line.who.0, known, may_read);
        let exchange = Exchange {
            number: it.number,
            qos: it.qos,
            is_released: false,
            connection,
            // [MQTT-4.3.3-2] One of QoS 2 is not written before it is known for good.
            is_confirmed: it.qos == 2 || is_same && old.is_some_and(|it| it.is_confirmed),
            is_crashed: false,
            is_doubtful: self.messages.get(&it.number).is_some_and(|it| it.sent.expires),
            // Of what clears a topic nothing is known.
            is_withdrawn: it.is_empty || !is_allowed,
            is_gone: it.is_empty,
        };
        session.outbound.insert(it.packet_id, exchange);
        line.in_flight.insert(it.packet_id);
        if line.in_flight.len() > usize::from(line.receive_max) {
            let text = format!("{} in transit, at most {}", line.in_flight.len(), line.receive_max);
            return Err((Check::Quota, text));
        }
        Ok(!is_same)
    }

    /// A message that is, or was published as, retained. `is_new`: it is no repetition.
    fn judge_retained(&mut self, line: &mut Line, it: &Delivery, is_new: bool) -> Judged {
        let (Some(session), Some(message)) =
            (self.sessions.get(&line.who), self.messages.get(&it.number))
        else {
            return Ok(());
        };
        expect(message.sent.retain, Check::Retained, || format!("{} was not", it.number))?;
        if session.is_muddled || message.is_muddled {
            return Ok(());
        }
        let kept = self.retained.get(&it.topic).into_iter().flatten();
        let kept: Vec<_> = kept.filter(|kept| kept.number == it.number).collect();
        // It may wait in the queue when the subscription that brought it is gone.
        let is_last = session.bringing(&it.topic).any(|(asked, until)| {
            let was_there = |kept: &&Kept| kept.replaced.is_none_or(|at| at > asked);
            message.time <= until && (kept.is_empty() || kept.iter().any(was_there))
        });
        let keeps = session.matching(&it.topic).any(|(_, it)| it.keeps_retain);
        if !is_last && !keeps && message.keeps_retain_for(session.serial) {
            // It was on its way as a live message when the subscription that keeps its flag ended, and another
            // has come since: then it counts as what it is.
            return if is_new { self.judge_copy(line, it) } else { Ok(()) };
        }
        expect(is_last || keeps, Check::Retained, || {
            format!("message {} was replaced before the subscription", it.number)
        })?;
        let (writer, since) = (message.writer.0, message.version);
        let may_write = self.history.ever(writer, since, |rights| rights.may_write(&it.topic));
        expect(may_write, Check::Retained, || format!("the writer of {}", it.number))
    }

    /// One more copy of a live message.
    fn judge_copy(&mut self, line: &mut Line, it: &Delivery) -> Judged {
        let (Some(session), Some(message)) =
            (self.sessions.get_mut(&line.who), self.messages.get_mut(&it.number))
        else {
            return Ok(());
        };
        if session.is_muddled || message.is_muddled {
            return Ok(());
        }
        let times = message.times();
        let Some(expected) = message.expected.get_mut(&session.serial) else {
            return fault(Check::Uninvited, format!("message {} on `{}`", it.number, it.topic));
        };
        let most = (u32::from(expected.is_direct) + expected.groups) * times;
        expected.got += 1;
        expected.got_once += u32::from(it.qos == 2);
        let is_first = expected.got == 1;
        let may_repeat = it.qos < 2 && session.crashes > 0;
        expected.repeated += u32::from(may_repeat && !is_first);
        let is_within = if it.qos == 2 {
            usize::try_from(expected.got_once).is_ok_and(|got| got <= expected.once.len())
        } else {
            expected.got <= most || may_repeat
        };
        expect(is_within, Check::Twice, || format!("message {} at QoS {}", it.number, it.qos))?;
        let groups = u32::try_from(message.groups.len()).expect("few groups");
        let is_once = may_repeat || message.shared() <= groups * times;
        expect(is_once, Check::Twice, || format!("message {} within a group", it.number))?;
        // A repeated message repeats the order as well.
        if message.is_will || !is_first || message.taken > 1 {
            return Ok(());
        }
        let way = (message.writer_serial, it.topic.clone(), message.sent.qos, it.qos);
        self.judge_order(line, way, it.number)
    }

    /// What is written to a connection that has ended had its place before all that a later one of its session was written.
    fn judge_order(&mut self, line: &mut Line, way: Way, number: u32) -> Judged {
        let Some(session) = self.sessions.get_mut(&line.who) else { return Ok(()) };
        let last = session.last.entry(way.clone()).or_insert(0);
        let before = if line.is_over { *line.last.get(&way).unwrap_or(&0) } else { *last };
        *last = number.max(*last);
        let later = line.later.get(&way).copied();
        let former = self.lines.values_mut().filter(|it| it.serial == line.serial);
        for former in former.filter(|it| it.is_over && it.time < line.time) {
            let least = former.later.entry(way.clone()).or_insert(number);
            *least = number.min(*least);
        }
        line.last.insert(way, number);
        expect(before < number, Check::Order, || format!("{number} after {before}"))?;
        let is_late = later.is_some_and(|later| later < number);
        expect(!is_late, Check::Order, || format!("{number}, and {later:?} to a later connection"))
    }
}

fn fault(check: Check, text: String) -> Judged {
    Err((check, text))
}

fn expect(holds: bool, check: Check, otherwise: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { fault(check, otherwise()) }
}

/// A PUBLISH with its alias resolved.
fn delivery(line: &mut Line, packet: &Packet) -> Result<Delivery, (Check, String)> {
    let Packet::Publish { topic, payload, qos, retain, dup, packet_id, properties } = packet else {
        return Err((Check::Protocol, format!("{packet:?} is no PUBLISH")));
    };
    let alias = properties.iter().find_map(|it| match it {
        Property::Number(35, alias) => u16::try_from(*alias).ok(),
        _ => None,
    });
    if let Some(alias) = alias {
        if alias == 0 || alias > line.alias_max {
            return Err((Check::Protocol, format!("alias {alias}, at most {}", line.alias_max)));
        }
        if !topic.is_empty() {
            line.aliases.insert(alias, topic.clone());
        }
    }
    let meant =
        if topic.is_empty() { alias.and_then(|it| line.aliases.get(&it)) } else { Some(topic) };
    let topic = meant.ok_or((Check::Protocol, "an alias that was not set".to_owned()))?.clone();
    let number = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    Ok(Delivery {
        number,
        topic,
        qos: *qos,
        retain: *retain,
        dup: *dup,
        packet_id: *packet_id,
        is_empty: payload.is_empty(),
    })
}
