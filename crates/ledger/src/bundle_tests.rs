//! Bundles against a list: whatever comes and goes, is brought together, fails, and is read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::{Image, Limits, Record, SessionKey, StoredDelivery};

use crate::messages::MessageKey;
use crate::tests::{Disk, delivery, key, numbers, samples};
use crate::{Bundles, Changes, Messages, load, message_range, put};

/// By session and place: the payload.
type Known = BTreeMap<(Arc<str>, u64), String>;

fn message(session: &SessionKey, sequence: u64, payload: &str) -> Record {
    Record::QueuedPut { key: session.clone(), sequence, delivery: delivery(payload) }
}

fn payload(delivery: &StoredDelivery) -> String {
    String::from_utf8(delivery.message.payload().to_vec()).unwrap()
}

fn commit(records: &[Record], disk: &mut Disk) {
    let mut changes = Changes::default();
    records.iter().for_each(|it| put(it, &mut changes));
    disk.commit(&mut changes);
}

/// What a start finds of messages, and the bundles that it knows then.
fn start(disk: &Disk) -> (Known, Bundles) {
    let (mut image, limits, mut bundles) =
        (Image::default(), Limits::default(), Bundles::default());
    let mut known = Known::new();
    for (key, value) in &disk.entries {
        assert!(load((key, value), &mut image, &limits, &mut bundles), "{key:?}");
        let Some(place) = MessageKey::read(key) else { continue };
        let gone = place.count.map_or(0, |count| bundles.load(place.prefix, place.first, count));
        let messages = Messages::read(key, value).expect("it was understood");
        let all: Vec<_> = messages.iter().map(|(place, _)| place).collect();
        for (at, delivery) in messages.at(&all) {
            if gone >> (at - place.first) & 1 == 0 {
                let name = (messages.session().client_id.clone(), at);
                let former = known.insert(name, payload(&delivery));
                assert_eq!(former, None, "{at} lies there twice");
            }
        }
    }
    assert!(bundles.take_stray_marks().is_empty());
    (known, bundles)
}

/// What is read of a message that somebody asks for.
fn fetched(disk: &Disk, client_id: &Arc<str>, place: u64) -> Option<String> {
    let session = SessionKey { client_id: client_id.clone(), ..key("") };
    let (from, to) = message_range(&session, place);
    let (key, value) = disk.entries.range(from..=to).next_back()?;
    let found: Vec<_> = Messages::read(key, value)?.at(&[place]).collect();
    found.first().map(|(_, delivery)| payload(delivery))
}

#[test]
fn messages_of_a_session_that_follow_each_other_are_one_entry_that_says_what_is_the_same_once() {
    let (mut disk, session) = (Disk::default(), key("c"));
    let records: Vec<_> = (1..=64).map(|it| message(&session, it, &"x".repeat(64))).collect();
    commit(&records, &mut disk);
    assert_eq!(disk.entries.len(), 1);
    let (at, value) = disk.entries.first_key_value().unwrap();
    assert!(value.len() < 64 * 80, "{}", value.len());
    for length in 0..value.len() {
        assert!(Messages::read(at, &value[..length]).is_none());
    }
    // One more is another bundle's, and alone.
    commit(&[message(&session, 65, "y")], &mut disk);
    assert_eq!(disk.entries.len(), 2);
    for place in 1..=65 {
        let expected = if place == 65 { "y".to_owned() } else { "x".repeat(64) };
        assert_eq!(fetched(&disk, &session.client_id, place), Some(expected), "{place}");
    }
    assert_eq!(fetched(&disk, &session.client_id, 66), None);
}

#[test]
fn messages_that_differ_keep_their_differences_and_large_ones_stay_alone() {
    let (mut disk, session) = (Disk::default(), key("c"));
    let mut other = delivery("2");
    other.identifiers = None;
    let other = Record::QueuedPut { key: session.clone(), sequence: 2, delivery: other };
    let large = "l".repeat(40_000);
    let records = [
        message(&session, 1, "1"),
        other,
        message(&session, 3, "3"),
        message(&session, 4, &large),
        message(&session, 5, "5"),
        message(&session, 7, "7"),
    ];
    commit(&records, &mut disk);
    let read = disk.entries.iter().map(|(key, value)| Messages::read(key, value).unwrap());
    let read: Vec<_> = read.collect();
    let counts: Vec<_> = read.iter().map(|it| it.iter().count()).collect();
    assert_eq!(counts, [3, 1, 1, 1]);
    let found: Vec<_> = read.iter().flat_map(|it| it.at(&[1, 2, 3, 4, 5, 7])).collect();
    for ((place, delivery), put) in found.iter().zip(&records) {
        let (key, delivery) = (session.clone(), delivery.clone());
        let found = Record::QueuedPut { key, sequence: *place, delivery };
        assert_eq!(format!("{found:?}"), format!("{put:?}"));
    }
    assert_eq!(found.len(), records.len());
}

