//! An API whose clients are made up, and calls to it.

use std::sync::Arc;

use access::{AuthMethod, UserId, UserName};
use admin::{Caller, PeerAddress};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use broker::{ClientView, SubscriptionView};
use mqtt::{ProtocolVersion, Qos, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{ApiState, BodyLimits, ClientRequest, Clients, router};

/// The API over a store of its own.
pub(super) struct Api {
    pub(super) router: Router,
    pub(super) admin: admin::Admin,
    _data_dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    /// The body as it came.
    pub(super) text: String,
}

/// What is sent.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) content_type: Option<&'a str>,
    pub(super) if_match: Option<&'a str>,
    pub(super) body: Vec<u8>,
    /// Nobody vouches for the caller; it has to show a token.
    pub(super) is_anonymous: bool,
    /// The bearer token it shows.
    pub(super) token: Option<&'a str>,
}

impl Api {
    /// A store with the first administrator, and no clients.
    pub(super) async fn new() -> Api {
        Api::with_clients(|requests| {
            tokio::spawn(answer(Vec::new(), requests));
        })
        .await
    }

    pub(super) async fn with_clients(
        start: impl FnOnce(tokio::sync::mpsc::Receiver<ClientRequest>),
    ) -> Api {
        Api::with(start, BodyLimits::default()).await
    }

    /// With bodies of at most so many bytes.
    pub(super) async fn with_bodies(bodies: BodyLimits) -> Api {
        let start = |requests| {
            tokio::spawn(answer(Vec::new(), requests));
        };
        Api::with(start, bodies).await
    }

    async fn with(
        start: impl FnOnce(tokio::sync::mpsc::Receiver<ClientRequest>),
        bodies: BodyLimits,
    ) -> Api {
        let data_dir = tempfile::tempdir().unwrap();
        let admin = open_admin(data_dir.path()).await;
        let (clients, requests) = Clients::channel(8);
        start(requests);
        let router = router(ApiState {
            admin: admin.clone(),
            clients,
            is_impaired: Arc::new(|| false),
            bodies,
        });
        Api { router, admin, _data_dir: data_dir }
    }

