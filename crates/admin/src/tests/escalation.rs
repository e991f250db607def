//! No path to more rights than the caller has.

use serde_json::{Value, json};

use super::{House, cheap};
use crate::model::{NewCertificate, NewRole, NewUser, PasswordChange, RolePatch, UserPatch};
use crate::{AdminError, Caller, PeerAddress, RoleRemoval};

const OWNER: Caller = Caller::LocalOwner;

/// A house with `part`, who may do everything by HTTP with users and roles, and read and write below `plant/` but for
/// `plant/secret/`; with `boss`, who may do everything; and with `worker`, who may do a part of what `part` may.
async fn house() -> (House, Caller) {
    let house = House::new(cheap()).await;
    let users = json!([
        {"username": "part", "password": "part-password", "permissions": [
            {"context": "http", "operation": "readWrite", "resource": "/api/users/#"},
            {"context": "http", "operation": "readWrite", "resource": "/api/roles/#"},
            {"operation": "readWrite", "resource": "plant/#"},
            {"operation": "readWrite", "resource": "plant/secret/#", "effect": "deny"},
        ]},
        {"username": "boss", "password": "boss-password", "roles": ["connectware-admin"],
            "grantTypes": [{"method": "password"}, {"method": "certificate"}]},
        {"username": "worker", "password": "worker-password",
            "grantTypes": [{"method": "password"}, {"method": "certificate"}],
            "permissions": [
                {"operation": "write", "resource": "plant/line1/#"},
                {"operation": "write", "resource": "plant/line1/stop", "effect": "deny"},
        ]},
        {"username": "asleep", "password": "asleep-password", "enabled": false, "roles": ["connectware-admin"]},
        {"username": "fenced", "password": "fenced-password", "mqttPublishPrefix": "fence/", "permissions": [
            {"operation": "write", "resource": "#"},
        ]},
    ]);
    let users: Vec<NewUser> = serde_json::from_value(users).unwrap();
    house.admin.create_users(&OWNER, users).await.unwrap();
    let part = caller(&house, "part").await;
    (house, part)
}

async fn caller(house: &House, name: &str) -> Caller {
    let login = json!({"username": name, "password": format!("{name}-password")});
    let peer = PeerAddress::Network("192.0.2.7:4711".parse().unwrap());
    let login = house.admin.make_token(serde_json::from_value(login).unwrap(), peer).await.unwrap();
    house.admin.authenticate(&login.token, peer).unwrap()
}

fn is_forbidden<T>(result: Result<T, AdminError>) -> bool {
    match result {
        Ok(_) => false,
        Err(AdminError::Forbidden(reason)) => {
            assert!(reason.contains("do not cover"), "{reason}");
            true
        }
        Err(other) => panic!("{other}"),
    }
}

async fn check_user(new: Value, may: bool) {
    let (house, part) = house().await;
    let said = new.to_string();
    let new: NewUser = serde_json::from_value(new).unwrap();
    let made = house.admin.create_user(&part, new.clone()).await;
    assert_eq!(!is_forbidden(made), may, "{said}");
    let new = NewUser { username: "other".to_owned(), ..new };
    let made = house.admin.create_users(&part, vec![new]).await;
    assert_eq!(!is_forbidden(made), may, "in a batch: {said}");
}

#[tokio::test]
async fn a_new_user_gets_nothing_that_its_maker_does_not_have() {
    let user = |permissions: Value| json!({"username": "new", "permissions": permissions});
    check_user(user(json!([])), true).await;
    check_user(user(json!([{"operation": "read", "resource": "plant/line1/#"}])), true).await;
    check_user(user(json!([{"operation": "read", "resource": "#"}])), false).await;
    check_user(user(json!([{"operation": "read", "resource": "plant/#"}])), false).await;
    check_user(user(json!([{"operation": "read", "resource": "plant/secret/a"}])), false).await;
    check_user(
        user(json!([
            {"operation": "read", "resource": "plant/#"},
            {"operation": "read", "resource": "plant/secret/#", "effect": "deny"},
        ])),
        true,
    )
    .await;
    let clients = json!({"context": "http", "operation": "read", "resource": "/api/clients"});
    check_user(user(json!([clients])), false).await;
    check_user(json!({"username": "new", "roles": ["connectware-admin"]}), false).await;
    check_user(json!({"username": "new", "roles": ["minimum-access"]}), false).await;
}

async fn check_patch(name: &str, patch: Value, may: bool) {
    let (house, part) = house().await;
    let parsed: UserPatch = serde_json::from_value(patch.clone()).unwrap();
    let changed = house.admin.update_user(&part, name, parsed, None).await;
    assert_eq!(!is_forbidden(changed), may, "{name}: {patch}");
}

