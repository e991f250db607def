use std::collections::BTreeMap;
use std::sync::Arc;

use access::{AuthMethod, Policy, ProvenMethods, UserId, UserName};
use arc_swap::ArcSwap;
use broker::{
    ClientName, Hub, Limits, Message, Peer, Record, SessionKey, ShardId, StoredDelivery,
    StoredMessage, Way,
};
use mqtt::{PacketId, ProtocolVersion, Qos, RetainHandling, SubscribeOptions, Timestamp};
use topic::{SubscriptionFilter, TopicName};
use uuid::Uuid;

use super::{Bundles, Changes, Messages, message_range, put};
use crate::record;

pub(crate) fn hub() -> Arc<Hub> {
    Hub::new(Arc::new(ArcSwap::from_pointee(Policy::empty())), 1, Limits::default(), 1)
}

pub(crate) fn key(client_id: &str) -> SessionKey {
    SessionKey { user: UserId(Uuid::from_u128(7)), client_id: client_id.into() }
}

pub(crate) fn delivery(payload: &str) -> StoredDelivery {
    let message = Message::stored(StoredMessage {
        topic: TopicName::parse("a/ü").unwrap(),
        qos: Qos::ExactlyOnce,
        retain: true,
        forwardable: &[1, 0],
        payload: payload.as_bytes(),
        writer: key("writer"),
        expires_at: Some(Timestamp(99)),
    });
    StoredDelivery {
        qos: Qos::AtLeastOnce,
        retain: true,
        identifiers: Some(Arc::from([1, 268_435_455])),
        message,
    }
}

pub(crate) fn samples() -> Vec<Record> {
    let peer =
        Peer { address: "[::1]:9".parse().unwrap(), listener: "mqtt".into(), security: None };
    let client = Arc::new(ClientName {
        user: key("").user,
        user_name: UserName::parse("ann").unwrap(),
        client_id: "c".into(),
        peer,
    });
    let packet_id = PacketId::new(0x1234).unwrap();
    let properties = mqtt::WillProperties {
        delay_s: 5,
        message_expiry_interval_s: Some(6),
        forwardable: vec![1, 1],
    };
    let topic = TopicName::parse("w").unwrap();
    let (qos, retain, payload) = (Qos::AtLeastOnce, true, vec![0, 1, 2]);
    let will = Arc::new(mqtt::Will { topic, payload, qos, retain, properties });
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
    };
    let filter = SubscriptionFilter::parse("$share/g/a/+/#").unwrap();
    let way = Way { from: ShardId(1), to: ShardId(2), number: 3 };
    vec![
        Record::SessionPut {
            key: key("c"),
            expiry_s: 3600,
            offline_since: Some(Timestamp(5)),
            client,
            version: ProtocolVersion::V5,
            connected_at: Timestamp(4),
            clean_start: true,
            methods: ProvenMethods::from(AuthMethod::Certificate),
        },
        Record::SubscriptionPut { key: key("c"), filter, options, identifier: Some(9) },
        Record::QueuedPut { key: key("c"), sequence: 1, delivery: delivery("x") },
        Record::InflightPut { key: key("c"), sequence: 1, packet_id, qos: Qos::ExactlyOnce },
        Record::InflightReleased { key: key("d"), sequence: 2, packet_id },
        Record::ReceivedPut { key: key("c"), packet_id },
        Record::WillPut { key: key("c"), will, due: Some(Timestamp(8)) },
        Record::ForwardPut {
            way,
            targets: vec![(key("c"), delivery("")), (key("d"), delivery(""))],
        },
    ]
}

/// What is on a disk.
pub(crate) struct Disk {
    pub(crate) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// As the broker knows them that writes to it.
    pub(crate) bundles: Bundles,
    pub(crate) hub: Arc<Hub>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk { entries: BTreeMap::new(), bundles: Bundles::default(), hub: hub() }
    }
}

impl Disk {
    pub(crate) fn commit(&mut self, changes: &mut Changes) {
        self.make(changes);
        changes.clear();
    }

    pub(crate) fn make(&mut self, changes: &mut Changes) {
        let folded = changes.fold(&mut self.bundles, &self.hub);
        for prefix in folded.removed_prefixes() {
            self.entries.retain(|key, _| !key.starts_with(prefix));
        }
        for (key, value) in folded.entries() {
            match value {
                Some(value) => self.entries.insert(key.to_vec(), value.to_vec()),
                None => self.entries.remove(key),
            };
        }
    }
}

fn entries(records: &[Record]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut disk, mut changes) = (Disk::default(), Changes::default());
    for one in records {
        put(one, &mut changes);
    }
    disk.commit(&mut changes);
    disk.entries.into_iter().collect()
}