    /// Sends one request; `line` is method and path.
    pub(super) async fn send(&self, line: &str, call: Call<'_>) -> Reply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        if let Some(content_type) = call.content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(if_match) = call.if_match {
            request = request.header("if-match", if_match);
        }
        if let Some(token) = call.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request = if call.is_anonymous || call.token.is_some() {
            request.extension(PeerAddress::Network(([192, 0, 2, 1], 50_000).into()))
        } else {
            request.extension(Caller::LocalOwner)
        };
        let request = request.body(Body::from(call.body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let reply = Reply { status: head.status, headers: head.headers, body, text };
        let has_body = !line.starts_with("HEAD ");
        if has_body && (reply.status.is_client_error() || reply.status.is_server_error()) {
            reply.check_problem(line);
        }
        reply
    }

    /// Sends a JSON body, or none.
    pub(super) async fn call(&self, line: &str, body: Option<Value>) -> Reply {
        self.send(line, json_call(body, None)).await
    }

    /// The same for the version `if_match`.
    pub(super) async fn call_for(&self, line: &str, if_match: &str, body: Option<Value>) -> Reply {
        self.send(line, json_call(body, Some(if_match))).await
    }

    /// Sends a request that must be refused with `status` because of `field`.
    pub(super) async fn check_refused(
        &self,
        line: &str,
        body: Option<Value>,
        (status, field): (u16, Option<&str>),
    ) {
        let said = format!("{line} {body:?}");
        let reply = self.call(line, body).await;
        assert_eq!(reply.status.as_u16(), status, "{said}: {}", reply.body);
        assert_eq!(reply.body["field"].as_str(), field, "{said}: {}", reply.body);
    }

    /// Makes something and gives its path back.
    pub(super) async fn make(&self, collection: &str, body: Value) -> String {
        let reply = self.call(&format!("POST {collection}"), Some(body)).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        reply.header("location").to_owned()
    }

    /// What is at `path`, which must be there.
    pub(super) async fn get(&self, path: &str) -> Reply {
        let reply = self.call(&format!("GET {path}"), None).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        reply
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Every error is a problem document that says the same as the head.
    fn check_problem(&self, line: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{line}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{line}");
        for field in ["type", "title", "detail"] {
            assert!(
                self.body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{line}: {self:?}"
            );
        }
    }
}

pub(super) fn json_call(body: Option<Value>, if_match: Option<&str>) -> Call<'_> {
    Call {
        content_type: body.as_ref().map(|_| "application/json"),
        if_match,
        body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        is_anonymous: false,
        token: None,
    }
}

async fn open_admin(data_dir: &std::path::Path) -> admin::Admin {
    let store = store::Store::open(data_dir).await.unwrap();
    let settings = admin::Settings {
        hash_cost: admin::HashCost { memory_kib: 8, passes: 1, lanes: 1 },
        ..admin::Settings::default()
    };
    admin::Admin::open(store, open_pki(data_dir), settings, clock_ms).await.unwrap().admin
}

/// The time of the tests, which each sets for itself.
fn clock_ms() -> u64 {
    CLOCK_MS.with(std::cell::Cell::get)
}

/// Lets time pass for the test that runs on this thread.
pub(super) fn let_pass(hours: u64) {
    CLOCK_MS.with(|clock| clock.set(clock.get() + hours * 3_600_000));
}

thread_local! {
    static CLOCK_MS: std::cell::Cell<u64> = const { std::cell::Cell::new(1_795_399_382_123) };
}

fn open_pki(data_dir: &std::path::Path) -> Arc<pki::Pki> {
    let settings = pki::Settings {
        files: pki::Files::in_directory(data_dir.join("certs")),
        names: pki::HostNames { names: vec!["localhost".to_owned()], addresses: Vec::new() },
        clock: Arc::new(StoppedClock),
    };
    pki::Pki::open(settings, now()).unwrap().pki
}

fn now() -> pki::UnixTime {
    pki::UnixTime::since_unix_epoch(std::time::Duration::from_millis(1_795_399_382_123))
}

#[derive(Debug)]
struct StoppedClock;

impl pki::TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<pki::UnixTime> {
        Some(now())
    }
}

/// Answers as the shards would that own `clients`.
pub(super) async fn answer(
    mut clients: Vec<ClientView>,
    mut requests: tokio::sync::mpsc::Receiver<ClientRequest>,
) {
    while let Some(request) = requests.recv().await {
        let is = |client: &ClientView, user: UserId, id: &str| {
            client.user == user && &*client.client_id == id
        };
        match request {
            ClientRequest::Foresee { reply, .. } => {
                reply.send(Ok(crate::Foresight::default())).unwrap();
            }
            ClientRequest::List { reply } => reply.send(clients.clone()).unwrap(),
            ClientRequest::Show { user, client_id, reply } => {
                let found = clients.iter().find(|client| is(client, user, &client_id));
                reply.send(found.cloned()).unwrap();
            }
            ClientRequest::Kick { user, client_id, reply } => {
                let count_before = clients.len();
                clients.retain(|client| !is(client, user, &client_id));
                reply.send(clients.len() < count_before).unwrap();
            }
        }
    }
}

/// A connected client with one subscription.
pub(super) fn client(user: UserId, user_name: &str, client_id: &str) -> ClientView {
    ClientView {
        user,
        user_name: UserName::parse(user_name).unwrap(),
        client_id: Arc::from(client_id),
        address: "127.0.0.1:50000".parse().unwrap(),
        listener: Arc::from("mqtt"),
        security: None,
        connected: true,
        auth_methods: vec![AuthMethod::Password],
        version: ProtocolVersion::V5,
        clean_start: true,
        session_expiry_s: 0,
        subscriptions: vec![SubscriptionView {
            filter: "$share/g/a/#".to_owned(),
            qos: Qos::AtLeastOnce,
            is_filtered: true,
        }],
        queued: 0,
        in_flight: 0,
        connected_at: Timestamp(0),
        disconnected_at: None,
        traffic: broker::Traffic::default(),
    }
}
