//! `/api/explain`: what the broker would decide, and why.

use admin::AdminError;
use admin::decision_model::DecisionView;
use admin::model::{ExplainQuery, ExplainView, OperationModel};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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
    /// Name or id of the user. It, `operation` and `resource` are needed, if `decision` is not given.
    user: Option<String>,
    /// `read`: subscribe; `write`: publish; `readWrite`: both.
    #[param(inline)]
    operation: Option<OperationModel>,
    /// For `write` the topic as the client would send it, for `read` the topic filter.
    resource: Option<String>,
    /// The client id that `${clientId}` stands for.
    client_id: Option<String>,
    /// Name of a decision that was made, and nothing else beside it.
    decision: Option<String>,
}

/// What the broker would decide, or has decided.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum Explained {
    /// A question.
    Question(Box<ExplainView>),
    /// A decision that was made.
    Decision(Box<DecisionView>),
}

/// What the broker would decide, and why. Or why it has made a decision, and what it would decide now.
#[utoipa::path(get, path = "/api/explain", tag = "explain", params(Question), responses(
    (status = 200, body = Explained),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn explain(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(question): Query<Question>,
) -> Result<Response, Problem> {
    let Question { user, operation, resource, client_id, decision } = question;
    if let Some(decision) = decision {
        if user.is_some() || operation.is_some() || resource.is_some() || client_id.is_some() {
            let detail = "is all that is asked: leave out the rest";
            return Err(Problem::in_parameter("decision", detail));
        }
        let explained = state.admin.explain_decision(&caller, &decision).await;
        return match explained {
            Ok(explained) => Ok(Json(explained).into_response()),
            Err(AdminError::Invalid { field, reason }) => {
                Err(Problem::in_parameter(&field, reason))
            }
            Err(error) => Err(error.into()),
        };
    }
    let query = ExplainQuery {
        user: needed("user", user)?,
        operation: needed("operation", operation)?,
        resource: needed("resource", resource)?,
        client_id,
    };
    Ok(Json(state.admin.explain(&caller, &query)?).into_response())
}

fn needed<T>(name: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::in_parameter(name, format!("missing field `{name}`")))
}
