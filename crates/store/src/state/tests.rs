use std::path::Path;

use super::{Damage, Safety, StateLog};

fn open(directory: &Path) -> (StateLog, Damage) {
    StateLog::open(&directory.join("state"), Safety::Synced).unwrap()
}

fn put(log: &mut StateLog, keys: &[&str]) {
    let value = |key: &&str| format!("{key}: {}", "x".repeat(50)).into_bytes();
    let values: Vec<_> = keys.iter().map(value).collect();
    let entries = keys.iter().zip(&values).map(|(key, value)| (key.as_bytes(), Some(&**value)));
    log.commit([], entries).unwrap();
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
fn a_removed_prefix_takes_everything_below_it_but_what_is_put() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    put(&mut log, &["a/1", "a/2", "b/1"]);
    put(&mut log, &["a/2", "a/3"]);
    let entries = [(&b"a/2"[..], Some(&b"a/2"[..])), (b"a/4", Some(b"a/4")), (b"a/5", None)];
    log.commit([&b"a/"[..]], entries).unwrap();
    assert_eq!(keys(&log), ["a/2", "a/4", "b/1"]);
}

#[test]
fn two_cannot_have_the_log_open() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path());
    let second = StateLog::open(&directory.path().join("state"), Safety::Synced);
    assert!(matches!(second, Err(crate::StoreError::InUse { .. })), "{second:?}");
    drop(log);
}

/// A log of six groups with two keys each, without its reserved room.
struct Written {
    directory: tempfile::TempDir,
    journal: std::path::PathBuf,
    bytes: Vec<u8>,
    /// Where in the journal each group ends.
    ends: Vec<usize>,
}

