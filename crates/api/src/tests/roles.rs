//! `/api/roles` and below, and the index of permissions.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::fixture::Api;

fn reader() -> Value {
    json!({"name": "reader", "permissions": [
        {"resource": "plant/#", "operation": "read", "context": "mqtt"},
        {"resource": "/api/users", "operation": "read", "context": "http", "effect": "deny"},
    ]})
}

#[tokio::test]
async fn a_new_role_is_where_location_says() {
    let api = Api::new().await;
    let made = api.call("POST /api/roles", Some(reader())).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let found = api.get(made.header("location")).await;
    assert_eq!(found.body, made.body);
    assert_eq!(found.body["name"], "reader");
    assert_eq!(found.body["permissions"][1]["effect"], "deny");
}

#[tokio::test]
async fn the_roles_of_the_manual_are_there() {
    let api = Api::new().await;
    for name in ["connectware-admin", "minimum-access"] {
        assert_eq!(
            api.get(&format!("/api/roles?name[eq]={name}")).await.body["total"],
            1,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_bad_role_is_refused_by_the_name_of_its_field() {
    let api = Api::new().await;
    api.make("/api/roles", reader()).await;
    for (body, expected) in [
        (json!({"name": ""}), (400, Some("name"))),
        (json!({"name": "a/b"}), (400, Some("name"))),
        (json!({"name": "reader"}), (409, Some("name"))),
        (json!({"name": "other", "permission": []}), (400, Some("permission"))),
        (json!({"permissions": []}), (400, Some("name"))),
    ] {
        api.check_refused("POST /api/roles", Some(body), expected).await;
    }
}

#[tokio::test]
async fn a_role_is_renamed_and_its_permissions_replaced() {
    let api = Api::new().await;
    let path = api.make("/api/roles", reader()).await;
    let patch = json!({"name": "writer", "permissions": [{"resource": "a", "operation": "write"}]});
    let changed = api.call(&format!("PATCH {path}"), Some(patch)).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body["name"], "writer");
    assert_eq!(changed.body["permissions"].as_array().unwrap().len(), 1);
    assert_eq!(api.get(&path).await.body, changed.body);
}

#[tokio::test]
async fn a_kept_permission_keeps_its_id() {
    let api = Api::new().await;
    let path = api.make("/api/roles", reader()).await;
    let before = api.get(&path).await.body["permissions"].clone();
    let mut permissions = before.as_array().unwrap().clone();
    permissions.push(json!({"resource": "new", "operation": "read"}));
    let changed =
        api.call(&format!("PATCH {path}"), Some(json!({"permissions": permissions}))).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let after = changed.body["permissions"].as_array().unwrap();
    for kept in before.as_array().unwrap() {
        assert!(after.contains(kept), "{kept} in {after:?}");
    }
    assert_eq!(after.len(), 3);
}

#[tokio::test]
async fn a_change_for_an_old_version_is_refused() {
    let api = Api::new().await;
    let path = api.make("/api/roles", reader()).await;
    let etag = api.get(&path).await.header("etag").to_owned();
    let line = format!("PATCH {path}");
    let patch = |name: &str| Some(json!({"name": name}));
    assert_eq!(api.call_for(&line, &etag, patch("one")).await.status, StatusCode::OK);
    let late = api.call_for(&line, &etag, patch("two")).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(api.get(&path).await.body["name"], "one");
}

#[tokio::test]
async fn a_role_in_use_goes_only_by_force() {
    let api = Api::new().await;
    let role = api.make("/api/roles", reader()).await;
    let user = api.make("/api/users", json!({"username": "bob", "roles": ["reader"]})).await;
    api.check_refused(&format!("DELETE {role}"), None, (409, None)).await;
    api.check_refused(&format!("DELETE {role}?force=perhaps"), None, (400, Some("force"))).await;
    let removed = api.call(&format!("DELETE {role}?force=true"), None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get(&user).await.body["roles"], json!([]));
    api.check_refused(&format!("GET {role}"), None, (404, None)).await;
}

#[tokio::test]
async fn a_built_in_role_stays_as_it_is() {
    let api = Api::new().await;
    let found = api.get("/api/roles?name[eq]=connectware-admin").await.body;
    let path = format!("/api/roles/{}", found["items"][0]["id"].as_str().unwrap());
    api.check_refused(&format!("PATCH {path}"), Some(json!({"permissions": []})), (409, None))
        .await;
    api.check_refused(&format!("DELETE {path}?force=true"), None, (409, None)).await;
}

#[tokio::test]
async fn the_index_says_who_has_a_permission() {
    let api = Api::new().await;
    api.make("/api/roles", reader()).await;
    let own = json!([{"resource": "plant/#", "operation": "read"}]);
    api.make("/api/users", json!({"username": "bob", "permissions": own})).await;
    let index = api.get("/api/permissions?rowsPerPage=100").await.body;
    let entries = index["items"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["resource"] == "plant/#").unwrap();
    assert_eq!((&entry["operation"], &entry["context"]), (&json!("read"), &json!("mqtt")));
    assert_eq!(entry["users"][0]["name"], "bob");
    assert_eq!(entry["roles"][0]["name"], "reader");
    assert_eq!(index["total"], entries.len());
    api.check_refused("GET /api/permissions?rowsPerPage=101", None, (400, Some("rowsPerPage")))
        .await;
}
