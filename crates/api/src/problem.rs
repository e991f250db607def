//! Problem documents (RFC 9457): the one shape of every error of this API.

use admin::AdminError;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clients::Unavailable;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is; stable, for programs.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(value_type = u16)]
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What is wrong with this request.
    detail: String,
    /// The field that is wrong: `permissions[2].resource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The same as a JSON pointer: `#/permissions/2/resource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthenticated,
    NotFound,
    MethodNotAllowed,
    Duplicate,
    InUse,
    LastAdministrator,
    BuiltIn,
    NoCertificateGrant,
    CannotIssue,
    Stale,
    TooLarge,
    UnsupportedMediaType,
    Internal,
    Unavailable,
}

impl Kind {
    /// Type, title and status of a kind.
    fn face(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Kind::BadRequest => {
                ("urn:countersign:problem:bad-request", "Bad request", StatusCode::BAD_REQUEST)
            }
            Kind::Unauthenticated => (
                "urn:countersign:problem:unauthenticated",
                "Not authenticated",
                StatusCode::UNAUTHORIZED,
            ),
            Kind::NotFound => {
                ("urn:countersign:problem:not-found", "Not found", StatusCode::NOT_FOUND)
            }
            Kind::MethodNotAllowed => (
                "urn:countersign:problem:method-not-allowed",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            Kind::Duplicate => {
                ("urn:countersign:problem:duplicate", "Exists already", StatusCode::CONFLICT)
            }
            Kind::InUse => ("urn:countersign:problem:in-use", "In use", StatusCode::CONFLICT),
            Kind::LastAdministrator => (
                "urn:countersign:problem:last-administrator",
                "Last administrator",
                StatusCode::CONFLICT,
            ),
            Kind::BuiltIn => ("urn:countersign:problem:built-in", "Built in", StatusCode::CONFLICT),
            Kind::NoCertificateGrant => (
                "urn:countersign:problem:no-certificate-grant",
                "No grant type certificate",
                StatusCode::CONFLICT,
            ),
            Kind::CannotIssue => (
                "urn:countersign:problem:cannot-issue",
                "No certificate can be issued",
                StatusCode::CONFLICT,
            ),
            Kind::Stale => (
                "urn:countersign:problem:stale",
                "Changed meanwhile",
                StatusCode::PRECONDITION_FAILED,
            ),
            Kind::TooLarge => (
                "urn:countersign:problem:too-large",
                "Body too large",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            Kind::UnsupportedMediaType => (
                "urn:countersign:problem:unsupported-media-type",
                "Unsupported media type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            Kind::Internal => (
                "urn:countersign:problem:internal",
                "Internal error",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
            Kind::Unavailable => (
                "urn:countersign:problem:unavailable",
                "Not available now",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
        }
    }
}

impl Problem {
    /// A problem with the request as a whole.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        let (kind, title, status) = kind.face();
        Problem { kind, title, status, detail: detail.into(), field: None, pointer: None }
    }

    /// A problem with one field of the body.
    pub(crate) fn in_field(
        kind: Kind,
        field: impl Into<String>,
        detail: impl Into<String>,
    ) -> Problem {
        let field = field.into();
        let pointer = Some(pointer(&field));
        Problem { field: Some(field), pointer, ..Problem::new(kind, detail) }
    }

    /// A problem with one parameter of the query, to which no JSON pointer points.
    pub(crate) fn in_parameter(name: &str, detail: impl Into<String>) -> Problem {
        Problem { field: Some(name.to_owned()), ..Problem::new(Kind::BadRequest, detail) }
    }
}

/// `permissions[2].resource` as `#/permissions/2/resource` (RFC 6901, as a URI fragment).
fn pointer(field: &str) -> String {
    let mut pointer = String::from("#/");
    for letter in field.chars() {
        match letter {
            '.' | '[' => pointer.push('/'),
            ']' => {}
            letter if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' => {
                pointer.push(letter);
            }
            // A name that the sender made up: whatever it is, it stays one harmless word.
            _ => pointer.push('_'),
        }
    }
    pointer
}

fn status_number<S: serde::Serializer>(
    status: &StatusCode,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Problem {
        let detail = error.to_string();
        match error {
            AdminError::NotFound { .. } => Problem::new(Kind::NotFound, detail),
            AdminError::Duplicate { field, .. } => {
                Problem::in_field(Kind::Duplicate, field, detail)
            }
            AdminError::Invalid { field, reason } => {
                Problem::in_field(Kind::BadRequest, field, reason)
            }
            AdminError::InUse { .. } => Problem::new(Kind::InUse, detail),
            AdminError::LastAdministrator => Problem::new(Kind::LastAdministrator, detail),
            AdminError::BuiltIn { .. } => Problem::new(Kind::BuiltIn, detail),
            AdminError::NoCertificateGrant { .. } => Problem::new(Kind::NoCertificateGrant, detail),
            AdminError::CannotIssue(_) => Problem::new(Kind::CannotIssue, detail),
            AdminError::Stale { .. } => Problem::new(Kind::Stale, detail),
            AdminError::Busy => Problem::new(Kind::Unavailable, detail),
            AdminError::Store(_)
            | AdminError::Hash(_)
            | AdminError::Pki(_)
            | AdminError::Internal(_) => {
                // What a database or the system says is for the operator, not for whoever sent the request.
                tracing::error!(error = %detail, "an API call failed");
                Problem::new(
                    Kind::Internal,
                    "the change or question failed: the server's log says why",
                )
            }
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Problem {
        Problem::new(Kind::Unavailable, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        (self.status, headers, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_pointed_at() {
        let check = |field: &str, expected: &str| assert_eq!(pointer(field), expected);
        check("username", "#/username");
        check("permissions[2].resource", "#/permissions/2/resource");
        check("a/b~\u{1b}", "#/a_b__");
    }

    #[test]
    fn what_the_store_says_stays_inside() {
        let problem = Problem::from(AdminError::Internal("/secret/path".to_owned()));
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail.contains("secret"));
    }
}