#[test]
fn messages_of_two_sessions_are_never_one_entry() {
    let mut disk = Disk::default();
    commit(&[message(&key("c"), 1, "x"), message(&key("d"), 2, "x")], &mut disk);
    assert_eq!(disk.entries.len(), 2);
    assert_eq!(start(&disk).0.len(), 2);
}

#[test]
fn of_a_bundle_all_that_is_not_removed_is_left_and_with_the_last_it_goes_and_its_mark() {
    let (mut disk, session) = (Disk::default(), key("c"));
    let records: Vec<_> = (10..=15).map(|it| message(&session, it, &it.to_string())).collect();
    commit(&records, &mut disk);
    let remove = |it| Record::MessageRemove { key: session.clone(), sequence: it };
    commit(&[remove(12), remove(10)], &mut disk);
    let places = |known: &Known| known.keys().map(|(_, place)| *place).collect::<Vec<_>>();
    assert_eq!(places(&start(&disk).0), [11, 13, 14, 15]);
    // Another broker goes on.
    disk.bundles = start(&disk).1;
    commit(&[remove(15), remove(11), remove(14)], &mut disk);
    assert_eq!(places(&start(&disk).0), [13]);
    commit(&[remove(13)], &mut disk);
    assert!(disk.entries.is_empty(), "{:?}", disk.entries);
    // All at once needs no mark.
    commit(&records, &mut disk);
    let mut changes = Changes::default();
    (10..=15).for_each(|it| put(&remove(it), &mut changes));
    assert_eq!(changes.fold(&mut disk.bundles, &disk.hub).entries().count(), 1);
}

#[test]
fn no_new_message_gets_a_place_in_a_bundle_whose_last_ones_are_gone() {
    let (mut disk, samples) = (Disk::default(), samples());
    let session = key("c");
    let mut records: Vec<_> = (10..=15).map(|it| message(&session, it, "x")).collect();
    records.extend([0, 1, 7].map(|it| samples[it].clone()));
    commit(&records, &mut disk);
    let remove = |it| Record::MessageRemove { key: session.clone(), sequence: it };
    commit(&[remove(14), remove(15)], &mut disk);
    let (mut image, mut bundles) = (Image::default(), Bundles::default());
    for (key, value) in &disk.entries {
        assert!(load((key, value), &mut image, &Limits::default(), &mut bundles));
    }
    let settled = image.settle();
    let places = settled.iter().filter_map(|record| match record {
        Record::QueuedPut { key, sequence, .. } if *key == session => Some(*sequence),
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), [16], "what was between two shards waits behind");
}

#[test]
fn no_bytes_of_a_bundle_or_a_mark_make_a_reader_panic() {
    let (mut disk, session) = (Disk::default(), key("c"));
    let records: Vec<_> = (1..=3).map(|it| message(&session, it, "x")).collect();
    commit(&records, &mut disk);
    commit(&[Record::MessageRemove { key: session.clone(), sequence: 2 }], &mut disk);
    let (mut understood, all) = (0, disk.entries.clone());
    assert_eq!(all.len(), 2);
    for (key, value) in &all {
        for at in 0..8 * (key.len() + value.len()) {
            let (mut key, mut value) = (key.clone(), value.clone());
            let (byte, bit) = (at / 8, 1 << (at % 8));
            match byte.checked_sub(key.len()) {
                None => key[byte] ^= bit,
                Some(byte) => value[byte] ^= bit,
            }
            let (mut image, mut bundles) = (Image::default(), Bundles::default());
            let limits = Limits::default();
            understood += usize::from(load((&key, &value), &mut image, &limits, &mut bundles));
            if let Some(messages) = Messages::read(&key, &value) {
                assert!(messages.at(&[1, 2, 3, u64::MAX]).count() <= 4);
            }
        }
    }
    assert!(understood > 100, "{understood}");
}

#[test]
fn what_is_retained_is_what_the_hub_has_when_changes_are_brought_together_also_of_those_added() {
    let (mut disk, mut changes, mut later) =
        (Disk::default(), Changes::default(), Changes::default());
    let of = |text: &str| delivery(text).message;
    put(&Record::RetainedPut(of("of before")), &mut later);
    let mut image = Image::default();
    image.take(Record::RetainedPut(of("of now")));
    assert!(image.restore_retained(&disk.hub, mqtt::Timestamp(1)).is_empty());
    changes.append(&later);
    disk.commit(&mut changes);
    let [value] = &disk.entries.values().collect::<Vec<_>>()[..] else { panic!("one entry") };
    assert!(value.ends_with(b"of now"));
}

