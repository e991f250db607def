//! A dry run says what a change would do, refuses what the change would refuse, and changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use access::Lapse;
use broker::{ClientLoss, PolicyMoved, PublishLoss, SessionKey, SessionLoss, SubscriptionLoss};
use mqtt::Timestamp;
use serde_json::{Value, json};
use topic::{SubscriptionFilter, TopicName};

use super::fixture::Api;
use crate::{ClientRequest, Foresight};

async fn user(api: &Api, name: &str) -> String {
    api.make("/api/users", json!({"username": name, "password": "the-password"})).await
}

async fn audit_total(api: &Api) -> u64 {
    api.get("/api/audit").await.body["total"].as_u64().unwrap()
}

/// Loses everything that there is to lose.
fn loss(access_policy: &access::Policy) -> (SessionKey, ClientLoss) {
    let user = access_policy.user_by_name("press").unwrap();
    let denial = || access::Denial::NoRule;
    let filter = |text: &str| SubscriptionFilter::parse(text).unwrap();
    let topic = |text: &str| TopicName::parse(text).unwrap();
    let session = SessionLoss {
        connection: Some(Lapse::UserDisabled),
        session_ends: true,
        subscriptions: vec![
            SubscriptionLoss { filter: filter("b/#"), denial: None },
            SubscriptionLoss { filter: filter("$share/g/a"), denial: Some(denial()) },
        ],
        narrowed: vec![filter("c/#")],
        will: Some((topic("gone"), denial())),
        messages: 7,
        are_messages_complete: false,
    };
    let publishes = vec![PublishLoss {
        topic: topic("t/1"),
        seen_at: Timestamp(1_795_399_382_123),
        denial: denial(),
    }];
    let key = SessionKey { user: user.id(), client_id: "c1".into() };
    let client = ClientLoss {
        user_name: user.name().clone(),
        is_connected: true,
        session: Some(session),
        publishes,
        are_publishes_complete: false,
    };
    (key, client)
}

/// Shards whose policy moves so many times before they answer.
async fn api_of_moving_policy(moves: u32) -> (Api, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let api = Api::with_clients(|mut requests| {
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let ClientRequest::Foresee { next, reply, .. } = request else {
                    panic!("{request:?}");
                };
                let answer = if counted.fetch_add(1, Ordering::Relaxed) < moves {
                    Err(PolicyMoved)
                } else {
                    let clients = vec![loss(&next)];
                    let since_ms = 1_795_399_382_000;
                    Ok(Foresight { clients, since_ms, are_publishers_complete: false })
                };
                reply.send(answer).unwrap();
            }
        });
    })
    .await;
    (api, asked)
}

#[tokio::test]
async fn every_effect_is_shown_by_client_with_its_reason_and_what_is_not_known_is_said() {
    let (api, asked) = api_of_moving_policy(2).await;
    let path = user(&api, "press").await;
    let line = format!("PATCH {path}?dryRun=true");
    let reply = api.call(&line, Some(json!({"enabled": false}))).await;
    assert_eq!((reply.status.as_u16(), asked.load(Ordering::Relaxed)), (200, 3), "{}", reply.body);
    assert!(reply.headers.get("etag").is_none());
    let DryRun { changes, client, effects } = DryRun::of(&reply.body);
    assert_eq!(reply.body["dryRun"], true);
    assert_eq!(
        (&changes[0]["action"], &changes[0]["after"]),
        (&json!("user.update"), &json!({"enabled": false}))
    );
    let user_id = path.rsplit('/').next().unwrap();
    let denied = "no permission allows it";
    assert_eq!(
        client,
        json!({
            "user": "press", "userId": user_id, "clientId": "c1", "connected": true,
            "connectionEnds": "user is disabled", "sessionEnds": true,
            "subscriptionsEnd": [
                {"filter": "$share/g/a", "reason": denied},
                {"filter": "b/#", "reason": "its session ends"},
            ],
            "subscriptionsNarrowed": ["c/#"],
            "willDropped": {"topic": "gone", "reason": denied},
            "messagesDropped": 7,
            "publishesRefused": [
                {"topic": "t/1", "lastSeen": "2026-11-23T02:03:02.123Z", "reason": denied},
            ],
            "publishesComplete": false,
        })
    );
    let totals = json!({"clients": 1, "connections": 1, "sessions": 1, "subscriptions": 2, "narrowed": 1, "wills": 1, "messages": 7, "publishes": 1});
    assert_eq!(effects["totals"], totals);
    assert_eq!(effects["incomplete"].as_array().unwrap().len(), 4, "{effects}");
}

