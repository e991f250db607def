//! Failed logins: what they lock, whom they do not, and what they cost.

use std::time::Duration;

use super::{House, cheap};
use crate::{
    Caller, LoginAttempt, LoginRefused, PeerAddress, ProtectionSettings, RefusalKind, Settings,
};

const OWNER: Caller = Caller::LocalOwner;

fn settings(failures_per_user: u32, failures_per_source: u32) -> Settings {
    let protection = ProtectionSettings {
        failures_per_user,
        failures_per_source,
        window: Duration::from_secs(60),
        lockout: Duration::from_secs(300),
    };
    Settings { protection, ..cheap() }
}

async fn house(failures_per_user: u32, failures_per_source: u32) -> House {
    let house = House::new(settings(failures_per_user, failures_per_source)).await;
    house.add("alice", "alice-password").await;
    house.add("carol", "carol-password").await;
    house
}

async fn login(house: &House, from: &str, name: &str, password: &str) -> Result<(), RefusalKind> {
    let attempt = LoginAttempt {
        username: Some(name),
        password: Some(password.as_bytes()),
        certificate: None,
        peer: PeerAddress::Network(format!("{from}:1883").parse().unwrap()),
    };
    let refused = house.admin.login(attempt).await.map(|_| ());
    refused.map_err(|refused| {
        let is_lock = matches!(refused, LoginRefused::Locked { .. });
        let kind = refused.reason().kind;
        assert_eq!(is_lock, matches!(kind, RefusalKind::UserLocked | RefusalKind::SourceLocked));
        kind
    })
}

async fn guess(house: &House, from: &str, name: &str, times: u32) {
    for number in 0..times {
        let guess = format!("guess-{from}-{number}");
        login(house, from, name, &guess).await.unwrap_err();
    }
}

#[tokio::test]
async fn too_many_failures_lock_the_user_even_for_the_right_password() {
    let house = house(3, 0).await;
    guess(&house, "192.0.2.1", "alice", 3).await;
    let right = login(&house, "192.0.2.1", "alice", "alice-password").await;
    assert_eq!(right, Err(RefusalKind::UserLocked));
    assert_eq!(login(&house, "192.0.2.1", "carol", "carol-password").await, Ok(()));
    house.admin.unlock_user(&OWNER, "alice").unwrap();
    assert_eq!(login(&house, "192.0.2.1", "alice", "alice-password").await, Ok(()));
}

#[tokio::test]
async fn an_unknown_user_is_locked_like_a_known_one() {
    let house = house(3, 0).await;
    guess(&house, "192.0.2.1", "nobody", 3).await;
    let again = login(&house, "192.0.2.1", "nobody", "x").await;
    assert_eq!(again, Err(RefusalKind::UserLocked));
}

#[tokio::test]
async fn a_proven_secret_at_its_usual_address_is_not_locked_out_by_others() {
    let house = house(3, 0).await;
    assert_eq!(login(&house, "192.0.2.1", "alice", "alice-password").await, Ok(()));
    guess(&house, "203.0.113.9", "alice", 3).await;
    assert_eq!(login(&house, "192.0.2.1", "alice", "alice-password").await, Ok(()));
    let elsewhere = login(&house, "198.51.100.1", "alice", "alice-password").await;
    assert_eq!(elsewhere, Err(RefusalKind::UserLocked), "what was stolen may be proven as well");
    let wrong = login(&house, "192.0.2.1", "alice", "wrong").await;
    assert_eq!(wrong, Err(RefusalKind::UserLocked));
}

#[tokio::test]
async fn a_locked_source_locks_nobody_proven_out_of_it() {
    let house = house(0, 3).await;
    assert_eq!(login(&house, "192.0.2.1", "alice", "alice-password").await, Ok(()));
    guess(&house, "192.0.2.1", "nobody", 3).await;
    assert_eq!(login(&house, "192.0.2.1", "alice", "alice-password").await, Ok(()));
    let first = login(&house, "192.0.2.1", "carol", "carol-password").await;
    assert_eq!(first, Err(RefusalKind::SourceLocked));
    assert_eq!(login(&house, "192.0.2.2", "carol", "carol-password").await, Ok(()));
    house.admin.unlock_source(&OWNER, "192.0.2.1").unwrap();
    assert_eq!(login(&house, "192.0.2.1", "carol", "carol-password").await, Ok(()));
}

#[tokio::test]
async fn flaw_40_a_locked_door_costs_no_hash() {
    let house = house(3, 0).await;
    guess(&house, "192.0.2.1", "alice", 3).await;
    let _guard = house.block_pool();
    let refused = login(&house, "192.0.2.1", "alice", "another-guess").await;
    assert_eq!(refused, Err(RefusalKind::UserLocked), "with the only hashing thread held up");
}

#[tokio::test]
async fn a_thousand_guesses_at_once_are_not_a_thousand_hashes() {
    let house = house(5, 0).await;
    let guard = house.block_pool();
    let guesses: Vec<_> = (0..200)
        .map(|number| {
            let admin = house.admin.clone();
            tokio::spawn(async move {
                let password = format!("guess-{number}");
                let attempt = LoginAttempt {
                    username: Some("alice"),
                    password: Some(password.as_bytes()),
                    certificate: None,
                    peer: PeerAddress::Network(format!("192.0.2.{number}:1").parse().unwrap()),
                };
                admin.login(attempt).await.unwrap_err().reason().kind
            })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(guard);
    let mut compared = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            RefusalKind::WrongPassword => compared += 1,
            RefusalKind::UserLocked => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(compared, 5, "the sixth found the door shut");
}

#[tokio::test]
async fn the_login_over_http_has_the_same_locks() {
    let house = house(3, 0).await;
    guess(&house, "192.0.2.1", "alice", 3).await;
    let login = serde_json::json!({"username": "alice", "password": "alice-password"});
    let peer = PeerAddress::Network("192.0.2.5:443".parse().unwrap());
    let refused = house.admin.make_token(serde_json::from_value(login).unwrap(), peer).await;
    let Err(crate::TokenRefused::Login(LoginRefused::Locked { retry_after, .. })) = refused else {
        panic!("not locked");
    };
    assert_eq!(retry_after, Duration::from_secs(300));
    let locks = house.admin.locks(&OWNER);
    assert_eq!(locks.users[0].name, "alice");
}