#[test]
fn a_mark_whose_bundle_is_lost_is_removed_before_its_place_is_used_again() {
    let (mut disk, session) = (Disk::default(), key("c"));
    let records: Vec<_> = (1..=3).map(|it| message(&session, it, "x")).collect();
    commit(&records, &mut disk);
    commit(&[Record::MessageRemove { key: session.clone(), sequence: 2 }], &mut disk);
    disk.entries.retain(|key, value| Messages::read(key, value).is_none());
    assert_eq!(disk.entries.len(), 1, "the mark");
    let (mut image, mut bundles) = (Image::default(), Bundles::default());
    for (key, value) in &disk.entries {
        assert!(load((key, value), &mut image, &Limits::default(), &mut bundles));
    }
    let mut changes = Changes::default();
    changes.remove_stray_marks(&mut bundles);
    disk.bundles = bundles;
    disk.commit(&mut changes);
    assert!(disk.entries.is_empty());
    commit(&records, &mut disk);
    assert_eq!(start(&disk).0.len(), 3);
}

/// Two sessions with a disk, and what is to be there.
#[derive(Default)]
struct Trial {
    disk: Disk,
    known: Known,
    waiting: Changes,
    next: [u64; 2],
}

impl Trial {
    fn put(&mut self, which: usize, number: &mut impl FnMut(usize) -> usize) {
        let session = key(NAMES[which]);
        for _ in 0..1 + number(90) {
            // Places that are used for something else make a gap.
            self.next[which] += 1 + u64::from(number(20) == 0);
            let (place, text) = (self.next[which], number(1_000).to_string());
            put(&message(&session, place, &text), &mut self.waiting);
            self.known.insert((session.client_id.clone(), place), text);
        }
    }

    fn remove(&mut self, client_id: Arc<str>, sequence: u64) {
        let key = SessionKey { client_id, ..key("") };
        put(&Record::MessageRemove { key, sequence }, &mut self.waiting);
    }

    fn remove_some(&mut self, which: usize, number: &mut impl FnMut(usize) -> usize) {
        let names = self.known.keys().filter(|(client, _)| **client == *NAMES[which]);
        let names: Vec<_> = names.cloned().collect();
        let from = number(names.len() + 1);
        for name in names[from..].iter().take(1 + number(80)) {
            self.known.remove(name);
            self.remove(name.0.clone(), name.1);
        }
    }

    /// The session ends and begins again.
    fn renew(&mut self, which: usize) {
        put(&Record::SessionRemove(key(NAMES[which])), &mut self.waiting);
        self.known.retain(|(client, _), _| **client != *NAMES[which]);
        self.next[which] = 0;
        put(&samples()[0], &mut self.waiting);
    }

    fn commit(&mut self, is_started_again: bool) {
        self.disk.commit(&mut self.waiting);
        let (found, bundles) = start(&self.disk);
        assert_eq!(found, self.known);
        for ((client, place), text) in &self.known {
            assert_eq!(fetched(&self.disk, client, *place).as_ref(), Some(text));
        }
        if is_started_again {
            self.disk.bundles = bundles;
        }
    }

    fn end(mut self) {
        for (client_id, sequence) in std::mem::take(&mut self.known).into_keys() {
            self.remove(client_id, sequence);
        }
        self.commit(false);
        let left = self.disk.entries.keys().filter(|key| !key.ends_with(b"h"));
        assert_eq!(left.count(), 0, "{:?}", self.disk.entries);
        assert_eq!(format!("{:?}", self.disk.bundles), format!("{:?}", Bundles::default()));
    }
}

#[test]
fn whatever_comes_goes_fails_and_is_read_again_each_message_is_there_once_as_long_as_it_should_be()
{
    let mut number = numbers();
    for _ in 0..100 {
        let mut trial = Trial::default();
        for _ in 0..60 {
            let which = number(2);
            match number(12) {
                0..4 => trial.put(which, &mut number),
                4..8 => trial.remove_some(which, &mut number),
                8 => trial.renew(which),
                9 => {
                    // The disk fails, and has taken it or not.
                    if number(2) == 0 {
                        trial.disk.make(&mut trial.waiting);
                    }
                    trial.waiting.are_perhaps_there();
                }
                10 => {
                    // It fails with what was brought together before, and more has come since.
                    let mut former = std::mem::take(&mut trial.waiting);
                    let _folded = former.fold(&mut trial.disk.bundles, &trial.disk.hub);
                    trial.put(which, &mut number);
                    former.append(&trial.waiting);
                    former.are_perhaps_there();
                    trial.waiting = former;
                }
                _ => trial.commit(number(2) == 0),
            }
        }
        trial.end();
    }
}

const NAMES: [&str; 2] = ["c", "d"];
