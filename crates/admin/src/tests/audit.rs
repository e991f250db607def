//! What the audit log says of each change, and what it never says.

use serde_json::{Value, json};

use super::{House, allow, cheap, first};
use crate::audit_model::{AuditChainModel, AuditFilter, AuditOrderModel, AuditRecord};
use crate::model::{NewRole, PageRequest};
use crate::{Caller, RefusedLogin, RoleRemoval};

async fn log(house: &House, chain: AuditChainModel, after_seq: u64) -> Vec<AuditRecord> {
    let filter = AuditFilter {
        chain: Some(chain),
        after_seq: Some(after_seq),
        order: AuditOrderModel::Oldest,
        ..AuditFilter::default()
    };
    let page = PageRequest { page_number: 1, rows_per_page: 100 };
    house.admin.list_audit(&Caller::LocalOwner, &filter, page).await.unwrap().items
}

async fn last_seq(house: &House) -> u64 {
    log(house, AuditChainModel::Changes, 0).await.last().unwrap().seq
}

async fn must_verify(house: &House) {
    let verdict = house.admin.verify_audit(&Caller::LocalOwner, &[]).await.unwrap();
    assert!(verdict.good, "{verdict:?}");
}

#[tokio::test]
async fn every_change_is_recorded_with_who_what_before_and_after() {
    let house = House::with_alice().await;
    let begin = last_seq(&house).await;
    house.patch("alice", r#"{"permissions":[{"resource":"a/#","operation":"read"}]}"#).await;
    house.patch("alice", r#"{"enabled":false}"#).await;
    house.patch("alice", r#"{"enabled":false}"#).await;
    house.set_password("alice", "another-password").await;
    let role = NewRole {
        name: "reader".to_owned(),
        permissions: vec![allow("read", "b/#")],
        publish_budget: None,
    };
    house.admin.create_role(&Caller::LocalOwner, role).await.unwrap();
    let removed = RoleRemoval::IfUnused;
    house.admin.remove_role(&Caller::LocalOwner, "reader", None, removed).await.unwrap();
    house.admin.remove_user(&Caller::LocalOwner, "alice", None).await.unwrap();
    let records = log(&house, AuditChainModel::Changes, begin).await;
    let said: Vec<_> = records
        .iter()
        .map(|record| {
            assert_eq!(record.user, "local owner");
            let side = |name: &str| record.details.get(name).cloned().unwrap_or_default();
            (record.action.as_str(), side("before"), side("after"))
        })
        .collect();
    let rule = "allow mqtt:read:a/#";
    let alice = |permissions: &[&str], enabled: bool| {
        json!({
            "username": "alice", "grantTypes": [{"method": "password", "isRequired": false}],
            "mqttPublishPrefix": null, "roles": [], "permissions": permissions, "enabled": enabled,
            "publishBudget": null,
        })
    };
    let reader =
        json!({"name": "reader", "permissions": ["allow mqtt:read:b/#"], "publishBudget": null});
    assert_eq!(
        said,
        [
            ("user.update", json!({"permissions": []}), json!({"permissions": [rule]})),
            ("user.update", json!({"enabled": true}), json!({"enabled": false})),
            ("user.password", Value::Null, Value::Null),
            ("role.create", Value::Null, reader.clone()),
            ("role.remove", reader, Value::Null),
            ("user.remove", alice(&[rule], false), Value::Null),
        ]
    );
    must_verify(&house).await;
}

#[tokio::test]
async fn the_first_start_is_recorded() {
    let house = House::new(cheap()).await;
    let records = log(&house, AuditChainModel::Changes, 0).await;
    let actions: Vec<_> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["role.create", "role.create", "user.create", "user.password"]);
    assert!(records.iter().all(|record| record.user == "the broker"));
}

#[tokio::test]
async fn flaw_31_no_secret_is_in_the_log() {
    let house = House::with_alice().await;
    house.set_password("alice", "another-password").await;
    for record in log(&house, AuditChainModel::Changes, 0).await {
        for secret in ["alice-password", "another-password", "admin-password", "argon2"] {
            assert!(!record.record.contains(secret), "{}", record.record);
        }
    }
}

#[tokio::test]
async fn a_change_that_is_refused_is_not_recorded() {
    let house = House::with_alice().await;
    let begin = last_seq(&house).await;
    let refused = house.admin.remove_user(&Caller::LocalOwner, "admin", None).await;
    assert!(refused.is_err());
    let short = house.admin.set_password(&Caller::LocalOwner, "alice", first("short")).await;
    assert!(short.is_err());
    assert_eq!(last_seq(&house).await, begin);
}

#[tokio::test]
async fn confirmed_changes_and_their_records_are_there_after_a_restart() {
    let house = House::with_alice().await;
    house.patch("alice", r#"{"enabled":false}"#).await;
    let before = log(&house, AuditChainModel::Changes, 0).await;
    let house = house.restart(cheap()).await;
    assert_eq!(log(&house, AuditChainModel::Changes, 0).await, before);
    must_verify(&house).await;
}

#[tokio::test]
async fn flaw_41_refused_logins_are_recorded_and_a_flood_is_counted() {
    let house = House::with_alice().await;
    let long = "x".repeat(1000);
    let refuse = |username: &str| {
        house.admin.record_refused_login(RefusedLogin {
            username: Some(username),
            client_id: Some("press\n7"),
            address: "192.0.2.1:5000",
            listener: "mqtt",
            reason: "wrong password",
        });
    };
    refuse("bob");
    refuse(&long);
    for _ in 0..2000 {
        refuse("flood");
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let records = loop {
        let records = log(&house, AuditChainModel::Refusals, 0).await;
        if records.iter().any(|record| record.action == "login.refused.left-out") {
            break records;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", records.len());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(records.len() < 400, "{}", records.len());
    assert_eq!(
        (records[0].user.as_str(), &records[0].details["clientId"]),
        ("bob", &json!("press\n7"))
    );
    assert_eq!(records[0].details["reason"], "wrong password");
    assert_eq!(records[1].user.chars().count(), 257);
    let left_out = records.iter().filter_map(|record| record.details.get("count")?.as_u64());
    assert!(left_out.sum::<u64>() > 1500);
    must_verify(&house).await;
}