#[tokio::test]
async fn a_user_is_given_nothing_that_its_changer_does_not_have() {
    let all = json!({"operation": "readWrite", "resource": "#"});
    check_patch("worker", json!({"permissions": [all]}), false).await;
    check_patch("part", json!({"permissions": [all]}), false).await;
    check_patch("worker", json!({"roles": ["connectware-admin"]}), false).await;
    check_patch("part", json!({"roles": ["connectware-admin"]}), false).await;
    // What it has stays, whatever the changer has.
    check_patch(
        "boss",
        json!({"permissions": [{"operation": "write", "resource": "plant/a"}]}),
        true,
    )
    .await;
}

#[tokio::test]
async fn to_take_a_deny_away_is_to_give() {
    let allow = json!({"operation": "write", "resource": "plant/line1/#"});
    check_patch("worker", json!({"permissions": [allow]}), true).await;
    let own = json!([
        {"context": "http", "operation": "readWrite", "resource": "/api/users/#"},
        {"context": "http", "operation": "readWrite", "resource": "/api/roles/#"},
        {"operation": "readWrite", "resource": "plant/#"},
    ]);
    check_patch("part", json!({"permissions": own}), false).await;
    let more = json!([
        {"operation": "write", "resource": "plant/line1/#"},
        {"operation": "write", "resource": "plant/line1/stop", "effect": "deny"},
        {"operation": "write", "resource": "plant/line1/a", "effect": "deny"},
    ]);
    check_patch("worker", json!({"permissions": more}), true).await;
}

#[tokio::test]
async fn to_enable_or_open_another_way_in_is_to_give_all() {
    check_patch("asleep", json!({"enabled": true}), false).await;
    check_patch("boss", json!({"enabled": false}), true).await;
    let ways = json!({"grantTypes": [{"method": "password"}, {"method": "certificate"}]});
    check_patch("asleep", ways.clone(), false).await;
    let fewer = json!({"grantTypes": [{"method": "certificate"}]});
    check_patch("boss", fewer.clone(), false).await;
    check_patch("worker", fewer, true).await;
    check_patch("part", ways, true).await;
}

#[tokio::test]
async fn to_widen_a_prefix_is_to_give_what_it_kept_back() {
    check_patch("fenced", json!({"mqttPublishPrefix": null}), false).await;
    check_patch("fenced", json!({"mqttPublishPrefix": "other/"}), false).await;
    check_patch("fenced", json!({"mqttPublishPrefix": "fence/inner/"}), true).await;
    check_patch("worker", json!({"mqttPublishPrefix": "plant/"}), true).await;
}

#[tokio::test]
async fn whoever_sets_a_password_could_be_that_user() {
    let (house, part) = house().await;
    let set = |name: &'static str, change: Value| {
        let change: PasswordChange = serde_json::from_value(change).unwrap();
        let (admin, part) = (house.admin.clone(), part.clone());
        async move { admin.set_password(&part, name, change).await }
    };
    let new = json!({"password": "a-new-password"});
    let second = json!({"password": "a-second-password", "second": true});
    for name in ["boss", "asleep", "fenced"] {
        assert!(is_forbidden(set(name, new.clone()).await), "{name}");
        assert!(is_forbidden(set(name, second.clone()).await), "{name}");
    }
    assert!(house.login("boss", "boss-password").await.is_ok(), "nothing has changed");
    assert!(!is_forbidden(set("worker", new).await));
}

#[tokio::test]
async fn whoever_gets_a_certificate_could_be_that_user() {
    let (house, part) = house().await;
    let issue = |name: &'static str| {
        let (admin, part) = (house.admin.clone(), part.clone());
        let new: NewCertificate = serde_json::from_value(json!({})).unwrap();
        async move { admin.issue_certificate(&part, name, new).await }
    };
    assert!(is_forbidden(issue("boss").await));
    assert!(!is_forbidden(issue("worker").await));
}

#[tokio::test]
async fn a_role_is_given_nothing_that_its_changer_does_not_have() {
    let (house, part) = house().await;
    let role = |name: &str, permissions: Value| -> NewRole {
        serde_json::from_value(json!({"name": name, "permissions": permissions})).unwrap()
    };
    let all = json!({"operation": "readWrite", "resource": "#"});
    assert!(is_forbidden(house.admin.create_role(&part, role("wide", json!([all]))).await));
    let line = json!({"operation": "read", "resource": "plant/line1/#"});
    assert!(!is_forbidden(house.admin.create_role(&part, role("line", json!([line]))).await));

    let stop = json!({"operation": "write", "resource": "plant/secret/#", "effect": "deny"});
    house.admin.create_role(&OWNER, role("fence", json!([stop]))).await.unwrap();
    let patch = |permissions: Value| -> RolePatch {
        serde_json::from_value(json!({"permissions": permissions})).unwrap()
    };
    let freed = house.admin.update_role(&part, "fence", patch(json!([])), None).await;
    assert!(is_forbidden(freed));
    let widened = house.admin.update_role(&part, "line", patch(json!([all])), None).await;
    assert!(is_forbidden(widened));
    let more = house.admin.update_role(&part, "fence", patch(json!([stop, line])), None).await;
    assert!(!is_forbidden(more));
}

