//! HTTP on the network: the API for whoever shows a token, and the way to an MQTT WebSocket.
//!
//! A connection costs a bounded buffer and bounded time: for its head, for the answer, and for taking the answer. Those that
//! ask for something else than MQTT have places of their own, so that they cannot take those of MQTT clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use admin::PeerAddress;
use api::{Problem, Unheard};
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Request, Response, StatusCode, Version};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;

use super::farewell;
use super::login::Visitor;
use super::places::{Place, Places};
use super::transport::{Pipe, Transport, WebSocket};
use super::upgrade::{self, Rules};
use crate::config::HttpLimits;

/// What a listener that speaks HTTP serves.
pub(crate) struct Http {
    /// Everything but MQTT; `None`: there is nothing else.
    api: Option<Api>,
    rules: Rules,
    limits: HttpLimits,
}

struct Api {
    router: TowerToHyperService<Router>,
    places: Arc<Places>,
}

impl Http {
    /// MQTT and nothing else.
    pub(crate) fn websocket_only(rules: Rules, limits: HttpLimits) -> Self {
        Self { api: None, rules, limits }
    }

    /// MQTT, and the API for those who get one of these places.
    pub(crate) fn with_api(
        rules: Rules,
        limits: HttpLimits,
        router: Router,
        places: Arc<Places>,
    ) -> Self {
        let router = TowerToHyperService::new(router);
        Self { api: Some(Api { router, places }), rules, limits }
    }

    /// Serves a connection until it ends, or becomes a WebSocket: then it is given back.
    pub(crate) async fn serve(
        self: Arc<Self>,
        pipe: Pipe,
        visitor: Visitor,
    ) -> Option<(Transport, Visitor)> {
        let head_timeout = self.limits.head_timeout;
        pipe.limit_unacknowledged(Some(self.limits.stall_timeout));
        let visit = Arc::new(Visit {
            http: self,
            visitor: Mutex::new(visitor),
            place: Mutex::new(None),
            is_upgraded: AtomicBool::new(false),
        });
        let answering = Arc::clone(&visit);
        let service = hyper::service::service_fn(move |request| {
            let visit = Arc::clone(&answering);
            async move { Ok::<_, Infallible>(visit.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(pipe), service);
        // An error is the client's: bad HTTP, too slow, or gone.
        let parts = connection.without_shutdown().await.ok()?;
        let pipe = parts.io.into_inner();
        drop(parts.service);
        let Visit { visitor, is_upgraded, .. } = Arc::into_inner(visit)?;
        if !is_upgraded.into_inner() {
            farewell::say(Transport::Direct(pipe), &[]).await;
            return None;
        }
        pipe.limit_unacknowledged(None);
        let socket = WebSocket::new(pipe, parts.read_buf.to_vec());
        Some((Transport::WebSocket(Box::new(socket)), visitor.into_inner()))
    }
}

/// One connection that speaks HTTP.
struct Visit {
    http: Arc<Http>,
    visitor: Mutex<Visitor>,
    place: Mutex<Option<Place>>,
    is_upgraded: AtomicBool,
}

impl Visit {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        // RFC 9112 3.2: somebody between the client and here may take it for a request to another.
        if request.version() == Version::HTTP_11
            && request.headers().get_all(HOST).iter().count() != 1
        {
            return refusal(Unheard::NotOneHost);
        }
        if request.uri().path() == upgrade::PATH {
            return self.upgrade(&request);
        }
        let Some(api) = &self.http.api else {
            let here = "only MQTT over WebSocket is here, at /mqtt";
            return closing(text(StatusCode::NOT_FOUND, here));
        };
        let address = self.visitor.lock().address;
        request.extensions_mut().insert(PeerAddress::Network(address));
        if !self.take_place(api) {
            return refusal(Unheard::TooManyConnections);
        }
        let answer_timeout = self.http.limits.answer_timeout;
        match tokio::time::timeout(answer_timeout, api.router.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => refusal(Unheard::TooSlow),
        }
    }

    fn upgrade(&self, request: &Request<Incoming>) -> Response<Body> {
        let visitor = self.visitor.lock();
        let has_certificate = visitor.secured.as_ref().is_some_and(|it| it.identity.is_some());
        match upgrade::judge(request, &self.http.rules, has_certificate) {
            Ok(response) => {
                self.is_upgraded.store(true, Ordering::Relaxed);
                response.map(|()| Body::empty())
            }
            Err(refused) => {
                tracing::info!(
                    address = %visitor.address, listener = &*visitor.listener,
                    reason = refused.reason, "WebSocket refused"
                );
                let mut response = text(refused.status, refused.reason);
                response.headers_mut().extend(refused.headers);
                closing(response)
            }
        }
    }

    /// Takes a place among those who speak no MQTT, once for a connection.
    fn take_place(&self, api: &Api) -> bool {
        let mut place = self.place.lock();
        if place.is_none() {
            let mut visitor = self.visitor.lock();
            let Some(free) = api.places.take(visitor.address.ip()) else { return false };
            *place = Some(free);
            visitor.ticket.logged_in();
        }
        true
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn refusal(unheard: Unheard) -> Response<Body> {
    closing(Problem::from(unheard).into_response())
}

fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

const HEADERS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 16 * 1024;
