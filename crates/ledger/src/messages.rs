//! Messages as they lie in a log: those of sessions one in an entry, or several in a bundle.

use std::sync::Arc;

use broker::{Message, SessionKey, StoredDelivery, StoredMessage};
use mqtt::{Qos, Timestamp};
use topic::TopicName;

use crate::bundles::BUNDLE_MESSAGES_MAX;
use crate::bytes::{Input, Output};
use crate::record::{MESSAGE, SESSION, VERSION, put_message_key, put_name, read_flag, read_name};

/// What an entry holds of a session's messages.
#[derive(Debug)]
pub struct Messages<'a> {
    session: SessionKey,
    first: u64,
    contents: Vec<Content<'a>>,
}

/// A message as it is stored: what it takes as an object is not made of it yet.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    head: Arc<Head<'a>>,
    payload: &'a [u8],
}

/// All that it has besides its payload: often the same for those that follow each other.
#[derive(Debug)]
struct Head<'a> {
    qos: Qos,
    retain: bool,
    identifiers: Option<Arc<[u32]>>,
    message: MessageHead<'a>,
}

/// All that a message has besides its payload, as it was published.
#[derive(Debug)]
struct MessageHead<'a> {
    qos: Qos,
    retain: bool,
    expires_at: Option<Timestamp>,
    writer: SessionKey,
    topic: TopicName,
    forwardable: &'a [u8],
}

/// The key of messages of a session.
#[derive(Debug)]
pub(crate) struct MessageKey<'a> {
    /// What the keys of all its session's entries begin with.
    pub(crate) prefix: &'a [u8],
    session: SessionKey,
    pub(crate) first: u64,
    /// Of a bundle: how many follow each other there.
    pub(crate) count: Option<u8>,
}

impl<'a> Messages<'a> {
    /// What this entry holds; `None` if it is none of messages, or makes no sense.
    #[must_use]
    pub fn read(key: &[u8], value: &'a [u8]) -> Option<Messages<'a>> {
        Messages::of(MessageKey::read(key)?, value)
    }

    pub(crate) fn of(key: MessageKey<'_>, value: &'a [u8]) -> Option<Messages<'a>> {
        let mut value = Input(value);
        (value.byte()? == VERSION).then_some(())?;
        let contents = match key.count {
            None => vec![read_content(&mut value)?],
            Some(count) => read_contents(count, &mut value)?,
        };
        let MessageKey { session, first, .. } = key;
        value.0.is_empty().then_some(Messages { session, first, contents })
    }

    pub(crate) fn session(&self) -> &SessionKey {
        &self.session
    }

    /// Each with its place, ascending: those that are gone as well.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Content<'a>)> {
        (0..).map(|behind| self.first.saturating_add(behind)).zip(&self.contents)
    }

    /// Those at one of these places, which must ascend.
    pub fn at(&self, places: &[u64]) -> impl Iterator<Item = (u64, StoredDelivery)> {
        let wanted = self.iter().filter(|(place, _)| places.binary_search(place).is_ok());
        wanted.map(|(place, content)| (place, content.delivery()))
    }
}

impl MessageKey<'_> {
    /// `None` if it is the key of something else.
    pub(crate) fn read(key: &[u8]) -> Option<MessageKey<'_>> {
        let mut rest = Input(key);
        (rest.byte()? == SESSION).then_some(())?;
        let session = read_name(&mut rest)?;
        let prefix = key.get(..key.len() - rest.0.len())?;
        (rest.byte()? == MESSAGE).then_some(())?;
        let first = rest.u64()?;
        let count = if rest.0.is_empty() { None } else { Some(rest.byte()?) };
        let is_bundle = |it: u8| (2..=BUNDLE_MESSAGES_MAX).contains(&usize::from(it));
        (rest.0.is_empty() && count.is_none_or(is_bundle)).then_some(())?;
        Some(MessageKey { prefix, session, first, count })
    }
}

impl Content<'_> {
    /// [`Message::size`] of it.
    pub(crate) fn size(&self) -> usize {
        let MessageHead { topic, forwardable, .. } = &self.head.message;
        Message::size_of(topic.as_str().len(), forwardable.len() + self.payload.len())
    }

    /// The message as its session is to get it.
    pub(crate) fn delivery(&self) -> StoredDelivery {
        let Head { qos, retain, identifiers, message } = &*self.head;
        StoredDelivery {
            qos: *qos,
            retain: *retain,
            identifiers: identifiers.clone(),
            message: message.with(self.payload),
        }
    }
}

