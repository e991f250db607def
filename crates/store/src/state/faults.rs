//! What a disk can do to a log: each of its files lost, cut off or changed, before a start and while it is in use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Damage, Safety, StateLog, Synced};

fn put(log: &mut StateLog, keys: impl IntoIterator<Item = String>) {
    let keys: Vec<_> = keys.into_iter().collect();
    let values: Vec<_> = keys.iter().map(|key| format!("{key}: {}", "x".repeat(40))).collect();
    let entries =
        keys.iter().zip(&values).map(|(key, value)| (key.as_bytes(), Some(value.as_bytes())));
    log.commit([], entries).unwrap();
}

/// The keys that are there, and how many entries cannot be read. What is there must be as it was written.
fn keys(log: &StateLog) -> (BTreeSet<String>, usize) {
    let mut keys = BTreeSet::new();
    let unreadable = log.read(|key, value| {
        let key = String::from_utf8(key.to_vec()).expect("a key that was written");
        assert_eq!(value, format!("{key}: {}", "x".repeat(40)).as_bytes(), "a changed value");
        keys.insert(key);
    });
    (keys, unreadable.unwrap())
}

/// A log with tables of two generations and a journal, closed, without reserved room.
fn written(directory: &Path) -> BTreeSet<String> {
    let (mut log, _) = StateLog::open(directory, Safety::Synced).unwrap();
    for part in ["a", "b", "c"] {
        put(&mut log, (0..20).map(|number| format!("{part}{number}")));
        if part < "c" {
            log.open.as_ref().unwrap().entries.rotate_memtable_and_wait().unwrap();
        }
    }
    put(&mut log, ["d".to_owned()]);
    let (all, 0) = keys(&log) else { panic!("all of it can be read") };
    drop(log);
    for journal in super::salvage::journals(directory).unwrap() {
        let mut bytes = fs::read(&journal).unwrap();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
        fs::write(&journal, bytes).unwrap();
    }
    all
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Lost,
    Empty,
    Half,
    /// A bit is changed at this part of a hundred of its length.
    Bit(usize),
}

impl Fault {
    fn strike(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let length = bytes.len();
        match self {
            Fault::Lost => return fs::remove_file(file).unwrap(),
            Fault::Empty => bytes.clear(),
            Fault::Half => bytes.truncate(length / 2),
            Fault::Bit(part) if length > 0 => bytes[(length - 1) * part / 100] ^= 4,
            Fault::Bit(_) => {}
        }
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn whatever_file_is_lost_or_changed_the_log_opens_tells_what_is_gone_and_keeps_the_rest() {
    let template = tempfile::tempdir().unwrap();
    let all = written(template.path());
    let faults =
        [Fault::Lost, Fault::Empty, Fault::Half, Fault::Bit(0), Fault::Bit(50), Fault::Bit(100)];
    for file in files(template.path()) {
        let name = file.strip_prefix(template.path()).unwrap();
        for fault in faults {
            let directory = tempfile::tempdir().unwrap();
            let state = directory.path().join("state");
            copy(template.path(), &state);
            fault.strike(&state.join(name));
            check(&state, &all, &format!("{} {fault:?}", name.display()));
        }
    }
}

fn check(state: &Path, all: &BTreeSet<String>, what: &str) {
    let (mut log, damage) = match StateLog::open(state, Safety::Synced) {
        Ok(opened) => opened,
        Err(error) => {
            // The one thing that cannot be told from a log of another broker.
            assert!(error.to_string().contains("another version"), "{what}: {error}");
            return assert!(what.starts_with("version Bit"), "{what}: {error}");
        }
    };
    let (left, unreadable) = keys(&log);
    assert!(left.is_subset(all), "{what}: {left:?}");
    // A journal that ends where a group does, be it the first, looks like one that never had more.
    let is_told = damage != Damage::default() || unreadable > 0 || what == "0.jnl Empty";
    assert!(left.len() == all.len() || is_told, "{what}: {} are left", left.len());
    if unreadable > 0 {
        assert!(log.rebuild().unwrap().is_some(), "{what}");
    }
    put(&mut log, ["new".to_owned()]);
    drop(log);
    let (log, damage) = StateLog::open(state, Safety::Synced).unwrap();
    assert_eq!(damage, Damage::default(), "{what}: all is well again");
    let (now, unreadable) = keys(&log);
    assert!(unreadable == 0 && now.len() == left.len() + 1 && left.is_subset(&now), "{what}");
}

#[test]
fn files_that_the_log_can_do_without_cost_nothing() {
    for (file, fault) in
        [("lock", Fault::Lost), ("version", Fault::Lost), ("version", Fault::Empty)]
    {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let all = written(&state);
        fault.strike(&state.join(file));
        let (log, damage) = StateLog::open(&state, Safety::Synced).unwrap();
        assert_eq!(damage.missing, [file]);
        assert_eq!(keys(&log), (all, 0));
    }
}

/// When files are taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeWriting,
    /// Between writing and syncing.
    BeforeSyncing,
}

/// Does this to a log in use, and commits; whether that is confirmed or not, what was before is there, and what was
/// confirmed.
fn check_in_use(strike: impl Fn(&Path), has_tables: bool, is_taken: bool) {
    for moment in [Moment::BeforeWriting, Moment::BeforeSyncing] {
        check_at(moment, &strike, has_tables, is_taken);
    }
}

fn check_at(moment: Moment, strike: impl Fn(&Path), has_tables: bool, is_taken: bool) {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut all = if has_tables { written(&state) } else { BTreeSet::new() };
    let (mut log, _) = StateLog::open(&state, Safety::Synced).unwrap();
    put(&mut log, ["z".to_owned()]);
    all.insert("z".to_owned());
    let new = [(&b"new"[..], Some("new: ".as_bytes()))];
    let committed = if moment == Moment::BeforeWriting {
        strike(&state);
        log.commit([], new)
    } else {
        // As two threads do it.
        let syncer = log.syncer();
        log.write([], new).unwrap();
        strike(&state);
        let synced = syncer.sync().unwrap();
        assert_eq!(synced, Synced::Displaced, "nothing is confirmed that a start would not find");
        log.settle()
    };
    assert_eq!(committed.is_ok(), is_taken, "{committed:?}");
    if let Err(error) = committed {
        assert!(error.to_string().contains("removed or replaced"), "{error}");
        return;
    }
    log.commit([], [(&b"new"[..], None)]).unwrap();
    put(&mut log, ["e".to_owned()]);
    all.insert("e".to_owned());
    drop(log);
    let (log, damage) = StateLog::open(&state, Safety::Synced).unwrap();
    assert_eq!(damage, Damage::default());
    assert_eq!(keys(&log), (all, 0));
}

#[test]
fn a_log_whose_files_are_taken_away_in_use_is_written_anew_or_confirms_nothing_more() {
    let remove = |state: &Path| fs::remove_dir_all(state).unwrap();
    let replace = |state: &Path| {
        fs::remove_dir_all(state).unwrap();
        let (mut other, _) = StateLog::open(state, Safety::Synced).unwrap();
        put(&mut other, ["of somebody else".to_owned()]);
    };
    let lose_journals = |state: &Path| {
        for journal in super::salvage::journals(state).unwrap() {
            fs::remove_file(journal).unwrap();
        }
    };
    check_in_use(remove, false, true);
    check_in_use(replace, false, true);
    check_in_use(lose_journals, false, true);
    check_in_use(lose_journals, true, true);
    // Tables are opened when they are read: what was in them is gone with them.
    check_in_use(remove, true, false);
}

#[test]
fn after_a_failure_a_log_that_is_not_there_any_more_is_not_made_anew_and_empty() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let _all = written(&state);
    let (mut log, _) = StateLog::open(&state, Safety::Synced).unwrap();
    log.close();
    fs::remove_dir_all(&state).unwrap();
    let error = log.commit([], [(&b"a"[..], None)]).unwrap_err();
    assert!(error.to_string().contains("removed or replaced"), "{error}");
    assert!(!state.exists());
}

