//! Logging in by user name and password.

use super::{House, cheap, first, login, new_user};
use crate::{AuthenticationMode, Caller, LoginRefused, RefusalKind, Settings};
use RefusalKind::{
    NoPassword, NoPasswordGrant, NothingGiven, PasswordAbsent, PasswordEmpty, PasswordTooLong,
    ProofMissing, UnknownUser, UserDisabled, UsernameAbsent, UsernameEmpty, WrongPassword,
};

async fn check(house: &House, username: Option<&str>, password: Option<&str>, kind: RefusalKind) {
    for _ in 0..2 {
        let refused = login(&house.admin, username, password.map(str::as_bytes)).await.unwrap_err();
        assert_eq!(refused.reason().kind, kind, "{username:?} {password:?}");
        assert!(matches!(refused, LoginRefused::BadCredentials(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn flaw_4_of_all_combinations_of_name_and_password_only_right_and_right_is_in() {
    let house = House::with_alice().await;
    let names = [None, Some(""), Some("nobody"), Some("alice")];
    let passwords = [None, Some(""), Some("wrong-password"), Some("alice-password")];
    let expected = [
        [NothingGiven, UsernameAbsent, UsernameAbsent, UsernameAbsent],
        [UsernameEmpty; 4],
        [PasswordAbsent, PasswordEmpty, UnknownUser, UnknownUser],
        [PasswordAbsent, PasswordEmpty, WrongPassword, WrongPassword],
    ];
    for (name, row) in names.iter().zip(expected) {
        for (password, kind) in passwords.iter().zip(row) {
            if (*name, *password) == (Some("alice"), Some("alice-password")) {
                assert_eq!(house.login("alice", "alice-password").await, Ok("alice".to_owned()));
            } else {
                check(&house, *name, *password, kind).await;
            }
        }
    }
}

#[tokio::test]
async fn flaw_5_names_and_passwords_are_compared_byte_for_byte() {
    let house = House::with_alice().await;
    for name in ["Alice", "ALICE", "alice ", " alice", "alice\0", "alic", "alicee"] {
        check(&house, Some(name), Some("alice-password"), UnknownUser).await;
    }
    for password in ["Alice-password", "alice-password ", "alice-passwor", "alice-password\0"] {
        check(&house, Some("alice"), Some(password), WrongPassword).await;
    }
    assert!(house.login("alice", "alice-password").await.is_ok());
    for password in ["Alice-password", "alice-password ", "alice-passwor", "alice-password\0"] {
        check(&house, Some("alice"), Some(password), WrongPassword).await;
    }
}

#[tokio::test]
async fn flaw_28_the_stored_secret_is_the_password_and_not_the_name() {
    let house = House::with_alice().await;
    check(&house, Some("alice"), Some("alice"), WrongPassword).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
}

#[tokio::test]
async fn who_may_not_use_a_password_is_refused_like_a_wrong_one() {
    let house = House::with_alice().await;
    house.patch("alice", r#"{"enabled":false}"#).await;
    check(&house, Some("alice"), Some("alice-password"), UserDisabled).await;
    house.patch("alice", r#"{"enabled":true}"#).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
    house.patch("alice", r#"{"grantTypes":[{"method":"certificate"}]}"#).await;
    check(&house, Some("alice"), Some("alice-password"), NoPasswordGrant).await;
    let both =
        r#"{"grantTypes":[{"method":"password"},{"method":"certificate","isRequired":true}]}"#;
    house.patch("alice", both).await;
    check(&house, Some("alice"), Some("alice-password"), ProofMissing).await;
    house.patch("alice", r#"{"grantTypes":[{"method":"password","isRequired":true}]}"#).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
    let json = r#"{"username":"carol","grantTypes":[{"method":"password"}]}"#;
    let carol = serde_json::from_str(json).unwrap();
    house.admin.create_user(&Caller::LocalOwner, carol).await.unwrap();
    check(&house, Some("carol"), Some("any-password"), NoPassword).await;
}

#[tokio::test]
async fn a_password_longer_than_any_is_refused_at_once() {
    let house = House::with_alice().await;
    let guard = house.block_pool();
    let long = "x".repeat(1025);
    check(&house, Some("alice"), Some(&long), PasswordTooLong).await;
    check(&house, Some("nobody"), Some(&long), PasswordTooLong).await;
    drop(guard);
    let longest = "x".repeat(1024);
    check(&house, Some("alice"), Some(&longest), WrongPassword).await;
    house.set_password("alice", &longest).await;
    assert!(house.login("alice", &longest).await.is_ok());
}

#[tokio::test]
async fn there_is_no_anonymous_access_unless_an_enabled_user_stands_for_it() {
    let anonymous = access::UserName::parse("guest").ok();
    let house = House::new(Settings { anonymous_user: anonymous, ..cheap() }).await;
    check(&house, None, None, UnknownUser).await;
    let guest = r#"{"username":"guest","grantTypes":[{"method":"password"}]}"#;
    house
        .admin
        .create_user(&Caller::LocalOwner, serde_json::from_str(guest).unwrap())
        .await
        .unwrap();
    assert_eq!(login(&house.admin, None, None).await, Ok("guest".to_owned()));
    check(&house, Some("guest"), None, PasswordAbsent).await;
    check(&house, Some("guest"), Some(""), PasswordEmpty).await;
    check(&house, Some(""), None, UsernameEmpty).await;
    check(&house, None, Some(""), UsernameAbsent).await;
    check(&house, Some("guest"), Some("any-password"), NoPassword).await;
    house.patch("guest", r#"{"grantTypes":[{"method":"password","isRequired":true}]}"#).await;
    check(&house, None, None, ProofMissing).await;
    house.patch("guest", r#"{"grantTypes":[{"method":"password"}],"enabled":false}"#).await;
    check(&house, None, None, RefusalKind::Lapsed(access::Lapse::UserDisabled)).await;
    let mutual = Settings { authentication: AuthenticationMode::MutualTls, ..cheap() };
    let house = house.restart(mutual).await;
    let refused = login(&house.admin, None, None).await;
    assert!(matches!(refused, Err(LoginRefused::NotAuthorized(_))), "{refused:?}");
}

#[tokio::test]
async fn a_fingerprint_ends_with_what_it_stands_for() {
    let house = House::with_alice().await;
    let mut password = "alice-password".to_owned();
    let changes = [r#"{"enabled":false}"#, r#"{"grantTypes":[{"method":"certificate"}]}"#];
    for change in changes {
        assert!(house.login("alice", &password).await.is_ok());
        house.patch("alice", change).await;
        assert!(house.login("alice", &password).await.is_err(), "{change}");
        house.patch("alice", r#"{"enabled":true,"grantTypes":[{"method":"password"}]}"#).await;
        let guard = house.block_pool();
        let admin = house.admin.clone();
        let again = password.clone();
        let waits =
            tokio::spawn(async move { login(&admin, Some("alice"), Some(again.as_bytes())).await });
        while house.admin.hashes_waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(guard);
        assert!(waits.await.unwrap().is_ok(), "proven anew by its hash after {change}");
    }
    house.set_password("alice", "another-password").await;
    check(&house, Some("alice"), Some(&password), WrongPassword).await;
    password = "another-password".to_owned();
    assert!(house.login("alice", &password).await.is_ok());
    house.admin.remove_user(&Caller::LocalOwner, "alice", None).await.unwrap();
    check(&house, Some("alice"), Some(&password), UnknownUser).await;
    house.add("alice", "third-password").await;
    check(&house, Some("alice"), Some(&password), WrongPassword).await;
}

#[tokio::test]
async fn what_was_refused_is_in_as_soon_as_it_is_right() {
    let house = House::new(cheap()).await;
    check(&house, Some("alice"), Some("alice-password"), UnknownUser).await;
    house.add("alice", "old-password").await;
    check(&house, Some("alice"), Some("alice-password"), WrongPassword).await;
    house.set_password("alice", "alice-password").await;
    assert!(house.login("alice", "alice-password").await.is_ok());
}

#[tokio::test]
async fn two_passwords_are_valid_while_rotating_until_the_second_ends() {
    let house = House::with_alice().await;
    let second = |password: &str, hours: Option<u32>| {
        let mut change = first(password);
        (change.second, change.expires_in_hours) = (true, hours);
        change
    };
    let owner = Caller::LocalOwner;
    let same = house.admin.set_password(&owner, "alice", second("alice-password", None)).await;
    assert!(same.is_err(), "the same password is no second one");
    house.admin.set_password(&owner, "alice", second("second-password", Some(1))).await.unwrap();
    for _ in 0..2 {
        assert!(house.login("alice", "alice-password").await.is_ok());
        assert!(house.login("alice", "second-password").await.is_ok());
    }
    house.admin.set_password(&owner, "alice", second("third-password", None)).await.unwrap();
    check(&house, Some("alice"), Some("second-password"), WrongPassword).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert!(house.login("alice", "third-password").await.is_ok());
    house.set_password("alice", "fourth-password").await;
    check(&house, Some("alice"), Some("alice-password"), WrongPassword).await;
    check(&house, Some("alice"), Some("third-password"), WrongPassword).await;
    assert!(house.login("alice", "fourth-password").await.is_ok());
}

#[tokio::test]
async fn an_expired_second_password_is_wrong_even_if_it_was_proven() {
    static NOW_MS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1_000_000);
    let dir = tempfile::TempDir::new().unwrap();
    let store = store::Store::open(dir.path()).await.unwrap();
    let clock = || NOW_MS.load(std::sync::atomic::Ordering::SeqCst);
    let admin =
        crate::Admin::open(store, super::open_pki(dir.path()), cheap(), clock).await.unwrap().admin;
    let house = House { admin, dir };
    house.add("alice", "alice-password").await;
    let mut second = first("second-password");
    (second.second, second.expires_in_hours) = (true, Some(1));
    house.admin.set_password(&Caller::LocalOwner, "alice", second).await.unwrap();
    assert!(house.login("alice", "second-password").await.is_ok());
    NOW_MS.fetch_add(3_600_000, std::sync::atomic::Ordering::SeqCst);
    check(&house, Some("alice"), Some("second-password"), WrongPassword).await;
    assert!(house.login("alice", "alice-password").await.is_ok());
}

#[tokio::test]
async fn the_present_password_is_asked_for_where_it_is_given() {
    let house = House::with_alice().await;
    let change = |current: &str| {
        let mut change = first("new-password");
        change.current = Some(crate::Secret::from(current));
        change
    };
    let owner = Caller::LocalOwner;
    assert!(house.admin.set_password(&owner, "alice", change("wrong-password")).await.is_err());
    assert!(house.login("alice", "alice-password").await.is_ok());
    assert!(house.admin.set_password(&owner, "alice", change("alice-password")).await.is_ok());
    assert!(house.login("alice", "new-password").await.is_ok());
}

#[tokio::test]
async fn an_administrator_that_is_not_wanted_is_not_made() {
    let none = Settings { first_admin: crate::FirstAdmin::None, ..cheap() };
    let house = House::new(none).await;
    check(&house, Some("admin"), Some("admin-password"), UnknownUser).await;
    let house = house.restart(cheap()).await;
    check(&house, Some("admin"), Some("admin-password"), UnknownUser).await;
}

#[tokio::test]
async fn the_first_administrator_has_the_given_or_a_random_password() {
    let house = House::new(cheap()).await;
    assert!(house.login("admin", "admin-password").await.is_ok());
    let dir = tempfile::TempDir::new().unwrap();
    let random = || Settings { first_admin: crate::FirstAdmin::RandomPassword, ..cheap() };
    let mut told = Vec::new();
    for _ in 0..2 {
        let store = store::Store::open(dir.path()).await.unwrap();
        let opened =
            crate::Admin::open(store, super::open_pki(dir.path()), random(), || 1).await.unwrap();
        if let Some(password) = opened.first_admin_password {
            let proven = login(&opened.admin, Some("admin"), Some(password.expose())).await;
            assert_eq!(proven, Ok("admin".to_owned()));
            told.push(password);
        }
        opened.admin.shared.store.close().await;
    }
    assert_eq!(told.len(), 1, "told at the first start only");
}

#[tokio::test]
async fn a_common_first_password_stops_the_start() {
    let given = crate::FirstAdmin::Password(crate::Secret::from("password"));
    let dir = tempfile::TempDir::new().unwrap();
    let refused = super::open(dir.path(), Settings { first_admin: given, ..cheap() }).await;
    assert!(matches!(refused, Err(crate::AdminError::Invalid { .. })));
    assert!(super::open(dir.path(), cheap()).await.is_ok(), "nothing was begun");
}

#[tokio::test]
async fn new_user_is_refused_for_its_password_with_the_field() {
    let house = House::with_alice().await;
    let check = async |password: &str| {
        let refused = house.admin.create_user(&Caller::LocalOwner, new_user("bob", password)).await;
        let Err(crate::AdminError::Invalid { field, reason }) = refused else {
            panic!("{password}")
        };
        assert_eq!(field, "password");
        assert!(!reason.contains("s3cr3t"), "{reason}");
    };
    check("").await;
    check("s3cr3t").await;
    check("password").await;
    check(&"x".repeat(1025)).await;
}
