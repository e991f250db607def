//! Bearer tokens: what they are good for, and what ends them.

use serde_json::{Value, json};

use super::{House, cheap, first};
use crate::model::{PageRequest, UserPatch};
use crate::{
    AdminError, AuthenticationMode, Caller, LoginRefused, PeerAddress, Secret, Settings,
    TokenRefused, TokenSettings,
};

const OWNER: Caller = Caller::LocalOwner;
const PEER: PeerAddress = PeerAddress::Local;

/// `alice` may log in by HTTP, `bob` may not.
async fn house(settings: Settings) -> House {
    let house = House::new(settings).await;
    house.add("alice", "alice-password").await;
    house.add("bob", "bob-password").await;
    let patch = json!({"roles": ["minimum-access"]});
    patch_user(&house, "alice", patch).await;
    house
}

async fn patch_user(house: &House, name: &str, patch: Value) {
    let patch: UserPatch = serde_json::from_value(patch).unwrap();
    house.admin.update_user(&OWNER, name, patch, None).await.unwrap();
}

async fn log_in(house: &House, more: Value) -> Result<String, TokenRefused> {
    let mut login = json!({"username": "alice", "password": "alice-password"});
    login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let login = house.admin.make_token(serde_json::from_value(login).unwrap(), PEER).await?;
    Ok(login.token)
}

fn is_good(house: &House, token: &str) -> bool {
    house.admin.authenticate(token, PEER).is_some()
}

#[tokio::test]
async fn a_token_is_random_and_nobody_keeps_it() {
    let house = house(cheap()).await;
    let one = log_in(&house, json!({})).await.unwrap();
    let other = log_in(&house, json!({})).await.unwrap();
    assert_ne!(one, other);
    assert_eq!(one.len(), 49, "256 bits in Base64 and a prefix");
    assert!(is_good(&house, &one) && is_good(&house, &other));
    let files = ["countersign.db", "countersign.db-wal"];
    let stored: Vec<u8> =
        files.iter().flat_map(|file| std::fs::read(house.dir.path().join(file)).unwrap()).collect();
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("minimum-access"), "the search finds what is there");
    assert!(!holds(&one) && !holds(one.split_at(6).1), "flaw_31: only its hash is stored");
    let shown = house.admin.list_tokens(&OWNER, "alice", PageRequest::default()).unwrap();
    let shown = serde_json::to_string(&shown).unwrap();
    assert!(!shown.contains(one.split_at(6).1));
}

#[tokio::test]
async fn what_is_no_token_is_nobody() {
    let house = house(cheap()).await;
    let token = log_in(&house, json!({})).await.unwrap();
    let changed =
        format!("{}{}", token.split_at(48).0, if token.ends_with('A') { "B" } else { "A" });
    for bad in
        ["", "cstok_", &changed, token.split_at(6).1, &format!("{token}A"), &token.to_uppercase()]
    {
        assert!(!is_good(&house, bad), "{bad}");
    }
}

#[tokio::test]
async fn a_token_outlives_a_restart() {
    let house = house(cheap()).await;
    let token = log_in(&house, json!({"label": "script"})).await.unwrap();
    let house = house.restart(cheap()).await;
    assert!(is_good(&house, &token));
    let user = house.admin.show_user(&OWNER, "alice").unwrap();
    assert_eq!(user.tokens[0].label, "script");
}

#[tokio::test]
async fn a_token_ends_with_what_it_was_made_by() {
    let check = async |what: &str, patch: Option<Value>| {
        let house = house(cheap()).await;
        let token = log_in(&house, json!({})).await.unwrap();
        match patch {
            Some(patch) => patch_user(&house, "alice", patch).await,
            None if what == "password" => {
                let change = first("another-password");
                house.admin.set_password(&OWNER, "alice", change).await.unwrap();
            }
            None => house.admin.remove_user(&OWNER, "alice", None).await.unwrap(),
        }
        assert!(!is_good(&house, &token), "{what}");
        if what == "disabled" {
            patch_user(&house, "alice", json!({"enabled": true})).await;
            assert!(!is_good(&house, &token), "it does not come back");
        }
        let house = house.restart(cheap()).await;
        assert!(!is_good(&house, &token), "{what}, after a restart");
    };
    check("password", None).await;
    check("removed", None).await;
    check("disabled", Some(json!({"enabled": false}))).await;
    check("grant", Some(json!({"grantTypes": [{"method": "certificate"}]}))).await;
    let both = json!({"grantTypes": [{"method": "password"}, {"method": "certificate", "isRequired": true}]});
    check("required", Some(both)).await;
}

#[tokio::test]
async fn a_second_password_ends_no_token() {
    let house = house(cheap()).await;
    let token = log_in(&house, json!({})).await.unwrap();
    let second = serde_json::from_value(json!({"password": "second-password", "second": true}));
    house.admin.set_password(&OWNER, "alice", second.unwrap()).await.unwrap();
    assert!(is_good(&house, &token));
}

