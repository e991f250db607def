//! Password hashes that come from elsewhere: they let their users in, are renewed, and a file that names them again changes
//! nothing.

use serde_json::{Value, json};
use store::PasswordSlot;

use super::policy_file::{apply, exported};
use super::{House, cheap};
use crate::policy_model::PolicyOptions;
use crate::{AdminError, Caller, RefusalKind};

const DRY: PolicyOptions = PolicyOptions { dry_run: true, prune: false, only_new: false };
const APPLY: PolicyOptions = PolicyOptions { dry_run: false, prune: false, only_new: false };
const PRUNE: PolicyOptions = PolicyOptions { dry_run: false, prune: true, only_new: false };

/// By `mosquitto_passwd` 2.0.11 and the reference implementation of Argon2: of `NAME-password`, but for the last.
const HASHES: [(&str, &str, &str); 4] = [
    (
        "alice",
        "alice-password",
        "$7$101$qLCD1S+OYAjeDz48$5cwxGV0dqaZ+Ooddu5V1mhhSVPNfAItl5nBEBuGVOs6/FTbF0HGwAWjlS28XUxmbYaKFzI+vfkUs6mvjQkyNBg==",
    ),
    (
        "bob",
        "bob-password",
        "$6$BQ2b3qj1TS+MzuTl$y7AqizEqMpwl1sIC5FuDcf9ICSXGbwNYEYLd/mRkz3y+ddtm1EnVwGRT5gAzblLt9o1XUeMZG8aksk1jYE7kKw==",
    ),
    (
        "carl",
        "carl-password",
        "$7$5000$tNz9nbr+BXnYiwn3$jfPnK4fcuTYLfs/wHKC320MANMmwDl1adLj0Zfgod9+FgBWR1929kfXuoXpKSBZQFlHk5H/+ggZcqSi84jW8Cg==",
    ),
    (
        "dora",
        "password",
        "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E",
    ),
];

fn document() -> Value {
    let user = |(name, _, hash): (&str, &str, &str)| json!({ "username": name, "passwordHash": hash, "roles": ["minimum-access"] });
    let admin = json!({ "username": "admin", "roles": ["connectware-admin"] });
    let users: Vec<_> = HASHES.into_iter().map(user).chain([admin]).collect();
    json!({ "users": users })
}

fn stored(house: &House, name: &str) -> String {
    let directory = house.admin.shared.directory.read();
    let account = directory.user_named(name).unwrap();
    account.credentials.password(PasswordSlot::First).unwrap().hash.expose().to_string()
}

fn epoch(house: &House, name: &str) -> u64 {
    house.admin.shared.directory.read().user_named(name).unwrap().user().credential_epoch
}

