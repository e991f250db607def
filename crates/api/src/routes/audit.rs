//! `/api/audit`: who did what, and which logins were refused.

use std::fmt::Write;

use admin::audit_model::{
    AuditChainModel, AuditFilter, AuditHeadModel, AuditOrderModel, AuditRecord, AuditVerdict,
};
use admin::model::{Page, PageRequest, ROWS_PER_PAGE_MAX};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::extract::{CalledBy, Query};
use crate::paging::page_request;
use crate::problem::Problem;

/// `/api/audit` and below.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify)).routes(routes!(export))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `changes` or `refusals`; both if absent.
    #[param(inline)]
    chain: Option<AuditChainModel>,
    /// Only what this user did, and logins as this user.
    user: Option<String>,
    /// Only this action, and those below it: `user` stands for `user.create` and all others.
    action: Option<String>,
    /// Not before this time: `2026-11-23T10:00:00Z`, `2026-11-23`, or a span before now (`90s`, `15m`, `2h`, `7d`).
    since: Option<String>,
    /// Before this time, said in the same ways.
    until: Option<String>,
    /// Only records with a greater number.
    #[param(maximum = 9_007_199_254_740_991_i64)]
    after_seq: Option<u64>,
    /// `newest` (first), or `oldest`.
    #[serde(default)]
    #[param(inline, required = false)]
    order: AuditOrderModel,
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// Records, the newest first.
#[utoipa::path(get, path = "/api/audit", operation_id = "listAudit", tag = "audit", params(ListQuery), responses(
    (status = 200, body = Page<AuditRecord>),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<AuditRecord>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let ListQuery { chain, user, action, since, until, after_seq, order, .. } = query;
    let from_ms = moment(&state, "since", since)?;
    let to_ms = moment(&state, "until", until)?;
    in_bounds(&[("afterSeq", after_seq)])?;
    let filter = AuditFilter { chain, user, action, from_ms, to_ms, after_seq, order };
    Ok(Json(state.admin.list_audit(&caller, &filter, page).await?))
}

fn moment(
    state: &ApiState,
    name: &'static str,
    text: Option<String>,
) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let moment = state.admin.moment(&text);
    moment.map(|time| Some(time.0)).map_err(|reason| Problem::in_parameter(name, reason))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyQuery {
    /// A record that must be there, as `CHAIN:SEQ:HASH`; several are separated by a comma.
    #[param(pattern = "^((changes|refusals):[0-9]{1,15}:[0-9A-Fa-f]{64}(,|$))*$")]
    expect: Option<String>,
}

/// Whether a record was changed, removed, added or moved.
#[utoipa::path(get, path = "/api/audit/verify", operation_id = "verifyAudit", tag = "audit", params(VerifyQuery), responses(
    (status = 200, body = AuditVerdict),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn verify(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<VerifyQuery>,
) -> Answer<AuditVerdict> {
    let expected = query.expect.as_deref().unwrap_or_default();
    let expected = expected.split(',').filter(|text| !text.is_empty());
    let expected = expected.map(str::parse::<AuditHeadModel>).collect::<Result<Vec<_>, _>>();
    let expected = expected.map_err(|reason| Problem::in_parameter("expect", reason))?;
    Ok(Json(state.admin.verify_audit(&caller, &expected).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// `changes` or `refusals`.
    #[param(inline)]
    chain: AuditChainModel,
    /// Only records with a greater number.
    #[param(maximum = 9_007_199_254_740_991_i64)]
    after_seq: Option<u64>,
}

/// One chain as JSON lines, the oldest first, at most 10,000 of them: go on after the last `seq`. The SHA-256 of a line
/// without its last field, `hash`, is that hash, and each line holds the one of the line before it.
#[utoipa::path(get, path = "/api/audit/export", operation_id = "exportAudit", tag = "audit", params(ExportQuery), responses(
    (status = 200, body = String, content_type = "application/x-ndjson"),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn export(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let mut after_seq = query.after_seq;
    in_bounds(&[("afterSeq", after_seq)])?;
    let mut lines = String::new();
    for _ in 0..EXPORT_PAGES_MAX {
        let filter = AuditFilter {
            chain: Some(query.chain),
            after_seq,
            order: AuditOrderModel::Oldest,
            ..AuditFilter::default()
        };
        let page = PageRequest { page_number: 1, rows_per_page: ROWS_PER_PAGE_MAX };
        let page = state.admin.list_audit(&caller, &filter, page).await?;
        let Some(last) = page.items.last() else { break };
        after_seq = Some(last.seq);
        for record in &page.items {
            let open = record.record.strip_suffix('}').unwrap_or(&record.record);
            // Writing to a string does not fail.
            writeln!(lines, "{open},\"hash\":\"{}\"}}", record.hash).unwrap_or_default();
        }
    }
    let mut response = Body::from(lines).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A number that is more than any that is meant is a mistake, and is answered as one.
fn in_bounds(parameters: &[(&str, Option<u64>)]) -> Result<(), Problem> {
    for (name, number) in parameters {
        if number.is_some_and(|number| number > EXACT_MAX) {
            return Err(Problem::in_parameter(name, format!("is more than {EXACT_MAX}")));
        }
    }
    Ok(())
}

/// The largest whole number that every program that reads JSON has exactly.
const EXACT_MAX: u64 = (1 << 53) - 1;
const EXPORT_PAGES_MAX: u32 = 100;
