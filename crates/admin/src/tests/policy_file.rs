//! A policy as one document: what it makes, what it leaves alone, and that it is all or nothing.

use serde_json::{Value, json};

use super::{House, cheap};
use crate::policy_model::{PolicyDocument, PolicyOptions};
use crate::{AdminError, Caller};

const DRY: PolicyOptions = PolicyOptions { dry_run: true, prune: false, only_new: false };
const APPLY: PolicyOptions = PolicyOptions { dry_run: false, prune: false, only_new: false };
const PRUNE: PolicyOptions = PolicyOptions { dry_run: false, prune: true, only_new: false };

pub(super) async fn apply(
    house: &House,
    json: &Value,
    options: PolicyOptions,
) -> Result<Vec<String>, AdminError> {
    let document: PolicyDocument = serde_json::from_value(json.clone()).unwrap();
    let outcome = house.admin.apply_policy(&Caller::LocalOwner, document, options).await?;
    assert_eq!(outcome.dry_run, options.dry_run);
    let word = |step: &crate::policy_model::PolicyStep| {
        let target = &step.details["target"];
        let name = target["user"].as_str().or(target["role"].as_str()).unwrap();
        format!("{} {name}", step.action)
    };
    Ok(outcome.changes.iter().map(word).collect())
}

pub(super) fn exported(house: &House) -> Value {
    serde_json::to_value(house.admin.export_policy(&Caller::LocalOwner)).unwrap()
}

fn plant() -> Value {
    json!({
        "roles": [{ "name": "reader", "permissions": [
            { "resource": "plant/#", "operation": "read" },
            { "resource": "plant/secret/#", "operation": "read", "effect": "deny" },
        ]}],
        "users": [
            { "username": "gauge", "password": "gauge-password", "roles": ["reader"],
              "grantTypes": [{ "method": "password" }], "mqttPublishPrefix": "gauges/" },
            { "username": "press", "permissions": [{ "resource": "press/#", "operation": "write" }] },
        ],
    })
}

#[tokio::test]
async fn a_document_makes_what_it_says_and_a_second_time_nothing() {
    let house = House::new(cheap()).await;
    let all =
        ["role.create reader", "user.create gauge", "user.password gauge", "user.create press"];
    assert_eq!(apply(&house, &plant(), DRY).await.unwrap(), all);
    assert!(house.login("gauge", "gauge-password").await.is_err(), "a dry run makes nothing");
    assert_eq!(apply(&house, &plant(), APPLY).await.unwrap(), all);
    assert_eq!(house.login("gauge", "gauge-password").await, Ok("gauge".to_owned()));
    let generation = house.admin.policy().load().generation();
    assert_eq!(apply(&house, &plant(), APPLY).await.unwrap(), [""; 0]);
    assert_eq!(house.admin.policy().load().generation(), generation);
}

#[tokio::test]
async fn what_is_exported_is_no_change_when_applied() {
    let house = House::new(cheap()).await;
    apply(&house, &plant(), APPLY).await.unwrap();
    let export = exported(&house);
    assert!(!export.to_string().contains("argon2"));
    assert_eq!(apply(&house, &export, PRUNE).await.unwrap(), [""; 0]);
    assert_eq!(exported(&house), export);
}

#[tokio::test]
async fn one_bad_line_changes_nothing_and_is_named() {
    let house = House::new(cheap()).await;
    let check = async |pointer: &str, value: Value, field: &str| {
        let mut bad = plant();
        *bad.pointer_mut(pointer).unwrap() = value;
        let before = exported(&house);
        let refused = apply(&house, &bad, APPLY).await.unwrap_err();
        assert!(
            matches!(&refused, AdminError::Invalid { field: named, .. } if named == field),
            "{refused:?}"
        );
        assert_eq!(exported(&house), before);
    };
    check("/users/1/permissions/0/resource", json!("a/#/b"), "users[1].permissions[0].resource")
        .await;
    check("/users/1/username", json!("gauge"), "users[1].username").await;
    check("/users/0/roles", json!(["writer"]), "users[0].roles[0]").await;
    check("/roles/0/name", json!("a b"), "roles[0].name").await;
    check("/users/0/password", json!("short"), "password").await;
    let mut bad = plant();
    bad["users"][1]["passwordHash"] =
        json!("$argon2id$v=19$m=9999999,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG");
    assert!(apply(&house, &bad, APPLY).await.is_err(), "a hash that would take 10 GB");
}

