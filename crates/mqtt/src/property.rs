//! Properties of 5.0 (section 2.2.2): one at a time, read with every rule checked, written back.

use crate::ProtocolError;
use crate::ReasonCode;
use crate::reader::Reader;
use crate::writer::{put_binary, put_four_bytes, put_text, put_two_bytes, put_varint};
use topic::{TopicError, TopicName};

/// One property with its value; the value is already in range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Property<'a> {
    PayloadFormat(bool),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(bool),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// Where a set of properties stands; decides which are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Connect,
    Will,
    ConnAck,
    Publish,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    Ack,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
}

/// The properties of one packet. Each is checked as it is read: known, allowed here, not given
/// twice, in range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Properties<'a> {
    reader: Reader<'a>,
    place: Place,
    /// Bit n is set once the property with identifier n was read.
    seen: u64,
}

impl<'a> Properties<'a> {
    /// Takes the length and as many bytes from the packet.
    pub(crate) fn read(
        body: &mut Reader<'a>,
        place: Place,
    ) -> Result<Properties<'a>, ProtocolError> {
        let length = usize::try_from(body.varint()?).unwrap_or(usize::MAX);
        Ok(Properties::over(body.take(length)?, place))
    }

    /// Over the bytes of the properties alone.
    pub(crate) fn over(bytes: &'a [u8], place: Place) -> Properties<'a> {
        Properties { reader: Reader::new(bytes), place, seen: 0 }
    }

    /// The next property, or `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, ProtocolError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        // All identifiers fit into one byte, so a longer form would not be the shortest.
        let id = self.reader.byte()?;
        if !is_allowed(id, self.place) {
            return Err(ProtocolError::malformed(
                "property is unknown or not allowed in this packet",
            ));
        }
        let bit = 1_u64.checked_shl(u32::from(id)).unwrap_or(0);
        if self.seen & bit != 0 && !may_repeat(id, self.place) {
            return Err(ProtocolError::protocol("property is given twice"));
        }
        self.seen |= bit;
        Property::read(id, &mut self.reader).map(Some)
    }
}