impl MessageHead<'_> {
    fn with(&self, payload: &[u8]) -> Arc<Message> {
        let MessageHead { qos, retain, expires_at, ref writer, ref topic, forwardable } = *self;
        let (topic, writer) = (topic.clone(), writer.clone());
        let parts = StoredMessage { topic, qos, retain, forwardable, payload, writer, expires_at };
        Message::stored(parts)
    }
}

pub(crate) fn put_delivery(delivery: &StoredDelivery, out: &mut Output<'_>) {
    let identifiers = delivery.identifiers.as_deref().unwrap_or_default();
    out.byte(delivery.qos.bits()).byte(u8::from(delivery.retain));
    out.u32(u32::try_from(identifiers.len()).unwrap_or(u32::MAX));
    for identifier in identifiers {
        out.u32(*identifier);
    }
}

pub(crate) fn put_message(message: &Message, out: &mut Output<'_>) {
    put_message_head(message, out);
    out.bytes(message.payload());
}

pub(crate) fn put_message_head(message: &Message, out: &mut Output<'_>) {
    out.byte(message.qos().bits()).byte(u8::from(message.retain()));
    out.optional(message.expires_at().map(|at| at.0));
    put_name(message.writer(), out);
    out.bytes(message.topic().as_str().as_bytes()).bytes(message.forwardable());
}

pub(crate) fn read_delivery(value: &mut Input<'_>) -> Option<DeliveryOptions> {
    let qos = Qos::from_bits(value.byte()?)?;
    let retain = read_flag(value.byte()?)?;
    let count = value.u32()?;
    let identifiers = (0..count).map(|_| value.u32()).collect::<Option<Vec<_>>>()?;
    Some((qos, retain, (!identifiers.is_empty()).then(|| identifiers.into())))
}

pub(crate) fn read_message(value: &mut Input<'_>) -> Option<Arc<Message>> {
    let head = read_message_head(value)?;
    Some(head.with(value.bytes()?))
}

/// Goes over what a message of a session says before its payload.
pub(crate) fn skip_head(value: &mut Input<'_>) -> Option<()> {
    // QoS and retain flag of the delivery.
    value.u16()?;
    for _ in 0..value.u32()? {
        value.u32()?;
    }
    // The same of the message, and when it expires.
    value.u16()?;
    value.optional()?;
    value.u128()?;
    // The rest of who wrote it, topic, properties.
    for _ in 0..3 {
        value.bytes()?;
    }
    Some(())
}

fn read_message_head<'a>(value: &mut Input<'a>) -> Option<MessageHead<'a>> {
    let qos = Qos::from_bits(value.byte()?)?;
    let retain = read_flag(value.byte()?)?;
    let expires_at = value.optional()?.map(Timestamp);
    let writer = read_name(value)?;
    let topic = TopicName::parse(value.text()?).ok()?;
    Some(MessageHead { qos, retain, expires_at, writer, topic, forwardable: value.bytes()? })
}

/// The keys between which the entry lies that holds this message: it is the last one there is.
#[must_use]
pub fn message_range(session: &SessionKey, sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let before = u64::try_from(BUNDLE_MESSAGES_MAX).unwrap_or(u64::MAX) - 1;
    let (mut from, mut to) = (Vec::new(), Vec::new());
    put_message_key(session, sequence.saturating_sub(before), &mut Output(&mut from));
    put_message_key(session, sequence, &mut Output(&mut to));
    // Behind every bundle that begins with it.
    to.push(u8::MAX);
    (from, to)
}

fn read_contents<'a>(count: u8, value: &mut Input<'a>) -> Option<Vec<Content<'a>>> {
    let mut contents: Vec<Content<'a>> = Vec::new();
    for _ in 0..count {
        let content = match value.byte()? {
            NEW_HEAD => read_content(value)?,
            SAME_HEAD => {
                let head = Arc::clone(&contents.last()?.head);
                Content { head, payload: value.bytes()? }
            }
            _ => return None,
        };
        contents.push(content);
    }
    Some(contents)
}

fn read_content<'a>(value: &mut Input<'a>) -> Option<Content<'a>> {
    let (qos, retain, identifiers) = read_delivery(value)?;
    let message = read_message_head(value)?;
    let head = Arc::new(Head { qos, retain, identifiers, message });
    Some(Content { head, payload: value.bytes()? })
}

/// QoS, retain flag and subscription identifiers of a delivery.
pub(crate) type DeliveryOptions = (Qos, bool, Option<Arc<[u32]>>);

/// In a bundle, before a message that says all.
pub(crate) const NEW_HEAD: u8 = 0;
/// Before one that has all but its payload from the one before it.
pub(crate) const SAME_HEAD: u8 = 1;
