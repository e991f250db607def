//! What a second password has proven ends with it, and nothing else does.

use access::{Authenticated, Lapse};
use serde_json::json;
use store::{Change, PasswordRecord, PasswordSlot};

use super::{House, NOW_MS, cheap, first, login};
use crate::attempt::{LoginAttempt, PeerAddress, ProvenCertificate};
use crate::hash::Hasher;
use crate::model::PasswordChange;
use crate::{Caller, HashCost, RefusalKind, Settings};

const OWNER: Caller = Caller::LocalOwner;
const PEER: PeerAddress = PeerAddress::Local;
const HOUR_MS: u64 = 3_600_000;

fn second(password: &str, hours: Option<u32>) -> PasswordChange {
    PasswordChange { second: true, expires_in_hours: hours, ..first(password) }
}

async fn set(house: &House, password: &str, hours: Option<u32>) {
    house.admin.set_password(&OWNER, "alice", second(password, hours)).await.unwrap();
}

async fn proof(house: &House, password: &str) -> Authenticated {
    let attempt = LoginAttempt {
        username: Some("alice"),
        password: Some(password.as_bytes()),
        certificate: None,
        peer: PEER,
    };
    house.admin.login(attempt).await.unwrap()
}

fn standing(house: &House, proof: &Authenticated) -> Result<(), Lapse> {
    house.admin.policy().load().standing(proof)
}

fn ends_at_ms(house: &House, proof: &Authenticated) -> Option<u64> {
    house.admin.policy().load().proof_ends_at_ms(proof)
}

const LAPSED: Result<(), Lapse> = Err(Lapse::CredentialsChanged);

#[tokio::test]
async fn a_replaced_second_password_ends_what_it_has_proven_and_that_alone() {
    let house = House::with_alice().await;
    set(&house, "second-password", Some(1)).await;
    let (by_first, by_second) =
        (proof(&house, "alice-password").await, proof(&house, "second-password").await);
    // Proven again, from memory.
    let also_by_second = proof(&house, "second-password").await;
    assert_eq!(ends_at_ms(&house, &by_first), None);
    assert_eq!(ends_at_ms(&house, &by_second), Some(NOW_MS + HOUR_MS));
    set(&house, "third-password", None).await;
    for proof in [&by_second, &also_by_second] {
        assert_eq!((standing(&house, proof), ends_at_ms(&house, proof)), (LAPSED, None));
    }
    assert_eq!(standing(&house, &by_first), Ok(()));
    let by_third = proof(&house, "third-password").await;
    assert_eq!(ends_at_ms(&house, &by_third), Some(u64::MAX));
    // The old one again is another one: what it had proven does not come back to life.
    set(&house, "second-password", None).await;
    assert_eq!([standing(&house, &by_second), standing(&house, &by_third)], [LAPSED; 2]);
    let again = proof(&house, "second-password").await;
    house.set_password("alice", "a-first-password").await;
    assert_eq!([standing(&house, &by_first), standing(&house, &again)], [LAPSED; 2]);
}

