//! The client registry by MQTT: who is recorded, who is not, and that nobody can tell.

use std::time::Duration;

use serde_json::json;

use super::registry::{grant, peer, requests, unlock, unlocked};
use super::{House, cheap, let_pass_s};
use crate::model::{
    RegistryOriginModel, RegistryPasswordModel, RegistryRequestView, RegistryStatus, RegistryUnlock,
};
use crate::{
    AuthenticationMode, Caller, ClientLabel, LoginAttempt, LoginRefused, ProtectionSettings,
    ProvenCertificate, RegistrySettings, Settings,
};

const SECRET: &[u8] = b"violet-tractor-94";
const HERE: &str = "192.0.2.1:1883";

async fn connect_from(
    house: &House,
    address: &str,
    name: &str,
    password: Option<&[u8]>,
) -> Result<String, LoginRefused> {
    let (username, peer) = (Some(name), peer(address));
    let attempt = LoginAttempt { username, password, certificate: None, peer };
    let client = ClientLabel { client_id: "press-7", listener: "mqtt" };
    let proven = house.admin.login_client(attempt, client).await;
    proven.map(|proven| proven.name().to_string())
}

async fn connect(house: &House, name: &str, password: &[u8]) -> Result<String, LoginRefused> {
    connect_from(house, HERE, name, Some(password)).await
}

async fn by_certificate(house: &House, name: &str) -> Result<String, LoginRefused> {
    let common_names = vec![name.as_bytes().to_vec()];
    let certificate = Some(ProvenCertificate { common_names, fingerprint: [7; 32] });
    let attempt = LoginAttempt { username: None, password: None, certificate, peer: peer(HERE) };
    let client = ClientLabel { client_id: "press-7", listener: "mqtts" };
    let proven = house.admin.login_client(attempt, client).await;
    proven.map(|proven| proven.name().to_string())
}

