//! Who may do what: every caller against every endpoint of the document.

use serde_json::{Value, json};

use super::fixture::{Api, Call, Reply, json_call, let_pass};

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    NoToken,
    Garbage,
    Expired,
    Revoked,
    /// Has the role `minimum-access` and nothing else.
    Minimum,
    /// May do everything with users, and read roles.
    Partial,
    Administrator,
    LocalOwner,
}

const EVERYBODY: [Who; 8] = [
    Who::NoToken,
    Who::Garbage,
    Who::Expired,
    Who::Revoked,
    Who::Minimum,
    Who::Partial,
    Who::Administrator,
    Who::LocalOwner,
];

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passes,
    Unauthenticated,
    Forbidden,
}

fn verdict(reply: &Reply) -> Verdict {
    match reply.status.as_u16() {
        401 => Verdict::Unauthenticated,
        403 => Verdict::Forbidden,
        _ => Verdict::Passes,
    }
}

/// What is meant to be, written down once more and by other means than the guard's.
fn expected(who: Who, method: &str, path: &str) -> Verdict {
    let is_read = method == "GET";
    let is_public = matches!(
        (method, path),
        ("GET", "/healthz" | "/readyz" | "/api/ca.crt" | "/api/crl.pem")
            | ("POST", "/api/login" | "/api/client-registry/register")
    );
    let is_for = |may: bool| if may { Verdict::Passes } else { Verdict::Forbidden };
    match who {
        _ if is_public => Verdict::Passes,
        Who::NoToken | Who::Garbage | Who::Expired | Who::Revoked => Verdict::Unauthenticated,
        Who::Administrator | Who::LocalOwner => Verdict::Passes,
        Who::Minimum => is_for(path == "/api/login" || (is_read && path == "/api/openapi.json")),
        Who::Partial => {
            let users = path == "/api/users" || path.starts_with("/api/users/");
            let roles = path == "/api/roles" || path.starts_with("/api/roles/");
            is_for(users || (is_read && roles) || path == "/api/login")
        }
    }
}

/// Every operation of the document, with its path filled in by what does not exist.
fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(crate::openapi()).unwrap();
    let mut operations = vec![
        ("GET".to_owned(), "/api/openapi.json".to_owned()),
        ("GET".to_owned(), "/api/nothing-is-here".to_owned()),
        ("PATCH".to_owned(), "/metrics".to_owned()),
    ];
    for (path, methods) in document["paths"].as_object().unwrap() {
        let mut path = path.clone();
        while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
            let is_id = ["{id}", "{tokenId}"].contains(&path.get(start..=end).unwrap());
            let filled = if is_id { "0d7a6c1e-7d55-4bb9-9f2e-6f1f0d6f3f11" } else { "none" };
            path.replace_range(start..=end, filled);
        }
        let known = ["get", "put", "post", "patch", "delete"];
        let methods =
            methods.as_object().unwrap().keys().filter(|key| known.contains(&key.as_str()));
        operations.extend(methods.map(|method| (method.to_uppercase(), path.clone())));
    }
    operations
}

async fn people(api: &Api) {
    let http = |operation: &str, resource: &str| json!({"context": "http", "operation": operation, "resource": resource});
    let users = json!([
        {"username": "minimum", "password": "the-password", "roles": ["minimum-access"]},
        {"username": "partial", "password": "the-password", "permissions": [
            http("readWrite", "/api/users/#"), http("read", "/api/roles/#"),
        ]},
        {"username": "boss", "password": "the-password", "roles": ["connectware-admin"],
            "grantTypes": [{"method": "password"}, {"method": "certificate"}]},
    ]);
    let made = api.call("POST /api/users", Some(users)).await;
    assert_eq!(made.status, 201, "{}", made.body);
}

