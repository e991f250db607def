//! What was refused, by user and client, and a decision explained by its name.

use access::UserId;
use admin::decision_model::DeedModel;
use admin::{DecisionId, DecisionOrigin, RefusedRequest};
use serde_json::{Value, json};

use super::fixture::{Api, Call, json_call};

/// `press` was refused three topics with two client ids.
async fn api() -> (Api, String) {
    let api = Api::new().await;
    let made = json!({"username": "press", "password": "the-password"});
    let path = api.make("/api/users", made).await;
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let refuse = |number, client_id: &str, topic: &str| RefusedRequest {
        decision: DecisionId { run: 1, origin: DecisionOrigin::Shard(0), number },
        user_id: UserId(id),
        user: access::UserName::parse("press").unwrap(),
        client_id: client_id.into(),
        address: "192.0.2.1:4711".parse().unwrap(),
        listener: "mqtt".into(),
        deed: DeedModel::Publish,
        resource: Some(topic.into()),
        reason: "no permission allows it".to_owned(),
        because: None,
        count: 3,
        at_ms: 1_795_399_382_123,
        is_at_login: false,
    };
    api.admin.refusal_sink().hand_over(vec![
        refuse(1, "a", "t/1"),
        refuse(2, "b/c", "t/2"),
        refuse(3, "a", "t/3"),
    ]);
    (api, path)
}

async fn topics(api: &Api, path: &str) -> Vec<String> {
    let body = api.get(path).await.body;
    let items = body["items"].as_array().unwrap();
    items.iter().map(|item| item["resource"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn refusals_are_listed_by_user_and_by_client_the_last_first_and_paged() {
    let (api, path) = api().await;
    assert_eq!(topics(&api, &format!("{path}/refusals")).await, ["t/3", "t/2", "t/1"]);
    assert_eq!(topics(&api, "/api/clients/press/a/refusals").await, ["t/3", "t/1"]);
    assert_eq!(topics(&api, "/api/clients/press/b%2Fc/refusals").await, ["t/2"]);
    assert!(topics(&api, "/api/clients/press/other/refusals").await.is_empty());
    assert_eq!(topics(&api, "/api/refusals?user%5Beq%5D=press").await.len(), 3);
    assert_eq!(topics(&api, "/api/refusals?clientId%5Beq%5D=a").await, ["t/3", "t/1"]);
    assert!(topics(&api, "/api/refusals?action%5Beq%5D=subscribe").await.is_empty());
    let page = api.get(&format!("{path}/refusals?pageNumber=2&rowsPerPage=2")).await.body;
    assert_eq!((&page["total"], &page["items"][0]["resource"]), (&json!(3), &json!("t/1")));
    assert_eq!(
        page["items"][0],
        json!({
            "id": "1-0-1", "ids": ["1-0-1"], "user": "press",
            "userId": path.rsplit('/').next().unwrap(), "clientId": "a",
            "address": "192.0.2.1:4711", "listener": "mqtt", "action": "publish",
            "resource": "t/1", "reason": "no permission allows it", "because": [], "count": 3,
            "firstAt": "2026-11-23T02:03:02.123Z", "lastAt": "2026-11-23T02:03:02.123Z",
        })
    );
    for line in [
        "GET /api/users/0d7a6c1e-7d55-4bb9-9f2e-6f1f0d6f3f11/refusals",
        "GET /api/clients/nobody/a/refusals",
    ] {
        assert_eq!(api.call(line, None).await.status, 404, "{line}");
    }
    api.check_refused("GET /api/refusals?rowsPerPage=101", None, (400, Some("rowsPerPage"))).await;
    api.check_refused("GET /api/refusals?action%5Beq%5D=x", None, (400, Some("action[eq]"))).await;
    api.check_refused("GET /api/refusals?user=press", None, (400, Some("user"))).await;
}

#[tokio::test]
async fn a_login_refused_over_http_is_among_them_with_the_reason_that_its_sender_is_not_told() {
    let (api, path) = api().await;
    assert_eq!(topics(&api, &format!("{path}/refusals")).await.len(), 3);
    let wrong = json!({"username": "press", "password": "a-wrong-password"});
    let call = Call { is_anonymous: true, ..json_call(Some(wrong), None) };
    let reply = api.send("POST /api/login", call).await;
    assert_eq!(reply.status, 401);
    assert!(!reply.text.contains("wrong password") && !reply.text.contains("login-"));
    let shown = api.get(&format!("{path}/refusals")).await.body["items"][0].clone();
    assert_eq!((&shown["action"], &shown["listener"]), (&json!("login"), &json!("api")));
    assert_eq!(shown["reason"], "user `press`: wrong password");
    let unknown = json!({"username": "nobody-here", "password": "a-wrong-password"});
    let call = Call { is_anonymous: true, ..json_call(Some(unknown), None) };
    assert_eq!(api.send("POST /api/login", call).await.status, 401);
    let all = api.get("/api/refusals?user%5Beq%5D=nobody-here").await.body;
    assert_eq!(all["items"][0]["reason"], "user `nobody-here`: unknown user");
    assert_eq!(all["items"][0]["userId"], Value::Null);
}

#[tokio::test]
async fn a_decision_is_explained_by_its_name_as_it_was_and_as_it_would_be_now() {
    let (api, path) = api().await;
    let told = api.get("/api/explain?decision=1-0-1").await.body;
    for (field, value) in [
        ("decision", "deny"),
        ("operation", "write"),
        ("user", "press"),
        ("resource", "t/1"),
        ("action", "publish"),
        ("reason", "no permission allows it"),
        ("nowReason", "no permission allows it"),
    ] {
        assert_eq!(told[field], value, "{field}: {told}");
    }
    assert_eq!(told["now"]["decision"], "deny");
    let rule = json!({"permissions": [{"operation": "write", "resource": "t/#"}]});
    assert_eq!(api.call(&format!("PATCH {path}"), Some(rule)).await.status, 200);
    let told = api.get("/api/explain?decision=1-0-1").await.body;
    assert_eq!((&told["decision"], &told["now"]["decision"]), (&json!("deny"), &json!("allow")));
    assert_eq!(told["now"]["because"][0]["resource"], "t/#");
}

#[tokio::test]
async fn an_unknown_decision_is_404_and_a_malformed_question_400() {
    let (api, _) = api().await;
    let reply = api.call("GET /api/explain?decision=1-0-99", None).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.body["detail"], "no record of decision `1-0-99`");
    for (query, field) in [
        ("decision=", "decision"),
        ("decision=x", "decision"),
        ("decision=1-0-1&user=press", "decision"),
        ("decision=1-0-1&decision=1-0-2", "decision"),
        ("operation=read&resource=a", "user"),
        ("user=press&resource=a", "operation"),
        ("user=press&operation=read", "resource"),
        ("", "user"),
    ] {
        let line = format!("GET /api/explain?{query}");
        api.check_refused(&line, None, (400, Some(field))).await;
    }
}
