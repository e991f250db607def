//! Many logins at once: what waits, what does not, and what it costs.

use std::time::Duration;

use store::{Change, PasswordRecord, PasswordSlot, Store};

use super::{House, cheap, login};
use crate::hash::{Hasher, ParsedHash};
use crate::{HashCost, HashPoolLimits, LoginRefused, RefusalKind, Settings};

/// Waits until something has come to pass; the test's own time limit ends it.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn flaw_38_a_proven_secret_needs_no_hash() {
    let house = House::with_alice().await;
    assert!(house.login("alice", "alice-password").await.is_ok());
    let _guard = house.block_pool();
    for _ in 0..2000 {
        assert!(house.login("alice", "alice-password").await.is_ok());
    }
}

#[tokio::test]
async fn a_thousand_logins_with_one_secret_wait_for_one_hash() {
    let house = House::with_alice().await;
    for (password, is_in) in [("alice-password", true), ("wrong-password", false)] {
        let guard = house.block_pool();
        let logins: Vec<_> = (0..1000)
            .map(|_| {
                let admin = house.admin.clone();
                tokio::spawn(async move {
                    login(&admin, Some("alice"), Some(password.as_bytes())).await
                })
            })
            .collect();
        // Each has had its turn after a few rounds of the one thread that runs them.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(house.admin.hashes_waiting(), 1, "one for all");
        drop(guard);
        for login in logins {
            assert_eq!(login.await.unwrap().is_ok(), is_in, "{password}");
        }
    }
}

#[tokio::test]
async fn flaw_40_a_client_that_repeats_a_refused_login_costs_one_hash() {
    let house = House::with_alice().await;
    let cases = [("alice", RefusalKind::WrongPassword), ("nobody", RefusalKind::UnknownUser)];
    for (name, kind) in cases {
        assert_eq!(house.login(name, "wrong-password").await, Err(kind));
        let guard = house.block_pool();
        for _ in 0..1000 {
            assert_eq!(house.login(name, "wrong-password").await, Err(kind));
        }
        assert_eq!(house.admin.hashes_waiting(), 0);
        drop(guard);
    }
}

#[tokio::test]
async fn a_full_queue_and_a_passed_deadline_are_busy_and_nothing_else() {
    let (queue_max, deadline) = (3, Duration::from_millis(50));
    let limits = HashPoolLimits { threads: 1, queue_max, deadline, nice: 0 };
    let house = House::new(Settings { hash_pool: limits, ..cheap() }).await;
    let guard = house.block_pool();
    let logins: Vec<_> = (0..20)
        .map(|number| {
            let admin = house.admin.clone();
            tokio::spawn(async move {
                login(&admin, Some(&format!("user-{number}")), Some(b"some-password")).await
            })
        })
        .collect();
    until(|| house.admin.hashes_waiting() == queue_max).await;
    for login in logins {
        let refused = login.await.unwrap();
        assert!(matches!(refused, Err(LoginRefused::Busy(_))), "{refused:?}");
        assert!(house.admin.hashes_waiting() <= queue_max);
    }
    drop(guard);
    // What nobody waits for any more is thrown away unhashed, and the next is served.
    until(|| house.admin.hashes_waiting() == 0).await;
    assert!(house.login("admin", "admin-password").await.is_ok());
}

#[tokio::test]
async fn a_password_changed_while_it_is_compared_lets_nobody_in() {
    let house = House::with_alice().await;
    let guard = house.block_pool();
    let admin = house.admin.clone();
    let waits =
        tokio::spawn(async move { login(&admin, Some("alice"), Some(b"alice-password")).await });
    until(|| house.admin.hashes_waiting() == 1).await;
    // Straight to the directory: the pool that would hash the new password is busy.
    let id = house.admin.shared.directory.read().user_named("alice").unwrap().user().id;
    let epoch = move |directory: &crate::directory::Directory| {
        let mut record = directory.user(id).unwrap().record();
        record.user.credential_epoch += 1;
        Ok((vec![Change::PutUser(record)], ()))
    };
    house.admin.change(&crate::Caller::Broker, epoch, |_, ()| ()).await.unwrap();
    drop(guard);
    let refused = waits.await.unwrap().unwrap_err();
    let kind = RefusalKind::Lapsed(access::Lapse::CredentialsChanged);
    assert_eq!(refused.reason().kind, kind);
    assert!(matches!(refused, LoginRefused::BadCredentials(_)));
}

fn cost_of(house: &House, name: &str) -> HashCost {
    let directory = house.admin.shared.directory.read();
    let credentials = &directory.user_named(name).unwrap().credentials;
    ParsedHash::parse(&credentials.password(PasswordSlot::First).unwrap().hash)
        .unwrap()
        .cost()
        .unwrap()
}

#[tokio::test]
async fn a_weak_hash_is_renewed_at_the_next_good_login_and_stays_renewed() {
    let house = House::with_alice().await;
    let (weak, strong) = (cheap().hash_cost, HashCost { memory_kib: 128, passes: 2, lanes: 1 });
    let stronger = || Settings { hash_cost: strong, ..cheap() };
    let house = house.restart(stronger()).await;
    assert!(house.login("alice", "wrong-password").await.is_err());
    assert_eq!(cost_of(&house, "alice"), weak, "a refused login renews nothing");
    assert!(house.login("alice", "alice-password").await.is_ok());
    until(|| cost_of(&house, "alice") == strong).await;
    let guard = house.block_pool();
    assert!(house.login("alice", "alice-password").await.is_ok(), "its fingerprint still holds");
    drop(guard);
    let house = house.restart(stronger()).await;
    assert_eq!(cost_of(&house, "alice"), strong);
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert!(house.login("alice", "wrong-password").await.is_err());
}

#[tokio::test]
async fn a_renewal_never_brings_an_old_password_back() {
    let house = House::with_alice().await;
    let account = house.admin.shared.directory.read().user_named("alice").unwrap().clone();
    let hash = Hasher::new(cheap().hash_cost).make(b"alice-password").unwrap();
    house.set_password("alice", "new-password").await;
    house.admin.renew(&account, PasswordSlot::First, hash);
    // Any later change waits for the renewal, since changes are made one after the other.
    tokio::task::yield_now().await;
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    assert!(house.login("alice", "alice-password").await.is_err());
    let house = house.restart(cheap()).await;
    assert!(house.login("alice", "alice-password").await.is_err());
    assert!(house.login("alice", "new-password").await.is_ok());
}

#[tokio::test]
async fn flaw_25_a_malformed_hash_in_store_stops_the_start() {
    let house = House::with_alice().await;
    let id = house.admin.shared.directory.read().user_named("alice").unwrap().user().id;
    let House { admin, dir } = house;
    admin.shared.store.close().await;
    drop(admin);
    let store = Store::open(dir.path()).await.unwrap();
    let hash = store::PasswordHash::new("alice-password".to_owned());
    let broken = PasswordRecord::new(PasswordSlot::First, hash, 1);
    store.commit(&[Change::PutPasswords(id, vec![broken])]).await.unwrap();
    store.close().await;
    drop(store);
    let error = super::open(dir.path(), cheap()).await.err().unwrap().to_string();
    assert!(error.contains("alice") && error.contains("corrupt"), "{error}");
    assert!(!error.contains("alice-password"), "{error}");
}
