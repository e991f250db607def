//! Properties of a received PUBLISH: checked once, read when asked for.

use crate::ProtocolError;
use crate::property::{Place, Properties, Property};
use crate::reader::Reader;
use std::fmt;

/// The properties of a PUBLISH, in wire form and known to be valid. The few that every PUBLISH is
/// asked for are noted while checking; the others are looked up at each call.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct PublishProperties<'a> {
    raw: &'a [u8],
    topic_alias: Option<u16>,
    message_expiry_interval_s: Option<u32>,
    has_subscription_identifier: bool,
}

impl<'a> PublishProperties<'a> {
    /// Takes length and properties from the packet, checking each.
    pub(crate) fn read(body: &mut Reader<'a>) -> Result<PublishProperties<'a>, ProtocolError> {
        let length = usize::try_from(body.varint()?).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(PublishProperties::default());
        }
        PublishProperties::parse(body.take(length)?)
    }

    /// Checks properties in wire form, without their length: those from [`forwardable`] for
    /// example.
    ///
    /// [`forwardable`]: PublishProperties::forwardable
    ///
    /// # Errors
    /// What the standard says about the first property that is wrong.
    pub fn parse(raw: &'a [u8]) -> Result<PublishProperties<'a>, ProtocolError> {
        let mut checked = PublishProperties { raw, ..PublishProperties::default() };
        let mut properties = Properties::over(raw, Place::Publish);
        while let Some(property) = properties.next()? {
            match property {
                Property::TopicAlias(alias) => checked.topic_alias = Some(alias),
                Property::MessageExpiryInterval(seconds) => {
                    checked.message_expiry_interval_s = Some(seconds);
                }
                Property::SubscriptionIdentifier(_) => checked.has_subscription_identifier = true,
                _ => {}
            }
        }
        Ok(checked)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// As they came, without their length.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// The number that stands for a topic; never 0.
    #[must_use]
    pub fn topic_alias(&self) -> Option<u16> {
        self.topic_alias
    }

    /// Seconds the message is worth delivering.
    #[must_use]
    pub fn message_expiry_interval_s(&self) -> Option<u32> {
        self.message_expiry_interval_s
    }

    /// Whether there is a subscription identifier; a client may not send one [MQTT-3.3.4-6].
    #[must_use]
    pub fn has_subscription_identifier(&self) -> bool {
        self.has_subscription_identifier
    }

    /// The format indicator: 0 bytes, 1 UTF-8.
    #[must_use]
    pub fn payload_format(&self) -> Option<u8> {
        self.find(|property| match property {
            Property::PayloadFormat(is_utf8) => Some(u8::from(is_utf8)),
            _ => None,
        })
    }

    /// Whether the payload is said to be UTF-8.
    #[must_use]
    pub fn is_payload_utf8(&self) -> bool {
        self.payload_format() == Some(1)
    }

    /// What the payload is.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ContentType(text) => Some(text),
            _ => None,
        })
    }

    /// Where an answer is awaited; a valid topic name.
    #[must_use]
    pub fn response_topic(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ResponseTopic(text) => Some(text),
            _ => None,
        })
    }

    /// What an answer is to repeat.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.find(|property| match property {
            Property::CorrelationData(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// Name and value pairs, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::User(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Identifiers of the subscriptions that a server says were matched.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }

    /// Appends in wire form, without a length, the properties a server hands on unaltered and in
    /// order ([MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20]): all but topic
    /// alias, message expiry and subscription identifiers, which belong to one hop.
    pub fn forwardable(&self, out: &mut Vec<u8>) {
        let is_of_one_hop = self.topic_alias.is_some()
            || self.message_expiry_interval_s.is_some()
            || self.has_subscription_identifier;
        if !is_of_one_hop {
            return out.extend_from_slice(self.raw);
        }
        for property in self.iter() {
            match property {
                Property::TopicAlias(_)
                | Property::MessageExpiryInterval(_)
                | Property::SubscriptionIdentifier(_) => {}
                _ => property.put(out),
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut properties = Properties::over(self.raw, Place::Publish);
        // They were checked, so the first error would be the end, which it is anyway.
        std::iter::from_fn(move || properties.next().ok().flatten())
    }

    fn find<T>(&self, pick: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        self.iter().find_map(pick)
    }
}

impl fmt::Debug for PublishProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::PublishProperties;

    const ALL: &[u8] =
        b"\x01\x01\x23\x00\x05\x03\x00\x01c\x02\x00\x00\x00\x07\x26\x00\x01b\x00\x01y\
        \x08\x00\x01r\x0B\x81\x01\x26\x00\x01a\x00\x01x\x09\x00\x01d\x0B\x02";

    #[test]
    fn each_property_is_found() {
        let properties = PublishProperties::parse(ALL).unwrap();
        assert_eq!(properties.topic_alias(), Some(5));
        assert_eq!(properties.message_expiry_interval_s(), Some(7));
        assert_eq!(properties.payload_format(), Some(1));
        assert_eq!(properties.content_type(), Some("c"));
        assert_eq!(properties.response_topic(), Some("r"));
        assert_eq!(properties.correlation_data(), Some(&b"d"[..]));
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("b", "y"), ("a", "x")]);
        assert_eq!(properties.subscription_identifiers().collect::<Vec<_>>(), [129, 2]);
    }

    // Shows 5.0: [MQTT-3.3.2-17], [MQTT-3.3.2-18].
    #[test]
    fn what_belongs_to_one_hop_is_not_handed_on_and_the_rest_keeps_its_order() {
        let mut out = Vec::new();
        PublishProperties::parse(ALL).unwrap().forwardable(&mut out);
        assert_eq!(
            out,
            b"\x01\x01\x03\x00\x01c\x26\x00\x01b\x00\x01y\x08\x00\x01r\x26\x00\x01a\x00\x01x\x09\x00\x01d"
        );
    }

    #[test]
    fn properties_of_the_message_alone_are_handed_on_as_they_are() {
        let raw = b"\x26\x00\x01b\x00\x01y\x01\x00\x26\x00\x01b\x00\x01y";
        let mut out = Vec::new();
        PublishProperties::parse(raw).unwrap().forwardable(&mut out);
        assert_eq!(out, raw);
    }
}
