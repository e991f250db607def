//! Records as keys and values. Every value begins with the version of its form.

use std::sync::Arc;

use access::{AuthMethod, ProvenMethods, UserId, UserName};
use broker::{ClientName, Hub, Peer, Record, SessionKey, ShardId, StoredDelivery, Way};
use mqtt::{
    PacketId, ProtocolVersion, Qos, RetainHandling, SubscribeOptions, Timestamp, Will,
    WillProperties,
};
use topic::{SubscriptionFilter, TopicName};
use uuid::Uuid;

use crate::bytes::{Input, Output};
use crate::changes::{Act, Changes};
use crate::messages::{put_delivery, put_message, read_delivery, read_message};

/// Notes what a record changes.
pub fn put(record: &Record, changes: &mut Changes) {
    match record {
        Record::SessionRemove(key) => {
            let mut prefix = Vec::new();
            put_session_key(key, &mut Output(&mut prefix));
            changes.remove_all(prefix);
        }
        Record::SubscriptionRemove { key, filter } => {
            remove(changes, |out| put_subscription_key(key, filter, out));
        }
        Record::MessageRemove { key, sequence } => {
            changes.remove_message(key, *sequence);
        }
        Record::InflightRemove { key, packet_id } => {
            remove(changes, |out| put_exchange_key(key, IN_FLIGHT, *packet_id, out));
        }
        Record::ReceivedRemove { key, packet_id } => {
            remove(changes, |out| put_exchange_key(key, RECEIVED, *packet_id, out));
        }
        Record::ForwardRemove(way) => remove(changes, |out| put_way(*way, out)),
        Record::WillRemove(key) => remove(changes, |out| put_part_key(key, WILL, out)),
        Record::RetainedRemove(topic) => changes.note_retained(topic),
        Record::RetainedPut(message) => changes.note_retained(message.topic()),
        Record::SessionPut { key, .. } => changes.note(
            Act::Put,
            |out| put_part_key(key, HEADER, out),
            |out| put_header(record, out.byte(SESSION_VERSION)),
        ),
        Record::QueuedPut { key, sequence, delivery } => {
            changes.put_message(key, *sequence, delivery);
        }
        Record::SubscriptionPut { .. }
        | Record::InflightPut { .. }
        | Record::InflightReleased { .. }
        | Record::ReceivedPut { .. }
        | Record::ForwardPut { .. }
        | Record::WillPut { .. } => put_value(record, changes),
    }
}

fn remove(changes: &mut Changes, key: impl FnOnce(&mut Output<'_>)) {
    changes.note(Act::Remove, key, |_| ());
}

fn put_value(record: &Record, changes: &mut Changes) {
    let act = match record {
        Record::SubscriptionPut { .. } | Record::WillPut { .. } => Act::Put,
        Record::InflightReleased { .. } => Act::Update,
        _ => Act::PutNew,
    };
    let put_key = |out: &mut Output<'_>| match record {
        Record::SubscriptionPut { key, filter, .. } => put_subscription_key(key, filter, out),
        Record::InflightPut { key, packet_id, .. }
        | Record::InflightReleased { key, packet_id, .. } => {
            put_exchange_key(key, IN_FLIGHT, *packet_id, out);
        }
        Record::ReceivedPut { key, packet_id } => put_exchange_key(key, RECEIVED, *packet_id, out),
        Record::ForwardPut { way, .. } => put_way(*way, out),
        Record::WillPut { key, .. } => put_part_key(key, WILL, out),
        _ => {}
    };
    changes.note(act, put_key, |out| {
        out.byte(VERSION);
        match record {
            Record::SubscriptionPut { options, identifier, .. } => {
                out.byte(options_byte(*options)).optional(identifier.map(u64::from));
            }
            Record::InflightPut { sequence, qos, .. } => {
                out.byte(qos.bits()).u64(*sequence);
            }
            Record::InflightReleased { sequence, .. } => {
                out.byte(RELEASED).u64(*sequence);
            }
            Record::ForwardPut { targets, .. } => put_targets(targets, out),
            Record::WillPut { will, due, .. } => {
                out.optional(due.map(|at| at.0));
                put_will(will, out);
            }
            _ => {}
        }
    });
}

fn put_header(record: &Record, out: &mut Output<'_>) {
    let Record::SessionPut {
        expiry_s,
        offline_since,
        client,
        version,
        connected_at,
        clean_start,
        methods,
        ..
    } = record
    else {
        return;
    };
    out.u32(*expiry_s).optional(offline_since.map(|at| at.0)).u64(connected_at.0);
    out.byte(version_byte(*version)).bytes(client.user_name.as_str().as_bytes());
    out.bytes(client.peer.address.to_string().as_bytes());
    out.bytes(client.peer.listener.as_bytes());
    out.byte(session_flags(*clean_start, *methods));
}