#[tokio::test]
async fn a_deny_does_not_go_with_the_role_that_brought_it() {
    let (house, part) = house().await;
    let fence = json!({"name": "fence", "permissions": [
        {"operation": "write", "resource": "plant/secret/#", "effect": "deny"},
    ]});
    house.admin.create_role(&OWNER, serde_json::from_value(fence).unwrap()).await.unwrap();
    let user = json!({"username": "kept", "roles": ["fence"], "permissions": [
        {"operation": "write", "resource": "plant/#"},
    ]});
    house.admin.create_user(&OWNER, serde_json::from_value(user).unwrap()).await.unwrap();
    let removal = RoleRemoval::Force;
    let removed = house.admin.remove_role(&part, "fence", None, removal).await;
    assert!(is_forbidden(removed));
    let patch: UserPatch = serde_json::from_value(json!({"roles": []})).unwrap();
    assert!(is_forbidden(house.admin.update_user(&part, "kept", patch, None).await));
}

#[tokio::test]
async fn whoever_has_all_rights_may_give_all_of_them() {
    let (house, _) = house().await;
    let boss = caller(&house, "boss").await;
    let new = json!({"username": "second", "password": "second-password", "roles": ["connectware-admin"]});
    house.admin.create_user(&boss, serde_json::from_value(new).unwrap()).await.unwrap();
    let change = serde_json::from_value(json!({"password": "another-password"})).unwrap();
    house.admin.set_password(&boss, "admin", change).await.unwrap();
    let patch = serde_json::from_value(json!({"enabled": true})).unwrap();
    house.admin.update_user(&boss, "asleep", patch, None).await.unwrap();
}

#[tokio::test]
async fn what_the_caller_has_lost_meanwhile_it_cannot_give() {
    let (house, part) = house().await;
    let patch = serde_json::from_value(json!({"permissions": []})).unwrap();
    house.admin.update_user(&OWNER, "part", patch, None).await.unwrap();
    let user =
        json!({"username": "new", "permissions": [{"operation": "read", "resource": "plant/a"}]});
    let made = house.admin.create_user(&part, serde_json::from_value(user.clone()).unwrap()).await;
    assert!(is_forbidden(made));
    house.admin.remove_user(&OWNER, "part", None).await.unwrap();
    let made = house.admin.create_user(&part, serde_json::from_value(user).unwrap()).await;
    assert!(matches!(made, Err(AdminError::Forbidden(_))));
}

#[tokio::test]
async fn who_is_bound_by_a_publish_budget_loosens_nobodys_beyond_it() {
    let (house, part) = house().await;
    let set = async |name: &str, budget: Value| {
        let patch = serde_json::from_value(json!({"publishBudget": budget})).unwrap();
        house.admin.update_user(&OWNER, name, patch, None).await.unwrap();
    };
    set("part", json!({"messagesPerSecond": 10})).await;
    set("worker", json!({"messagesPerSecond": 20})).await;
    let refused = |result: Result<(), AdminError>| match result {
        Ok(()) => false,
        Err(AdminError::Forbidden(reason)) => {
            assert!(reason.contains("publish budget is `messages=10:10`"), "{reason}");
            true
        }
        Err(other) => panic!("{other}"),
    };
    let patch = async |name: &str, budget: Value| {
        let patch = serde_json::from_value(json!({"publishBudget": budget})).unwrap();
        house.admin.update_user(&part, name, patch, None).await.map(drop)
    };
    for (name, budget, is_refused) in [
        ("part", json!(null), true),
        ("part", json!({"messagesPerSecond": 11}), true),
        ("part", json!({"messagesPerSecond": 10, "messagesBurst": 99}), true),
        ("part", json!({"bytesPerSecond": 5}), true),
        ("worker", json!({"messagesPerSecond": 21}), true),
        ("worker", json!({"messagesPerSecond": 19}), false),
        ("worker", json!({"messagesPerSecond": 10}), false),
        ("part", json!({"messagesPerSecond": 10}), false),
    ] {
        assert_eq!(refused(patch(name, budget.clone()).await), is_refused, "{name} {budget}");
    }
    let new = |budget: Value| -> NewUser {
        serde_json::from_value(json!({"username": "new-one", "publishBudget": budget})).unwrap()
    };
    assert!(refused(house.admin.create_user(&part, new(json!(null))).await.map(drop)));
    let within = json!({"messagesPerSecond": 9});
    assert!(!refused(house.admin.create_user(&part, new(within)).await.map(drop)));
    // To log in as somebody is to publish as much as that one may.
    set("worker", json!(null)).await;
    let change: PasswordChange =
        serde_json::from_value(json!({"password": "taken-password"})).unwrap();
    assert!(refused(house.admin.set_password(&part, "worker", change).await.map(drop)));
}
