//! Topic aliases of one sender (section 3.3.2.3.4): numbers that stand for topics, for one
//! connection.

use crate::{ProtocolError, Publish, ReasonCode};

/// The aliases one sender has set, each with a `T` of the receiver: what it worked out for that
/// topic.
///
/// Holds at most `maximum` topics of 65,535 bytes each: the maximum granted is a memory limit.
#[derive(Debug)]
pub struct InboundAliases<T> {
    maximum: u16,
    /// At index alias - 1.
    entries: Vec<Option<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    topic: Box<str>,
    value: T,
}

/// The topic a message is for.
#[derive(Debug, PartialEq)]
pub struct ResolvedTopic<'a, T> {
    /// The topic as sent, now or when the alias was set.
    pub topic: &'a str,
    /// What is kept with the alias; `None` if the message uses none. Starts over as `T::default()`
    /// when the alias is set to another topic.
    pub cached: Option<&'a mut T>,
}

impl<T: Default> InboundAliases<T> {
    /// No alias set; those from 1 to `maximum` may be, none with 0. `maximum` is what the receiver
    /// granted.
    #[must_use]
    pub fn new(maximum: u16) -> InboundAliases<T> {
        InboundAliases { maximum, entries: Vec::new() }
    }

    /// Sets the alias if topic and alias are given, looks it up if the topic is empty.
    ///
    /// # Errors
    /// 0x94 for an alias above the maximum, 0x82 for one that was never set.
    pub fn resolve<'a>(
        &'a mut self,
        publish: &Publish<'a>,
    ) -> Result<ResolvedTopic<'a, T>, ProtocolError> {
        let topic = publish.topic;
        let Some(alias) = publish.properties.topic_alias() else {
            return Ok(ResolvedTopic { topic, cached: None });
        };
        let index = self.index(alias)?;
        if !topic.is_empty() {
            self.set(index, topic);
        }
        let entry = self.entries.get_mut(index).and_then(Option::as_mut).ok_or(NOT_SET)?;
        Ok(ResolvedTopic { topic: &entry.topic, cached: Some(&mut entry.value) })
    }

    /// Forgets what was worked out, not the aliases.
    pub fn clear_cached(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            entry.value = T::default();
        }
    }

    fn set(&mut self, index: usize, topic: &str) {
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        let Some(slot) = self.entries.get_mut(index) else { return };
        // A sender that repeats the pair keeps what was worked out for it.
        if slot.as_ref().is_none_or(|entry| &*entry.topic != topic) {
            *slot = Some(Entry { topic: topic.into(), value: T::default() });
        }
    }

    /// [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    fn index(&self, alias: u16) -> Result<usize, ProtocolError> {
        match alias.checked_sub(1) {
            Some(index) if alias <= self.maximum => Ok(usize::from(index)),
            _ => Err(ProtocolError::new(
                ReasonCode::TopicAliasInvalid,
                "topic alias is 0 or above the maximum granted",
            )),
        }
    }
}

const NOT_SET: ProtocolError = ProtocolError::protocol("topic alias was never set");

#[cfg(test)]
mod tests {
    use super::InboundAliases;
    use crate::{Publish, PublishProperties, Qos, ReasonCode};

    fn resolve<'a>(
        aliases: &'a mut InboundAliases<u32>,
        topic: &'static str,
        raw: &'static [u8],
    ) -> Result<(&'a str, Option<&'a mut u32>), ReasonCode> {
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            properties: PublishProperties::parse(raw).unwrap(),
            payload: b"",
        };
        aliases.resolve(&publish).map(|it| (it.topic, it.cached)).map_err(|error| error.reason)
    }

    const NONE: &[u8] = b"";
    const ONE: &[u8] = b"\x23\x00\x01";
    const TWO: &[u8] = b"\x23\x00\x02";
    const THREE: &[u8] = b"\x23\x00\x03";

    #[test]
    fn an_alias_stands_for_the_topic_it_was_set_to_last() {
        let mut aliases = InboundAliases::new(2);
        assert_eq!(resolve(&mut aliases, "a", NONE), Ok(("a", None)));
        assert_eq!(resolve(&mut aliases, "a", TWO), Ok(("a", Some(&mut 0))));
        assert_eq!(resolve(&mut aliases, "b", ONE), Ok(("b", Some(&mut 0))));
        assert_eq!(resolve(&mut aliases, "", TWO), Ok(("a", Some(&mut 0))));
        assert_eq!(resolve(&mut aliases, "c", TWO), Ok(("c", Some(&mut 0))));
        assert_eq!(resolve(&mut aliases, "", TWO), Ok(("c", Some(&mut 0))));
        assert_eq!(resolve(&mut aliases, "", ONE), Ok(("b", Some(&mut 0))));
    }

    // Shows 5.0: [MQTT-3.2.2-17], [MQTT-3.3.2-9].
    #[test]
    fn an_alias_above_the_maximum_is_refused() {
        let mut aliases = InboundAliases::new(2);
        assert_eq!(resolve(&mut aliases, "a", THREE), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(resolve(&mut aliases, "", THREE), Err(ReasonCode::TopicAliasInvalid));
        let mut none = InboundAliases::new(0);
        assert_eq!(resolve(&mut none, "a", ONE), Err(ReasonCode::TopicAliasInvalid));
    }

    #[test]
    fn an_alias_that_was_never_set_is_a_protocol_error() {
        let mut aliases = InboundAliases::new(2);
        assert_eq!(resolve(&mut aliases, "", TWO), Err(ReasonCode::ProtocolError));
        assert!(resolve(&mut aliases, "a", TWO).is_ok());
        assert_eq!(resolve(&mut aliases, "", ONE), Err(ReasonCode::ProtocolError));
    }

    #[test]
    fn what_was_worked_out_stays_with_the_topic_and_goes_with_it() {
        let mut aliases = InboundAliases::new(1);
        *resolve(&mut aliases, "a", ONE).unwrap().1.unwrap() = 7;
        assert_eq!(resolve(&mut aliases, "", ONE), Ok(("a", Some(&mut 7))));
        assert_eq!(resolve(&mut aliases, "a", ONE), Ok(("a", Some(&mut 7))));
        assert_eq!(resolve(&mut aliases, "b", ONE), Ok(("b", Some(&mut 0))));
        *resolve(&mut aliases, "", ONE).unwrap().1.unwrap() = 8;
        aliases.clear_cached();
        assert_eq!(resolve(&mut aliases, "", ONE), Ok(("b", Some(&mut 0))));
    }
}
