//! `/api/explain`.

use serde_json::json;

use super::fixture::Api;

async fn check(api: &Api, query: &str, decision: &str, because: &[(&str, &str, &str)]) {
    let answer = api.get(&format!("/api/explain?user=bob&{query}")).await.body;
    assert_eq!(answer["decision"], decision, "{query}: {answer}");
    assert_eq!(answer["user"], "bob");
    let rules: Vec<(&str, &str, &str)> = answer["because"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let field = |name: &str| rule[name].as_str().unwrap();
            (field("owner"), field("effect"), field("resource"))
        })
        .collect();
    assert_eq!(rules, because, "{query}");
}

async fn plant() -> Api {
    let api = Api::new().await;
    let role = json!({"name": "plant", "permissions": [
        {"resource": "p/#", "operation": "readWrite"},
        {"resource": "p/secret", "operation": "read", "effect": "deny"},
    ]});
    api.make("/api/roles", role).await;
    let own = json!([{"resource": "own/${clientId}", "operation": "read"}]);
    let bob = json!({"username": "bob", "roles": ["plant"], "permissions": own,
                     "mqttPublishPrefix": "p/"});
    api.make("/api/users", bob).await;
    api
}

#[tokio::test]
async fn the_rules_that_decide_are_named() {
    let api = plant().await;
    check(&api, "operation=read&resource=p/a", "allow", &[("plant", "allow", "p/#")]).await;
    check(&api, "operation=read&resource=p/secret", "deny", &[("plant", "deny", "p/secret")]).await;
    check(&api, "operation=read&resource=other", "deny", &[]).await;
}

#[tokio::test]
async fn a_write_is_judged_with_the_publish_prefix() {
    let api = plant().await;
    check(&api, "operation=write&resource=a", "allow", &[("plant", "allow", "p/#")]).await;
    let answer = api.get("/api/explain?user=bob&operation=write&resource=a").await.body;
    assert_eq!(answer["resource"], "a");
    assert_eq!(answer["effectiveResource"], "p/a");
}

#[tokio::test]
async fn a_client_id_is_filled_in() {
    let api = plant().await;
    check(&api, "operation=read&resource=own/c1", "deny", &[]).await;
    let query = "operation=read&resource=own/c1&clientId=c1";
    check(&api, query, "allow", &[("bob", "allow", "own/${clientId}")]).await;
    check(&api, "operation=read&resource=own/c1&clientId=%2B", "deny", &[]).await;
}

#[tokio::test]
async fn what_is_no_topic_is_denied_as_the_broker_would() {
    let api = plant().await;
    for resource in ["", "a/%23/b", "a%2Bb", "%00"] {
        check(&api, &format!("operation=read&resource={resource}"), "deny", &[]).await;
    }
    check(&api, "operation=write&resource=%2B", "deny", &[]).await;
}

#[tokio::test]
async fn a_bad_question_is_refused() {
    let api = plant().await;
    for (query, expected) in [
        ("operation=read&resource=a", (400, Some("user"))),
        ("user=bob&resource=a", (400, Some("operation"))),
        ("user=bob&operation=read", (400, Some("resource"))),
        ("user=bob&operation=fly&resource=a", (400, Some("operation"))),
        ("user=bob&operation=read&resource=a&client=c", (400, Some("client"))),
        ("user=nobody&operation=read&resource=a", (404, None)),
    ] {
        api.check_refused(&format!("GET /api/explain?{query}"), None, expected).await;
    }
}
