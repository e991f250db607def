//! The HTTP API over the use cases; the same router serves REST and the admin socket.
//!
//! A listener puts the [`admin::Caller`] that it vouches for into each request's extensions; a request without one is
//! refused. Every error is a problem document (RFC 9457), the router's own ones too, and the OpenAPI document is made
//! from the handlers, so that it cannot describe another API than this one.

mod client_model;
mod clients;
mod extract;
mod issued_model;
mod paging;
mod problem;
mod routes;
mod version;

use admin::Admin;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use client_model::{ClientCertificateModel, ClientModel, SubscriptionModel};
pub use extract::CalledBy;
pub use clients::{ClientRequest, Clients, Unavailable};
pub use problem::Problem;

/// What the handlers work on.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub admin: Admin,
    /// The way to the shards.
    pub clients: Clients,
}

/// The whole API.
pub fn router(state: ApiState) -> Router {
    let (router, document) = routes();
    router
        .merge(routes::openapi::router(document))
        .fallback(routes::fallback::not_found)
        .method_not_allowed_fallback(routes::fallback::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

/// The OpenAPI 3.1 document of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().1
}

fn routes() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(routes::users::router())
        .merge(routes::roles::router())
        .merge(routes::certificates::router())
        .merge(routes::permissions::router())
        .merge(routes::clients::router())
        .merge(routes::explain::router())
        .merge(routes::health::router())
        .split_for_parts()
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Countersign",
    description = "Users, roles, permissions, certificates and live clients of an MQTT broker.",
    license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
))]
struct Document;

/// The largest body of a request, in bytes: a role with 100,000 permissions fits.
pub const BODY_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests;