#[test]
fn a_log_that_failed_goes_on_with_all_it_had_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut all = written(&state);
    let (mut log, _) = StateLog::open(&state, Safety::Synced).unwrap();
    put(&mut log, ["e".to_owned()]);
    log.close();
    put(&mut log, ["f".to_owned()]);
    all.extend(["e".to_owned(), "f".to_owned()]);
    assert_eq!(keys(&log), (all.clone(), 0));
    drop(log);
    let (log, damage) = StateLog::open(&state, Safety::Synced).unwrap();
    assert_eq!((keys(&log), damage), ((all, 0), Damage::default()));
}

#[test]
fn what_was_written_is_found_by_a_start_once_it_is_synced_though_the_journal_was_left_for_the_next_one()
 {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (mut log, _) = StateLog::open(&state, Safety::Synced).unwrap();
    let (syncer, value) = (log.syncer(), vec![7; 1 << 20]);
    let newest = || super::salvage::journals(&state).unwrap().pop();
    let (first, mut displaced, mut written) = (newest(), 0, 0_u32);
    // More than one journal holds; the engine below leaves it at a moment of its own.
    while newest() == first && written < 400 {
        for _ in 0..10 {
            log.write([], [(&written.to_be_bytes()[..], Some(&value[..]))]).unwrap();
            written += 1;
        }
        if syncer.sync().unwrap() == Synced::Displaced {
            displaced += 1;
            log.settle().unwrap();
        }
    }
    assert_ne!(newest(), first, "{written} entries are in one journal");
    log.write([], [(&b"last"[..], Some(&value[..]))]).unwrap();
    assert_eq!(syncer.sync().unwrap(), Synced::Durable, "{displaced} were displaced before");
    drop(log);
    let (log, damage) = StateLog::open(&state, Safety::Synced).unwrap();
    let mut found = 0;
    log.read(|_, it| found += u32::from(it == value)).unwrap();
    assert_eq!((found, damage), (written + 1, Damage::default()));
}

#[test]
fn a_log_that_could_not_be_synced_syncs_nothing_until_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let (mut log, _) = StateLog::open(&state, Safety::Synced).unwrap();
    let syncer = log.syncer();
    put(&mut log, ["a".to_owned()]);
    log.distrust();
    assert!(syncer.sync().is_err() && log.settle().is_err());
    put(&mut log, ["b".to_owned()]);
    assert_eq!(syncer.sync().unwrap(), Synced::Durable);
    assert_eq!(keys(&log).0.len(), 2);
}
