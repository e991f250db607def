//! Requests that the router itself refuses, and the document that describes the API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::fixture::{Api, Call};
use crate::BodyLimits;

async fn check(line: &str, call: Call<'_>, status: u16) {
    let reply = Api::new().await.send(line, call).await;
    assert_eq!(reply.status.as_u16(), status, "{line}: {}", reply.body);
}

fn json_body(body: &[u8]) -> Call<'_> {
    Call { content_type: Some("application/json"), body: body.to_vec(), ..Call::default() }
}

#[tokio::test]
async fn what_is_nowhere_is_not_found() {
    for line in
        ["GET /", "GET /api", "GET /api/nothing", "POST /api/users/", "GET /api/clients/bob"]
    {
        check(line, Call::default(), 404).await;
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_told_those_it_knows() {
    let reply = Api::new().await.call("DELETE /api/users", None).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    let allowed = reply.header("allow");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    check("PUT /api/explain", Call::default(), 405).await;
    check("BREW /healthz", Call::default(), 405).await;
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    for body in [
        &b""[..],
        b"{",
        b"nothing",
        b"[]",
        b"[\"bob\"]",
        b"null",
        b"7",
        b"\xff",
        b"{\"username\":\"bob\"} x",
        b"{\"username\":\"bob\",\"username\":\"eve\"}",
    ] {
        check("POST /api/users", json_body(body), 400).await;
    }
}

#[tokio::test]
async fn json_that_nests_without_end_is_refused() {
    check("POST /api/users", json_body("[".repeat(100_000).as_bytes()), 400).await;
    let deep = format!("{{\"username\":\"bob\",\"x\":{}", "{\"a\":".repeat(100_000));
    check("POST /api/users", json_body(deep.as_bytes()), 400).await;
}

#[tokio::test]
async fn only_json_is_taken_for_json() {
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("é")]
    {
        let body = br#"{"username": "bob"}"#.to_vec();
        let call = Call { content_type, body, ..Call::default() };
        check("POST /api/users", call, 415).await;
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let body = br#"{"username": "bob"}"#.to_vec();
        let call = Call { content_type: Some(content_type), body, ..Call::default() };
        check("POST /api/users", call, 201).await;
    }
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let default = BodyLimits::default();
    check("POST /api/users", json_body(&vec![b' '; default.permitted_max + 1]), 413).await;
    let bodies = BodyLimits { permitted_max: 3_000, login_max: 1_000, register_max: 2_000 };
    let api = Api::with_bodies(bodies).await;
    for (line, max) in [
        ("POST /api/users", 3_000),
        ("POST /api/login", 1_000),
        ("POST /api/client-registry/register", 2_000),
    ] {
        for (more, is_too_large) in [(0, false), (1, true)] {
            let reply = api.send(line, json_body(&vec![b' '; max + more])).await;
            assert_eq!(reply.status.as_u16() == 413, is_too_large, "{line}, {more} more");
        }
    }
}

#[tokio::test]
async fn a_version_that_is_none_is_refused() {
    let api = Api::new().await;
    let path = api.make("/api/users", json!({"username": "bob"})).await;
    let reply = api.call_for(&format!("DELETE {path}"), "7", None).await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("If-Match")));
}

#[tokio::test]
async fn nobody_may_do_anything_unless_somebody_vouches_for_it() {
    let api = Api::new().await;
    let document = api.get("/api/openapi.json").await.body;
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path_with_ids = path
            .replace("{id}", &uuid::Uuid::nil().to_string())
            .replace("{user}", "bob")
            .replace("{clientId}", "c1");
        for method in methods.as_object().unwrap().keys() {
            let line = format!("{} {path_with_ids}", method.to_uppercase());
            let call = Call { is_anonymous: true, ..json_body(b"{}") };
            let status = api.send(&line, call).await.status;
            let public = ["/healthz", "/readyz", "/api/ca.crt", "/api/crl.pem"];
            if ["POST /api/login", "POST /api/client-registry/register"].contains(&line.as_str()) {
                assert_eq!(status, StatusCode::BAD_REQUEST, "{line}: it asks for a name");
            } else if public.contains(&path.as_str()) {
                assert_eq!(status, StatusCode::OK, "{line}");
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{line}");
                refused += 1;
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test]
async fn the_document_describes_every_path_of_the_manual() {
    let document = Api::new().await.get("/api/openapi.json").await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    for (path, methods) in [
        ("/api/users", vec!["get", "post"]),
        ("/api/users/{id}", vec!["get", "patch", "delete"]),
        ("/api/users/{id}/password", vec!["put"]),
        ("/api/users/{id}/certificates", vec!["get", "post"]),
        ("/api/users/{id}/certificates/{fingerprint}", vec!["delete"]),
        ("/api/ca.crt", vec!["get"]),
        ("/api/crl.pem", vec!["get"]),
        ("/api/roles", vec!["get", "post"]),
        ("/api/roles/{id}", vec!["get", "patch", "delete"]),
        ("/api/permissions", vec!["get"]),
        ("/api/clients", vec!["get"]),
        ("/api/clients/{user}/{clientId}", vec!["get", "delete"]),
        ("/api/explain", vec!["get"]),
        ("/healthz", vec!["get"]),
        ("/readyz", vec!["get"]),
    ] {
        let mut described: Vec<&String> =
            document["paths"][path].as_object().unwrap().keys().collect();
        described.sort();
        let mut methods = methods;
        methods.sort_unstable();
        assert_eq!(described, methods, "{path}");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_has_a_name_of_its_own() {
    let document = Api::new().await.get("/api/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|methods| methods.as_object().unwrap().values());
    let mut names: Vec<&str> =
        operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count > 30, "{names:?}");
}

#[tokio::test]
async fn the_document_names_parameters_as_the_api_takes_them() {
    let document = Api::new().await.get("/api/openapi.json").await.body;
    let names = |path: &str| -> Vec<String> {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        parameters.iter().map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/api/users"), ["username[eq]", "pageNumber", "rowsPerPage"]);
    assert_eq!(names("/api/roles"), ["name[eq]", "pageNumber", "rowsPerPage"]);
    assert_eq!(names("/api/explain"), ["user", "operation", "resource", "clientId", "decision"]);
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let document = Api::new().await.get("/api/openapi.json").await.body;
    let mut count = 0;
    follow(&document, &document, &mut count);
    assert!(count > 20, "{count} references");
}

fn follow(document: &Value, part: &Value, count: &mut usize) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
                *count += 1;
            }
            fields.values().for_each(|part| follow(document, part, count));
        }
        Value::Array(items) => items.iter().for_each(|part| follow(document, part, count)),
        _ => {}
    }
}
