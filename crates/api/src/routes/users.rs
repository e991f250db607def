//! `/api/users`: who there is, and what each may do.

use admin::model::{NewUser, Page, PasswordChange, UserFilter, UserPatch, UserView};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Answer, VersionedAnswer};
use crate::ApiState;
use crate::dry_run::{self, ChangeQuery};
use crate::dry_run_model::DryRunModel;
use crate::extract::{Body, CalledBy, OneOrMany, Path, Query};
use crate::paging::page_request;
use crate::problem::Problem;
use crate::version::{IfMatch, IfMatchHeader, etag};

/// `/api/users` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
        .routes(routes!(set_password))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only the user of exactly this name.
    #[serde(rename = "username[eq]")]
    username: Option<String>,
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// Users, by name.
#[utoipa::path(get, path = "/api/users", operation_id = "listUsers", tag = "users", params(ListQuery), responses(
    (status = 200, body = Page<UserView>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<UserView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let filter = UserFilter { username: query.username };
    Ok(Json(state.admin.list_users(&caller, &filter, page)?))
}

/// What a user is made from: one object, or a list of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema: `OneOrMany` is what is read")]
enum NewUsers {
    /// One user.
    One(Box<NewUser>),
    /// Several, of which all are made or none.
    Many(Vec<NewUser>),
}

/// What was made: one object, or a list of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum MadeUsers {
    /// One user.
    One(Box<UserView>),
    /// Several, in the order in which they were asked for.
    Many(Vec<UserView>),
}

/// Makes a user, or all of a list of users or none of them: then the problem document says what is wrong with which.
#[utoipa::path(post, path = "/api/users", operation_id = "createUser", tag = "users", request_body = NewUsers, responses(
    (status = 201, body = MadeUsers, headers(
        ("Location" = Option<String>, description = "Of a single user"), ("ETag" = Option<String>, description = "Of a single user"),
    )),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
async fn create(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    users: OneOrMany<NewUser>,
) -> Result<Response, Problem> {
    let user = match users {
        OneOrMany::One(user) => user,
        OneOrMany::Many(users) => {
            let users = state.admin.create_users(&caller, users).await?;
            return Ok((StatusCode::CREATED, Json(users)).into_response());
        }
    };
    let user = state.admin.create_user(&caller, user).await?;
    let location = format!("/api/users/{}", user.id);
    Ok(created(&location, user.version, user))
}

/// One user.
#[utoipa::path(get, path = "/api/users/{id}", operation_id = "showUser", tag = "users", params(("id" = Uuid, Path)), responses(
    (status = 200, body = UserView, headers(("ETag" = String))),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn show(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
) -> VersionedAnswer<UserView> {
    let user = state.admin.show_user(&caller, &id.to_string())?;
    Ok((etag(user.version), Json(user)))
}

/// What came of a change, or would come.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum ChangedUser {
    /// The user as it is now.
    Changed(Box<UserView>),
    /// With `dryRun=true`.
    DryRun(Box<DryRunModel>),
}

/// Changes a user: what is absent stays, a list given replaces the whole list. Or says what that would do.
#[utoipa::path(patch, path = "/api/users/{id}", operation_id = "changeUser", tag = "users", request_body = UserPatch,
    params(("id" = Uuid, Path), ChangeQuery, IfMatchHeader),
    responses(
        (status = 200, body = ChangedUser, headers(("ETag" = Option<String>, description = "Not with `dryRun=true`"))),
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
    Body(patch): Body<UserPatch>,
) -> Result<Response, Problem> {
    let (id, admin) = (id.to_string(), &state.admin);
    let expected = if_match.expected(admin.show_user(&caller, &id)?.version);
    if query.dry_run {
        let preview = || admin.preview_user_update(&caller, &id, patch.clone(), expected);
        return dry_run::answer(&state, preview).await;
    }
    let user = admin.update_user(&caller, &id, patch, expected).await?;
    Ok((etag(user.version), Json(user)).into_response())
}

/// Removes a user and ends its connections and sessions. Or says what that would do.
#[utoipa::path(delete, path = "/api/users/{id}", operation_id = "removeUser", tag = "users",
    params(("id" = Uuid, Path), ChangeQuery, IfMatchHeader),
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
    Query(query): Query<ChangeQuery>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let (id, admin) = (id.to_string(), &state.admin);
    let expected = if_match.expected(admin.show_user(&caller, &id)?.version);
    if query.dry_run {
        let preview = || admin.preview_user_removal(&caller, &id, expected);
        return dry_run::answer(&state, preview).await;
    }
    admin.remove_user(&caller, &id, expected).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sets a user's password and ends the connections that passwords made; a second one ends only those of the second one before.
#[utoipa::path(put, path = "/api/users/{id}/password", operation_id = "setPassword", tag = "users", request_body = PasswordChange,
    params(("id" = Uuid, Path), IfMatchHeader),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn set_password(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let (id, admin) = (id.to_string(), &state.admin);
    let expected = if_match.expected(admin.show_user(&caller, &id)?.version);
    admin.set_password_of(&caller, &id, change, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer that says where the new object is.
pub(super) fn created<T: serde::Serialize>(location: &str, version: u64, object: T) -> Response {
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    (StatusCode::CREATED, etag(version), headers, Json(object)).into_response()
}
