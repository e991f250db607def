//! Certificates: issued, shown and revoked; and what everybody may have, the authority's certificate and its
//! revocation list.

use admin::model::{CertificateFilter, CertificateView, NewCertificate, Page};
use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Answer;
use crate::ApiState;
use crate::extract::{Body, CalledBy, Path, Query};
use crate::issued_model::{IssuedModel, issued_json};
use crate::paging::page_request;
use crate::problem::Problem;

/// `/api/users/{id}/certificates` and below, `/api/certificates` and below, `/api/ca.crt`, `/api/crl.pem`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_of_user, create))
        .routes(routes!(revoke_of_user))
        .routes(routes!(list))
        .routes(routes!(show, revoke))
        .routes(routes!(authority))
        .routes(routes!(revocation_list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those issued for the user of exactly this name, be it removed since.
    #[serde(rename = "username[eq]")]
    username: Option<String>,
    /// Only those that are good now and end within so many days.
    #[param(maximum = 36_500)]
    expiring_within_days: Option<u32>,
    /// Counts from 1.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    page_number: Option<u32>,
    /// 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    rows_per_page: Option<u32>,
}

/// The certificates that were issued for a user, the oldest first.
#[utoipa::path(get, path = "/api/users/{id}/certificates", operation_id = "listUserCertificates", tag = "certificates",
    params(("id" = Uuid, Path), PageQuery),
    responses(
        (status = 200, body = Page<CertificateView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list_of_user(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Answer<Page<CertificateView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    Ok(Json(state.admin.list_user_certificates(&caller, &id.to_string(), page)?))
}

/// Issues a certificate for a user: with a new key, or for the key of a signing request. The key is in this answer and
/// nowhere else: it is not kept.
#[utoipa::path(post, path = "/api/users/{id}/certificates", operation_id = "issueCertificate", tag = "certificates",
    request_body = NewCertificate, params(("id" = Uuid, Path)),
    responses(
        (status = 201, body = IssuedModel, headers(("Location" = String), ("Cache-Control" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn create(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(id): Path<Uuid>,
    Body(new): Body<NewCertificate>,
) -> Result<Response, Problem> {
    let issued = state.admin.issue_certificate(&caller, &id.to_string(), new).await?;
    let location = format!("/api/certificates/{}", issued.view.fingerprint);
    let body = issued_json(&issued)?;
    let mut response = HttpBody::from(Bytes::from_owner(body)).into_response();
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // It holds a private key: nobody between here and the caller is to keep it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Revokes a certificate of a user and ends the connections that it has proven. Revoking it again changes nothing.
#[utoipa::path(delete, path = "/api/users/{id}/certificates/{fingerprint}", operation_id = "revokeUserCertificate",
    tag = "certificates",
    params(("id" = Uuid, Path), ("fingerprint" = String, Path, description = "Or its serial number")),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn revoke_of_user(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path((id, fingerprint)): Path<(Uuid, String)>,
) -> Result<StatusCode, Problem> {
    let owner = id.to_string();
    state.admin.revoke_certificate(&caller, Some(&owner), &fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every certificate that was ever issued, by user name and age; those of removed users too.
#[utoipa::path(get, path = "/api/certificates", operation_id = "listCertificates", tag = "certificates",
    params(ListQuery),
    responses(
        (status = 200, body = Page<CertificateView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Query(query): Query<ListQuery>,
) -> Answer<Page<CertificateView>> {
    let page = page_request(query.page_number, query.rows_per_page)?;
    let expiring_within_days = query.expiring_within_days;
    if expiring_within_days.is_some_and(|days| days > DAYS_MAX) {
        let detail = format!("is more than {DAYS_MAX}");
        return Err(Problem::in_parameter("expiringWithinDays", detail));
    }
    let filter = CertificateFilter { username: query.username, expiring_within_days };
    Ok(Json(state.admin.list_certificates(&caller, &filter, page)?))
}

/// One certificate.
#[utoipa::path(get, path = "/api/certificates/{fingerprint}", operation_id = "showCertificate", tag = "certificates",
    params(("fingerprint" = String, Path, description = "Or its serial number")),
    responses(
        (status = 200, body = CertificateView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn show(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(fingerprint): Path<String>,
) -> Answer<CertificateView> {
    Ok(Json(state.admin.show_certificate(&caller, &fingerprint)?))
}

/// Revokes a certificate, whosever it is.
#[utoipa::path(delete, path = "/api/certificates/{fingerprint}", operation_id = "revokeCertificate",
    tag = "certificates",
    params(("fingerprint" = String, Path, description = "Or its serial number")),
    responses(
        (status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn revoke(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
    Path(fingerprint): Path<String>,
) -> Result<StatusCode, Problem> {
    state.admin.revoke_certificate(&caller, None, &fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The certificate of the built-in authority, which clients need to trust the server. Public.
#[utoipa::path(get, path = "/api/ca.crt", operation_id = "authorityCertificate", tag = "certificates",
    security(()), responses((status = 200, body = String, content_type = "application/pem-certificate-chain"))
)]
async fn authority(State(state): State<ApiState>) -> PublicFile {
    public("application/pem-certificate-chain", state.admin.authority_pem())
}

/// The revocation list of the built-in authority. Public.
#[utoipa::path(get, path = "/api/crl.pem", operation_id = "revocationList", tag = "certificates",
    security(()), responses((status = 200, body = String, content_type = "application/x-pem-file"))
)]
async fn revocation_list(State(state): State<ApiState>) -> PublicFile {
    public("application/x-pem-file", state.admin.crl_pem())
}

/// A file that everybody may have, and that is asked for anew each time it is needed.
type PublicFile = ([(HeaderName, HeaderValue); 2], String);

fn public(content_type: &'static str, text: String) -> PublicFile {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let caching = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    ([content_type, caching], text)
}

/// Longer than any certificate is good.
const DAYS_MAX: u32 = 36_500;
