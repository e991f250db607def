//! `/api/users` and below.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::fixture::Api;

fn bob() -> Value {
    json!({"username": "bob", "password": "a long enough secret", "permissions": [
        {"resource": "plant/#", "operation": "read", "context": "mqtt"},
    ]})
}

#[tokio::test]
async fn a_new_user_is_where_location_says() {
    let api = Api::new().await;
    let made = api.call("POST /api/users", Some(bob())).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let found = api.get(made.header("location")).await;
    assert_eq!(found.body, made.body);
    assert_eq!(found.header("etag"), made.header("etag"));
    assert_eq!(found.body["username"], "bob");
    assert_eq!(found.body["identityProvider"], "local");
    assert_eq!(found.body["enabled"], true);
    assert_eq!(found.body["grantTypes"], json!([{"method": "password", "isRequired": false}]));
    assert_eq!(found.body["permissions"][0]["effect"], "allow");
    assert!(found.body["permissions"][0]["id"].is_string());
}

#[tokio::test]
async fn no_answer_holds_a_password() {
    let api = Api::new().await;
    let made = api.call("POST /api/users", Some(bob())).await;
    assert!(made.body.get("password").is_none());
    let text = made.body.to_string();
    assert!(!text.contains("secret") && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn a_bad_new_user_is_refused_by_the_name_of_its_field() {
    let api = Api::new().await;
    let permission = |resource: &str, operation: &str| {
        json!({"username": "bob", "permissions": [
            {"resource": "a", "operation": "read"}, {"resource": resource, "operation": operation}]})
    };
    for (body, field) in [
        (json!({"username": "b+b", "password": "a long enough secret"}), "username"),
        (json!({"username": "bo", "password": "a long enough secret"}), "username"),
        (json!({"username": "bob", "password": "short"}), "password"),
        (json!({"username": "bob", "password": ""}), "password"),
        (json!({"username": "bob", "mqttPublishPrefix": "a/#"}), "mqttPublishPrefix"),
        (json!({"username": "bob", "roles": ["nobody"]}), "roles[0]"),
        (permission("a/#/b", "read"), "permissions[1].resource"),
        (permission("a", "fly"), "permissions[1].operation"),
        (json!({"username": 7}), "username"),
        (json!({"password": "a long enough secret"}), "username"),
        (
            json!({"username": "bob", "permissions": [{"resource": "a"}]}),
            "permissions[0].operation",
        ),
        (
            json!({"username": "bob", "permissions": [{"ressource": "a"}]}),
            "permissions[0].ressource",
        ),
        (json!({"username": "bob", "admin": true}), "admin"),
    ] {
        api.check_refused("POST /api/users", Some(body), (400, Some(field))).await;
    }
    assert_eq!(api.get("/api/users").await.body["total"], 1, "only the first administrator");
}

#[tokio::test]
async fn a_problem_points_at_the_field() {
    let api = Api::new().await;
    let body = json!({"username": "bob", "permissions": [{"resource": "", "operation": "read"}]});
    let reply = api.call("POST /api/users", Some(body)).await;
    assert_eq!(reply.body["pointer"], "#/permissions/0/resource");
}

#[tokio::test]
async fn a_name_is_given_once() {
    let api = Api::new().await;
    api.make("/api/users", bob()).await;
    api.check_refused("POST /api/users", Some(bob()), (409, Some("username"))).await;
}

#[tokio::test]
async fn a_list_is_filtered_by_exactly_one_name() {
    let api = Api::new().await;
    api.make("/api/users", bob()).await;
    for (path, count) in [
        ("/api/users?username[eq]=bob", 1),
        ("/api/users?username%5Beq%5D=bob", 1),
        ("/api/users?username[eq]=bo", 0),
        ("/api/users?username[eq]=Bob", 0),
        ("/api/users?username[eq]=%25", 0),
        ("/api/users", 2),
    ] {
        let list = api.get(path).await.body;
        assert_eq!(list["total"], count, "{path}");
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{path}");
    }
}

#[tokio::test]
async fn pages_together_are_the_whole_list() {
    let api = Api::new().await;
    for number in 0..4 {
        api.make("/api/users", json!({"username": format!("user-{number}")})).await;
    }
    let mut names = Vec::new();
    for page_number in 1..=3 {
        let path = format!("/api/users?rowsPerPage=2&pageNumber={page_number}");
        let page = api.get(&path).await.body;
        assert_eq!((&page["total"], &page["rowsPerPage"]), (&json!(5), &json!(2)));
        assert_eq!(page["pageNumber"], page_number);
        for user in page["items"].as_array().unwrap() {
            names.push(user["username"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(names, ["admin", "user-0", "user-1", "user-2", "user-3"]);
}

#[tokio::test]
async fn a_bad_query_is_refused() {
    let api = Api::new().await;
    for (query, field) in [
        ("rowsPerPage=101", Some("rowsPerPage")),
        ("rowsPerPage=0", Some("rowsPerPage")),
        ("pageNumber=0", Some("pageNumber")),
        ("pageNumber=-1", Some("pageNumber")),
        ("pageNumber=x", Some("pageNumber")),
        ("pageNumber=1&pageNumber=2", Some("pageNumber")),
        ("name=bob", Some("name")),
    ] {
        api.check_refused(&format!("GET /api/users?{query}"), None, (400, field)).await;
    }
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let api = Api::new().await;
    let path = api.make("/api/users", bob()).await;
    let line = format!("PATCH {path}");
    let changed = api.call(&line, Some(json!({"mqttPublishPrefix": "p/"}))).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body["mqttPublishPrefix"], "p/");
    assert_eq!(changed.body["permissions"][0]["resource"], "plant/#");
    let changed = api.call(&line, Some(json!({"mqttPublishPrefix": null, "enabled": false}))).await;
    assert_eq!(changed.body["mqttPublishPrefix"], Value::Null);
    assert_eq!(changed.body["enabled"], false);
    assert_eq!(api.get(&path).await.body, changed.body);
}

#[tokio::test]
async fn a_change_for_an_old_version_is_refused_and_changes_nothing() {
    let api = Api::new().await;
    let path = api.make("/api/users", bob()).await;
    let line = format!("PATCH {path}");
    let first = api.get(&path).await.header("etag").to_owned();
    let patch = Some(json!({"enabled": false}));
    assert_eq!(api.call_for(&line, &first, patch.clone()).await.status, StatusCode::OK);
    let second = api.get(&path).await.header("etag").to_owned();
    assert_ne!(first, second);
    let patch_back = Some(json!({"enabled": true}));
    for stale in [first.as_str(), "\"never\"", &format!("W/{second}")] {
        let reply = api.call_for(&line, stale, patch_back.clone()).await;
        assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED, "{stale}");
        let reply = api.call_for(&format!("DELETE {path}"), stale, None).await;
        assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED, "{stale}");
        let password = Some(json!({"password": "another good secret"}));
        let reply = api.call_for(&format!("PUT {path}/password"), stale, password).await;
        assert_eq!(reply.status, StatusCode::PRECONDITION_FAILED, "{stale}");
    }
    assert_eq!(api.get(&path).await.header("etag"), second);
    assert_eq!(api.get(&path).await.body["enabled"], false);
    let several = format!("{first}, {second}");
    assert_eq!(api.call_for(&line, &several, patch_back).await.status, StatusCode::OK);
    assert_eq!(
        api.call_for(&format!("DELETE {path}"), "*", None).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_removed_user_is_gone() {
    let api = Api::new().await;
    let path = api.make("/api/users", bob()).await;
    let removed = api.call(&format!("DELETE {path}"), None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    for (method, body) in
        [("GET", None), ("DELETE", None), ("PATCH", Some(json!({"enabled": true})))]
    {
        api.check_refused(&format!("{method} {path}"), body, (404, None)).await;
    }
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let api = Api::new().await;
    let admins = api.get("/api/users?username[eq]=admin").await.body;
    let path = format!("/api/users/{}", admins["items"][0]["id"].as_str().unwrap());
    api.check_refused(&format!("DELETE {path}"), None, (409, None)).await;
    let patch = Some(json!({"enabled": false}));
    api.check_refused(&format!("PATCH {path}"), patch, (409, None)).await;
    assert_eq!(api.get(&path).await.body["enabled"], true);
}

#[tokio::test]
async fn a_password_is_set_by_policy() {
    let api = Api::new().await;
    let path = api.make("/api/users", bob()).await;
    let line = format!("PUT {path}/password");
    let set = api.call(&line, Some(json!({"password": "another good secret"}))).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT);
    assert_eq!(set.body, Value::Null);
    let version = api.get(&path).await.header("etag").to_owned();
    let next = Some(json!({"password": "a third good secret"}));
    assert_eq!(api.call_for(&line, &version, next).await.status, StatusCode::NO_CONTENT);
    api.check_refused(&line, Some(json!({"password": "short"})), (400, Some("password"))).await;
    api.check_refused(&line, Some(json!({})), (400, Some("password"))).await;
    api.check_refused(&line, Some(json!({"passwort": "x"})), (400, Some("passwort"))).await;
    let nobody = format!("PUT /api/users/{}/password", uuid::Uuid::nil());
    api.check_refused(&nobody, Some(json!({"password": "another good secret"})), (404, None)).await;
}

#[tokio::test]
async fn a_name_is_no_id() {
    let api = Api::new().await;
    api.make("/api/users", bob()).await;
    api.check_refused("GET /api/users/bob", None, (404, None)).await;
}

#[tokio::test]
async fn null_takes_away_what_can_be_absent_and_is_refused_where_it_would_do_nothing() {
    let api = Api::new().await;
    let made = api.call("POST /api/users", Some(bob())).await;
    let role = json!({"name": "r", "permissions": []});
    let role = api.call("POST /api/roles", Some(role)).await;
    assert_eq!(role.status, StatusCode::CREATED, "{}", role.body);
    for (object, field) in [
        (&made, "permissions"),
        (&made, "roles"),
        (&made, "grantTypes"),
        (&made, "enabled"),
        (&role, "permissions"),
        (&role, "name"),
    ] {
        let line = format!("PATCH {}", object.header("location"));
        let refused = api.call(&line, Some(json!({ field: null }))).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{line} {field}: {}", refused.body);
        assert_eq!(refused.body["field"], field, "{}", refused.body);
    }
    let line = format!("PATCH {}", made.header("location"));
    let taken = api.call(&line, Some(json!({"mqttPublishPrefix": null}))).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.body);
    let found = api.get(made.header("location")).await;
    assert_eq!(found.body["permissions"], made.body["permissions"]);
}
