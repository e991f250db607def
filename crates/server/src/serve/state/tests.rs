use std::sync::Arc;

use access::{AuthMethod, Policy, ProvenMethods, UserId, UserName};
use arc_swap::ArcSwap;
use broker::{
    ClientName, Hub, Limits, Message, Peer, Record, SessionKey, ShardId, StoredDelivery,
    StoredMessage, Way,
};
use mqtt::{PacketId, ProtocolVersion, Qos, RetainHandling, SubscribeOptions, Timestamp};
use store::{Changes, Safety, StateLog};
use topic::{SubscriptionFilter, TopicName};
use uuid::Uuid;

use super::record;

fn hub() -> Arc<Hub> {
    Hub::new(Arc::new(ArcSwap::from_pointee(Policy::empty())), 1, Limits::default(), 1)
}

fn key(client_id: &str) -> SessionKey {
    SessionKey { user: UserId(Uuid::from_u128(7)), client_id: client_id.into() }
}

fn delivery(payload: &str) -> StoredDelivery {
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

fn samples() -> Vec<Record> {
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

fn entries(records: &[Record]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = StateLog::open(&directory.path().join("state"), Safety::Buffered).unwrap();
    let mut changes = Changes::default();
    let hub = hub();
    for one in records {
        record::put(one, &hub, &mut changes);
    }
    log.commit(&mut changes).unwrap();
    let mut entries = Vec::new();
    log.read(|key, value| entries.push((key.to_vec(), value.to_vec()))).unwrap();
    entries
}

#[test]
fn every_record_is_read_as_it_was_written() {
    for sample in samples() {
        let entries = entries(std::slice::from_ref(&sample));
        let [(key, value)] = &entries[..] else { panic!("one entry for {sample:?}") };
        let read = record::read(key, value).expect("a whole entry");
        assert_eq!(format!("{read:?}"), format!("{sample:?}"));
    }
}

#[test]
fn an_entry_that_is_cut_short_or_too_long_is_not_understood() {
    for (key, value) in entries(&samples()) {
        for length in 0..value.len() {
            assert!(record::read(&key, &value[..length]).is_none());
        }
        let longer = [&value[..], &[0]].concat();
        assert!(record::read(&key, &longer).is_none());
        let mut newer = value.clone();
        newer[0] = 3;
        assert!(record::read(&key, &newer).is_none());
    }
}

#[test]
fn a_session_of_an_older_broker_is_read_without_what_that_did_not_keep() {
    let [(key, mut value)] = entries(&samples()[..1]).try_into().expect("one entry");
    value[0] = 1;
    value.pop();
    let Some(Record::SessionPut { expiry_s: 3600, clean_start, methods, .. }) =
        record::read(&key, &value)
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
fn a_message_that_stays_on_disk_counts_as_much_as_one_that_is_read() {
    for payload in ["", "x", &"long ".repeat(100)] {
        let delivery = delivery(payload);
        let size = delivery.message.size();
        let stored = Record::QueuedPut { key: key("ü"), sequence: 77, delivery };
        let [(at, value)] = &entries(&[stored])[..] else { panic!("one entry") };
        assert_eq!(record::message_place(at), Some((key("ü"), 77)));
        assert_eq!(record::message_key(&key("ü"), 77), *at);
        assert_eq!(record::message_size(value), Some(size));
        for length in 0..value.len() {
            assert_eq!(record::message_size(&value[..length]), None);
        }
    }
    let others =
        entries(&samples()).into_iter().filter(|(key, _)| record::message_place(key).is_none());
    assert_eq!(others.count(), samples().len() - 1, "only one of the samples is a message");
}