async fn token(api: &Api, name: &str) -> String {
    let login = json!({"username": name, "password": "the-password", "expireTimeInHours": 2});
    let reply = api.call("POST /api/login", Some(login)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["token"].as_str().unwrap().to_owned()
}

async fn ask(api: &Api, token: Option<&str>, line: &str, body: Option<Value>) -> Reply {
    api.send(line, Call { token, is_anonymous: true, ..json_call(body, None) }).await
}

#[tokio::test]
async fn each_caller_gets_what_is_meant_for_it_at_each_endpoint() {
    let api = Api::new().await;
    people(&api).await;
    let expired = token(&api, "boss").await;
    let_pass(2);
    let revoked = token(&api, "boss").await;
    assert_eq!(ask(&api, Some(&revoked), "DELETE /api/login", None).await.status, 204);
    let operations = operations();
    assert!(operations.len() > 30, "{operations:?}");
    for (method, path) in &operations {
        for who in EVERYBODY {
            let shown = match who {
                Who::NoToken | Who::LocalOwner => None,
                Who::Garbage => {
                    Some("cstok_0123456789012345678901234567890123456789012".to_owned())
                }
                Who::Expired => Some(expired.clone()),
                Who::Revoked => Some(revoked.clone()),
                Who::Minimum => Some(token(&api, "minimum").await),
                Who::Partial => Some(token(&api, "partial").await),
                Who::Administrator => Some(token(&api, "boss").await),
            };
            let line = format!("{method} {path}");
            let reply = match who {
                Who::LocalOwner => api.send(&line, Call::default()).await,
                _ => ask(&api, shown.as_deref(), &line, None).await,
            };
            assert_eq!(verdict(&reply), expected(who, method, path), "{who:?}: {line}: {reply:?}");
            if verdict(&reply) == Verdict::Unauthenticated {
                assert_eq!(reply.header("www-authenticate"), "Bearer", "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_is_shown_in_one_header_of_the_scheme_bearer() {
    let api = Api::new().await;
    people(&api).await;
    let token = token(&api, "boss").await;
    let check = async |values: &[String], status: u16| {
        let mut request = axum::http::Request::builder().uri("/api/users");
        for value in values {
            request = request.header("authorization", value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let reply = tower::ServiceExt::oneshot(api.router.clone(), request).await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{values:?}");
    };
    check(&[format!("Bearer {token}")], 200).await;
    check(&[format!("bearer {token}")], 200).await;
    check(&[format!("Basic {token}")], 401).await;
    check(std::slice::from_ref(&token), 401).await;
    check(&[format!("Bearer {token}"), format!("Bearer {token}")], 401).await;
    check(&["Bearer ".to_owned()], 401).await;
    check(&[], 401).await;
}

#[tokio::test]
async fn what_is_ones_own_needs_no_permission_and_what_is_anothers_does() {
    let api = Api::new().await;
    people(&api).await;
    let shown = token(&api, "minimum").await;
    let who = ask(&api, Some(&shown), "GET /api/login", None).await;
    assert_eq!(who.body["username"], "minimum");
    let own = format!("/api/users/{}", who.body["userId"].as_str().unwrap());
    let boss = api.get("/api/users?username%5Beq%5D=boss").await.body["items"][0]["id"].clone();
    let boss = format!("/api/users/{}", boss.as_str().unwrap());
    let tokens = ask(&api, Some(&shown), &format!("GET {own}/tokens"), None).await;
    assert_eq!(tokens.body["total"], 1);
    for line in ["GET {}/tokens", "DELETE {}/tokens", "PUT {}/password"] {
        let reply = ask(&api, Some(&shown), &line.replace("{}", &boss), None).await;
        assert_eq!(reply.status, 403, "{line}");
    }
    for line in [
        "GET {}",
        "PATCH {}",
        "DELETE {}",
        "GET {}/certificates",
        "PUT {}/tokens",
        "GET {}/password",
    ] {
        let reply = ask(&api, Some(&shown), &line.replace("{}", &own), None).await;
        assert_eq!(reply.status, 403, "{line}");
    }
    let line = format!("PUT {own}/password");
    let body = json!({"password": "my-new-password"});
    let reply = ask(&api, Some(&shown), &line, Some(body)).await;
    assert_eq!((reply.status.as_u16(), reply.body["field"].as_str()), (400, Some("current")));
    let body = json!({"password": "my-new-password", "current": "the-password"});
    assert_eq!(ask(&api, Some(&shown), &line, Some(body)).await.status, 204);
    let reply = ask(&api, Some(&shown), "GET /api/login", None).await;
    assert_eq!(reply.status, 401, "a changed password ends the tokens");
}

#[tokio::test]
async fn a_deny_takes_even_ones_own_things_away() {
    let api = Api::new().await;
    let deny = json!({"context": "http", "operation": "write", "resource": "/api/users/+/password", "effect": "deny"});
    let user = json!({"username": "kiosk", "password": "the-password", "roles": ["minimum-access"], "permissions": [deny]});
    let path = api.make("/api/users", user).await;
    let shown = token(&api, "kiosk").await;
    let body = json!({"password": "my-new-password", "current": "the-password"});
    let reply = ask(&api, Some(&shown), &format!("PUT {path}/password"), Some(body)).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn another_spelling_of_an_id_passes_no_deny_by() {
    let api = Api::new().await;
    let victim = json!({"username": "victim", "password": "the-password"});
    let path = api.make("/api/users", victim).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let rule = |effect: &str, resource: &str| json!({"context": "http", "operation": "readWrite", "resource": resource, "effect": effect});
    let user = json!({"username": "nosy", "password": "the-password", "permissions": [
        rule("allow", "/api/users/#"), rule("deny", &path),
    ]});
    api.make("/api/users", user).await;
    let shown = token(&api, "nosy").await;
    let escaped = format!("%{:02x}{}", id.as_bytes()[0], id.split_at(1).1);
    for (spelling, status) in [
        (id.clone(), 403),
        (escaped, 403),
        (id.to_uppercase(), 404),
        (id.replace('-', ""), 404),
        (format!("urn:uuid:{id}"), 404),
        (format!("%7B{id}%7D"), 404),
    ] {
        let reply = ask(&api, Some(&shown), &format!("GET /api/users/{spelling}"), None).await;
        // An id of digits alone looks the same in capitals.
        let is_same = spelling == id;
        assert!(reply.status == status || is_same, "{spelling}: {reply:?}");
    }
}

#[tokio::test]
async fn a_user_named_like_the_id_of_another_is_not_mistaken_for_it() {
    let api = Api::new().await;
    let path =
        api.make("/api/users", json!({"username": "real", "password": "the-password"})).await;
    let id = path.rsplit('/').next().unwrap();
    let namesake =
        api.make("/api/users", json!({"username": id, "password": "the-password"})).await;
    assert_ne!(namesake, path);
    assert_eq!(api.get(&path).await.body["username"], "real");
    let found = api.get(&format!("/api/users?username%5Beq%5D={id}")).await;
    assert_eq!(found.body["items"][0]["username"], id);
    assert_eq!(api.call(&format!("DELETE {path}"), None).await.status, 204);
    assert_eq!(api.call(&format!("GET {path}"), None).await.status, 404, "not the namesake");
    assert_eq!(api.get(&namesake).await.body["username"], id);
}

#[tokio::test]
async fn nobody_gives_by_http_what_it_does_not_have() {
    let api = Api::new().await;
    people(&api).await;
    let shown = token(&api, "partial").await;
    let boss = api.get("/api/users?username%5Beq%5D=boss").await.body["items"][0]["id"].clone();
    let boss = format!("/api/users/{}", boss.as_str().unwrap());
    let check = async |line: String, body: Value| {
        let reply = ask(&api, Some(&shown), &line, Some(body)).await;
        assert_eq!(reply.status, 403, "{line}: {reply:?}");
    };
    let all = json!({"operation": "readWrite", "resource": "#"});
    check("POST /api/users".into(), json!({"username": "new", "permissions": [all]})).await;
    check("POST /api/users".into(), json!([{"username": "new", "roles": ["connectware-admin"]}]))
        .await;
    check(format!("PUT {boss}/password"), json!({"password": "a-new-password"})).await;
    check(format!("POST {boss}/certificates"), json!({})).await;
}

#[tokio::test]
async fn bad_credentials_are_401_and_a_lock_is_429_with_its_end() {
    let api = Api::new().await;
    people(&api).await;
    let wrong = |number: u32| json!({"username": "boss", "password": format!("wrong-{number}")});
    for number in 0..10 {
        let reply = ask(&api, None, "POST /api/login", Some(wrong(number))).await;
        assert_eq!(reply.status, 401, "{number}");
        assert_eq!(reply.body["detail"], "bad user name or password");
    }
    let right = json!({"username": "boss", "password": "the-password"});
    let reply = ask(&api, None, "POST /api/login", Some(right.clone())).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), "300");
    assert_eq!(api.get("/api/protection").await.body["users"][0]["name"], "boss");
    let unlock = "DELETE /api/protection/users/boss";
    assert_eq!(api.call(unlock, None).await.status, 204);
    assert_eq!(api.call(unlock, None).await.status, 404);
    assert_eq!(ask(&api, None, "POST /api/login", Some(right)).await.status, 200);
}

#[tokio::test]
async fn of_a_list_of_users_all_are_made_or_none() {
    let api = Api::new().await;
    let users = json!([
        {"username": "one", "password": "the-password"},
        {"username": "x", "password": "the-password"},
        {"username": "two", "password": "short"},
        {"username": "one", "password": "the-password"},
        {"username": "three", "roles": ["none"]},
    ]);
    let reply = api.call("POST /api/users", Some(users)).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let errors: Vec<_> = reply.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["index"].as_u64().unwrap(), error["pointer"].as_str().unwrap()))
        .collect();
    let expected =
        [(1, "#/1/username"), (2, "#/2/password"), (3, "#/3/username"), (4, "#/4/roles/0")];
    assert_eq!(errors, expected);
    assert_eq!(api.get("/api/users").await.body["total"], 1, "the administrator");

    let bad = json!([{"username": "one", "passwort": "x"}, [], {"username": "two"}, {}]);
    let reply = api.call("POST /api/users", Some(bad)).await;
    let errors = reply.body["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|error| error["index"].as_u64().unwrap()).collect();
    assert_eq!((reply.status.as_u16(), places), (400, vec![0, 1, 3]), "{}", reply.body);

    let good = json!([{"username": "one", "password": "the-password"}, {"username": "two"}]);
    let reply = api.call("POST /api/users", Some(good.clone())).await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.body[1]["username"], "two");
    let again = api.call("POST /api/users", Some(good)).await;
    assert_eq!(again.status, 409, "all for the same reason: {}", again.body);
    assert_eq!(api.call("POST /api/users", Some(json!([]))).await.status, 400);
}
