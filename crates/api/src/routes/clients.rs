//! `/api/clients`: live connections and sessions.

use access::UserId;
use admin::model::Page;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use broker::ClientView;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::client_model::ClientModel;
use crate::extract::{CalledBy, Path, Query};
use crate::paging::{cut, page_request};
use crate::problem::{Kind, Problem};

/// `/api/clients` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, kick))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only clients of the user of this name.
    #[serde(rename = "user[eq]")]
    user: Option<String>,
    /// Only clients with this id.
    #[serde(rename = "clientId[eq]")]
    client_id: Option<String>,
    /// Counts from 1. Page 1 is taken afresh; the pages after it show the same moment.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

impl ListQuery {
    fn admits(&self, client: &ClientView) -> bool {
        let is_user = self.user.as_deref().is_none_or(|user| user == client.user_name.as_str());
        let is_id = self.client_id.as_deref().is_none_or(|id| id == &*client.client_id);
        is_user && is_id
    }
}

/// Clients that are connected or have a session, by user name and client id.
#[utoipa::path(get, path = "/api/clients", operation_id = "listClients", tag = "clients", params(ListQuery), responses(
    (status = 200, body = Page<ClientModel>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    _caller: CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<ClientModel>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let clients = state.clients.list_for_page(page.page_number).await?;
    let admitted: Vec<&ClientView> = clients.iter().filter(|client| query.admits(client)).collect();
    Ok(Json(cut(&admitted, page, |client| ClientModel::from(*client))))
}

/// One client.
#[utoipa::path(get, path = "/api/clients/{user}/{clientId}", operation_id = "showClient", tag = "clients",
    params(
        ("user" = String, Path, description = "Name of the user that it logged in as"),
        ("clientId" = String, Path, description = "Its client id, percent-encoded"),
    ),
    responses(
        (status = 200, body = ClientModel),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    State(state): State<ApiState>,
    _caller: CalledBy,
    Path((user, client_id)): Path<(String, String)>,
) -> Answer<ClientModel> {
    let user_id = find_user(&state, &user)?;
    match state.clients.show(user_id, client_id.clone()).await? {
        Some(client) => Ok(Json(ClientModel::from(&client))),
        None => Err(no_client(&user, &client_id)),
    }
}

/// Ends a client's connection and session.
#[utoipa::path(delete, path = "/api/clients/{user}/{clientId}", operation_id = "kickClient", tag = "clients",
    params(
        ("user" = String, Path, description = "Name of the user that it logged in as"),
        ("clientId" = String, Path, description = "Its client id, percent-encoded"),
    ),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn kick(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path((user, client_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let user_id = find_user(&state, &user)?;
    if state.clients.show(user_id, client_id.clone()).await?.is_none() {
        return Err(no_client(&user, &client_id));
    }
    let target = json!({ "user": user, "clientId": client_id });
    state.admin.record_action(&caller, "client.kick", target).await?;
    if !state.clients.kick(user_id, client_id.clone()).await? {
        return Err(no_client(&user, &client_id));
    }
    // `?` escapes what the client has put into its id.
    tracing::info!(%caller, user, ?client_id, "client kicked");
    Ok(StatusCode::NO_CONTENT)
}

/// A user that does not exist has no clients: its sessions went with it.
fn find_user(state: &ApiState, name: &str) -> Result<UserId, Problem> {
    let policy = state.admin.policy().load();
    match policy.user_by_name(name) {
        Some(user) => Ok(user.id()),
        None => Err(Problem::new(Kind::NotFound, format!("no user `{name}`"))),
    }
}

fn no_client(user: &str, client_id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("user `{user}` has no client `{client_id}`"))
}
