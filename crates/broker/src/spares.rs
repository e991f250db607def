//! Small messages that are done with, kept to be used again: a QoS 1 or 2 message takes no allocation, and what it shares
//! with the one before (topic, writer) is not counted down and up.

use std::sync::Arc;

use crate::message::{Message, Publication};

/// Messages of one shard that nobody else holds.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    messages: Vec<Arc<Message>>,
}

impl Spares {
    /// A message that outlives its packet.
    pub(crate) fn make(&mut self, publication: &Publication<'_>) -> Arc<Message> {
        let size = publication.forwardable.len() + publication.payload.len();
        if size <= Message::INLINE_BYTES
            && let Some(mut spare) = self.messages.pop()
            && let Some(message) = Arc::get_mut(&mut spare)
        {
            message.refill(publication);
            return spare;
        }
        publication.to_message()
    }

    /// Takes a message that one receiver is done with. Others, a queue or the retained store, may still hold it.
    pub(crate) fn give(&mut self, message: Option<Arc<Message>>) {
        let Some(message) = message else { return };
        if self.messages.len() < SPARES_MAX
            && message.is_small()
            && Arc::strong_count(&message) == 1
        {
            self.messages.push(message);
        }
    }
}

/// A few hundred bytes each.
const SPARES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use access::UserId;
    use mqtt::{Qos, Timestamp};
    use topic::TopicName;
    use uuid::Uuid;

    use super::{SPARES_MAX, Spares};
    use crate::identity::{SessionIdentity, SessionKey, SessionRef, ShardId};
    use crate::message::Publication;

    fn writer(client_id: &str) -> Arc<SessionIdentity> {
        let key = SessionKey { user: UserId(Uuid::from_u128(1)), client_id: client_id.into() };
        let place = SessionRef { shard: ShardId(0), slot: 0, serial: 0 };
        Arc::new(SessionIdentity::new(key, place))
    }

    /// Makes a message of the second publication from one of the first.
    fn check(first: &Publication<'_>, second: &Publication<'_>, is_reused: bool) {
        let mut spares = Spares::default();
        let message = spares.make(first);
        let before = Arc::as_ptr(&message);
        spares.give(Some(message));
        let message = spares.make(second);
        assert_eq!(std::ptr::eq(Arc::as_ptr(&message), before) && is_reused, is_reused);
        let fresh = second.to_message();
        assert_eq!(message.topic(), fresh.topic());
        assert_eq!((message.qos(), message.retain()), (fresh.qos(), fresh.retain()));
        assert_eq!(message.forwardable(), fresh.forwardable());
        assert_eq!(message.payload(), fresh.payload());
        assert_eq!(message.expires_at(), fresh.expires_at());
        assert_eq!(message.writer(), fresh.writer());
    }

    #[test]
    fn nothing_of_a_message_is_left_in_the_next_one() {
        let (one, other) = (TopicName::parse("a").unwrap(), TopicName::parse("b/c").unwrap());
        let (me, you) = (writer("me"), writer("you"));
        let first = Publication {
            topic: &one,
            qos: Qos::ExactlyOnce,
            retain: true,
            forwardable: b"\x01\x01",
            payload: b"a long payload",
            writer: &me,
            source: None,
            expires_at: Some(Timestamp(9)),
        };
        let second = Publication {
            topic: &other,
            qos: Qos::AtLeastOnce,
            retain: false,
            forwardable: b"",
            payload: b"short",
            writer: &you,
            source: None,
            expires_at: None,
        };
        check(&first, &second, true);
        check(&second, &first, true);
        check(&first, &first, true);
        let large = Publication { payload: &[7; 5_000], ..second };
        check(&large, &second, false);
        check(&second, &large, false);
    }

    #[test]
    fn a_message_that_somebody_holds_is_not_used_again_and_few_are_kept() {
        let (topic, writer) = (TopicName::parse("a").unwrap(), writer("me"));
        let publication = Publication {
            topic: &topic,
            qos: Qos::AtLeastOnce,
            retain: false,
            forwardable: b"",
            payload: b"one",
            writer: &writer,
            source: None,
            expires_at: None,
        };
        let mut spares = Spares::default();
        let held = spares.make(&publication);
        spares.give(Some(Arc::clone(&held)));
        let _other = spares.make(&Publication { payload: b"two", ..publication });
        assert_eq!(held.payload(), b"one");
        for _ in 0..SPARES_MAX * 2 {
            spares.give(Some(publication.to_message()));
        }
        assert_eq!(spares.messages.len(), SPARES_MAX);
    }
}
