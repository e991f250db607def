//! `/api/explain`: what the broker would decide, and why.

use admin::model::{ExplainQuery, ExplainView, OperationModel};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::extract::{CalledBy, Query};
use crate::problem::Problem;

/// `/api/explain`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(explain))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Question {
    /// Name or id of the user.
    user: String,
    /// `read`: subscribe; `write`: publish; `readWrite`: both.
    #[param(inline)]
    operation: OperationModel,
    /// For `write` the topic as the client would send it, for `read` the topic filter.
    resource: String,
    /// The client id that `${clientId}` stands for.
    client_id: Option<String>,
}

/// What the broker would decide, and why.
#[utoipa::path(get, path = "/api/explain", tag = "explain", params(Question), responses(
    (status = 200, body = ExplainView),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn explain(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(question): Query<Question>,
) -> Answer<ExplainView> {
    let Question { user, operation, resource, client_id } = question;
    let query = ExplainQuery { user, operation, resource, client_id };
    Ok(Json(state.admin.explain(&caller, &query)?))
}
