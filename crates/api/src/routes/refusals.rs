//! What clients were refused: of all, of one user, of one client.

use admin::AdminError;
use admin::decision_model::{DeedModel, RefusalFilter, RefusalView};
use admin::model::Page;
use axum::Json;
use axum::extract::State;
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

/// `/api/refusals`, and `refusals` of a user and of a client.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_user)).routes(routes!(of_client))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only under exactly this user name, whether there is such a user or not.
    #[serde(rename = "user[eq]")]
    user: Option<String>,
    /// Only of clients with this id.
    #[serde(rename = "clientId[eq]")]
    client_id: Option<String>,
    /// Only of this action.
    #[serde(rename = "action[eq]")]
    #[param(inline)]
    action: Option<DeedModel>,
    /// Counts from 1.
    #[param(minimum = 1)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Counts from 1.
    #[param(minimum = 1)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// What was refused lately, the last first.
#[utoipa::path(get, path = "/api/refusals", operation_id = "listRefusals", tag = "refusals", params(ListQuery), responses(
    (status = 200, body = Page<RefusalView>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<RefusalView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let ListQuery { user, client_id, action, .. } = query;
    let filter = RefusalFilter { user, client_id, action };
    Ok(Json(state.admin.list_refusals(&caller, &filter, page).await?))
}

/// What a user was refused lately, and logins under its name, the last first.
#[utoipa::path(get, path = "/api/users/{id}/refusals", operation_id = "listUserRefusals", tag = "users",
    params(("id" = Uuid, Path), PageQuery), responses(
    (status = 200, body = Page<RefusalView>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn of_user(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Answer<Page<RefusalView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let user = Some(state.admin.show_user(&caller, &id.to_string())?.username);
    let filter = RefusalFilter { user, ..RefusalFilter::default() };
    Ok(Json(state.admin.list_refusals(&caller, &filter, page).await?))
}

/// What a client was refused lately, the last first. It need not have a connection or a session.
#[utoipa::path(get, path = "/api/clients/{user}/{clientId}/refusals", operation_id = "listClientRefusals", tag = "clients",
    params(
        ("user" = String, Path, description = "Name of the user that it logged in as"),
        ("clientId" = String, Path, description = "Its client id, percent-encoded"),
        PageQuery,
    ),
    responses(
        (status = 200, body = Page<RefusalView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn of_client(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path((user, client_id)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Answer<Page<RefusalView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    if state.admin.policy().load().user_by_name(&user).is_none() {
        return Err(AdminError::NotFound { kind: admin::Kind::User, key: user }.into());
    }
    let filter =
        RefusalFilter { user: Some(user), client_id: Some(client_id), ..RefusalFilter::default() };
    Ok(Json(state.admin.list_refusals(&caller, &filter, page).await?))
}