impl<'a> Property<'a> {
    fn read(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, ProtocolError> {
        Ok(match id {
            PAYLOAD_FORMAT => Property::PayloadFormat(flag(reader)?),
            MESSAGE_EXPIRY_INTERVAL => Property::MessageExpiryInterval(reader.four_bytes()?),
            CONTENT_TYPE => Property::ContentType(reader.text()?),
            RESPONSE_TOPIC => Property::ResponseTopic(response_topic(reader)?),
            CORRELATION_DATA => Property::CorrelationData(reader.binary()?),
            SUBSCRIPTION_IDENTIFIER => {
                Property::SubscriptionIdentifier(subscription_identifier(reader)?)
            }
            SESSION_EXPIRY_INTERVAL => Property::SessionExpiryInterval(reader.four_bytes()?),
            ASSIGNED_CLIENT_IDENTIFIER => Property::AssignedClientIdentifier(reader.text()?),
            SERVER_KEEP_ALIVE => Property::ServerKeepAlive(reader.two_bytes()?),
            AUTHENTICATION_METHOD => Property::AuthenticationMethod(reader.text()?),
            AUTHENTICATION_DATA => Property::AuthenticationData(reader.binary()?),
            REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(flag(reader)?),
            WILL_DELAY_INTERVAL => Property::WillDelayInterval(reader.four_bytes()?),
            REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(flag(reader)?),
            RESPONSE_INFORMATION => Property::ResponseInformation(reader.text()?),
            SERVER_REFERENCE => Property::ServerReference(reader.text()?),
            REASON_STRING => Property::ReasonString(reader.text()?),
            RECEIVE_MAXIMUM => Property::ReceiveMaximum(receive_maximum(reader)?),
            TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(reader.two_bytes()?),
            TOPIC_ALIAS => Property::TopicAlias(topic_alias(reader)?),
            MAXIMUM_QOS => Property::MaximumQos(flag(reader)?),
            RETAIN_AVAILABLE => Property::RetainAvailable(flag(reader)?),
            USER_PROPERTY => Property::User(reader.text()?, reader.text()?),
            MAXIMUM_PACKET_SIZE => Property::MaximumPacketSize(maximum_packet_size(reader)?),
            WILDCARD_SUBSCRIPTION_AVAILABLE => {
                Property::WildcardSubscriptionAvailable(flag(reader)?)
            }
            SUBSCRIPTION_IDENTIFIER_AVAILABLE => {
                Property::SubscriptionIdentifierAvailable(flag(reader)?)
            }
            SHARED_SUBSCRIPTION_AVAILABLE => Property::SharedSubscriptionAvailable(flag(reader)?),
            _ => return Err(ProtocolError::malformed("property is unknown")),
        })
    }

    /// Identifier and value, as on the wire.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Property::PayloadFormat(value) => put_flag(PAYLOAD_FORMAT, value, out),
            Property::MessageExpiryInterval(s) => put_four(MESSAGE_EXPIRY_INTERVAL, s, out),
            Property::ContentType(text) => put_string(CONTENT_TYPE, text, out),
            Property::ResponseTopic(text) => put_string(RESPONSE_TOPIC, text, out),
            Property::CorrelationData(bytes) => put_bytes(CORRELATION_DATA, bytes, out),
            Property::SubscriptionIdentifier(id) => {
                out.push(SUBSCRIPTION_IDENTIFIER);
                put_varint(usize::try_from(id).unwrap_or(0), out);
            }
            Property::SessionExpiryInterval(s) => put_four(SESSION_EXPIRY_INTERVAL, s, out),
            Property::AssignedClientIdentifier(id) => {
                put_string(ASSIGNED_CLIENT_IDENTIFIER, id, out)
            }
            Property::ServerKeepAlive(s) => put_two(SERVER_KEEP_ALIVE, s, out),
            Property::AuthenticationMethod(text) => put_string(AUTHENTICATION_METHOD, text, out),
            Property::AuthenticationData(bytes) => put_bytes(AUTHENTICATION_DATA, bytes, out),
            Property::RequestProblemInformation(value) => {
                put_flag(REQUEST_PROBLEM_INFORMATION, value, out);
            }
            Property::WillDelayInterval(s) => put_four(WILL_DELAY_INTERVAL, s, out),
            Property::RequestResponseInformation(value) => {
                put_flag(REQUEST_RESPONSE_INFORMATION, value, out);
            }
            Property::ResponseInformation(text) => put_string(RESPONSE_INFORMATION, text, out),
            Property::ServerReference(text) => put_string(SERVER_REFERENCE, text, out),
            Property::ReasonString(text) => put_string(REASON_STRING, text, out),
            Property::ReceiveMaximum(count) => put_two(RECEIVE_MAXIMUM, count, out),
            Property::TopicAliasMaximum(count) => put_two(TOPIC_ALIAS_MAXIMUM, count, out),
            Property::TopicAlias(alias) => put_two(TOPIC_ALIAS, alias, out),
            Property::MaximumQos(value) => put_flag(MAXIMUM_QOS, value, out),
            Property::RetainAvailable(value) => put_flag(RETAIN_AVAILABLE, value, out),
            Property::User(name, value) => {
                put_string(USER_PROPERTY, name, out);
                put_text(value, out);
            }
            Property::MaximumPacketSize(bytes) => put_four(MAXIMUM_PACKET_SIZE, bytes, out),
            Property::WildcardSubscriptionAvailable(value) => {
                put_flag(WILDCARD_SUBSCRIPTION_AVAILABLE, value, out);
            }
            Property::SubscriptionIdentifierAvailable(value) => {
                put_flag(SUBSCRIPTION_IDENTIFIER_AVAILABLE, value, out);
            }
            Property::SharedSubscriptionAvailable(value) => {
                put_flag(SHARED_SUBSCRIPTION_AVAILABLE, value, out);
            }
        }
    }
}

