//! `/api/client-registry`: clients ask to be let in, and an administrator decides.

use admin::RegistrationRefused;
use admin::model::{
    Page, Registration, RegistrationView, RegistryFilter, RegistryGrant, RegistryRequestView,
    RegistryStatus, RegistryUnlock, RegistryView,
};
use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Answer;
use crate::ApiState;
use crate::extract::{Body, CalledBy, OptionalBody, Path, Peer, Query};
use crate::paging::page_request;
use crate::problem::{Kind, Problem, RegistryKind};

/// `/api/client-registry` and below.
pub(crate) fn router(register_bytes_max: usize) -> OpenApiRouter<ApiState> {
    // Whoever asks has proven nothing yet.
    let public = OpenApiRouter::new()
        .routes(routes!(register))
        .layer(DefaultBodyLimit::max(register_bytes_max));
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(unlock))
        .routes(routes!(lock))
        .routes(routes!(list))
        .routes(routes!(show_request))
        .routes(routes!(grant))
        .routes(routes!(deny))
        .merge(public)
}

/// Asks to be let in; the same call again asks what has become of it. Needs no login, but an unlocked registry, unless it
/// is about a request that is there.
#[utoipa::path(post, path = "/api/client-registry/register", operation_id = "registerClient", tag = "client registry",
    request_body = Registration, security(()),
    responses(
        (status = 202, description = "It waits for a decision", body = RegistrationView),
        (status = 201, description = "It was granted", body = RegistrationView),
        (status = 403, description = "It was denied", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another request has this name", body = Problem,
            content_type = "application/problem+json"),
        (status = 423, description = "The registry is locked", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until it makes sense to try again"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests wait", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn register(
    State(state): State<ApiState>,
    Peer(peer): Peer,
    Body(asked): Body<Registration>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<RegistrationView>), Problem> {
    let answer = state.admin.register(asked, peer).await?;
    let status = match answer.status {
        RegistryStatus::Granted => StatusCode::CREATED,
        RegistryStatus::Pending | RegistryStatus::Denied => StatusCode::ACCEPTED,
    };
    // The next answer to the same call may be another.
    Ok((status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)))
}

/// Whether the registry takes new requests, and how many wait.
#[utoipa::path(get, path = "/api/client-registry", operation_id = "showRegistry", tag = "client registry", responses(
    (status = 200, body = RegistryView),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn show(State(state): State<ApiState>, CalledBy(caller): CalledBy) -> Answer<RegistryView> {
    Ok(Json(state.admin.registry(&caller)))
}

/// Unlocks the registry for a time; then it locks itself again. Without a body: for `registry.unlock_time`.
#[utoipa::path(post, path = "/api/client-registry/unlock", operation_id = "unlockRegistry", tag = "client registry",
    request_body = Option<RegistryUnlock>,
    responses(
        (status = 200, body = RegistryView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn unlock(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    OptionalBody(asked): OptionalBody<RegistryUnlock>,
) -> Answer<RegistryView> {
    Ok(Json(state.admin.unlock_registry(&caller, asked).await?))
}

/// Locks the registry. Requests that are there stay.
#[utoipa::path(post, path = "/api/client-registry/lock", operation_id = "lockRegistry", tag = "client registry", responses(
    (status = 200, body = RegistryView),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn lock(State(state): State<ApiState>, CalledBy(caller): CalledBy) -> Answer<RegistryView> {
    Ok(Json(state.admin.lock_registry(&caller).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those of this state: `pending`, `granted` or `denied`. All if absent.
    #[param(inline)]
    status: Option<RegistryStatus>,
    /// Counts from 1.
    #[param(minimum = 1)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// Requests, the oldest first: those that wait, and for a while those that were decided.
#[utoipa::path(get, path = "/api/client-registry/requests", operation_id = "listRequests", tag = "client registry",
    params(ListQuery),
    responses(
        (status = 200, body = Page<RegistryRequestView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<RegistryRequestView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let filter = RegistryFilter { status: query.status };
    Ok(Json(state.admin.list_registry_requests(&caller, filter, page)?))
}

/// One request.
#[utoipa::path(get, path = "/api/client-registry/requests/{id}", operation_id = "showRequest", tag = "client registry",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = RegistryRequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show_request(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
) -> Answer<RegistryRequestView> {
    Ok(Json(state.admin.show_registry_request(&caller, id)?))
}

/// Makes the user of a request, with exactly these roles and permissions: none without a body, whatever was wished for.
#[utoipa::path(post, path = "/api/client-registry/requests/{id}/grant", operation_id = "grantRequest",
    tag = "client registry", request_body = Option<RegistryGrant>, params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = RegistryRequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn grant(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    OptionalBody(grant): OptionalBody<RegistryGrant>,
) -> Answer<RegistryRequestView> {
    Ok(Json(state.admin.grant_registry_request(&caller, id, grant).await?))
}

/// Refuses a request. Refusing it again changes nothing.
#[utoipa::path(post, path = "/api/client-registry/requests/{id}/deny", operation_id = "denyRequest",
    tag = "client registry", params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = RegistryRequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn deny(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
) -> Answer<RegistryRequestView> {
    Ok(Json(state.admin.deny_registry_request(&caller, id).await?))
}

impl From<RegistrationRefused> for Problem {
    fn from(refused: RegistrationRefused) -> Problem {
        let detail = refused.to_string();
        match refused {
            RegistrationRefused::Locked => {
                Problem::new(Kind::Registry(RegistryKind::Locked), detail)
            }
            RegistrationRefused::Denied => {
                Problem::new(Kind::Registry(RegistryKind::Denied), detail)
            }
            RegistrationRefused::Taken { field } => {
                Problem::in_field(Kind::Registry(RegistryKind::Taken), field, detail)
            }
            RegistrationRefused::TooMany { retry_after_ms } => {
                Problem::new(Kind::TooManyRequests, detail).retry_after(retry_after_ms)
            }
            RegistrationRefused::Full => Problem::new(Kind::Unavailable, detail),
            RegistrationRefused::Admin(error) => Problem::from(error),
        }
    }
}