#[tokio::test]
async fn prune_removes_what_is_not_named_but_never_the_last_administrator() {
    let house = House::new(cheap()).await;
    apply(&house, &plant(), APPLY).await.unwrap();
    let refused = apply(&house, &plant(), PRUNE).await.unwrap_err();
    assert!(matches!(refused, AdminError::LastAdministrator), "{refused:?}");
    let left = json!({ "users": [{ "username": "admin", "roles": ["connectware-admin"] }] });
    let gone = ["user.remove gauge", "user.remove press", "role.remove reader"];
    assert_eq!(apply(&house, &left, PRUNE).await.unwrap(), gone);
    assert_eq!(house.login("admin", "admin-password").await, Ok("admin".to_owned()));
}

#[tokio::test]
async fn a_built_in_role_stays_as_it_is() {
    let house = House::new(cheap()).await;
    let wider = json!({ "roles": [{ "name": "minimum-access", "permissions": [
        { "resource": "#", "operation": "readWrite" } ]}]});
    let refused = apply(&house, &wider, APPLY).await.unwrap_err();
    assert!(matches!(refused, AdminError::BuiltIn { .. }), "{refused:?}");
}

#[tokio::test]
async fn flaw_26_a_document_that_fails_leaves_every_right_as_it_was_and_lets_nobody_in() {
    let house = House::with_alice().await;
    house.patch("alice", r#"{"permissions":[{"operation":"read","resource":"a/#"}]}"#).await;
    let before = (exported(&house), house.admin.policy().load_full());
    let bad = json!({"roles": [], "users": [
        {"username": "mallory", "password": "mallory-password",
         "permissions": [{"resource": "#", "operation": "readWrite"}]},
        {"username": "alice", "permissions": [{"resource": "a#", "operation": "read"}]},
    ]});
    assert!(apply(&house, &bad, PRUNE).await.is_err());
    // The file is good, and it is the disk that fails.
    house.admin.shared.store.close().await;
    let error = apply(&house, &plant(), APPLY).await.unwrap_err();
    assert!(matches!(error, AdminError::Store(_)), "{error}");
    assert_eq!(exported(&house), before.0);
    assert!(std::sync::Arc::ptr_eq(&house.admin.policy().load_full(), &before.1));
    for (name, password) in [("mallory", "mallory-password"), ("gauge", "gauge-password")] {
        assert!(house.login(name, password).await.is_err(), "{name}");
    }
    assert_eq!(house.login("alice", "alice-password").await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn with_only_new_nothing_that_is_there_is_touched() {
    const NEW: PolicyOptions = PolicyOptions { dry_run: false, prune: false, only_new: true };
    let house = House::new(cheap()).await;
    apply(&house, &plant(), NEW).await.unwrap();
    assert_eq!(
        apply(&house, &plant(), NEW).await.unwrap(),
        [""; 0],
        "what is the same is no change"
    );
    let check = async |pointer: &str, value: Value, name: &str| {
        let mut other = plant();
        other["users"].as_array_mut().unwrap().push(json!({ "username": "newcomer" }));
        *other.pointer_mut(pointer).unwrap() = value;
        let before = exported(&house);
        let refused = apply(&house, &other, NEW).await.unwrap_err();
        let is_so = matches!(&refused, AdminError::Duplicate { value, .. } if value == name);
        assert!(is_so, "{refused:?}");
        assert_eq!(exported(&house), before);
    };
    check("/users/0/password", json!("another-password"), "gauge").await;
    check("/users/1/permissions", json!([]), "press").await;
    check("/roles/0/permissions", json!([]), "reader").await;
    let both = PolicyOptions { prune: true, ..NEW };
    assert!(matches!(apply(&house, &plant(), both).await, Err(AdminError::Invalid { .. })));
}
