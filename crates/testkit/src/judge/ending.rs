//! How connections, sessions and brokers end, and what their wills do then.

use std::collections::BTreeSet;

use super::Judge;
use super::session::{Session, Subscription};

impl Judge {
    /// A connection is over.
    pub fn end(&mut self, connection: usize, now: u64) {
        self.time += 1;
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.is_over = true;
        let who = line.who;
        let Some(session) = self.sessions.get_mut(&who) else { return };
        if session.connection != Some(connection) {
            return;
        }
        line.last.clone_from(&session.last);
        session.connection = None;
        session.is_unsure = true;
        let ends = after_s(now, session.expiry_s);
        session.ends = ends.map(|at| (at, at));
        if session.expiry_s == 0 {
            return self.end_session(who, now);
        }
        if let Some(will) = &mut session.will {
            let due = now + u64::from(will.delay_s) * 1000;
            will.due = Some(ends.map_or(due, |ends| due.min(ends)));
            if will.delay_s == 0 {
                self.send_will(who);
            }
        }
    }

    /// A session is over: its client wants a new one, or an administrator or its user's end has ended it.
    pub fn end_session(&mut self, who: (usize, usize), now: u64) {
        if let Some(connection) = self.sessions.get(&who).and_then(|it| it.connection) {
            // Whatever its expiry, it is over once its connection is.
            self.session(who, |it| it.expiry_s = it.expiry_s.max(1));
            self.end(connection, now);
        }
        self.send_will(who);
        let Some(session) = self.sessions.remove(&who) else { return };
        if session.was_lasting && self.setup.is_persistent {
            self.ghosts.insert(who, session.shard);
        }
        self.over.insert(session.serial, (who, session));
    }

    /// The broker has done what was due on this shard.
    pub fn pass_time(&mut self, shard: usize, now: u64) {
        let of_shard = || self.sessions.iter().filter(|(_, it)| it.shard == shard);
        let is_due = |it: &Session| it.will.and_then(|it| it.due).is_some_and(|due| due <= now);
        let due: Vec<_> = of_shard().filter(|(_, it)| is_due(it)).map(|(who, _)| *who).collect();
        let is_over = |it: &Session| it.ends.is_some_and(|(_, last)| last <= now);
        let over: Vec<_> = of_shard().filter(|(_, it)| is_over(it)).map(|(who, _)| *who).collect();
        for who in due {
            self.send_will(who);
        }
        for who in over {
            self.end_session(who, now);
        }
        for session in self.sessions.values_mut().filter(|it| it.shard == shard) {
            session.is_maybe |= session.ends.is_some_and(|(first, _)| first <= now);
        }
    }

    /// The broker has died and another has started from what was durable.
    pub fn crash(&mut self, now: u64) {
        self.time += 1;
        self.lines.clear();
        if self.setup.is_persistent {
            self.lose_what_was_not_durable(now);
        } else {
            self.sessions.clear();
            self.retained.clear();
            self.messages.values_mut().for_each(|it| it.is_muddled = true);
        }
        self.ghosts.clear();
        self.over.clear();
        for (_, number) in std::mem::take(&mut self.cancelled) {
            if let Some(message) = self.messages.get_mut(&number) {
                message.forbidden = None;
                message.is_doubtful = true;
            }
        }
        let there: BTreeSet<_> = self.sessions.values().map(|it| it.serial).collect();
        for number in self.unconfirmed.iter_mut().flat_map(std::mem::take) {
            if let Some(message) = self.messages.get_mut(&number) {
                message.survive_crash(|serial| there.contains(&serial));
                message.is_doubtful |= !message.is_confirmed;
                if message.is_will {
                    // It may be sent once more, by the rights of then.
                    (message.is_muddled, message.forbidden) = (true, None);
                }
            }
        }
        for kept in self.retained.values_mut().flatten().filter(|it| !it.is_confirmed) {
            kept.replaced = None;
        }
        // Whoever has no rights any more loses what that takes when it is read from the disk.
        for shard in 0..self.setup.shards {
            self.tell_shard(shard, now);
        }
    }

