//! `/api/roles`: named sets of permissions.

use admin::RoleRemoval;
use admin::model::{NewRole, Page, RoleFilter, RolePatch, RoleView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::users::created;
use super::{Answer, VersionedAnswer};
use crate::ApiState;
use crate::dry_run::{self, ChangeQuery};
use crate::dry_run_model::DryRunModel;
use crate::extract::{Body, CalledBy, Path, Query};
use crate::paging::page_request;
use crate::problem::Problem;
use crate::version::{IfMatch, IfMatchHeader, etag};

/// `/api/roles` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change, remove))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only the role of exactly this name.
    #[serde(rename = "name[eq]")]
    name: Option<String>,
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// Roles, by name.
#[utoipa::path(get, path = "/api/roles", operation_id = "listRoles", tag = "roles", params(ListQuery), responses(
    (status = 200, body = Page<RoleView>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<RoleView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let filter = RoleFilter { name: query.name };
    Ok(Json(state.admin.list_roles(&caller, &filter, page)?))
}

/// Makes a role.
#[utoipa::path(post, path = "/api/roles", operation_id = "createRole", tag = "roles", request_body = NewRole, responses(
    (status = 201, body = RoleView, headers(("Location" = String), ("ETag" = String))),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
async fn create(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Body(role): Body<NewRole>,
) -> Result<Response, Problem> {
    let role = state.admin.create_role(&caller, role).await?;
    let location = format!("/api/roles/{}", role.id);
    Ok(created(&location, role.version, role))
}

/// One role.
#[utoipa::path(get, path = "/api/roles/{id}", operation_id = "showRole", tag = "roles", params(("id" = Uuid, Path)), responses(
    (status = 200, body = RoleView, headers(("ETag" = String))),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn show(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
) -> VersionedAnswer<RoleView> {
    let role = state.admin.show_role(&caller, &id.to_string())?;
    Ok((etag(role.version), Json(role)))
}

/// What came of a change, or would come.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum ChangedRole {
    /// The role as it is now.
    Changed(Box<RoleView>),
    /// With `dryRun=true`.
    DryRun(Box<DryRunModel>),
}

/// Changes a role: what is absent stays, a list given replaces the whole list. Or says what that would do.
#[utoipa::path(patch, path = "/api/roles/{id}", operation_id = "changeRole", tag = "roles", request_body = RolePatch,
    params(("id" = Uuid, Path), ChangeQuery, IfMatchHeader),
    responses(
        (status = 200, body = ChangedRole, headers(("ETag" = Option<String>, description = "Not with `dryRun=true`"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Query(query): Query<ChangeQuery>,
    if_match: IfMatch,
    Body(patch): Body<RolePatch>,
) -> Result<Response, Problem> {
    let (id, admin) = (id.to_string(), &state.admin);
    let expected = if_match.expected(admin.show_role(&caller, &id)?.version);
    if query.dry_run {
        let preview = || admin.preview_role_update(&caller, &id, patch.clone(), expected);
        return dry_run::answer(&state, preview).await;
    }
    let role = admin.update_role(&caller, &id, patch, expected).await?;
    Ok((etag(role.version), Json(role)).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Also take the role from the users that have it.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
    /// Only say what would change, and what that would do to clients.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Removes a role; one that users have only with `force`. Or says what that would do.
#[utoipa::path(delete, path = "/api/roles/{id}", operation_id = "removeRole", tag = "roles",
    params(RemoveQuery, ("id" = Uuid, Path), IfMatchHeader),
    responses(
        (status = 200, body = DryRunModel, description = "With `dryRun=true`"),
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Query(query): Query<RemoveQuery>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let (id, admin) = (id.to_string(), &state.admin);
    let expected = if_match.expected(admin.show_role(&caller, &id)?.version);
    let removal = if query.force { RoleRemoval::Force } else { RoleRemoval::IfUnused };
    if query.dry_run {
        let preview = || admin.preview_role_removal(&caller, &id, expected, removal);
        return dry_run::answer(&state, preview).await;
    }
    admin.remove_role(&caller, &id, expected, removal).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
