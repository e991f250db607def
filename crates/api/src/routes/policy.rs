//! `/api/policy`: users and roles as one document.

use admin::policy_model::{PolicyDocument, PolicyExport, PolicyOptions, PolicyOutcome};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::dry_run;
use crate::dry_run_model::DryRunModel;
use crate::extract::{Body, CalledBy, Query};
use crate::problem::Problem;

/// `/api/policy`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(export, apply))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ApplyQuery {
    /// Only say what would change.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// Remove the users and roles that the document does not name.
    #[serde(default)]
    #[param(required = false)]
    prune: bool,
    /// Refuse (409) to change users and roles that are there already.
    #[serde(default)]
    #[param(required = false)]
    only_new: bool,
}

/// All users, and all roles that are not built in, such that applying them changes nothing. Passwords are left out.
#[utoipa::path(get, path = "/api/policy", operation_id = "exportPolicy", tag = "policy", responses(
    (status = 200, body = PolicyExport),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn export(State(state): State<ApiState>, CalledBy(caller): CalledBy) -> Answer<PolicyExport> {
    Ok(Json(state.admin.export_policy(&caller)))
}

/// What came of a document, or would come.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only a schema")]
enum AppliedPolicy {
    /// What has changed.
    Applied(Box<PolicyOutcome>),
    /// With `dryRun=true`.
    DryRun(Box<DryRunModel>),
}

/// Makes users and roles what the document says, all or nothing, and says what has changed.
#[utoipa::path(post, path = "/api/policy", operation_id = "applyPolicy", tag = "policy", params(ApplyQuery),
    request_body = PolicyDocument, responses(
        (status = 200, body = AppliedPolicy),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
async fn apply(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ApplyQuery>,
    Body(document): Body<PolicyDocument>,
) -> Result<Response, Problem> {
    let ApplyQuery { dry_run, prune, only_new } = query;
    let options = PolicyOptions { dry_run, prune, only_new };
    if dry_run {
        let draft = state.admin.draft_policy(document, options).await?;
        let preview = || state.admin.preview_policy(&caller, &draft);
        return dry_run::answer(&state, preview).await;
    }
    Ok(Json(state.admin.apply_policy(&caller, document, options).await?).into_response())
}
