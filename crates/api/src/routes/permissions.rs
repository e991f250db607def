//! `/api/permissions`: which users and roles have which permission.

use admin::model::{Page, PermissionIndexEntry};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::extract::{CalledBy, Query};
use crate::paging::page_request;
use crate::problem::Problem;

/// `/api/permissions`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
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

/// Who has which permission.
#[utoipa::path(get, path = "/api/permissions", operation_id = "listPermissions", tag = "permissions", params(ListQuery), responses(
    (status = 200, body = Page<PermissionIndexEntry>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<PermissionIndexEntry>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    Ok(Json(state.admin.permissions(&caller, page)?))
}
