//! `/api/client-registry`: every answer of its own, and what a stranger may send.

use serde_json::{Value, json};

use super::fixture::{Api, Call, Reply, json_call, let_pass};

const REGISTER: &str = "POST /api/client-registry/register";

async fn ask(api: &Api, body: Value) -> Reply {
    api.send(REGISTER, Call { is_anonymous: true, ..json_call(Some(body), None) }).await
}

async fn unlocked() -> Api {
    let api = Api::new().await;
    let reply = api.call("POST /api/client-registry/unlock", None).await;
    assert_eq!((reply.status.as_u16(), reply.body["unlocked"].as_bool()), (200, Some(true)));
    api
}

fn machine() -> Value {
    json!({"username": "machine", "password": "violet-tractor-94"})
}

async fn request(api: &Api, name: &str) -> String {
    let list = api.get("/api/client-registry/requests").await.body;
    let items = list["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["username"] == name).unwrap();
    format!("/api/client-registry/requests/{}", found["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_client_asks_waits_and_is_let_in() {
    let api = Api::new().await;
    let locked = ask(&api, machine()).await;
    assert_eq!(locked.status, 423);
    assert_eq!(locked.body["type"], "urn:countersign:problem:registry-locked");
    let body = json!({"durationMs": 60_000});
    let reply = api.call("POST /api/client-registry/unlock", Some(body)).await;
    assert_eq!(reply.body["unlockedUntil"], "2026-11-23T02:04:02.123Z");
    for _ in 0..2 {
        let pending = ask(&api, machine()).await;
        assert_eq!((pending.status.as_u16(), &pending.body["status"]), (202, &json!("pending")));
        assert_eq!(pending.header("cache-control"), "no-store");
    }
    let taken = ask(&api, json!({"username": "machine", "password": "another-client-7"})).await;
    assert_eq!((taken.status.as_u16(), taken.body["field"].as_str()), (409, Some("password")));
    let path = request(&api, "machine").await;
    let shown = api.get(&path).await.body;
    assert_eq!(
        (shown["status"].as_str(), shown["password"].as_str()),
        (Some("pending"), Some("kept"))
    );
    assert_eq!(shown["address"], "192.0.2.1:50000");
    let granted = api.call(&format!("POST {path}/grant"), None).await;
    assert_eq!((granted.status.as_u16(), &granted.body["status"]), (200, &json!("granted")));
    let user = format!("/api/users/{}", granted.body["userId"].as_str().unwrap());
    let user = api.get(&user).await.body;
    assert_eq!((&user["roles"], &user["permissions"]), (&json!([]), &json!([])));
    let done = ask(&api, machine()).await;
    assert_eq!((done.status.as_u16(), &done.body["status"]), (201, &json!("granted")));
    assert_eq!(api.call(&format!("POST {path}/grant"), None).await.status, 409);
    assert_eq!(api.call(&format!("POST {path}/deny"), None).await.status, 409);
}

#[tokio::test]
async fn a_denied_client_is_told() {
    let api = unlocked().await;
    assert_eq!(ask(&api, machine()).await.status, 202);
    let path = request(&api, "machine").await;
    for _ in 0..2 {
        let denied = api.call(&format!("POST {path}/deny"), None).await;
        assert_eq!((denied.status.as_u16(), &denied.body["status"]), (200, &json!("denied")));
    }
    let told = ask(&api, machine()).await;
    assert_eq!(told.status, 403);
    assert_eq!(told.body["type"], "urn:countersign:problem:registry-denied");
}

#[tokio::test]
async fn it_locks_itself_and_by_command_and_says_so() {
    let api = unlocked().await;
    let_pass(1);
    assert_eq!(ask(&api, machine()).await.status, 423);
    let state = api.get("/api/client-registry").await.body;
    assert_eq!(state, json!({"unlocked": false, "unlockedUntil": null, "pending": 0}));
    let body = json!({"durationMs": 7_200_000});
    api.call("POST /api/client-registry/unlock", Some(body)).await;
    let_pass(1);
    assert_eq!(ask(&api, machine()).await.status, 202);
    let state = api.call("POST /api/client-registry/lock", None).await;
    assert_eq!((state.status.as_u16(), &state.body["pending"]), (200, &json!(1)));
    assert_eq!(
        ask(&api, json!({"username": "late", "password": "late-password"})).await.status,
        423
    );
    let unlock = "POST /api/client-registry/unlock";
    for (body, field) in [
        (json!({"durationMs": 0}), "durationMs"),
        (json!({"durationMs": 86_400_001}), "durationMs"),
        (json!({"durationMs": -1}), "durationMs"),
        (json!({"durationMs": "5m"}), "durationMs"),
        (json!({"duration": 5}), "duration"),
    ] {
        api.check_refused(unlock, Some(body), (400, Some(field))).await;
    }
    let form = Call {
        content_type: Some("application/x-www-form-urlencoded"),
        ..json_call(Some(json!({})), None)
    };
    assert_eq!(api.send(unlock, form).await.status, 415);
    assert_eq!(api.get("/api/client-registry").await.body["unlocked"], false);
}

#[tokio::test]
async fn what_a_stranger_sends_is_judged_and_bounded() {
    let api = unlocked().await;
    let check = async |body: Value, status: u16, field: Option<&str>| {
        let reply = ask(&api, body.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{body}: {}", reply.body);
        assert_eq!(reply.body["field"].as_str(), field, "{body}: {}", reply.body);
    };
    let name = |name: Value| json!({"username": name, "password": "violet-tractor-94"});
    check(json!({}), 400, Some("username")).await;
    check(name(json!("a")), 400, Some("username")).await;
    check(name(json!("a/b/#")), 400, Some("username")).await;
    check(name(json!("tab\tbed")), 400, Some("username")).await;
    check(name(json!(7)), 400, Some("username")).await;
    check(json!({"username": "machine", "password": "short"}), 400, Some("password")).await;
    check(json!({"username": "machine", "admin": true}), 400, Some("admin")).await;
    check(json!({"username": "machine", "csr": "no request"}), 400, Some("csr")).await;
    check(json!({"username": "machine", "roles": [7]}), 400, Some("roles[0]")).await;
    let bad = json!([{"operation": "fly", "resource": "a"}]);
    check(
        json!({"username": "machine", "permissions": bad}),
        400,
        Some("permissions[0].operation"),
    )
    .await;
    let large = json!({"username": "machine", "context": "x".repeat(33 << 10)});
    check(large, 413, None).await;
    let list = Call { is_anonymous: true, ..json_call(Some(json!([machine()])), None) };
    assert_eq!(api.send(REGISTER, list).await.status, 400);
    let plain = Call { is_anonymous: true, body: b"{}".to_vec(), ..Call::default() };
    assert_eq!(api.send(REGISTER, plain).await.status, 415);
    let state = api.get("/api/client-registry").await.body;
    assert_eq!(state["pending"], 0);
}

#[tokio::test]
async fn too_many_requests_of_one_address_are_429_with_their_end() {
    let api = unlocked().await;
    for number in 0..30 {
        let name = format!("machine-{number}");
        let reply = ask(&api, json!({"username": name, "password": "violet-tractor-94"})).await;
        assert_eq!(reply.status, 202, "{number}");
    }
    let reply = ask(&api, machine()).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.body["type"], "urn:countersign:problem:too-many-requests");
    assert_eq!(reply.header("retry-after"), "60");
    let page =
        api.get("/api/client-registry/requests?status=pending&rowsPerPage=20&pageNumber=2").await;
    assert_eq!(page.body["items"].as_array().unwrap().len(), 10);
    assert_eq!((&page.body["total"], &page.body["rowsPerPage"]), (&json!(30), &json!(20)));
    let denied = api.get("/api/client-registry/requests?status=denied").await;
    assert_eq!(denied.body["total"], 0);
}

#[tokio::test]
async fn a_locked_out_address_is_not_heard() {
    let api = unlocked().await;
    assert_eq!(ask(&api, machine()).await.status, 202);
    for number in 0..10 {
        let guess = json!({"username": "other", "password": format!("wrong-guess-{number}")});
        let login = Call { is_anonymous: true, ..json_call(Some(guess), None) };
        assert_eq!(api.send("POST /api/login", login).await.status, 401, "{number}");
    }
    let other = ask(&api, json!({"username": "other", "password": "violet-tractor-94"})).await;
    assert_eq!((other.status.as_u16(), other.header("retry-after")), (429, "300"));
    assert_eq!(other.body["type"], "urn:countersign:problem:locked");
}

#[tokio::test]
async fn decisions_are_for_those_who_may_and_within_what_they_have() {
    let api = unlocked().await;
    let http = |operation: &str, resource: &str| json!({"context": "http", "operation": operation, "resource": resource});
    for (name, rules) in [
        ("registrar", json!([http("readWrite", "/api/client-registry/#")])),
        ("onlooker", json!([http("read", "/api/client-registry/#")])),
        ("opener", json!([http("write", "/api/client-registry/unlock")])),
    ] {
        let user = json!({"username": name, "password": "the-password", "permissions": rules});
        api.make("/api/users", user).await;
    }
    assert_eq!(ask(&api, machine()).await.status, 202);
    let path = request(&api, "machine").await;
    let token = async |name: &str| {
        let login = json!({"username": name, "password": "the-password"});
        let reply = api.call("POST /api/login", Some(login)).await;
        reply.body["token"].as_str().unwrap().to_owned()
    };
    let check = async |name: &str, line: &str, body: Option<Value>, status: u16| {
        let token = token(name).await;
        let call = Call { token: Some(&token), is_anonymous: true, ..json_call(body, None) };
        let reply = api.send(line, call).await;
        assert_eq!(reply.status.as_u16(), status, "{name} {line}: {}", reply.body);
    };
    let (grant, deny) = (format!("POST {path}/grant"), format!("POST {path}/deny"));
    check("onlooker", &format!("GET {path}"), None, 200).await;
    check("onlooker", &grant, None, 403).await;
    check("onlooker", &deny, None, 403).await;
    check("onlooker", "POST /api/client-registry/lock", None, 403).await;
    check("opener", "POST /api/client-registry/unlock", None, 200).await;
    check("opener", "GET /api/client-registry/requests", None, 403).await;
    check("opener", &grant, None, 403).await;
    for more in [
        json!({"roles": ["connectware-admin"]}),
        json!({"roles": ["minimum-access"]}),
        json!({"permissions": [{"operation": "read", "resource": "a"}]}),
        json!({"permissions": [http("read", "/api/users")]}),
    ] {
        check("registrar", &grant, Some(more), 403).await;
    }
    check("registrar", &grant, Some(json!({"permissions": [], "roles": [], "enabled": true})), 400)
        .await;
    check("registrar", &grant, Some(json!({})), 200).await;
    let none = "POST /api/client-registry/requests/0d7a6c1e-7d55-4bb9-9f2e-6f1f0d6f3f11";
    check("registrar", &format!("{none}/grant"), None, 404).await;
    check("registrar", &format!("{none}/deny"), None, 404).await;
}