fn put_targets(targets: &[(SessionKey, StoredDelivery)], out: &mut Output<'_>) {
    out.u32(u32::try_from(targets.len()).unwrap_or(u32::MAX));
    for (key, delivery) in targets {
        put_name(key, out);
        put_delivery(delivery, out);
    }
    if let Some((_, delivery)) = targets.first() {
        put_message(&delivery.message, out);
    }
}

/// Notes what is retained on a topic.
pub(crate) fn put_retained(topic: &TopicName, hub: &Hub, changes: &mut Changes) {
    let put_key = |out: &mut Output<'_>| {
        out.byte(RETAINED).raw(topic.as_str().as_bytes());
    };
    match hub.retained_on(topic) {
        None => remove(changes, put_key),
        Some(message) => {
            changes.note(Act::Put, put_key, |out| put_message(&message, out.byte(VERSION)));
        }
    }
}

fn put_will(will: &Will, out: &mut Output<'_>) {
    let WillProperties { delay_s, message_expiry_interval_s, forwardable } = &will.properties;
    out.byte(will.qos.bits()).byte(u8::from(will.retain)).u32(*delay_s);
    out.optional(message_expiry_interval_s.map(u64::from));
    out.bytes(will.topic.as_str().as_bytes()).bytes(forwardable).bytes(&will.payload);
}

pub(crate) fn put_name(key: &SessionKey, out: &mut Output<'_>) {
    out.raw(key.user.0.as_bytes()).bytes(key.client_id.as_bytes());
}

/// What the keys of all entries of a session begin with.
pub(crate) fn put_session_key(key: &SessionKey, out: &mut Output<'_>) {
    put_name(key, out.byte(SESSION));
}

fn put_part_key(key: &SessionKey, part: u8, out: &mut Output<'_>) {
    put_session_key(key, out);
    out.byte(part);
}

fn put_subscription_key(key: &SessionKey, filter: &SubscriptionFilter, out: &mut Output<'_>) {
    put_part_key(key, SUBSCRIPTION, out);
    out.raw(filter.to_string().as_bytes());
}

pub(crate) fn put_message_key(key: &SessionKey, sequence: u64, out: &mut Output<'_>) {
    put_part_key(key, MESSAGE, out);
    out.u64(sequence);
}

fn put_exchange_key(key: &SessionKey, part: u8, packet_id: PacketId, out: &mut Output<'_>) {
    put_part_key(key, part, out);
    out.u16(packet_id.get());
}

fn put_way(way: Way, out: &mut Output<'_>) {
    out.byte(FORWARD).u16(way.from.0).u16(way.to.0).u64(way.number);
}

/// The record that an entry is; `None` if it is one of [`crate::Messages`], or makes no sense.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<Record> {
    let (mut key, mut value) = (Input(key), Input(value));
    let area = key.byte()?;
    let version = value.byte()?;
    let record = match area {
        SESSION => {
            let session = read_name(&mut key)?;
            read_part(session, &mut key, version, &mut value)?
        }
        _ if version != VERSION => return None,
        RETAINED => {
            let message = read_message(&mut value)?;
            (message.topic().as_str().as_bytes() == key.rest()).then_some(())?;
            Record::RetainedPut(message)
        }
        FORWARD => {
            let (from, to) = (ShardId(key.u16()?), ShardId(key.u16()?));
            let way = Way { from, to, number: key.u64()? };
            Record::ForwardPut { way, targets: read_targets(&mut value)? }
        }
        _ => return None,
    };
    // Bytes that are left over belong to another form than this.
    (key.0.is_empty() && value.0.is_empty()).then_some(record)
}

fn read_part(
    key: SessionKey,
    rest: &mut Input<'_>,
    version: u8,
    value: &mut Input<'_>,
) -> Option<Record> {
    Some(match rest.byte()? {
        HEADER => read_header(key, version, value)?,
        _ if version != VERSION => return None,
        SUBSCRIPTION => {
            let filter = std::str::from_utf8(rest.rest()).ok()?;
            let filter = SubscriptionFilter::parse(filter).ok()?;
            let options = read_options(value.byte()?)?;
            let identifier = read_optional_u32(value)?;
            Record::SubscriptionPut { key, filter, options, identifier }
        }
        IN_FLIGHT => {
            let packet_id = PacketId::new(rest.u16()?)?;
            let stage = value.byte()?;
            let sequence = value.u64()?;
            if stage == RELEASED {
                Record::InflightReleased { key, sequence, packet_id }
            } else {
                let qos = Qos::from_bits(stage).filter(|qos| *qos > Qos::AtMostOnce)?;
                Record::InflightPut { key, sequence, packet_id, qos }
            }
        }
        RECEIVED => Record::ReceivedPut { key, packet_id: PacketId::new(rest.u16()?)? },
        WILL => {
            let due = value.optional()?.map(Timestamp);
            Record::WillPut { key, will: Arc::new(read_will(value)?), due }
        }
        _ => return None,
    })
}