    /// The disk has lost all that it was given since `earlier`, although it had said that it is there: to whoever reads
    /// it, that was all there ever was. Rights are kept elsewhere, and are those of now. A crash must follow.
    pub fn fall_back(&mut self, earlier: Judge) {
        let now = std::mem::replace(self, earlier);
        // Numbers and times are not used again, and what was said of the broker stays said.
        (self.serial, self.time, self.dropped) = (now.serial, now.time, now.dropped);
        self.history = now.history;
        self.violation = now.violation;
        for person in 0..self.setup.people {
            let rights = self.history.newest(person).clone();
            self.withdraw(person, &rights);
        }
    }

    fn lose_what_was_not_durable(&mut self, now: u64) {
        let muddle = |session: &Session, messages: &mut std::collections::BTreeMap<u32, _>| {
            if let Some(it) = session.will.and_then(|it| messages.get_mut(&it.number)) {
                let message: &mut super::Message = it;
                message.is_muddled = true;
                message.is_doubtful = true;
                message.forbidden = None;
            }
        };
        let messages = &mut self.messages;
        self.sessions.retain(|_, it| {
            muddle(it, messages);
            it.expiry_s > 0 || it.is_unsure && it.was_lasting
        });
        for session in self.sessions.values_mut() {
            let was_online =
                session.connection.is_some() || session.is_unsure || session.is_end_unsure;
            session.is_end_unsure = was_online;
            session.survive_crash(self.time);
            if session.is_muddled {
                // Perhaps it has the expiry of an earlier connection.
                session.ends = Some((now, u64::MAX));
                session.expiry_s = session.expiry_s.max(1);
                continue;
            }
            let again = after_s(now, session.expiry_s.max(1));
            if was_online {
                let first = session.ends.map_or(again, |(first, _)| Some(first));
                session.ends = first.zip(again);
            }
            if let Some(will) = &mut session.will {
                let due = now + u64::from(will.delay_s) * 1000;
                will.due = Some(will.due.unwrap_or(due).min(due));
            }
        }
        for (who, shard) in std::mem::take(&mut self.ghosts) {
            self.serial += 1;
            let serial = self.serial;
            let ghost = self.sessions.entry(who).or_insert_with(|| Session::new(serial, shard));
            (ghost.is_maybe, ghost.is_muddled) = (true, true);
            ghost.was_lasting = true;
            ghost.expiry_s = ghost.expiry_s.max(1);
            let former = self.over.values().filter(|it| it.0 == who);
            for (text, it) in former.flat_map(|(_, session)| &session.subscriptions) {
                let perhaps = || Subscription { since: None, is_gone: false, ..it.clone() };
                ghost.subscriptions.entry(text.clone()).or_insert_with(perhaps);
            }
        }
    }

    /// The session's will is sent now, if it has one.
    fn send_will(&mut self, who: (usize, usize)) {
        let Some(session) = self.sessions.get_mut(&who) else { return };
        let Some(will) = session.will.take() else { return };
        // A change that ends the connection ends it when the shard takes it in: with the next bytes of anybody, perhaps, and
        // so before what they ask for.
        let is_unsure_when = self.history.changed_since(who.0, self.history.known(session.shard));
        let (is_muddled, is_maybe) = (session.is_muddled || is_unsure_when, session.is_maybe);
        let Some(message) = self.messages.get_mut(&will.number) else { return };
        if message.forbidden.take().is_none() {
            message.is_doubtful = true;
        }
        message.is_muddled |= is_muddled;
        message.is_doubtful |= is_muddled || is_maybe;
        // A will that may not be sent is dropped at once, also if it may be again later.
        let topic = message.sent.topic.clone();
        message.is_doubtful |= self
            .history
            .ever(who.0, will.version, |it| !it.may_write(&format!("{}{topic}", it.prefix)));
        self.publish(will.number);
    }
}

fn after_s(now: u64, seconds: u32) -> Option<u64> {
    (seconds != u32::MAX).then(|| now + u64::from(seconds) * 1000)
}