async fn renewed(house: &House, name: &str) {
    while !stored(house, name).starts_with("$argon2id$") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_hash_of_another_broker_lets_its_user_in_and_is_renewed_by_that() {
    let house = House::new(cheap()).await;
    apply(&house, &document(), APPLY).await.unwrap();
    for (name, password, hash) in HASHES {
        assert_eq!(stored(&house, name), hash);
        for wrong in ["wrong-password", hash, ""] {
            assert!(house.login(name, wrong).await.is_err(), "{name} {wrong}");
        }
        assert_eq!(stored(&house, name), hash, "a refused login renews nothing");
        assert_eq!(house.login(name, password).await, Ok(name.to_owned()));
        renewed(&house, name).await;
    }
    let house = house.restart(cheap()).await;
    for (name, password, _) in HASHES {
        assert_eq!(house.login(name, password).await, Ok(name.to_owned()));
        assert_eq!(house.login(name, "wrong-password").await, Err(RefusalKind::WrongPassword));
    }
}

#[tokio::test]
async fn a_file_that_is_applied_again_after_a_renewal_changes_nothing_and_ends_nothing() {
    let house = House::new(cheap()).await;
    apply(&house, &document(), APPLY).await.unwrap();
    let login = json!({ "username": "alice", "password": "alice-password" });
    let login = serde_json::from_value(login).unwrap();
    let peer = crate::PeerAddress::Local;
    let token = house.admin.make_token(login, peer).await.unwrap().token;
    assert!(house.login("dora", "password").await.is_ok());
    renewed(&house, "alice").await;
    renewed(&house, "dora").await;
    let (alice, dora, epoch_before) =
        (stored(&house, "alice"), stored(&house, "dora"), epoch(&house, "alice"));
    let check = async |house: &House| {
        for options in [DRY, APPLY, PRUNE] {
            assert_eq!(apply(house, &document(), options).await.unwrap(), [""; 0], "{options:?}");
        }
        assert_eq!((stored(house, "alice"), stored(house, "dora")), (alice.clone(), dora.clone()));
        assert_eq!(epoch(house, "alice"), epoch_before, "no connection ends");
        assert!(house.admin.authenticate(&token, peer).is_some(), "nor a token");
    };
    check(&house).await;
    let export = exported(&house);
    assert_eq!(apply(&house, &export, PRUNE).await.unwrap(), [""; 0]);
    assert!(!export.to_string().contains('$'), "no hash of any form: {export}");
    check(&house.restart(cheap()).await).await;
}

#[tokio::test]
async fn a_hash_stays_known_through_a_second_renewal_and_an_edit_of_its_user() {
    let house = House::new(cheap()).await;
    apply(&house, &document(), APPLY).await.unwrap();
    assert!(house.login("alice", "alice-password").await.is_ok());
    renewed(&house, "alice").await;
    let first = stored(&house, "alice");
    let cost = crate::HashCost { memory_kib: 128, passes: 2, lanes: 1 };
    let house = house.restart(crate::Settings { hash_cost: cost, ..cheap() }).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
    while stored(&house, "alice") == first {
        tokio::task::yield_now().await;
    }
    house.patch("alice", r#"{"enabled":false}"#).await;
    house.patch("alice", r#"{"enabled":true}"#).await;
    assert_eq!(apply(&house, &document(), APPLY).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_password_that_was_changed_since_is_set_back_by_the_file() {
    let house = House::new(cheap()).await;
    apply(&house, &document(), APPLY).await.unwrap();
    assert!(house.login("alice", "alice-password").await.is_ok());
    renewed(&house, "alice").await;
    house.set_password("alice", "another-password").await;
    let changes = apply(&house, &document(), APPLY).await.unwrap();
    assert_eq!(changes, ["user.password alice"]);
    assert!(house.login("alice", "another-password").await.is_err());
    assert!(house.login("alice", "alice-password").await.is_ok());
}

#[tokio::test]
async fn a_foreign_hash_is_renewed_also_beside_a_second_password() {
    let house = House::new(cheap()).await;
    apply(&house, &document(), APPLY).await.unwrap();
    let mut second = super::first("second-password");
    second.second = true;
    house.admin.set_password(&Caller::LocalOwner, "bob", second).await.unwrap();
    assert!(house.login("bob", "second-password").await.is_ok());
    assert!(stored(&house, "bob").starts_with("$6$"), "its own password was not proven");
    assert!(house.login("bob", "bob-password").await.is_ok());
    renewed(&house, "bob").await;
    let house = house.restart(cheap()).await;
    for password in ["bob-password", "second-password"] {
        assert_eq!(house.login("bob", password).await, Ok("bob".to_owned()));
    }
    assert_eq!(house.login("bob", "wrong-password").await, Err(RefusalKind::WrongPassword));
    assert_eq!(apply(&house, &document(), APPLY).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_hash_that_cannot_be_taken_is_refused_with_the_reason_and_nothing_is_made() {
    let house = House::new(cheap()).await;
    let check = async |hash: &str, says: &str| {
        let mut bad = document();
        bad["users"][1]["passwordHash"] = json!(hash);
        let before = exported(&house);
        let refused = apply(&house, &bad, APPLY).await.unwrap_err();
        let AdminError::Invalid { field, reason } = &refused else { panic!("{refused:?}") };
        assert_eq!(field, "users[1].passwordHash");
        assert!(reason.contains(says), "{reason}");
        assert!(!reason.contains("c29tZXNhbHQ"), "nothing of the hash is told: {reason}");
        assert_eq!(exported(&house), before);
    };
    let rest = "c29tZXNhbHQ=$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
    check(&format!("$7$9000000${rest}"), "9000000 iterations, and may have 262144").await;
    check(&format!("$argon2id$v=19$m=9999999,t=3,p=1${rest}"), "m=9999999").await;
    check("$6$usesomesillystri$D4IrlXatmP7rx3P3InaxBeoomnAihCKRVQUVd9HOIFpDqpPLjGNVLmgHjIDvh18ocmFGGSTyYIEHAwiTsdoUv1", "crypt(3)").await;
    check("bob-password", "known form").await;
    check("$2y$05$c29tZXNhbHQ", "known form").await;
}
