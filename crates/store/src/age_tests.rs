//! A database that is lost, or that has lost its last changes, is no reason to start with fewer denials.

use std::fs;
use std::path::Path;

use serde_json::Map;
use tempfile::TempDir;

use crate::{AuditChain, AuditEntry, Change, Store, StoreError};

/// A store that has made so many changes, open.
async fn changed(directory: &Path, changes: u64) -> Store {
    let store = Store::open(directory).await.unwrap();
    for number in 0..changes {
        let (actor, action) = ("admin".to_owned(), "user.update".to_owned());
        let chain = AuditChain::Changes;
        let entry = AuditEntry { chain, at_ms: number, actor, action, details: Map::new() };
        store.commit(&[Change::Record(entry)]).await.unwrap();
    }
    store
}

async fn closed(directory: &Path, changes: u64) {
    changed(directory, changes).await.close().await;
}

/// What a start says when this was done to the directory of a store with three changes, after a power cut.
async fn after(strike: impl FnOnce(&Path)) -> Result<Store, StoreError> {
    let (old, new) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = changed(old.path(), 3).await;
    for file in fs::read_dir(old.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), new.path().join(file.file_name())).unwrap();
    }
    store.close().await;
    strike(new.path());
    Store::open(new.path()).await
}

#[tokio::test]
async fn a_database_that_is_gone_or_empty_is_no_first_start() {
    let strikes: [fn(&Path); 2] =
        [|file| fs::remove_file(file).unwrap(), |file| fs::write(file, "").unwrap()];
    for strike in strikes {
        let directory = TempDir::new().unwrap();
        closed(directory.path(), 1).await;
        strike(&directory.path().join("countersign.db"));
        for _ in 0..2 {
            let error = Store::open(directory.path()).await.unwrap_err();
            assert!(matches!(error, StoreError::Lost { .. }), "{error}");
            assert!(error.to_string().contains("countersign.lock"), "{error}");
        }
        fs::remove_file(directory.path().join("countersign.lock")).unwrap();
        Store::open(directory.path()).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_write_ahead_log_that_is_lost_or_changed_does_not_bring_an_older_policy_back() {
    let check = async |what: &str, strike: &dyn Fn(&Path)| {
        let error = after(|directory| strike(&directory.join("countersign.db-wal"))).await;
        let Err(StoreError::Older { found, confirmed: 3, .. }) = error else {
            panic!("{what}: {error:?}")
        };
        assert!(found < 3, "{what}");
    };
    let change = |file: &Path, at: fn(usize) -> usize| {
        let mut bytes = fs::read(file).unwrap();
        let at = at(bytes.len());
        bytes[at] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    // The last commit's frames, a page each: a bit in one, and the end of it.
    check("bit", &|wal| change(wal, |length| length - 100)).await;
    check("cut", &|wal| {
        let length = fs::metadata(wal).unwrap().len();
        fs::File::options().write(true).open(wal).unwrap().set_len(length - 1).unwrap();
    })
    .await;
    after(|_| ()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_write_ahead_log_that_is_gone_stops_the_start() {
    let error = after(|directory| {
        fs::remove_file(directory.join("countersign.db-wal")).unwrap();
    })
    .await
    .unwrap_err();
    assert!(!matches!(error, StoreError::Database { .. }), "{error}");
}

#[tokio::test]
async fn an_older_database_is_taken_when_its_owner_says_so() {
    let (older, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    closed(older.path(), 1).await;
    closed(directory.path(), 2).await;
    fs::copy(older.path().join("countersign.db"), directory.path().join("countersign.db")).unwrap();
    let error = Store::open(directory.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 1, confirmed: 2, .. }), "{error}");
    fs::remove_file(directory.path().join("countersign.lock")).unwrap();
    Store::open(directory.path()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_note_that_cannot_be_read_is_written_anew() {
    let directory = TempDir::new().unwrap();
    closed(directory.path(), 2).await;
    let lock = directory.path().join("countersign.lock");
    fs::write(&lock, "no number, but long enough").unwrap();
    closed(directory.path(), 0).await;
    assert!(fs::read_to_string(lock).unwrap().starts_with("00000000000000000002\n"));
}
