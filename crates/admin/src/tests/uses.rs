//! When passwords were used last, and tokens that end with the password that made them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::{House, cheap, first, open_pki};
use crate::model::{PasswordSlotModel, UserView};
use crate::{Admin, Caller, LoginRefused, PeerAddress, TokenRefused};

const OWNER: Caller = Caller::LocalOwner;
const PEER: PeerAddress = PeerAddress::Local;
const HOUR_MS: u64 = 3_600_000;

/// `alice`, with a second password, in a house whose clock can be set.
async fn house(clock: fn() -> u64) -> House {
    let dir = tempfile::TempDir::new().unwrap();
    let store = store::Store::open(dir.path()).await.unwrap();
    let admin = Admin::open(store, open_pki(dir.path()), cheap(), clock).await.unwrap().admin;
    let house = House { admin, dir };
    house.add("alice", "alice-password").await;
    house.patch("alice", r#"{"roles":["minimum-access"]}"#).await;
    second(&house, "second-password").await;
    house
}

async fn second(house: &House, password: &str) {
    let mut change = first(password);
    (change.second, change.expires_in_hours) = (true, Some(1));
    house.admin.set_password(&OWNER, "alice", change).await.unwrap();
}

fn uses(house: &House) -> [Option<u64>; 2] {
    let UserView { passwords, .. } = house.admin.show_user(&OWNER, "alice").unwrap();
    [PasswordSlotModel::First, PasswordSlotModel::Second].map(|slot| {
        let password = passwords.iter().find(|password| password.slot == slot);
        password.and_then(|password| password.last_used_at).map(|at| at.0)
    })
}

async fn token(house: &House, password: &str, hours: u32) -> (String, u64) {
    let made = try_token(house, password, hours).await.unwrap();
    (made.token, made.expires_at.0)
}

async fn try_token(
    house: &House,
    password: &str,
    hours: u32,
) -> Result<crate::model::LoginView, TokenRefused> {
    let login = json!({"username": "alice", "password": password, "expireTimeInHours": hours});
    house.admin.make_token(serde_json::from_value(login).unwrap(), PEER).await
}

fn is_good(house: &House, token: &str) -> bool {
    house.admin.authenticate(token, PEER).is_some()
}

#[tokio::test]
async fn the_last_use_of_each_password_is_shown_and_survives_a_restart() {
    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);
    let house = house(|| NOW_MS.load(Ordering::SeqCst)).await;
    assert_eq!(uses(&house), [None, None]);
    assert!(house.login("alice", "alice-password").await.is_ok());
    NOW_MS.store(2_000_000, Ordering::SeqCst);
    assert!(house.login("alice", "second-password").await.is_ok());
    assert!(house.login("alice", "wrong-password").await.is_err());
    assert_eq!(uses(&house), [Some(1_000_000), Some(2_000_000)]);
    NOW_MS.store(3_000_000, Ordering::SeqCst);
    // Confirmed from memory, it is a use as well.
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert_eq!(uses(&house), [Some(3_000_000), Some(2_000_000)]);
    house.admin.write_down_uses().await;
    let house = house.restart(cheap()).await;
    assert_eq!(uses(&house), [Some(3_000_000), Some(2_000_000)]);
    // Whatever else is changed, the first password's stays, and a new second one was never used.
    house.patch("alice", r#"{"enabled":false}"#).await;
    house.patch("alice", r#"{"enabled":true}"#).await;
    second(&house, "third-password").await;
    assert_eq!(uses(&house), [Some(3_000_000), None]);
    let house = house.restart(cheap()).await;
    assert_eq!(uses(&house), [Some(3_000_000), None]);
    house.set_password("alice", "fourth-password").await;
    assert_eq!(uses(&house), [None, None]);
}

#[tokio::test]
async fn a_storm_of_logins_writes_nothing_until_all_is_written_at_once() {
    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);
    let house = house(|| NOW_MS.load(Ordering::SeqCst)).await;
    house.admin.write_down_uses().await;
    let changes = || std::fs::metadata(house.dir.path().join("countersign.db-wal")).unwrap().len();
    let before = changes();
    for _ in 0..500 {
        NOW_MS.fetch_add(1, Ordering::SeqCst);
        assert!(house.login("alice", "alice-password").await.is_ok());
    }
    assert_eq!(changes(), before, "no login has written to the database");
    assert_eq!(house.admin.shared.used.lock().len(), 1, "one user, however often");
    house.admin.write_down_uses().await;
    assert!(changes() > before);
    assert!(house.admin.shared.used.lock().is_empty());
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert_eq!(house.admin.shared.used.lock().len(), 1, "the next use is told again");
}

#[tokio::test]
async fn a_token_made_by_the_second_password_ends_when_that_expires() {
    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);
    let house = house(|| NOW_MS.load(Ordering::SeqCst)).await;
    let (by_first, first_ends) = token(&house, "alice-password", 8).await;
    let (by_second, second_ends) = token(&house, "second-password", 8).await;
    assert_eq!((first_ends, second_ends), (1_000_000 + 8 * HOUR_MS, 1_000_000 + HOUR_MS));
    NOW_MS.store(second_ends - 1, Ordering::SeqCst);
    assert!(is_good(&house, &by_first) && is_good(&house, &by_second));
    NOW_MS.store(second_ends, Ordering::SeqCst);
    assert!(is_good(&house, &by_first) && !is_good(&house, &by_second));
    let refused = try_token(&house, "second-password", 8).await;
    assert!(matches!(refused, Err(TokenRefused::Login(LoginRefused::BadCredentials(_)))));
}

#[tokio::test]
async fn a_token_made_by_the_second_password_ends_when_that_is_replaced_or_removed() {
    static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);
    let house = house(|| NOW_MS.load(Ordering::SeqCst)).await;
    let (by_first, _) = token(&house, "alice-password", 1).await;
    let (by_second, _) = token(&house, "second-password", 1).await;
    house.patch("alice", r#"{"mqttPublishPrefix":"a/"}"#).await;
    assert!(is_good(&house, &by_second), "another change does not end it");
    let house = house.restart(cheap()).await;
    // The restart's clock is far later: what is meant here is told from the end of time.
    assert!(!is_good(&house, &by_second) && !is_good(&house, &by_first));
    let (by_first, _) = token(&house, "alice-password", 8).await;
    second(&house, "third-password").await;
    let (by_third, _) = token(&house, "third-password", 1).await;
    let house = house.restart(cheap()).await;
    assert!(is_good(&house, &by_first) && is_good(&house, &by_third), "a restart ends none");
    second(&house, "fourth-password").await;
    assert!(is_good(&house, &by_first) && !is_good(&house, &by_third));
    let (by_fourth, _) = token(&house, "fourth-password", 1).await;
    house.set_password("alice", "fifth-password").await;
    assert!(!is_good(&house, &by_first) && !is_good(&house, &by_fourth));
    assert_eq!(house.admin.show_user(&OWNER, "alice").unwrap().tokens, []);
}