/// The column "Packet / Will Properties" of table 2-4.
fn is_allowed(id: u8, place: Place) -> bool {
    use Place::{Ack, Auth, ConnAck, Connect, Disconnect, Publish, Subscribe, Will};
    match id {
        USER_PROPERTY => true,
        PAYLOAD_FORMAT
        | MESSAGE_EXPIRY_INTERVAL
        | CONTENT_TYPE
        | RESPONSE_TOPIC
        | CORRELATION_DATA => matches!(place, Publish | Will),
        SUBSCRIPTION_IDENTIFIER => matches!(place, Publish | Subscribe),
        SESSION_EXPIRY_INTERVAL => matches!(place, Connect | ConnAck | Disconnect),
        AUTHENTICATION_METHOD | AUTHENTICATION_DATA => matches!(place, Connect | ConnAck | Auth),
        REQUEST_PROBLEM_INFORMATION | REQUEST_RESPONSE_INFORMATION => place == Connect,
        WILL_DELAY_INTERVAL => place == Will,
        SERVER_REFERENCE => matches!(place, ConnAck | Disconnect),
        REASON_STRING => matches!(place, ConnAck | Ack | Disconnect | Auth),
        RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | MAXIMUM_PACKET_SIZE => {
            matches!(place, Connect | ConnAck)
        }
        TOPIC_ALIAS => place == Publish,
        ASSIGNED_CLIENT_IDENTIFIER
        | SERVER_KEEP_ALIVE
        | RESPONSE_INFORMATION
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | WILDCARD_SUBSCRIPTION_AVAILABLE
        | SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | SHARED_SUBSCRIPTION_AVAILABLE => place == ConnAck,
        _ => false,
    }
}

/// 3.3.2.3.8: a message carries the identifiers of all subscriptions that it matched.
fn may_repeat(id: u8, place: Place) -> bool {
    id == USER_PROPERTY || (id == SUBSCRIPTION_IDENTIFIER && place == Place::Publish)
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, ProtocolError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ProtocolError::protocol("property is neither 0 nor 1")),
    }
}

/// [MQTT-3.3.2-14] A response topic is a topic name, without wildcards.
fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ProtocolError> {
    let topic = reader.text()?;
    match TopicName::validate(topic) {
        // It is handed on, not gone through: how many levels it has is nothing to us.
        Ok(()) | Err(TopicError::TooManyLevels) => Ok(topic),
        Err(_) => Err(ProtocolError::protocol("response topic is not a topic name")),
    }
}

fn subscription_identifier(reader: &mut Reader<'_>) -> Result<u32, ProtocolError> {
    match reader.varint()? {
        0 => Err(ProtocolError::protocol("subscription identifier is 0")),
        id => Ok(id),
    }
}

fn receive_maximum(reader: &mut Reader<'_>) -> Result<u16, ProtocolError> {
    match reader.two_bytes()? {
        0 => Err(ProtocolError::protocol("receive maximum is 0")),
        count => Ok(count),
    }
}

fn maximum_packet_size(reader: &mut Reader<'_>) -> Result<u32, ProtocolError> {
    match reader.four_bytes()? {
        0 => Err(ProtocolError::protocol("maximum packet size is 0")),
        bytes => Ok(bytes),
    }
}

/// [MQTT-3.3.2-8] 0 stands for no topic.
fn topic_alias(reader: &mut Reader<'_>) -> Result<u16, ProtocolError> {
    match reader.two_bytes()? {
        0 => Err(ProtocolError::new(ReasonCode::TopicAliasInvalid, "topic alias is 0")),
        alias => Ok(alias),
    }
}

fn put_flag(id: u8, value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&[id, u8::from(value)]);
}

fn put_two(id: u8, value: u16, out: &mut Vec<u8>) {
    out.push(id);
    put_two_bytes(value, out);
}

fn put_four(id: u8, value: u32, out: &mut Vec<u8>) {
    out.push(id);
    put_four_bytes(value, out);
}

fn put_string(id: u8, text: &str, out: &mut Vec<u8>) {
    out.push(id);
    put_text(text, out);
}

fn put_bytes(id: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    put_binary(bytes, out);
}

// Table 2-4.
const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
const WILL_DELAY_INTERVAL: u8 = 0x18;
const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
const RESPONSE_INFORMATION: u8 = 0x1A;
const SERVER_REFERENCE: u8 = 0x1C;
const REASON_STRING: u8 = 0x1F;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const MAXIMUM_QOS: u8 = 0x24;
const RETAIN_AVAILABLE: u8 = 0x25;
const USER_PROPERTY: u8 = 0x26;
const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
