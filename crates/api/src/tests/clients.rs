//! `/api/clients` and below.

use access::UserId;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::fixture::{Api, answer, client};
use crate::ClientRequest;

/// The API with users `bob` and `eve`, and one client of `bob` for each of `client_ids`.
async fn with_clients_of_bob(client_ids: &[&str]) -> Api {
    let mut requests: Option<Receiver<ClientRequest>> = None;
    let api = Api::with_clients(|receiver| requests = Some(receiver)).await;
    let path = api.make("/api/users", json!({"username": "bob"})).await;
    api.make("/api/users", json!({"username": "eve"})).await;
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let clients = client_ids.iter().map(|name| client(UserId(id), "bob", name)).collect();
    tokio::spawn(answer(clients, requests.unwrap()));
    api
}

#[tokio::test]
async fn a_client_shows_what_the_manual_names() {
    let api = with_clients_of_bob(&["c1"]).await;
    let shown = api.get("/api/clients/bob/c1").await.body;
    for (field, value) in [
        ("user", json!("bob")),
        ("clientId", json!("c1")),
        ("address", json!("127.0.0.1:50000")),
        ("listener", json!("mqtt")),
        ("connected", json!(true)),
        ("authMethod", json!("password")),
        ("protocolVersion", json!("5.0")),
        ("subscriptions", json!([{"filter": "$share/g/a/#", "qos": 1, "isFiltered": true}])),
        ("connectedAt", json!("1970-01-01T00:00:00.000Z")),
        ("disconnectedAt", Value::Null),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(api.get("/api/clients").await.body["items"], json!([shown]));
}

#[tokio::test]
async fn a_client_id_of_any_letters_is_found_by_its_encoding() {
    for (id, encoded) in [
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("a+b", "a+b"),
        ("é?#%", "%C3%A9%3F%23%25"),
        ("..", ".."),
        ("\u{1b}[2J", "%1B%5B2J"),
    ] {
        let api = with_clients_of_bob(&[id, "other"]).await;
        let path = format!("/api/clients/bob/{encoded}");
        assert_eq!(api.get(&path).await.body["clientId"], id);
        let kicked = api.call(&format!("DELETE {path}"), None).await;
        assert_eq!(kicked.status, StatusCode::NO_CONTENT, "{id}");
        assert_eq!(api.get("/api/clients").await.body["items"][0]["clientId"], "other");
    }
}

#[tokio::test]
async fn a_kicked_client_is_gone() {
    let api = with_clients_of_bob(&["c1"]).await;
    assert_eq!(api.call("DELETE /api/clients/bob/c1", None).await.status, StatusCode::NO_CONTENT);
    api.check_refused("DELETE /api/clients/bob/c1", None, (404, None)).await;
    api.check_refused("GET /api/clients/bob/c1", None, (404, None)).await;
}

#[tokio::test]
async fn a_client_belongs_to_its_user() {
    let api = with_clients_of_bob(&["c1"]).await;
    for user in ["eve", "nobody"] {
        for method in ["GET", "DELETE"] {
            let line = format!("{method} /api/clients/{user}/c1");
            api.check_refused(&line, None, (404, None)).await;
        }
    }
    api.get("/api/clients/bob/c1").await;
}

#[tokio::test]
async fn clients_are_filtered_and_paged_in_order() {
    let api = with_clients_of_bob(&["c3", "c1", "c2"]).await;
    for (query, ids) in [
        ("", vec!["c1", "c2", "c3"]),
        ("?rowsPerPage=2", vec!["c1", "c2"]),
        ("?rowsPerPage=2&pageNumber=2", vec!["c3"]),
        ("?clientId[eq]=c2", vec!["c2"]),
        ("?user[eq]=eve", vec![]),
        ("?user[eq]=bob&rowsPerPage=1", vec!["c1"]),
    ] {
        let list = api.get(&format!("/api/clients{query}")).await.body;
        let seen: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|client| client["clientId"].as_str().unwrap())
            .collect();
        assert_eq!(seen, ids, "{query}");
    }
    let first = api.get("/api/clients?rowsPerPage=1").await.body;
    assert_eq!(first["total"], 3);
}

#[tokio::test]
async fn the_first_page_is_fresh_and_later_pages_show_the_same_moment() {
    let api = with_clients_of_bob(&["c1", "c2"]).await;
    api.get("/api/clients?rowsPerPage=1").await;
    assert_eq!(api.call("DELETE /api/clients/bob/c1", None).await.status, StatusCode::NO_CONTENT);
    let second = api.get("/api/clients?rowsPerPage=1&pageNumber=2").await.body;
    assert_eq!(second["items"][0]["clientId"], "c2", "no row is skipped");
    let fresh = api.get("/api/clients").await.body;
    assert_eq!(fresh["total"], 1);
}

#[tokio::test]
async fn shards_that_are_gone_are_said_to_be() {
    let api = Api::with_clients(drop).await;
    let reply = api.call("GET /api/clients", None).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(api.call("GET /readyz", None).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.call("GET /healthz", None).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn shards_that_do_not_answer_are_not_waited_for_without_end() {
    let (clients, requests) = crate::Clients::channel(1);
    assert_eq!(clients.list().await.err(), Some(crate::Unavailable));
    drop(requests);
}
