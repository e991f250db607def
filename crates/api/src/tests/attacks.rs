//! Ways to more than one has: each tried, and none there.

use serde_json::{Value, json};

use super::fixture::{Api, Call, Reply, json_call};

const PASSWORD: &str = "the-password";

fn rule(operation: &str, resource: &str) -> Value {
    json!({"context": "http", "operation": operation, "resource": resource})
}

fn deny(resource: &str) -> Value {
    json!({"context": "http", "operation": "readWrite", "resource": resource, "effect": "deny"})
}

async fn user(api: &Api, name: &str, permissions: &[Value]) -> String {
    let body = json!({"username": name, "password": PASSWORD, "permissions": permissions,
        "grantTypes": [{"method": "password"}, {"method": "certificate"}]});
    api.make("/api/users", body).await
}

async fn boss(api: &Api) -> String {
    let body = json!({"username": "boss", "password": PASSWORD, "roles": ["connectware-admin"],
        "grantTypes": [{"method": "password"}, {"method": "certificate"}]});
    api.make("/api/users", body).await
}

async fn token(api: &Api, name: &str) -> String {
    let login = json!({"username": name, "password": PASSWORD});
    let reply = api.call("POST /api/login", Some(login)).await;
    reply.body["token"].as_str().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

async fn ask(api: &Api, token: &str, line: &str, body: Option<Value>) -> Reply {
    api.send(line, Call { token: Some(token), ..json_call(body, None) }).await
}

/// What there is, in all.
async fn everything(api: &Api) -> Value {
    api.get("/api/policy").await.body
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_past_what_is_allowed_or_denied() {
    let api = Api::new().await;
    boss(&api).await;
    user(&api, "narrow", &[rule("readWrite", "/api/users/#")]).await;
    user(&api, "fenced", &[rule("readWrite", "#"), deny("/api/roles/#")]).await;
    let spellings = [
        "/api/roles",
        "/api/roles/",
        "/api/%72oles",
        "/api/%52oles",
        "/%61pi/roles",
        "//api/roles",
        "/api//roles",
        "/./api/roles",
        "/api/./roles",
        "/api/users/../roles",
        "/api/users/%2e%2e/roles",
        "/api/users/..%2froles",
        "/api/users/%2E%2E%2Froles",
        "/api/users%2f..%2froles",
        "/api/users\\..\\roles",
        "/api/roles;x=1",
        "/api/roles%00",
        "/api/roles%20",
        "/API/roles",
        "/api/roles.json",
        "/api/roles?force=true",
        "/api/roles%3Fforce",
        "/api/%2572oles",
        "http://localhost/api/roles",
    ];
    for name in ["narrow", "fenced"] {
        let token = token(&api, name).await;
        for spelling in spellings {
            for method in ["GET", "HEAD", "POST", "PATCH", "DELETE"] {
                // Some are no target of a request at all.
                if spelling.parse::<axum::http::Uri>().is_err() {
                    continue;
                }
                let line = format!("{method} {spelling}");
                let role = (method == "POST").then(|| json!({"name": "mine", "permissions": []}));
                let reply =
                    api.send(&line, Call { token: Some(&token), ..json_call(role, None) }).await;
                let refused = [403, 404, 405].contains(&reply.status.as_u16());
                assert!(refused, "{name}: {line}: {reply:?}");
            }
        }
    }
    assert!(!everything(&api).await["roles"].to_string().contains("mine"));
}

#[tokio::test]
async fn no_method_reads_or_changes_what_another_may_not() {
    let api = Api::new().await;
    let victim = boss(&api).await;
    user(&api, "reader", &[rule("read", "/api/users/#")]).await;
    user(&api, "writer", &[rule("write", "/api/users/#")]).await;
    let (reader, writer) = (token(&api, "reader").await, token(&api, "writer").await);
    let before = everything(&api).await;
    for method in
        ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "Head", "PURGE"]
    {
        let reply = ask(&api, &reader, &format!("{method} {victim}"), Some(json!({}))).await;
        assert!([403, 405].contains(&reply.status.as_u16()), "{method}: {reply:?}");
    }
    for method in ["GET", "HEAD"] {
        let reply = ask(&api, &writer, &format!("{method} {victim}"), None).await;
        assert_eq!(reply.status, 403, "{method}");
    }
    assert_eq!(everything(&api).await, before);
}

#[tokio::test]
async fn the_things_of_another_are_not_reached_below_ones_own_path() {
    let api = Api::new().await;
    let victim = boss(&api).await;
    let issued = api.call(&format!("POST {victim}/certificates"), Some(json!({}))).await.body;
    let fingerprint = issued["fingerprint"].as_str().unwrap();
    let of_victim = token(&api, "boss").await;
    let who = ask(&api, &of_victim, "GET /api/login", None).await.body;
    let victims_token = who["token"]["id"].as_str().unwrap();
    let own = user(&api, "thief", &[]).await;
    let patch = json!({"permissions": [rule("readWrite", &format!("{own}/#"))]});
    assert_eq!(api.call(&format!("PATCH {own}"), Some(patch)).await.status, 200);
    let thief = token(&api, "thief").await;
    for line in [
        format!("GET {own}/tokens/{victims_token}"),
        format!("DELETE {own}/tokens/{victims_token}"),
        format!("DELETE {own}/certificates/{fingerprint}"),
    ] {
        assert_eq!(ask(&api, &thief, &line, None).await.status, 404, "{line}");
    }
    for line in [
        format!("GET {victim}/tokens"),
        format!("DELETE {victim}/tokens"),
        format!("GET /api/certificates/{fingerprint}"),
        format!("DELETE /api/certificates/{fingerprint}"),
        format!("GET {victim}/certificates"),
    ] {
        assert_eq!(ask(&api, &thief, &line, None).await.status, 403, "{line}");
    }
    assert_eq!(ask(&api, &of_victim, "GET /api/login", None).await.status, 200, "still good");
    let certificates = api.get(&format!("{victim}/certificates")).await.body;
    assert_eq!(certificates["items"][0]["revokedAt"], Value::Null);
}

/// Somebody who may do everything with users, roles and policies by their paths, and has one right of MQTT.
async fn partial(api: &Api) -> (String, String) {
    let permissions = [
        rule("readWrite", "/api/users/#"),
        rule("readWrite", "/api/roles/#"),
        rule("readWrite", "/api/policy"),
        json!({"operation": "readWrite", "resource": "plant/#"}),
    ];
    let path = user(api, "partial", &permissions).await;
    (path, token(api, "partial").await)
}

#[tokio::test]
async fn no_policy_file_gives_what_its_sender_does_not_have() {
    let api = Api::new().await;
    boss(&api).await;
    let (_, partial) = partial(&api).await;
    let wide = json!({"name": "wide", "permissions": [{"operation": "read", "resource": "#"}]});
    let narrow =
        json!({"name": "narrow", "permissions": [{"operation": "read", "resource": "plant/a"}]});
    assert_eq!(api.call("POST /api/roles", Some(wide.clone())).await.status, 201);
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$\
        AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let before = everything(&api).await;
    for document in [
        json!({"roles": [{"name": "new", "permissions": [{"operation": "read", "resource": "#"}]}]}),
        json!({"users": [{"username": "partial", "roles": ["wide"]}], "roles": [wide]}),
        json!({"users": [{"username": "new", "password": "a-new-password", "roles": ["wide"]}]}),
        json!({"users": [{"username": "boss", "passwordHash": hash, "roles": ["connectware-admin"]}]}),
        json!({"users": [{"username": "boss", "password": "a-new-password", "roles": ["connectware-admin"]}]}),
        json!({"users": [{"username": "boss", "roles": ["connectware-admin"], "grantTypes": [{"method": "password"}]}]}),
        // One good thing among it makes the bad one no better, before or after it.
        json!({"roles": [narrow, {"name": "new", "permissions": [rule("read", "#")]}]}),
        json!({"roles": [{"name": "new", "permissions": [rule("read", "#")]}, narrow]}),
    ] {
        for query in ["", "?dryRun=true", "?prune=true"] {
            let line = format!("POST /api/policy{query}");
            let reply = ask(&api, &partial, &line, Some(document.clone())).await;
            // With `prune`, a role that the document leaves out is as good as gone.
            let is_pruned = query == "?prune=true" && reply.status == 400;
            assert!(reply.status == 403 || is_pruned, "{line} {document}: {reply:?}");
        }
    }
    assert_eq!(everything(&api).await, before);
    let good = json!({"roles": [narrow]});
    assert_eq!(ask(&api, &partial, "POST /api/policy", Some(good)).await.status, 200);
}

#[tokio::test]
async fn nobody_rises_by_what_others_have_or_by_how_it_is_said() {
    let api = Api::new().await;
    let boss = boss(&api).await;
    let (own, partial) = partial(&api).await;
    let all = json!({"operation": "readWrite", "resource": "#"});
    let of_boss = api.call(&format!("PATCH {boss}"), Some(json!({"permissions": [all]}))).await;
    let id = of_boss.body["permissions"][0]["id"].clone();
    let mine = api.make("/api/roles", json!({"name": "mine", "permissions": []})).await;
    let patch = json!({"roles": ["mine"]});
    assert_eq!(api.call(&format!("PATCH {own}"), Some(patch)).await.status, 200);
    let admin = api.get("/api/roles?name%5Beq%5D=connectware-admin").await.body;
    let admin = admin["items"][0]["id"].as_str().unwrap().to_owned();
    let before = everything(&api).await;
    let with_id = json!({"id": id, "operation": "readWrite", "resource": "#"});
    for (line, body, status) in [
        // The id of a permission that somebody has makes it nobody else's.
        (format!("PATCH {own}"), json!({"permissions": [with_id]}), [400, 403]),
        (format!("PATCH {mine}"), json!({"permissions": [all]}), [403; 2]),
        (format!("PATCH {mine}"), json!({"name": "connectware-admin"}), [409; 2]),
        (format!("PATCH /api/roles/{admin}"), json!({"name": "other"}), [409; 2]),
        (format!("DELETE /api/roles/{admin}?force=true"), Value::Null, [409; 2]),
        (format!("PATCH {own}"), json!({"roles": [admin]}), [403; 2]),
        (format!("PATCH {own}"), json!({"roles": ["mine", "connectware-admin"]}), [403; 2]),
        (format!("PATCH {own}"), json!({"username": "admin"}), [400; 2]),
        (format!("PATCH {own}"), json!({"id": "0d7a6c1e-7d55-4bb9-9f2e-6f1f0d6f3f11"}), [400; 2]),
        (
            format!("PUT {boss}/password"),
            json!({"password": "a-new-password", "current": PASSWORD}),
            [403; 2],
        ),
        (
            format!("PUT {boss}/password"),
            json!({"password": "a-new-password", "second": true}),
            [403; 2],
        ),
        (format!("POST {boss}/certificates"), json!({}), [403; 2]),
        ("POST /api/users".to_owned(), json!({"username": "Boss", "permissions": [all]}), [403; 2]),
        (
            "POST /api/users".to_owned(),
            json!([{"username": "one"}, {"username": "two", "roles": [admin]}]),
            [403; 2],
        ),
        (
            "POST /api/users?x=1".to_owned(),
            json!({"username": "new", "roles": [admin]}),
            [400, 403],
        ),
    ] {
        let body = (!body.is_null()).then_some(body);
        let reply = ask(&api, &partial, &line, body.clone()).await;
        assert!(status.contains(&reply.status.as_u16()), "{line} {body:?}: {reply:?}");
    }
    assert_eq!(everything(&api).await, before);
}

#[tokio::test]
async fn a_field_given_twice_is_refused_wherever_it_stands() {
    let api = Api::new().await;
    let (own, partial) = partial(&api).await;
    let all = r##"{"operation": "readWrite", "resource": "#"}"##;
    let before = everything(&api).await;
    for (line, body) in [
        ("POST /api/users", r#"{"username": "new", "enabled": false, "enabled": true}"#.to_owned()),
        ("POST /api/users", format!(r#"{{"username": "new", "permissions": [], "permissions": [{all}]}}"#)),
        ("POST /api/users", r#"[{"username": "new", "enabled": false, "enabled": true}]"#.to_owned()),
        ("POST /api/roles", r#"{"name": "new", "permissions": [{"operation": "read", "resource": "plant/a", "resource": "plant/b"}]}"#.to_owned()),
        ("POST /api/policy", r#"{"roles": [], "roles": [{"name": "new"}]}"#.to_owned()),
        (&format!("PATCH {own}"), r#"{"enabled": true, "\u0065nabled": true}"#.to_owned()),
    ] {
        let call = Call {
            token: Some(&partial),
            content_type: Some("application/json"),
            body: body.clone().into_bytes(),
            ..Call::default()
        };
        let reply = api.send(line, call).await;
        assert_eq!(reply.status, 400, "{line} {body}: {reply:?}");
    }
    assert_eq!(everything(&api).await, before);
}

#[tokio::test]
async fn a_list_without_end_is_refused_before_its_items_are() {
    let api = Api::new().await;
    for item in ["0", "{}", r#"{"username": "bob"}"#] {
        let list = format!("[{}{item}]", format!("{item},").repeat(100_000));
        let call = Call {
            content_type: Some("application/json"),
            body: list.into_bytes(),
            ..Call::default()
        };
        let reply = api.send("POST /api/users", call).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(
            reply.text.contains("1 to 1000 users") && reply.text.len() < 1000,
            "{item}: {}",
            reply.text
        );
    }
}