/// The record that an entry is, be it a message.
fn read(key: &[u8], value: &[u8]) -> Option<Record> {
    let Some(messages) = Messages::read(key, value) else { return record::read(key, value) };
    let [(sequence, content)] = &messages.iter().collect::<Vec<_>>()[..] else { return None };
    let (key, delivery) = (messages.session().clone(), content.delivery());
    Some(Record::QueuedPut { key, sequence: *sequence, delivery })
}

#[test]
fn every_record_is_read_as_it_was_written() {
    for sample in samples() {
        let entries = entries(std::slice::from_ref(&sample));
        let [(key, value)] = &entries[..] else { panic!("one entry for {sample:?}") };
        let it = read(key, value).expect("a whole entry");
        assert_eq!(format!("{it:?}"), format!("{sample:?}"));
    }
}

#[test]
fn an_entry_that_is_cut_short_or_too_long_is_not_understood() {
    for (key, value) in entries(&samples()) {
        for length in 0..value.len() {
            assert!(read(&key, &value[..length]).is_none());
        }
        let longer = [&value[..], &[0]].concat();
        assert!(read(&key, &longer).is_none());
        let mut newer = value.clone();
        newer[0] = 3;
        assert!(read(&key, &newer).is_none());
    }
}

#[test]
fn a_session_of_an_older_broker_is_read_without_what_that_did_not_keep() {
    let [(key, mut value)] = entries(&samples()[..1]).try_into().expect("one entry");
    value[0] = 1;
    value.pop();
    let Some(Record::SessionPut { expiry_s: 3600, clean_start, methods, .. }) = read(&key, &value)
    else {
        panic!("not understood")
    };
    assert!(!clean_start && methods == ProvenMethods::default());
}

#[test]
fn a_session_that_is_removed_takes_all_its_entries_and_no_other_sessions() {
    let other = Record::ReceivedPut { key: key("cc"), packet_id: PacketId::MIN };
    let mut records = samples();
    records.extend([other, Record::SessionRemove(key("c"))]);
    let left = entries(&records);
    assert_eq!(left.len(), 3, "of `d`, of `cc`, and the one between the shards");
}

#[test]
fn what_is_put_and_removed_before_the_commit_never_reaches_the_disk() {
    let (mut changes, hub, samples) = (Changes::default(), hub(), samples());
    let mut bundles = Bundles::default();
    let message = Record::MessageRemove { key: key("c"), sequence: 1 };
    let received = Record::ReceivedRemove { key: key("c"), packet_id: PacketId::MIN };
    for record in [&samples[2], &samples[5], &message, &received] {
        put(record, &mut changes);
    }
    let way = Way { from: ShardId(1), to: ShardId(2), number: 3 };
    put(&samples[7], &mut changes);
    assert_eq!(
        changes.fold(&mut bundles, &hub).entries().count(),
        3,
        "exchange received, removed one, forward"
    );
    // Bringing it together in between changes nothing.
    put(&Record::ForwardRemove(way), &mut changes);
    let packet_id = PacketId::new(0x1234).unwrap();
    put(&Record::ReceivedRemove { key: key("c"), packet_id }, &mut changes);
    let left: Vec<_> =
        changes.fold(&mut bundles, &hub).entries().map(|(_, value)| value.is_some()).collect();
    assert_eq!(left, [false], "of what the disk may have had");
}

#[test]
fn after_a_failed_commit_whatever_may_be_there_is_removed_all_the_same() {
    let (mut disk, mut changes) = (Disk::default(), Changes::default());
    put(&samples()[2], &mut changes);
    let _folded = changes.fold(&mut disk.bundles, &disk.hub);
    // The disk said no and took it nevertheless.
    disk.entries = entries(&samples()[2..3]).into_iter().collect();
    changes.are_perhaps_there();
    put(&Record::MessageRemove { key: key("c"), sequence: 1 }, &mut changes);
    disk.commit(&mut changes);
    assert!(disk.entries.is_empty(), "{:?}", disk.entries);
}

#[test]
fn a_session_that_ends_and_begins_again_in_one_commit_has_nothing_of_its_former_life() {
    let (mut disk, mut changes) = (Disk::default(), Changes::default());
    let samples = samples();
    let mut write = |records: &[&Record], disk: &mut Disk| {
        records.iter().for_each(|one| put(one, &mut changes));
        disk.commit(&mut changes);
    };
    write(&samples.iter().collect::<Vec<_>>(), &mut disk);
    let before = disk.entries.len();
    let (header, received) = (&samples[0], &samples[5]);
    write(&[received, &Record::SessionRemove(key("c")), header, received], &mut disk);
    let of_it = |key: &&Vec<u8>| key.starts_with(b"S") && key.ends_with(b"h");
    assert_eq!(disk.entries.keys().filter(of_it).count(), 1);
    assert_eq!(disk.entries.len(), before - 4, "subscription, message, exchange and will are gone");
}

