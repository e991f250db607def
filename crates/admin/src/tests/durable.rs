//! A change is on disk before it is confirmed, and what failed has not happened.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};

use store::{Store, StoreError};
use tempfile::TempDir;

use super::{House, cheap, new_user, open};
use crate::model::{PageRequest, RoleFilter, UserFilter, UserView};
use crate::{AdminError, Caller, LoginRefused};

fn users(house: &House) -> Vec<UserView> {
    let page = PageRequest { page_number: 1, rows_per_page: 100 };
    house.admin.list_users(&Caller::LocalOwner, &UserFilter::default(), page).unwrap().items
}

async fn fill(house: &House) {
    let role = serde_json::from_str(
        r#"{"name":"operators","permissions":[
            {"resource":"plant/+/${username}/#","operation":"readWrite"},
            {"resource":"plant/secret/#","operation":"read","effect":"deny"},
            {"resource":"/api/users","operation":"read","context":"http"}]}"#,
    );
    house.admin.create_role(&Caller::LocalOwner, role.unwrap()).await.unwrap();
    let user = serde_json::from_str(
        r#"{"username":"bob.smith@plant","password":"bobs-password","mqttPublishPrefix":"p/",
            "roles":["operators","minimum-access"],"enabled":false,
            "grantTypes":[{"method":"password"},{"method":"certificate","isRequired":true}],
            "permissions":[{"resource":"$share-not/a","operation":"write"},
                {"resource":"b/ä/日本/+","operation":"read","effect":"deny"}]}"#,
    );
    house.admin.create_user(&Caller::LocalOwner, user.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let house = House::with_alice().await;
    fill(&house).await;
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    let page = PageRequest::default();
    let owner = Caller::LocalOwner;
    let roles = |house: &House| house.admin.list_roles(&owner, &RoleFilter::default(), page);
    let (users_before, roles_before) = (users(&house), roles(&house).unwrap());
    assert_eq!((users_before.len(), roles_before.total), (3, 3));
    let house = house.restart(cheap()).await;
    assert_eq!(users(&house), users_before);
    assert_eq!(users(&house)[1].version, users_before[1].version);
    assert_eq!(roles(&house).unwrap(), roles_before);
    assert!(house.login("alice", "alice-password").await.is_ok());
    let house = house.restart(cheap()).await;
    assert_eq!(users(&house), users_before);
}

/// The files as a kill at this moment would leave them.
fn killed_now(dir: &Path) -> TempDir {
    let left = TempDir::new().unwrap();
    for name in ["countersign.db", "countersign.db-wal"] {
        std::fs::copy(dir.join(name), left.path().join(name)).unwrap();
    }
    left
}

#[tokio::test]
async fn flaw_32_what_was_confirmed_survives_a_kill() {
    let house = House::with_alice().await;
    for round in 0..5 {
        let name = format!("user-{round}");
        house.add(&name, "some-password").await;
        if round > 0 {
            let before = format!("user-{}", round - 1);
            house.admin.remove_user(&Caller::LocalOwner, &before, None).await.unwrap();
        }
        house.set_password("alice", &format!("alice-password-{round}")).await;
        let expected = users(&house);
        let left = killed_now(house.dir.path());
        let admin = open(left.path(), cheap()).await.unwrap();
        let after = House { admin, dir: left };
        assert_eq!(users(&after), expected);
        assert!(after.login("alice", &format!("alice-password-{round}")).await.is_ok());
    }
}

#[tokio::test]
async fn flaw_32_a_change_that_cannot_be_written_has_not_happened() {
    let house = House::with_alice().await;
    let before = users(&house);
    let generation = house.admin.policy().load().generation();
    let changes = house.admin.policy_changes();
    house.admin.shared.store.close().await;
    let owner = Caller::LocalOwner;
    let made = house.admin.create_user(&owner, new_user("bob", "bobs-password")).await;
    assert!(matches!(made, Err(AdminError::Store(_))), "{made:?}");
    let removed = house.admin.remove_user(&owner, "alice", None).await;
    assert!(matches!(removed, Err(AdminError::Store(_))), "{removed:?}");
    let set = house.admin.set_password(&owner, "alice", super::first("new-password")).await;
    assert!(matches!(set, Err(AdminError::Store(_))), "{set:?}");
    assert_eq!(users(&house), before);
    assert_eq!(house.admin.policy().load().generation(), generation);
    assert!(!changes.has_changed().unwrap());
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert!(house.login("bob", "bobs-password").await.is_err());
}

#[tokio::test]
async fn a_change_whose_caller_goes_away_is_finished_in_store_and_memory() {
    let house = House::with_alice().await;
    let patch = serde_json::from_str(r#"{"mqttPublishPrefix":"gone/"}"#).unwrap();
    {
        let owner = Caller::LocalOwner;
        let mut update = pin!(house.admin.update_user(&owner, "alice", patch, None));
        let once = update.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(once.is_pending());
    }
    while users(&house)[1].mqtt_publish_prefix.is_none() {
        tokio::task::yield_now().await;
    }
    let expected = users(&house);
    let house = house.restart(cheap()).await;
    assert_eq!(users(&house), expected);
}

#[tokio::test]
async fn each_change_is_told_with_the_generation_of_a_policy_that_holds_it() {
    let house = House::with_alice().await;
    let mut changes = house.admin.policy_changes();
    let id = house.admin.policy().load().user_by_name("alice").unwrap().id();
    house.patch("alice", r#"{"permissions":[{"resource":"a/#","operation":"write"}]}"#).await;
    let told = *changes.borrow_and_update();
    let policy = house.admin.policy().load_full();
    assert_eq!(policy.generation(), told);
    assert!(policy.rights(id, "").unwrap().permit_publish("a/b").is_ok());
    house.patch("alice", r#"{"enabled":false}"#).await;
    assert!(changes.has_changed().unwrap());
    assert!(house.admin.policy().load().rights(id, "").is_none());
    house.patch("alice", r#"{"enabled":false}"#).await;
    changes.borrow_and_update();
    house.patch("alice", r#"{"enabled":false}"#).await;
    assert!(!changes.has_changed().unwrap(), "nothing changed, nothing is told");
}

#[tokio::test]
async fn a_proof_does_not_outlive_a_changed_password() {
    let house = House::with_alice().await;
    let peer = crate::PeerAddress::Local;
    let (username, password) = (Some("alice"), Some(b"alice-password".as_slice()));
    let attempt = crate::LoginAttempt { username, password, certificate: None, peer };
    let proven = house.admin.login(attempt).await.unwrap_or_else(|_: LoginRefused| panic!());
    let standing = || house.admin.policy().load().standing(&proven);
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    assert_eq!(standing(), Ok(()));
    house.set_password("alice", "another-password").await;
    assert_eq!(standing(), Err(access::Lapse::CredentialsChanged));
}

#[tokio::test]
async fn two_processes_do_not_share_a_data_directory() {
    let house = House::with_alice().await;
    let second = Store::open(house.dir.path()).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
}
