//! Liveness and readiness, for those who start and watch the process. They tell nothing else, so everybody may ask.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiState;
use crate::problem::{Kind, Problem};

/// `/healthz` and `/readyz`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it takes clients; `ready, impaired` while some of them are refused because their sessions cannot be kept.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, body = String, content_type = "text/plain"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
async fn readyz(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    if state.clients.is_open() {
        // It is said to anybody: not what the matter is.
        Ok(if (state.is_impaired)() { "ready, impaired: see the log\n" } else { "ready\n" })
    } else {
        Err(Problem::new(Kind::Unavailable, "the broker is stopping"))
    }
}
