//! Saying what a change would do, without making it.

use admin::{AdminError, Preview};
use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ApiState;
use crate::dry_run_model::{DryRunModel, EffectsModel};
use crate::problem::{Kind, Problem};

/// The query of a change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeQuery {
    /// Only say what would change, and what that would do to clients.
    #[serde(default)]
    #[param(required = false)]
    pub(crate) dry_run: bool,
}

/// Foresees what a change would do: `preview` plans it.
pub(crate) async fn foresee(
    state: &ApiState,
    preview: impl Fn() -> Result<Preview, AdminError>,
) -> Result<DryRunModel, Problem> {
    for _ in 0..ATTEMPTS_MAX {
        let Preview { changes, next, base } = preview()?;
        let Some(next) = next else {
            return Ok(DryRunModel { dry_run: true, changes, effects: EffectsModel::default() });
        };
        // Somebody else's change in between would be taken for one of this one: once more, then.
        if let Ok(foresight) = state.clients.foresee(base, next).await? {
            let effects = EffectsModel::new(foresight, state.admin.now_ms());
            return Ok(DryRunModel { dry_run: true, changes, effects });
        }
    }
    Err(Problem::new(Kind::Unavailable, "users and roles are changed too fast to look ahead"))
}

/// The same as an answer.
pub(crate) async fn answer(
    state: &ApiState,
    preview: impl Fn() -> Result<Preview, AdminError>,
) -> Result<Response, Problem> {
    Ok((StatusCode::OK, Json(foresee(state, preview).await?)).into_response())
}

/// A dry run is asked for where there is none: refused, since whoever asks believes that nothing is changed. Where there
/// is one, a misspelt parameter is refused by the query's own reader.
pub(crate) async fn refuse_elsewhere(request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let query = request.uri().query().unwrap_or_default();
    let is_asked_for = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        name.to_ascii_lowercase().replace(['-', '_'], "") == "dryrun"
    });
    let is_of_one = ["/api/users/", "/api/roles/"].into_iter().any(|collection| {
        path.strip_prefix(collection).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
    });
    // Where there is one, every write has it; a method that is not there is for the router to refuse.
    let is_offered = is_of_one || path == "/api/policy" || method.is_safe();
    if is_asked_for && !is_offered {
        let detail = "there is no dry run of this, and nothing was done";
        return Problem::in_parameter("dryRun", detail).into_response();
    }
    next.run(request).await
}

const ATTEMPTS_MAX: u32 = 5;
