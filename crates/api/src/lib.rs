//! The HTTP API over the use cases; the same router serves REST and the admin socket.
//!
//! A listener puts the [`admin::Caller`] that it vouches for into each request's extensions, or else the
//! [`admin::PeerAddress`] of whoever asks, who then has to show a bearer token. Every error is a problem document (RFC 9457), the router's own ones too, and the OpenAPI document is made
//! from the handlers, so that it cannot describe another API than this one.

mod client_model;
mod clients;
mod dry_run;
mod dry_run_model;
mod extract;
mod guard;
mod issued_model;
mod paging;
mod problem;
mod routes;
mod version;

use std::sync::Arc;

use admin::Admin;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use client_model::{ClientCertificateModel, ClientModel, SubscriptionModel};
pub use clients::{ClientRequest, Clients, Foresight, Unavailable};
pub use dry_run_model::{
    ClientEffectsModel, DryRunModel, EffectTotalsModel, EffectsModel, FilterEffectModel,
    PublishEffectModel, TopicEffectModel,
};
pub use extract::CalledBy;
pub use problem::{ItemProblem, Problem, Unheard};
pub use routes::fallback::method_not_allowed;

/// What the handlers work on.
#[derive(Clone)]
pub struct ApiState {
    /// The use cases.
    pub admin: Admin,
    /// The way to the shards.
    pub clients: Clients,
    /// Whether something is broken that some clients need.
    pub is_impaired: Arc<dyn Fn() -> bool + Send + Sync>,
    /// How large bodies of requests may be.
    pub bodies: BodyLimits,
}

/// Bytes of the largest body of a request. Larger: 413.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Of those who have the permission for what they ask.
    pub permitted_max: usize,
    /// Of a login.
    pub login_max: usize,
    /// Of a client that asks to be let in.
    pub register_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        // A role with 100,000 permissions fits.
        BodyLimits { permitted_max: 32 << 20, login_max: 16 << 10, register_max: 32 << 10 }
    }
}

/// The whole API.
pub fn router(state: ApiState) -> Router {
    let admin = state.admin.clone();
    let router = routes(state.bodies)
        .0
        .fallback(routes::fallback::not_found)
        .method_not_allowed_fallback(routes::fallback::method_not_allowed)
        .layer(DefaultBodyLimit::max(state.bodies.permitted_max))
        .layer(axum::middleware::from_fn(dry_run::refuse_elsewhere))
        .with_state(state);
    guarded(&admin, router)
}

/// A router whose paths, and those that it does not have, are for whoever has the permission: what a listener serves
/// beside the API.
pub fn guarded(admin: &Admin, router: Router) -> Router {
    router.layer(axum::middleware::from_fn_with_state(admin.clone(), guard::judge))
}

/// The OpenAPI 3.1 document of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes(BodyLimits::default()).1
}

fn routes(bodies: BodyLimits) -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(routes::users::router())
        .merge(routes::roles::router())
        .merge(routes::certificates::router())
        .merge(routes::login::router(bodies.login_max))
        .merge(routes::tokens::router())
        .merge(routes::locks::router())
        .merge(routes::registry::router(bodies.register_max))
        .merge(routes::permissions::router())
        .merge(routes::clients::router())
        .merge(routes::explain::router())
        .merge(routes::refusals::router())
        .merge(routes::audit::router())
        .merge(routes::policy::router())
        .merge(routes::health::router())
        .merge(routes::openapi::router())
        .split_for_parts()
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Countersign",
    description = "Users, roles, permissions, certificates and live clients of an MQTT broker.",
    license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
), security(("bearer" = [])), modifiers(&Bearer))]
struct Document;

/// How a caller shows who it is.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token from `POST /api/login`."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

#[cfg(test)]
mod tests;