#[tokio::test]
async fn other_changes_and_the_same_password_with_another_end_leave_what_it_has_proven() {
    let house = House::with_alice().await;
    set(&house, "second-password", Some(1)).await;
    let by_second = proof(&house, "second-password").await;
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    assert_eq!(standing(&house, &by_second), Ok(()));
    for hours in [3, 2] {
        set(&house, "second-password", Some(hours)).await;
        assert_eq!(standing(&house, &by_second), Ok(()));
        let expected = NOW_MS + u64::from(hours) * HOUR_MS;
        assert_eq!(ends_at_ms(&house, &by_second), Some(expected));
    }
    house.patch("alice", r#"{"enabled":false}"#).await;
    assert_eq!(standing(&house, &by_second), Err(Lapse::UserDisabled));
    house.admin.remove_user(&OWNER, "alice", None).await.unwrap();
    assert_eq!(standing(&house, &by_second), Err(Lapse::UserRemoved));
}

#[tokio::test]
async fn a_dry_run_knows_what_a_second_password_has_proven() {
    let house = House::with_alice().await;
    set(&house, "second-password", Some(1)).await;
    let by_second = proof(&house, "second-password").await;
    let next = |json: &str| {
        let patch = serde_json::from_str(json).unwrap();
        let preview = house.admin.preview_user_update(&OWNER, "alice", patch, None);
        preview.unwrap().next.unwrap()
    };
    let next_prefix = next(r#"{"mqttPublishPrefix":"a/"}"#);
    assert_eq!(next_prefix.standing(&by_second), Ok(()));
    assert_eq!(next_prefix.proof_ends_at_ms(&by_second), Some(NOW_MS + HOUR_MS));
    let disabled = next(r#"{"enabled":false}"#);
    assert_eq!(disabled.standing(&by_second), Err(Lapse::UserDisabled));
}

#[tokio::test]
async fn a_renewed_hash_of_a_second_password_ends_nothing() {
    let house = House::with_alice().await;
    set(&house, "second-password", Some(1)).await;
    let by_second = proof(&house, "second-password").await;
    let account = house.admin.shared.directory.read().user_named("alice").unwrap().clone();
    let strong = HashCost { memory_kib: 128, passes: 2, lanes: 1 };
    let hash = Hasher::new(strong).make(b"second-password").unwrap();
    let before =
        account.credentials.password(PasswordSlot::Second).unwrap().hash.expose().to_owned();
    house.admin.renew(&account, PasswordSlot::Second, hash);
    tokio::task::yield_now().await;
    // Changes are made one after the other.
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    let account = house.admin.shared.directory.read().user_named("alice").unwrap().clone();
    let after =
        account.credentials.password(PasswordSlot::Second).unwrap().hash.expose().to_owned();
    assert_ne!(before, after, "it was renewed");
    assert_eq!(standing(&house, &by_second), Ok(()));
    let again = proof(&house, "second-password").await;
    assert_eq!(standing(&house, &again), Ok(()));
}

#[tokio::test]
async fn a_second_password_replaced_while_it_is_compared_lets_nobody_in_then_or_later() {
    let house = House::with_alice().await;
    set(&house, "second-password", None).await;
    let guard = house.block_pool();
    let admin = house.admin.clone();
    let waits =
        tokio::spawn(async move { login(&admin, Some("alice"), Some(b"second-password")).await });
    while house.admin.hashes_waiting() != 1 {
        tokio::task::yield_now().await;
    }
    // Straight to the directory: the pool that would hash the new password is busy.
    let hash = Hasher::new(cheap().hash_cost).make(b"third-password").unwrap();
    let plan = move |directory: &crate::directory::Directory| {
        let account = directory.user_named("alice").unwrap();
        let mut passwords = account.credentials.records();
        passwords.retain(|password| password.slot == PasswordSlot::First);
        passwords.push(PasswordRecord::new(PasswordSlot::Second, hash, NOW_MS));
        Ok((vec![Change::PutPasswords(account.user().id, passwords)], ()))
    };
    house.admin.change(&Caller::Broker, plan, |_, ()| ()).await.unwrap();
    drop(guard);
    let refused = waits.await.unwrap().unwrap_err();
    assert_eq!(refused.reason().kind, RefusalKind::Lapsed(Lapse::CredentialsChanged));
    // Nor is it remembered as proven.
    assert_eq!(house.login("alice", "second-password").await, Err(RefusalKind::WrongPassword));
    assert!(house.login("alice", "third-password").await.is_ok());
}

#[tokio::test]
async fn beside_a_certificate_a_second_password_counts_only_where_a_password_is_required() {
    let house =
        House::new(Settings { authentication: crate::AuthenticationMode::Either, ..cheap() }).await;
    for (is_required, expected) in [(false, Ok(())), (true, LAPSED)] {
        let name = format!("press-{is_required}");
        let new = json!({
            "username": name,
            "password": "alice-password",
            "grantTypes": [
                {"method": "password", "isRequired": is_required},
                {"method": "certificate", "isRequired": is_required},
            ],
        });
        house.admin.create_user(&OWNER, serde_json::from_value(new).unwrap()).await.unwrap();
        let change = |password| house.admin.set_password(&OWNER, &name, second(password, None));
        change("second-password").await.unwrap();
        let certificate = ProvenCertificate {
            common_names: vec![name.clone().into_bytes()],
            fingerprint: [7; 32],
        };
        let attempt = LoginAttempt {
            username: Some(&name),
            password: Some(b"second-password"),
            certificate: Some(certificate),
            peer: PEER,
        };
        let proven = house.admin.login(attempt).await.unwrap();
        change("third-password").await.unwrap();
        assert_eq!(standing(&house, &proven), expected, "required: {is_required}");
    }
}

#[tokio::test]
async fn a_token_ends_no_later_than_the_second_password_that_made_it_also_where_that_now_ends_earlier()
 {
    let house = House::with_alice().await;
    house.patch("alice", r#"{"roles":["minimum-access"]}"#).await;
    set(&house, "second-password", Some(8)).await;
    let token = |hours: u32| {
        let login =
            json!({"username": "alice", "password": "second-password", "expireTimeInHours": hours});
        house.admin.make_token(serde_json::from_value(login).unwrap(), PEER)
    };
    let (long, short) = (token(8).await.unwrap().token, token(1).await.unwrap().token);
    let is_good = |token: &str| house.admin.authenticate(token, PEER).is_some();
    set(&house, "second-password", Some(9)).await;
    assert!(is_good(&long) && is_good(&short));
    set(&house, "second-password", Some(2)).await;
    assert!(!is_good(&long) && is_good(&short));
}