struct DryRun {
    changes: Value,
    client: Value,
    effects: Value,
}

impl DryRun {
    fn of(body: &Value) -> DryRun {
        let effects = body["effects"].clone();
        DryRun { changes: body["changes"].clone(), client: effects["clients"][0].clone(), effects }
    }
}

#[tokio::test]
async fn users_and_roles_that_change_without_end_are_unavailable_and_not_foreseen_wrongly() {
    let (api, asked) = api_of_moving_policy(u32::MAX).await;
    let path = user(&api, "press").await;
    let reply = api.call(&format!("DELETE {path}?dryRun=true"), None).await;
    assert_eq!((reply.status.as_u16(), asked.load(Ordering::Relaxed)), (503, 5));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_leaves_no_record() {
    let api = Api::new().await;
    let user = user(&api, "press").await;
    let role = api.make("/api/roles", json!({"name": "plant"})).await;
    api.call(&format!("PATCH {user}"), Some(json!({"roles": ["plant"]}))).await;
    let state = async || {
        let mut all = Vec::new();
        for path in [&user, &role, &"/api/users".to_owned(), &"/api/roles".to_owned()] {
            let reply = api.get(path).await;
            all.push((reply.headers.get("etag").cloned(), reply.text));
        }
        (all, audit_total(&api).await)
    };
    let before = state().await;
    let rule = json!({"permissions": [{"operation": "read", "resource": "a/#"}]});
    let document = json!({"users": [{"username": "new"}], "roles": []});
    for (line, body) in [
        (format!("PATCH {user}?dryRun=true"), Some(json!({"enabled": false}))),
        (format!("PATCH {user}?dryRun=true"), Some(rule.clone())),
        (format!("PATCH {user}?dryRun=true"), Some(json!({}))),
        (format!("PATCH {role}?dryRun=true"), Some(rule)),
        (format!("DELETE {user}?dryRun=true"), None),
        (format!("DELETE {role}?dryRun=true&force=true"), None),
        ("POST /api/policy?dryRun=true".to_owned(), Some(document)),
    ] {
        let reply = api.call(&line, body).await;
        assert_eq!(reply.status, 200, "{line}: {}", reply.body);
        assert_eq!(reply.body["dryRun"], true, "{line}");
        assert!(reply.body["effects"]["totals"].is_object(), "{line}");
    }
    assert_eq!(state().await, before);
    let line = format!("PATCH {user}?dryRun=false");
    let reply = api.call(&line, Some(json!({"enabled": false}))).await;
    assert_eq!(reply.body["enabled"], false, "false is a change");
}

#[tokio::test]
async fn a_dry_run_is_refused_where_the_change_would_be() {
    let api = Api::new().await;
    let user = user(&api, "press").await;
    let role = api.make("/api/roles", json!({"name": "plant"})).await;
    api.call(&format!("PATCH {user}"), Some(json!({"roles": ["plant"]}))).await;
    let admin = api.get("/api/users?username%5Beq%5D=admin").await.body["items"][0]["id"].clone();
    let admin = format!("/api/users/{}", admin.as_str().unwrap());
    let built_in =
        api.get("/api/roles?name%5Beq%5D=connectware-admin").await.body["items"][0]["id"].clone();
    let built_in = format!("/api/roles/{}", built_in.as_str().unwrap());
    let nobody = "/api/users/0d7a6c1e-7d55-4bb9-9f2e-6f1f0d6f3f11".to_owned();
    for (method, path, query, body) in [
        ("PATCH", &user, "", Some(json!({"grantTypes": []}))),
        ("PATCH", &user, "", Some(json!({"roles": ["none"]}))),
        ("PATCH", &user, "", Some(json!({"enable": false}))),
        (
            "PATCH",
            &user,
            "",
            Some(json!({"permissions": [{"operation": "read", "resource": "a#"}]})),
        ),
        ("PATCH", &admin, "", Some(json!({"enabled": false}))),
        ("PATCH", &built_in, "", Some(json!({"name": "other"}))),
        ("PATCH", &role, "", Some(json!({"name": ""}))),
        ("PATCH", &role, "", Some(json!({"name": "minimum-access"}))),
        ("PATCH", &nobody, "", Some(json!({"enabled": false}))),
        ("DELETE", &admin, "", None),
        ("DELETE", &nobody, "", None),
        ("DELETE", &role, "force=false&", None),
        ("DELETE", &built_in, "force=true&", None),
    ] {
        let real = api.call(&format!("{method} {path}?{query}dryRun=false"), body.clone()).await;
        let dry = api.call(&format!("{method} {path}?{query}dryRun=true"), body).await;
        assert!(real.status.is_client_error(), "{method} {path}");
        assert_eq!((dry.status, &dry.body), (real.status, &real.body), "{method} {path}");
    }
    for line in [format!("PATCH {user}?dryRun=true"), format!("DELETE {user}?dryRun=true")] {
        let reply = api.call_for(&line, "\"77\"", Some(json!({}))).await;
        assert_eq!(reply.status, 412, "{line}");
    }
}

#[tokio::test]
async fn whoever_may_not_make_a_change_may_not_try_it_either() {
    let api = Api::new().await;
    let http = json!([{"context": "http", "operation": "readWrite", "resource": "/api/users/#"}]);
    let clerk = json!({"username": "clerk", "password": "the-password", "permissions": http});
    api.make("/api/users", clerk).await;
    let victim = user(&api, "victim").await;
    let login = json!({"username": "clerk", "password": "the-password"});
    let token = api.call("POST /api/login", Some(login)).await.body["token"].clone();
    let token = token.as_str().unwrap();
    let all = json!({"permissions": [{"operation": "readWrite", "resource": "#"}]});
    let call = || super::fixture::Call {
        token: Some(token),
        ..super::fixture::json_call(Some(all.clone()), None)
    };
    for query in ["", "?dryRun=true"] {
        let reply = api.send(&format!("PATCH {victim}{query}"), call()).await;
        assert_eq!(reply.status, 403, "{query}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_dry_run_of_what_has_none_is_refused_and_nothing_is_done() {
    let api = Api::new().await;
    let path = user(&api, "press").await;
    let before = audit_total(&api).await;
    let check = async |line: String, body: Option<Value>| {
        let reply = api.call(&line, body).await;
        assert_eq!(reply.status, 400, "{line}: {}", reply.body);
    };
    let new = json!({"username": "new", "password": "the-password"});
    check("POST /api/users?dryRun=true".into(), Some(new)).await;
    check(format!("PUT {path}/password?dryRun=true"), Some(json!({"password": "a-new-one"}))).await;
    check(format!("DELETE {path}/tokens?dryRun=true"), None).await;
    check(format!("POST {path}/certificates?dry-run"), Some(json!({}))).await;
    check("POST /api/roles?dry_run=1".into(), Some(json!({"name": "new"}))).await;
    // Misspelt, twice or neither true nor false: never taken for a change.
    for query in ["dryrun=true", "dry-run=true", "dryRun", "dryRun=yes", "dryRun=true&dryRun=true"]
    {
        check(format!("PATCH {path}?{query}"), Some(json!({"enabled": false}))).await;
        check(format!("DELETE {path}?{query}"), None).await;
    }
    assert_eq!(audit_total(&api).await, before);
}
