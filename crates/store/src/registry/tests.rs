//! Requests on disk: what was written reads back, and what cannot be understood stops the start.

use std::path::Path;

use access::{UserId, UserName};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::record::Change;
use crate::{Store, StoreError};

fn record(id: u128, name: &str, origin: RegistryOrigin) -> RegistryRecord {
    RegistryRecord {
        id: Uuid::from_u128(id),
        username: UserName::parse(name).unwrap(),
        origin,
        password: RegistryPassword::Kept(PasswordHash::new("a-hash".to_owned())),
        csr: Some("a request".into()),
        wishes: "{}".into(),
        client_id: Some("press-7".into()),
        address: "192.0.2.1:4711".into(),
        listener: "mqtt".into(),
        created_at_ms: 7,
        state: RegistryState::Pending,
    }
}

fn file(record: &RegistryRecord) -> Change {
    Change::Registry(RegistryChange::File(Box::new(record.clone())))
}

fn shown(records: &[RegistryRecord]) -> Vec<String> {
    let hash = |record: &RegistryRecord| match &record.password {
        RegistryPassword::Kept(hash) => hash.expose().to_string(),
        RegistryPassword::Absent | RegistryPassword::Unfit => String::new(),
    };
    records.iter().map(|record| format!("{record:?} {}", hash(record))).collect()
}

async fn reloaded(store: Store, dir: &Path) -> Vec<RegistryRecord> {
    store.close().await;
    drop(store);
    Store::open(dir).await.unwrap().load().await.unwrap().registry
}

#[tokio::test]
async fn requests_of_every_kind_are_there_again() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let bare = RegistryRecord {
        password: RegistryPassword::Unfit,
        csr: None,
        client_id: None,
        ..record(1, "bare", RegistryOrigin::MqttCertificate)
    };
    let absent = RegistryRecord {
        password: RegistryPassword::Absent,
        ..record(2, "machine", RegistryOrigin::Mqtt)
    };
    let granted = RegistryState::Granted {
        at_ms: 9,
        user: UserId(Uuid::from_u128(5)),
        certificate: Some("a certificate".into()),
    };
    let mut third = record(3, "machine", RegistryOrigin::Rest);
    let fourth = RegistryRecord {
        state: RegistryState::Denied { at_ms: 8 },
        ..record(4, "denied", RegistryOrigin::Rest)
    };
    store.commit(&[file(&bare), file(&absent), file(&third), file(&fourth)]).await.unwrap();
    third.state = granted;
    let decide = Change::Registry(RegistryChange::Decide(Box::new(third.clone())));
    store.commit(&[decide]).await.unwrap();
    let kept = reloaded(store, dir.path()).await;
    assert_eq!(shown(&kept), shown(&[bare, absent, third, fourth]));
}

#[tokio::test]
async fn of_each_name_there_is_one_by_rest_and_one_by_mqtt() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let by = |id, origin| file(&record(id, "machine", origin));
    store.commit(&[by(1, RegistryOrigin::Mqtt), by(2, RegistryOrigin::Rest)]).await.unwrap();
    store.commit(&[by(3, RegistryOrigin::MqttCertificate)]).await.unwrap_err();
    store.commit(&[by(3, RegistryOrigin::Rest)]).await.unwrap_err();
    let remove = Change::Registry(RegistryChange::Remove(Uuid::from_u128(2)));
    store.commit(&[remove.clone(), by(3, RegistryOrigin::Rest), remove]).await.unwrap();
    let unknown = record(9, "machine", RegistryOrigin::Rest);
    let decide = Change::Registry(RegistryChange::Decide(Box::new(unknown)));
    store.commit(&[decide]).await.unwrap_err();
    assert_eq!(reloaded(store, dir.path()).await.len(), 2);
}

#[tokio::test]
async fn a_request_that_cannot_be_understood_stops_the_start() {
    for damage in [
        "UPDATE registry_requests SET username = 'a+b'",
        "UPDATE registry_requests SET created_at = -1",
        "UPDATE registry_requests SET state = 'lost', decided_at = 1",
        "UPDATE registry_requests SET origin = 'post'",
    ] {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        store.commit(&[file(&record(1, "machine", RegistryOrigin::Mqtt))]).await.unwrap();
        sqlx::query("PRAGMA ignore_check_constraints = ON").execute(&store.pool).await.unwrap();
        sqlx::query(damage).execute(&store.pool).await.unwrap();
        let error = store.load().await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error:?}");
    }
}