#[test]
fn no_bytes_make_a_reader_panic_and_what_is_read_means_the_same_when_written_again() {
    let all = entries(&samples());
    let mut understood = 0;
    for (key, value) in &all {
        for at in 0..key.len() + value.len() {
            for bit in 0..8 {
                let (mut key, mut value) = (key.clone(), value.clone());
                match at.checked_sub(key.len()) {
                    None => key[at] ^= 1 << bit,
                    Some(at) => value[at] ^= 1 << bit,
                }
                let Some(record) = read(&key, &value) else { continue };
                understood += 1;
                let [(key, value)] = &entries(std::slice::from_ref(&record))[..] else {
                    panic!("one entry for {record:?}")
                };
                let again = read(key, value).expect("it was written");
                assert_eq!(format!("{again:?}"), format!("{record:?}"));
            }
        }
    }
    assert!(understood > 100, "{understood}");
}

#[test]
fn a_message_that_stays_on_disk_counts_as_much_as_one_that_is_read() {
    for payload in ["", "x", &"long ".repeat(100)] {
        let delivery = delivery(payload);
        let size = delivery.message.size();
        let stored = Record::QueuedPut { key: key("ü"), sequence: 77, delivery };
        let [(at, value)] = &entries(&[stored])[..] else { panic!("one entry") };
        let (from, to) = message_range(&key("ü"), 77);
        assert!((from..=to).contains(at));
        let messages = Messages::read(at, value).expect("a message");
        let sizes: Vec<_> = messages.iter().map(|(place, it)| (place, it.size())).collect();
        assert_eq!((messages.session(), &sizes[..]), (&key("ü"), &[(77, size)][..]));
        for length in 0..value.len() {
            assert!(Messages::read(at, &value[..length]).is_none());
        }
    }
    let others = entries(&samples());
    let others = others.iter().filter(|(key, value)| Messages::read(key, value).is_none());
    assert_eq!(others.count(), samples().len() - 1, "only one of the samples is a message");
}

/// Numbers that look random, always the same.
pub(crate) fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 7_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    }
}

#[test]
fn however_records_are_brought_together_the_disk_is_as_if_each_had_been_committed_by_itself() {
    let (samples, mut number) = (samples(), numbers());
    let (header, packet_id) = (samples[0].clone(), PacketId::new(0x1234).unwrap());
    let way = Way { from: ShardId(1), to: ShardId(2), number: 3 };
    // What is there, and what may happen to it then.
    let mut samples = [2, 3, 5, 7].map(|it| samples[it].clone());
    let mut ends = [
        Record::MessageRemove { key: key("c"), sequence: 1 },
        Record::InflightRemove { key: key("c"), packet_id },
        Record::ReceivedRemove { key: key("c"), packet_id },
        Record::ForwardRemove(way),
    ];
    for round in 0..2000 {
        let (mut alone, mut together) = (Disk::default(), Disk::default());
        let (mut changes, mut earlier) = (Changes::default(), Changes::default());
        for step in 0..30 {
            let which = number(ends.len());
            let is_there = |disk: &Disk| {
                let entries = entries(&samples[which..=which]);
                entries.iter().all(|(key, _)| disk.entries.contains_key(key))
            };
            let record = match number(8) {
                0 => &Record::SessionRemove(key("c")),
                1 => &header,
                _ if is_there(&alone) => &ends[which],
                _ => {
                    // A place is given to one message only.
                    let sequence = 2 * (30 * round + step);
                    if let Record::QueuedPut { sequence: place, .. } = &mut samples[which] {
                        *place = sequence;
                        ends[0] = Record::MessageRemove { key: key("c"), sequence };
                    }
                    &samples[which]
                }
            };
            let mut one = Changes::default();
            put(record, &mut one);
            alone.commit(&mut one);
            put(record, &mut changes);
            match number(6) {
                0 => {
                    let folded = changes.fold(&mut together.bundles, &together.hub);
                    assert!(folded.entries().is_sorted_by_key(|(key, _)| key));
                }
                1 => {
                    earlier.append(&changes);
                    changes.clear();
                    together.commit(&mut earlier);
                }
                2 => {
                    // It fails; the disk has taken it or not.
                    earlier.append(&changes);
                    changes.clear();
                    let _folded = earlier.fold(&mut together.bundles, &together.hub);
                    if number(2) == 0 {
                        together.make(&mut earlier);
                    }
                    earlier.are_perhaps_there();
                }
                _ => {}
            }
        }
        earlier.append(&changes);
        together.commit(&mut earlier);
        assert_eq!(together.entries, alone.entries);
    }
}