#[tokio::test]
async fn bad_credentials_tell_nothing_and_no_permission_is_told() {
    let house = house(cheap()).await;
    let refused =
        |error: TokenRefused| matches!(error, TokenRefused::Login(LoginRefused::BadCredentials(_)));
    for (name, password) in
        [("alice", "wrong-password"), ("nobody", "wrong-password"), ("alice", ""), ("", "x")]
    {
        let bad = json!({"username": name, "password": password});
        assert!(refused(log_in(&house, bad).await.unwrap_err()), "{name} {password}");
    }
    let bob = json!({"username": "bob", "password": "bob-password"});
    let refused = log_in(&house, bob).await.unwrap_err();
    assert!(matches!(refused, TokenRefused::Admin(AdminError::Forbidden(_))));
}

#[tokio::test]
async fn a_password_is_enough_over_http_whatever_mqtt_clients_must_show() {
    let house = house(cheap()).await;
    let settings = Settings { authentication: AuthenticationMode::MutualTls, ..cheap() };
    let house = house.restart(settings).await;
    assert!(log_in(&house, json!({})).await.is_ok());
    let both = json!({"grantTypes": [{"method": "password"}, {"method": "certificate", "isRequired": true}]});
    patch_user(&house, "alice", both).await;
    assert!(log_in(&house, json!({})).await.is_err(), "unless a certificate is required besides");
}

#[tokio::test]
async fn the_life_and_label_of_a_token_have_bounds() {
    let house = house(cheap()).await;
    let check = async |more: Value, field: Option<&str>| {
        let refused = log_in(&house, more.clone()).await.err();
        let named = refused.map(|refused| match refused {
            TokenRefused::Admin(AdminError::Invalid { field, .. }) => field,
            other => panic!("{other}"),
        });
        assert_eq!(named.as_deref(), field, "{more}");
    };
    check(json!({"expireTimeInHours": 1}), None).await;
    check(json!({"expireTimeInHours": 8760}), None).await;
    check(json!({"expireTimeInHours": 0}), Some("expireTimeInHours")).await;
    check(json!({"expireTimeInHours": 8761}), Some("expireTimeInHours")).await;
    check(json!({"label": "x".repeat(200)}), None).await;
    check(json!({"label": "x".repeat(201)}), Some("label")).await;
    check(json!({"label": "a\nb"}), Some("label")).await;
}

#[tokio::test]
async fn the_oldest_of_too_many_tokens_makes_room() {
    let tokens = TokenSettings { per_user_max: 3, ..TokenSettings::default() };
    let house = house(Settings { tokens, ..cheap() }).await;
    for number in 0..5 {
        log_in(&house, json!({"label": number.to_string()})).await.unwrap();
    }
    let page = house.admin.list_tokens(&OWNER, "alice", PageRequest::default()).unwrap();
    assert_eq!(page.total, 3);
}

#[tokio::test]
async fn tokens_are_ended_one_by_one_or_all_at_once() {
    let house = house(cheap()).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(log_in(&house, json!({})).await.unwrap());
    }
    let caller = house.admin.authenticate(&tokens[0], PEER).unwrap();
    let own = house.admin.who(&caller).unwrap().token.unwrap();
    assert!(own.last_used_at.is_some());
    house.admin.remove_token(&OWNER, "alice", own.id).await.unwrap();
    let good: Vec<_> = tokens.iter().map(|token| is_good(&house, token)).collect();
    assert_eq!(good, [false, true, true]);
    let again = house.admin.remove_token(&OWNER, "alice", own.id).await;
    assert!(matches!(again, Err(AdminError::NotFound { .. })));
    let caller = house.admin.authenticate(&tokens[1], PEER).unwrap();
    let foreign = house.admin.who(&caller).unwrap().token.unwrap();
    let of_bob = house.admin.remove_token(&OWNER, "bob", foreign.id).await;
    assert!(matches!(of_bob, Err(AdminError::NotFound { .. })), "a token is its user's");
    house.admin.log_out(&caller).await.unwrap();
    assert!(!is_good(&house, &tokens[1]));
    house.admin.remove_tokens(&OWNER, "alice").await.unwrap();
    assert!(!is_good(&house, &tokens[2]));
}

#[tokio::test]
async fn ones_own_password_needs_the_present_one() {
    let house = house(cheap()).await;
    let token = log_in(&house, json!({})).await.unwrap();
    let alice = house.admin.authenticate(&token, PEER).unwrap();
    let set = async |change: Value| {
        let change = serde_json::from_value(change).unwrap();
        house.admin.set_password(&alice, "alice", change).await
    };
    let refused =
        |result| matches!(result, Err(AdminError::Invalid { field, .. }) if field == "current");
    assert!(refused(set(json!({"password": "my-new-password"})).await));
    assert!(refused(set(json!({"password": "my-new-password", "current": "wrong"})).await));
    set(json!({"password": "my-new-password", "current": "alice-password"})).await.unwrap();
    assert!(!is_good(&house, &token));
    assert!(house.login("alice", "my-new-password").await.is_ok());
    assert_eq!(Secret::from("a"), Secret::from("a"));
}