fn read_header(key: SessionKey, form: u8, value: &mut Input<'_>) -> Option<Record> {
    let expiry_s = value.u32()?;
    let offline_since = value.optional()?.map(Timestamp);
    let connected_at = Timestamp(value.u64()?);
    let version = read_version(value.byte()?)?;
    let user_name = UserName::parse(value.text()?).ok()?;
    // How that connection was protected is not kept: it ended with it.
    let (address, listener) = (value.text()?.parse().ok()?, value.text()?.into());
    let peer = Peer { address, listener, security: None };
    let (clean_start, methods) = match form {
        // What had no such byte is from a broker that did not keep this.
        VERSION => (false, ProvenMethods::default()),
        SESSION_VERSION => read_session_flags(value.byte()?)?,
        _ => return None,
    };
    let client_id = Arc::clone(&key.client_id);
    let client = Arc::new(ClientName { user: key.user, user_name, client_id, peer });
    Some(Record::SessionPut {
        key,
        expiry_s,
        offline_since,
        client,
        version,
        connected_at,
        clean_start,
        methods,
    })
}

/// Whether the last client asked for a new session, and how it had proven itself.
fn session_flags(clean_start: bool, methods: ProvenMethods) -> u8 {
    u8::from(clean_start)
        | u8::from(methods.contains(AuthMethod::Password)) << 1
        | u8::from(methods.contains(AuthMethod::Certificate)) << 2
}

fn read_session_flags(byte: u8) -> Option<(bool, ProvenMethods)> {
    if byte > 7 {
        return None;
    }
    let mut methods = ProvenMethods::default();
    for (bit, method) in [(2, AuthMethod::Password), (4, AuthMethod::Certificate)] {
        if byte & bit != 0 {
            methods = methods.with(method);
        }
    }
    Some((byte & 1 != 0, methods))
}

fn read_targets(value: &mut Input<'_>) -> Option<Vec<(SessionKey, StoredDelivery)>> {
    let count = value.u32()?;
    let mut targets = Vec::new();
    for _ in 0..count {
        targets.push((read_name(value)?, read_delivery(value)?));
    }
    let message = read_message(value)?;
    let stored = |(key, (qos, retain, identifiers))| {
        (key, StoredDelivery { qos, retain, identifiers, message: Arc::clone(&message) })
    };
    Some(targets.into_iter().map(stored).collect())
}

fn read_will(value: &mut Input<'_>) -> Option<Will> {
    let qos = Qos::from_bits(value.byte()?)?;
    let retain = read_flag(value.byte()?)?;
    let delay_s = value.u32()?;
    let message_expiry_interval_s = read_optional_u32(value)?;
    let topic = TopicName::parse(value.text()?).ok()?;
    let forwardable = value.bytes()?.to_vec();
    let properties = WillProperties { delay_s, message_expiry_interval_s, forwardable };
    Some(Will { topic, payload: value.bytes()?.to_vec(), qos, retain, properties })
}

pub(crate) fn read_name(value: &mut Input<'_>) -> Option<SessionKey> {
    let user = UserId(Uuid::from_u128(value.u128()?));
    Some(SessionKey { user, client_id: value.text()?.into() })
}

fn read_optional_u32(value: &mut Input<'_>) -> Option<Option<u32>> {
    match value.optional()? {
        None => Some(None),
        Some(number) => u32::try_from(number).ok().map(Some),
    }
}

pub(crate) fn read_flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// As in a SUBSCRIBE of MQTT 5 (3.8.3.1).
fn options_byte(options: SubscribeOptions) -> u8 {
    let handling = match options.retain_handling {
        RetainHandling::Always => 0,
        RetainHandling::IfNew => 1,
        RetainHandling::Never => 2,
    };
    options.qos.bits()
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | handling << 4
}

fn read_options(byte: u8) -> Option<SubscribeOptions> {
    let retain_handling = match byte >> 4 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return None,
    };
    Some(SubscribeOptions {
        qos: Qos::from_bits(byte & 3)?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling,
    })
}

fn version_byte(version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V31 => 3,
        ProtocolVersion::V311 => 4,
        ProtocolVersion::V5 => 5,
    }
}

fn read_version(byte: u8) -> Option<ProtocolVersion> {
    match byte {
        3 => Some(ProtocolVersion::V31),
        4 => Some(ProtocolVersion::V311),
        5 => Some(ProtocolVersion::V5),
        _ => None,
    }
}

pub(crate) const VERSION: u8 = 1;
/// Of a session's own entry: it says more than its first form.
const SESSION_VERSION: u8 = 2;

pub(crate) const SESSION: u8 = b'S';
const RETAINED: u8 = b'R';
const FORWARD: u8 = b'F';

const HEADER: u8 = b'h';
const SUBSCRIPTION: u8 = b's';
pub(crate) const MESSAGE: u8 = b'm';
/// Read before the bundles that it says something of.
pub(crate) const MARK: u8 = b'g';
const IN_FLIGHT: u8 = b'i';
const RECEIVED: u8 = b'r';
const WILL: u8 = b'w';

/// Instead of the QoS of a message in flight: only PUBREL is left.
const RELEASED: u8 = 3;
