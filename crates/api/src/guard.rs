//! Who may pass: the one place that judges requests of callers that no listener vouches for.
//!
//! It stands before every path, those that do not exist included, so that a new one cannot be forgotten. A listener that
//! vouches for its callers (the admin socket) puts a [`Caller`] into the request; any other request shows a bearer token,
//! and what its user may do there is judged by the user's permissions of the context `http`.

use access::{Denial, Operation};
use admin::{Admin, Caller};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::extract::Peer;
use crate::problem::{Kind, Problem};

/// Lets a request pass, or answers it with a refusal.
pub(crate) async fn judge(
    State(admin): State<Admin>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_vouched_for = request.extensions().get::<Caller>().is_some();
    if is_vouched_for || is_public(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    match identify(&admin, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn identify(admin: &Admin, request: &Request) -> Result<Caller, Problem> {
    let refused = || {
        Problem::new(
            Kind::Unauthenticated,
            "a valid bearer token is needed: `POST /api/login` gives one",
        )
    };
    let token = bearer(request.headers()).ok_or_else(refused)?;
    let Peer(peer) = Peer::of(request.extensions());
    let caller = admin.authenticate(token, peer).ok_or_else(refused)?;
    let (method, path) = (request.method(), request.uri().path());
    let operation = operation(method);
    match admin.permit_http(&caller, operation, path) {
        Ok(()) => Ok(caller),
        Err(Denial::NoRule) if is_own(&caller, method, path) => Ok(caller),
        Err(denial) => {
            tracing::info!(%caller, %method, ?path, %denial, "an API call was refused");
            let detail = format!(
                "your user has no permission for this: it needs `http:{operation}` of the path"
            );
            Err(Problem::new(Kind::Forbidden, detail))
        }
    }
}

/// What anybody may ask: whether the server lives, what its certificates and revocations are, to log in, and to ask to be
/// let in.
fn is_public(method: &Method, path: &str) -> bool {
    match path {
        "/healthz" | "/readyz" | "/api/ca.crt" | "/api/crl.pem" => {
            *method == Method::GET || *method == Method::HEAD
        }
        "/api/login" | "/api/client-registry/register" => *method == Method::POST,
        _ => false,
    }
}

/// What is somebody's own needs no permission, but a deny takes it away: to see who one is and to log out, to change
/// one's password (which asks for the present one), and to see and end one's tokens.
fn is_own(caller: &Caller, method: &Method, path: &str) -> bool {
    let Some(user) = caller.user() else { return false };
    if path == "/api/login" {
        return *method == Method::GET || *method == Method::HEAD || *method == Method::DELETE;
    }
    let own = format!("/api/users/{}/", user.id().0);
    match path.strip_prefix(&own) {
        Some("password") => *method == Method::PUT,
        Some(rest) if rest == "tokens" || rest.starts_with("tokens/") => {
            *method == Method::GET || *method == Method::HEAD || *method == Method::DELETE
        }
        _ => false,
    }
}

fn operation(method: &Method) -> Operation {
    if *method == Method::GET || *method == Method::HEAD {
        Operation::Read
    } else {
        Operation::Write
    }
}

/// The token, if there is exactly one (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}