/// The requests, once there are so many of this kind.
async fn recorded(
    house: &House,
    count: usize,
    is_meant: impl Fn(&RegistryRequestView) -> bool,
) -> Vec<RegistryRequestView> {
    for _ in 0..2000 {
        let found: Vec<_> = requests(house).into_iter().filter(&is_meant).collect();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not recorded: {:?}", requests(house));
}

/// Whatever was on its way to be recorded is so now: requests are written in their order.
async fn settled(house: &House) {
    let refused = connect_from(house, "203.0.113.77:1", "the-last", Some(SECRET)).await;
    assert!(refused.is_err());
    recorded(house, 1, |request| request.username == "the-last").await;
}

#[tokio::test]
async fn a_client_that_is_let_in_logs_in_by_the_very_password_it_has_tried() {
    let house = unlocked(cheap()).await;
    assert!(connect(&house, "machine", SECRET).await.is_err());
    let request = recorded(&house, 1, |_| true).await.remove(0);
    assert_eq!((request.username.as_str(), request.listener.as_str()), ("machine", "mqtt"));
    assert_eq!((request.client_id.as_deref(), request.address.as_str()), (Some("press-7"), HERE));
    assert_eq!(request.origin, RegistryOriginModel::Mqtt);
    assert_eq!(request.password, RegistryPasswordModel::Kept);
    assert!(connect(&house, "machine", SECRET).await.is_err(), "not yet");
    assert!(connect(&house, "machine", b"another-client-7").await.is_err());
    let request = recorded(&house, 1, |request| request.other_passwords == 1).await.remove(0);
    assert_eq!(request.attempts, 1);
    let user = grant(&house, "machine", json!({})).await.unwrap();
    assert!(user.roles.is_empty() && user.permissions.is_empty());
    assert!(connect(&house, "machine", b"another-client-7").await.is_err());
    assert_eq!(connect(&house, "machine", SECRET).await, Ok("machine".to_owned()));
    let house = house.restart(cheap()).await;
    assert_eq!(connect(&house, "machine", SECRET).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn nobody_is_recorded_while_it_is_locked_and_nobody_who_is_a_user() {
    let house = House::with_alice().await;
    assert!(connect(&house, "early", SECRET).await.is_err());
    unlock(&house).await;
    assert!(connect(&house, "alice", SECRET).await.is_err());
    house.patch("alice", r#"{"enabled":false}"#).await;
    assert!(connect(&house, "alice", b"alice-password").await.is_err());
    assert!(connect(&house, "a+b", SECRET).await.is_err());
    assert!(connect(&house, "no", SECRET).await.is_err(), "too short for a user");
    // Only MQTT clients are meant.
    assert!(house.login("by-rest", "violet-tractor-94").await.is_err());
    settled(&house).await;
    let names: Vec<_> = requests(&house).into_iter().map(|request| request.username).collect();
    assert_eq!(names, ["the-last"]);
    let_pass_s(300);
    assert!(connect(&house, "late", SECRET).await.is_err());
    unlock(&house).await;
    assert!(connect_from(&house, HERE, "the-very-last", Some(SECRET)).await.is_err());
    recorded(&house, 1, |request| request.username == "the-very-last").await;
    assert_eq!(requests(&house).len(), 2);
}

#[tokio::test]
async fn a_client_that_was_refused_before_is_recorded_when_it_comes_again() {
    let house = House::new(cheap()).await;
    assert!(connect(&house, "machine", SECRET).await.is_err());
    unlock(&house).await;
    assert!(connect(&house, "machine", SECRET).await.is_err());
    recorded(&house, 1, |_| true).await;
}

#[tokio::test]
async fn a_stranger_is_refused_exactly_like_a_user_with_another_password() {
    let house = House::with_alice().await;
    let before = connect(&house, "machine", SECRET).await;
    unlock(&house).await;
    let stranger = connect(&house, "machine", SECRET).await;
    recorded(&house, 1, |_| true).await;
    let known = connect(&house, "machine", SECRET).await;
    let user = connect(&house, "alice", SECRET).await;
    for refused in [&before, &stranger, &known, &user] {
        let refused = refused.as_ref().unwrap_err();
        assert!(matches!(refused, LoginRefused::BadCredentials(_)), "{refused}");
        assert_eq!(refused.to_string(), "bad user name or password");
    }
    assert_eq!(before, stranger);
}

#[tokio::test]
async fn flaw_40_a_stranger_costs_one_hash_whether_it_is_recorded_or_not() {
    let house = House::with_alice().await;
    let check = async |name: &str| {
        let blocked = house.block_pool();
        let connecting = connect(&house, name, SECRET);
        tokio::pin!(connecting);
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut connecting).await;
        assert!(waits.is_err(), "{name} waits for its hash");
        assert_eq!(house.admin.hashes_waiting(), 1, "{name}");
        drop(blocked);
        assert!(connecting.await.is_err());
    };
    check("not-recorded").await;
    unlock(&house).await;
    check("recorded").await;
    recorded(&house, 1, |request| request.username == "recorded").await;
    check("recorded").await;
    check("alice").await;
    check("alice").await;
    assert_eq!(house.admin.hashes_waiting(), 0);
}

#[tokio::test]
async fn a_password_that_nobody_may_set_is_not_kept() {
    let house = unlocked(cheap()).await;
    for (name, password) in [
        ("no-password", None),
        ("empty", Some(&b""[..])),
        ("too-short", Some(b"short")),
        ("common", Some(b"password1")),
        ("own-name", Some(b"Own-Name")),
        ("no-text", Some(b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe")),
    ] {
        assert!(connect_from(&house, HERE, name, password).await.is_err());
        let request = recorded(&house, 1, |request| request.username == name).await.remove(0);
        let expected = match password {
            None => RegistryPasswordModel::Absent,
            Some(_) => RegistryPasswordModel::Unfit,
        };
        assert_eq!(request.password, expected, "{name}");
    }
    let user = grant(&house, "too-short", json!({})).await.unwrap();
    assert!(user.passwords.is_empty());
    assert!(connect(&house, "too-short", b"short").await.is_err());
}

#[tokio::test]
async fn a_client_that_comes_again_with_a_password_makes_a_request_of_its_own() {
    let house = unlocked(cheap()).await;
    assert!(connect_from(&house, HERE, "machine", None).await.is_err());
    let bare = recorded(&house, 1, |_| true).await.remove(0);
    assert!(connect(&house, "machine", SECRET).await.is_err());
    let kept = recorded(&house, 1, |request| request.password == RegistryPasswordModel::Kept).await;
    assert_eq!(requests(&house).len(), 1);
    assert_ne!(kept[0].id, bare.id, "who decides on the one has not seen the other");
    assert!(connect(&house, "machine", b"another-client-7").await.is_err());
    let other = recorded(&house, 1, |request| request.other_passwords == 1).await;
    assert_eq!(other[0].id, kept[0].id, "a password that is there is never replaced");
}

#[tokio::test]
async fn a_client_whose_name_is_locked_by_its_own_tries_is_recorded_and_let_in() {
    let protection = ProtectionSettings { failures_per_user: 3, ..ProtectionSettings::default() };
    let house = House::new(Settings { protection, ..cheap() }).await;
    for number in 0..4 {
        let guess = format!("another-password-{number}");
        assert!(connect(&house, "machine", guess.as_bytes()).await.is_err());
    }
    unlock(&house).await;
    let refused = connect(&house, "machine", SECRET).await.unwrap_err();
    assert!(matches!(refused, LoginRefused::Locked { .. }), "as without the registry: {refused}");
    let request = recorded(&house, 1, |_| true).await.remove(0);
    assert_eq!(request.password, RegistryPasswordModel::Kept);
    grant(&house, "machine", json!({})).await.unwrap();
    assert_eq!(connect(&house, "machine", SECRET).await, Ok("machine".to_owned()));
}

#[tokio::test]
async fn a_valid_certificate_that_names_nobody_is_recorded_with_its_name() {
    let authentication = AuthenticationMode::Either;
    let house = unlocked(Settings { authentication, ..cheap() }).await;
    let refused = by_certificate(&house, "machine").await.unwrap_err();
    assert!(matches!(refused, LoginRefused::NotAuthorized(_)), "{refused}");
    let request = recorded(&house, 1, |_| true).await.remove(0);
    assert_eq!(request.origin, RegistryOriginModel::MqttCertificate);
    grant(&house, "machine", json!({})).await.unwrap();
    assert_eq!(by_certificate(&house, "machine").await, Ok("machine".to_owned()));
    assert!(connect(&house, "machine", SECRET).await.is_err(), "by nothing else");
}

#[tokio::test]
async fn a_flood_of_strangers_fills_its_places_and_no_more() {
    let bounds = RegistrySettings {
        pending_max: 12,
        pending_per_source_max: 5,
        new_per_source_max: 8,
        ..RegistrySettings::default()
    };
    let house = unlocked(Settings { registry: bounds, ..cheap() }).await;
    let flood = (0..400).map(|number| {
        let house = &house;
        async move {
            let address = format!("[2001:db8::{:x}]:{}", number % 7, 1000 + number);
            let name = format!("stranger-{number}");
            assert!(connect_from(house, &address, &name, Some(SECRET)).await.is_err());
        }
    });
    for one in flood {
        one.await;
    }
    settled(&house).await;
    let of_flood = requests(&house).iter().filter(|it| it.username.starts_with("stranger")).count();
    assert_eq!(of_flood, 5, "one /64 has its places");
    for number in 0..20 {
        let address = format!("198.51.100.{number}:1");
        let name = format!("spread-{number}");
        assert!(connect_from(&house, &address, &name, Some(SECRET)).await.is_err());
    }
    recorded(&house, 12, |_| true).await;
    assert!(connect(&house, "one-more", SECRET).await.is_err());
    assert_eq!(house.admin.registry(&Caller::LocalOwner).pending, 12);
    house.admin.lock_registry(&Caller::LocalOwner).await.unwrap();
    house.admin.unlock_registry(&Caller::LocalOwner, RegistryUnlock::default()).await.unwrap();
    assert_eq!(requests(&house).len(), 12, "nobody is pushed out");
}

#[tokio::test]
async fn no_answer_over_rest_shows_who_was_recorded_by_mqtt_and_so_is_no_user() {
    let bounds = RegistrySettings {
        pending_max: 3,
        pending_per_source_max: 2,
        new_per_source_max: 2,
        ..RegistrySettings::default()
    };
    let house = unlocked(Settings { registry: bounds, ..cheap() }).await;
    house.add("alice", "alice-password").await;
    for name in ["stranger-1", "stranger-2", "stranger-3"] {
        assert!(connect(&house, name, SECRET).await.is_err());
        assert!(connect(&house, "alice", SECRET).await.is_err());
    }
    recorded(&house, 2, |_| true).await;
    for (name, password) in [("stranger-1", "another-client-7"), ("alice", "another-client-7")] {
        let asked = json!({"username": name, "password": password});
        let asked = serde_json::from_value(asked).unwrap();
        let answer = house.admin.register(asked, peer(HERE)).await.unwrap();
        assert_eq!(answer.status, RegistryStatus::Pending, "{name}");
    }
    let of =
        |name: &str| requests(&house).iter().filter(|request| request.username == name).count();
    assert_eq!((of("stranger-1"), of("alice")), (2, 1), "one by each way");
}

#[tokio::test]
async fn a_client_that_has_asked_over_rest_is_not_recorded_once_more_by_mqtt() {
    let house = unlocked(cheap()).await;
    let asked = json!({"username": "machine", "password": "violet-tractor-94"});
    house.admin.register(serde_json::from_value(asked).unwrap(), peer(HERE)).await.unwrap();
    assert!(connect(&house, "machine", SECRET).await.is_err());
    assert!(connect(&house, "machine", b"another-client-7").await.is_err());
    let seen = recorded(&house, 1, |request| request.other_passwords == 1).await.remove(0);
    assert_eq!((seen.attempts, seen.origin), (1, RegistryOriginModel::Rest));
    settled(&house).await;
    assert_eq!(requests(&house).len(), 2, "and the last one");
    grant(&house, "machine", json!({})).await.unwrap();
    assert_eq!(connect(&house, "machine", SECRET).await, Ok("machine".to_owned()));
}