fn written() -> Written {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    let files = std::fs::read_dir(directory.path().join("state")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let journal =
        files.filter(|path| path.extension().is_some_and(|it| it == "jnl")).max().unwrap();
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let mut ends = Vec::new();
    for number in 0..6 {
        put(&mut log, &[&format!("{number}a"), &format!("{number}b")]);
        ends.push(used(&std::fs::read(&journal).unwrap()));
    }
    drop(log);
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.truncate(ends[5]);
    Written { directory, journal, bytes, ends }
}

impl Written {
    /// Opens the log with this journal, as a power cut or a bad disk could leave it. What is left must be whole groups
    /// from the first on, at least so many; whatever else is lost must be told.
    fn check(&self, bytes: &[u8], least: usize, what: &str) {
        let state = self.directory.path().join("state");
        std::fs::write(&self.journal, bytes).unwrap();
        let (log, damage) = open(self.directory.path());
        let left = keys(&log);
        let groups = left.len() / 2;
        let whole: Vec<_> =
            (0..groups).flat_map(|it| [format!("{it}a"), format!("{it}b")]).collect();
        assert_eq!(left, whole, "{what}: a group in parts");
        assert!(groups >= least, "{what}: {groups} groups, {least} were whole");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        // Nothing shows that there was more.
        let is_clean_cut = self.ends.contains(&used);
        assert!(groups == 6 || is_clean_cut || damage != Damage::default(), "{what}: not told");
        drop(log);
        if let Some(aside) = damage.put_aside {
            std::fs::remove_dir_all(&state).unwrap();
            std::fs::rename(aside, &state).unwrap();
        }
    }
}

#[test]
fn wherever_a_power_cut_ends_the_journal_the_groups_before_are_there_and_no_part_of_one() {
    let log = written();
    // What is not in the file any more, and what is there as zeros, or as the remains of other files.
    for end in (log.ends[3]..=log.bytes.len()).step_by(61).chain(log.ends.clone()) {
        let least = log.ends.iter().filter(|at| **at <= end).count();
        let cut = &log.bytes[..end];
        log.check(cut, least, &format!("cut at {end}"));
        log.check(&[cut, &[0; 512][..]].concat(), least, &format!("zeros from {end}"));
        log.check(&[cut, &[0xA5; 300][..]].concat(), least, &format!("garbage from {end}"));
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_the_groups_before_it_are_kept() {
    let log = written();
    for at in (log.ends[1]..log.bytes.len()).step_by(43) {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let least = log.ends.iter().filter(|end| **end <= at).count();
        log.check(&bytes, least, &format!("bit at {at}"));
    }
}

#[test]
fn a_rebuilt_log_has_all_that_could_be_read_and_the_old_one_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    put(&mut log, &["a", "b"]);
    let aside = log.rebuild().unwrap().expect("the old one");
    assert_eq!(keys(&log), ["a", "b"]);
    put(&mut log, &["c"]);
    drop(log);
    assert_eq!(keys(&open(directory.path()).0), ["a", "b", "c"]);
    assert_eq!(keys(&StateLog::open(&aside, Safety::Synced).unwrap().0), ["a", "b"]);
}

#[test]
fn a_crash_while_a_log_is_replaced_loses_neither_of_the_two() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    put(&mut log, &["a"]);
    drop(log);
    let (state, rebuilt) = (directory.path().join("state"), directory.path().join("state.rebuilt"));
    // Before the old one was put aside: what is half made goes.
    std::fs::create_dir(&rebuilt).unwrap();
    assert_eq!(keys(&open(directory.path()).0), ["a"]);
    assert!(!rebuilt.exists());
    // After that: the new one takes its place.
    std::fs::rename(&state, &rebuilt).unwrap();
    assert_eq!(keys(&open(directory.path()).0), ["a"]);
}

#[test]
fn a_reader_finds_what_is_committed_and_leaves_out_what_is_not_there_also_after_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    let reader = log.reader();
    put(&mut log, &["a", "b", "c", "d"]);
    let read = |ranges: &[(&str, &str)]| {
        let ends = |(from, to): &(&str, &str)| (from.as_bytes().to_vec(), to.as_bytes().to_vec());
        let (ranges, mut found) = (ranges.iter().map(ends).collect::<Vec<_>>(), String::new());
        reader.read(&ranges, |key, value| {
            assert!(value.starts_with(key), "a value belongs to another key");
            found.push_str(std::str::from_utf8(key).unwrap());
        })?;
        Ok::<_, crate::StoreError>(found)
    };
    let alone = [("a", "a"), ("b", "b"), ("bb", "bb"), ("d", "d"), ("e", "e")];
    assert_eq!(read(&alone).unwrap(), "abcd", "what lies between is given as well");
    assert_eq!(read(&[("a", "b")]).unwrap(), "b", "the last");
    assert_eq!(read(&[("a", "b"), ("a", "bb"), ("c", "e")]).unwrap(), "bcd");
    assert_eq!(
        read(&[("aa", "az"), ("dd", "de")]).unwrap(),
        "bcd",
        "of the first there is nothing"
    );
    assert_eq!(read(&[]).unwrap(), "");
    put(&mut log, &["e"]);
    log.commit([], [(&b"a"[..], None)]).unwrap();
    assert_eq!(read(&[("a", "a"), ("e", "e")]).unwrap(), "bcde");
    log.rebuild().unwrap();
    assert_eq!(read(&[("a", "a"), ("b", "b")]).unwrap(), "b");
    drop(log);
    let closed = read(&[("b", "b")]);
    assert!(matches!(closed, Err(crate::StoreError::Unavailable { .. })), "{closed:?}");
    assert_eq!(keys(&open(directory.path()).0), ["b", "c", "d", "e"], "the lock was given back");
}

#[test]
fn a_reader_gives_what_is_whole_of_a_damaged_table_and_the_rest_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path());
    let names: Vec<_> = (0..2_000).map(|number| format!("{number:06}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    put(&mut log, &all);
    log.open.as_ref().unwrap().entries.rotate_memtable_and_wait().unwrap();
    drop(log);
    let tables = directory.path().join("state/keyspaces");
    let table = largest_file(&tables);
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[9_000] ^= 0x55;
    std::fs::write(&table, bytes).unwrap();
    let (log, _) = open(directory.path());
    let key = |name: &String| (name.as_bytes().to_vec(), name.as_bytes().to_vec());
    let keys: Vec<_> = names.iter().map(key).collect();
    let mut found = Vec::new();
    log.reader().read(&keys, |key, _| found.push(key.to_vec())).unwrap();
    assert!((1_000..2_000).contains(&found.len()), "{} of 2000 read", found.len());
    assert!(found.is_sorted_by(|one, other| one < other), "each once, in order");
}

fn largest_file(directory: &Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => directories.push(entry.path()),
                false => files.push((entry.metadata().unwrap().len(), entry.path())),
            }
        }
    }
    files.into_iter().max().unwrap().1
}
