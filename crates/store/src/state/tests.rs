use std::path::Path;

use super::{Changes, Damage, Safety, StateLog};

fn open(directory: &Path) -> (StateLog, Damage) {
    StateLog::open(&directory.join("state"), Safety::Synced).unwrap()
}

fn put(log: &mut StateLog, keys: &[&str]) {
    let mut changes = Changes::default();
    for key in keys {
        changes.put(key.as_bytes().to_vec(), format!("{key}: {}", "x".repeat(50)).into_bytes());
    }
    log.commit(&mut changes).unwrap();
    assert!(changes.is_empty(), "what is committed need not be committed again");
}

fn keys(log: &StateLog) -> Vec<String> {
    let mut keys = Vec::new();
    let unreadable = log.read(|key, value| {
        assert!(value.starts_with(key), "a value belongs to another key");
        keys.push(String::from_utf8(key.to_vec()).unwrap());
    });
    assert_eq!(unreadable.unwrap(), 0);
    keys
}

/// Changes the log's file and checks what is left of the groups `a`, `b`, `c`, in this order.
fn check(damage: impl FnOnce(&mut Vec<u8>), left: &[&str], is_put_aside: bool) {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, clean) = open(directory.path());
    assert_eq!(clean, Damage::default());
    for key in ["a", "b", "c"] {
        put(&mut log, &[key]);
    }
    drop(log);
    let journal = std::fs::read_dir(directory.path().join("state")).unwrap();
    let journal = journal
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "jnl"))
        .expect("a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(used);
    damage(&mut bytes);
    std::fs::write(&journal, &bytes).unwrap();
    let (mut log, damage) = open(directory.path());
    assert_eq!(keys(&log), left);
    assert_eq!(damage.put_aside.is_some(), is_put_aside, "{damage:?}");
    assert_eq!(damage.bytes_cut > 0, left.len() < 3, "{damage:?}");
    put(&mut log, &["d"]);
    drop(log);
    let (log, clean) = open(directory.path());
    assert_eq!(keys(&log), [left, &["d"]].concat());
    assert_eq!(clean, Damage::default());
}

fn place_of(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("it is there")
}

#[test]
fn a_log_that_is_whole_is_read_as_it_was_written() {
    check(|_| {}, &["a", "b", "c"], false);
}

#[test]
fn a_group_that_was_cut_off_is_dropped_and_the_rest_kept() {
    check(|bytes| bytes.truncate(bytes.len() - 5), &["a", "b"], false);
}

#[test]
fn a_changed_byte_in_a_value_is_found_and_what_was_before_it_is_kept() {
    check(
        |bytes| {
            let at = place_of(bytes, "b: xxx");
            bytes[at + 10] ^= 1;
        },
        &["a"],
        true,
    );
}

#[test]
fn what_is_put_and_removed_before_the_commit_never_reaches_the_disk() {
    let mut changes = Changes::default();
    changes.put_new(b"a".to_vec(), b"1".to_vec());
    changes.remove(b"a".to_vec());
    assert!(changes.is_empty());
}

#[test]
fn a_removed_prefix_takes_everything_below_it_and_nothing_that_comes_later() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    put(&mut log, &["a/1", "a/2", "b/1"]);
    let mut changes = Changes::default();
    changes.put(b"a/3".to_vec(), b"a/3".to_vec());
    changes.remove_all(b"a/".to_vec());
    changes.put(b"a/4".to_vec(), b"a/4".to_vec());
    log.commit(&mut changes).unwrap();
    assert_eq!(keys(&log), ["a/4", "b/1"]);
}

#[test]
fn two_cannot_have_the_log_open() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let second = StateLog::open(&directory.path().join("state"), Safety::Synced);
    assert!(matches!(second, Err(crate::StoreError::InUse { .. })), "{second:?}");
    drop(log);
}
