//! `/api/protection`: what too many failed logins have locked, and how to unlock it.

use admin::model::LocksView;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::extract::{CalledBy, Path};
use crate::problem::Problem;

/// `/api/protection` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(unlock_user))
        .routes(routes!(unlock_source))
}

/// What is locked now.
#[utoipa::path(get, path = "/api/protection", operation_id = "listLocks", tag = "protection", responses(
    (status = 200, body = LocksView),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(state): State<ApiState>, CalledBy(caller): CalledBy) -> Answer<LocksView> {
    Ok(Json(state.admin.locks(&caller)))
}

/// Lets a user log in again, and forgets its failed logins.
#[utoipa::path(delete, path = "/api/protection/users/{username}", operation_id = "unlockUser", tag = "protection",
    params(("username" = String, Path, description = "The name that was locked")),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn unlock_user(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(username): Path<String>,
) -> Result<StatusCode, Problem> {
    state.admin.unlock_user(&caller, &username)?;
    // Afterwards: a lock lives in memory only, so nothing that is confirmed can be lost before it is recorded.
    state.admin.record_action(&caller, "protection.unlock", json!({ "user": username })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a source address log in again, and forgets its failed logins.
#[utoipa::path(delete, path = "/api/protection/sources/{source}", operation_id = "unlockSource", tag = "protection",
    params(("source" = String, Path, description = "An address, or the network of 64 bits that is locked")),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn unlock_source(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(source): Path<String>,
) -> Result<StatusCode, Problem> {
    state.admin.unlock_source(&caller, &source)?;
    state.admin.record_action(&caller, "protection.unlock", json!({ "source": source })).await?;
    Ok(StatusCode::NO_CONTENT)
}
