//! `/api/users/{id}/tokens`: a user's bearer tokens, without what their holders show.

use admin::model::{Page, TokenView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Answer;
use crate::ApiState;
use crate::extract::{CalledBy, Path, Query};
use crate::paging::page_request;
use crate::problem::Problem;

/// `/api/users/{id}/tokens` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, remove_all)).routes(routes!(show, remove))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// A user's tokens, the oldest first. Everybody may see its own.
#[utoipa::path(get, path = "/api/users/{id}/tokens", operation_id = "listTokens", tag = "tokens",
    params(("id" = Uuid, Path), ListQuery),
    responses(
        (status = 200, body = Page<TokenView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Query(query): Query<ListQuery>,
) -> Answer<Page<TokenView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    Ok(Json(state.admin.list_tokens(&caller, &id.to_string(), page)?))
}

/// Ends all of a user's tokens. Everybody may end its own.
#[utoipa::path(delete, path = "/api/users/{id}/tokens", operation_id = "removeTokens", tag = "tokens",
    params(("id" = Uuid, Path)),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove_all(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    state.admin.remove_tokens(&caller, &id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One of a user's tokens.
#[utoipa::path(get, path = "/api/users/{id}/tokens/{tokenId}", operation_id = "showToken", tag = "tokens",
    params(("id" = Uuid, Path), ("tokenId" = Uuid, Path)),
    responses(
        (status = 200, body = TokenView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path((id, token)): Path<(Uuid, Uuid)>,
) -> Answer<TokenView> {
    Ok(Json(state.admin.show_token(&caller, &id.to_string(), token)?))
}

/// Ends one of a user's tokens.
#[utoipa::path(delete, path = "/api/users/{id}/tokens/{tokenId}", operation_id = "removeToken", tag = "tokens",
    params(("id" = Uuid, Path), ("tokenId" = Uuid, Path)),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path((id, token)): Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    state.admin.remove_token(&caller, &id.to_string(), token).await?;
    Ok(StatusCode::NO_CONTENT)
}
