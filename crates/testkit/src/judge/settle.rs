//! The reckoning: everything has calmed down, every client is back and has read all there is.

use super::matching::{matches, share};
use super::message::Message;
use super::session::Session;
use super::{Check, Judge};

impl Judge {
    /// Everything that is owed must have come.
    pub fn settle(&mut self) {
        let missing: Vec<_> = self.messages.values().filter_map(|it| self.missing(it)).collect();
        let mut excused = 0;
        for (serial, text) in missing {
            let session = self.sessions.values().find(|it| it.serial == serial);
            if session.is_some_and(|it| it.is_dropped_for) && excused < self.dropped {
                excused += 1;
            } else {
                self.accuse(Check::Lost, text);
            }
        }
        let open: Vec<_> = self.lines.iter().filter(|(_, line)| !line.is_over).collect();
        let unanswered = open.iter().find(|(_, line)| !line.missing().is_empty());
        let unanswered = unanswered.map(|(it, line)| format!("{it}: {:?}", line.missing()));
        let certain = self.sessions.values().filter(|it| !it.is_muddled && it.connection.is_some());
        let in_flight = certain.flat_map(|session| {
            session.outbound.values().filter(move |it| {
                let is_taken_back = it.is_withdrawn && session.connection != Some(it.connection);
                !it.is_doubtful && !is_taken_back
            })
        });
        let in_flight = in_flight.map(|it| format!("{it:?}")).next();
        if let Some(text) = unanswered.or(in_flight) {
            self.accuse(Check::Stuck, text);
        }
    }

    /// Who must have this message and has not, with words for it.
    fn missing(&self, message: &Message) -> Option<(u64, String)> {
        let is_void = message.is_doubtful
            || message.is_muddled
            || message.sent.expires
            || message.forbidden.is_some()
            || message.taken == 0
            || message.sent.qos == 0;
        if is_void {
            return None;
        }
        let number = message.sent.number;
        for (who, session) in &self.sessions {
            if self.is_sure_of(message, *who, session) && self.is_owed(session, message) {
                let got = message.expected.get(&session.serial);
                if !got.is_some_and(|it| it.is_acknowledged) {
                    return Some((session.serial, format!("message {number} to {who:?}")));
                }
            }
        }
        for (group, members) in &message.groups {
            let all = self.sessions.iter();
            let present: Vec<_> = all.filter(|(_, it)| members.contains(&it.serial)).collect();
            let is_meant = matches(share(group).1, &message.topics[0]);
            let is_owed = is_meant
                && present.len() == members.len()
                && present.iter().all(|(who, session)| {
                    let subscription = session.subscriptions.get(group);
                    self.is_sure_of(message, **who, session)
                        && !session.is_dropped_for
                        && subscription.is_some_and(|it| {
                            it.since.is_some_and(|since| since < message.time) && it.qos_least > 0
                        })
                });
            let is_there = members
                .iter()
                .any(|serial| message.expected.get(serial).is_some_and(|it| it.is_acknowledged));
            if is_owed && !is_there {
                return Some((members[0], format!("message {number} to `{group}`")));
            }
        }
        None
    }

    /// Whether nothing in the life of this session could excuse that it has not got the message.
    fn is_sure_of(&self, message: &Message, who: (usize, usize), session: &Session) -> bool {
        let is_too_large = session.is_small && message.sent.size > SMALL_MESSAGE_BYTES;
        !session.is_muddled
            && !session.is_maybe
            && !is_too_large
            && self.always_read(who.0, &message.topics[0], message.version)
    }
}

/// Every client takes messages of this size.
const SMALL_MESSAGE_BYTES: usize = 64;
