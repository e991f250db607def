//! Problem documents (RFC 9457): the one shape of every error of this API.

use std::num::NonZeroU16;

use admin::{AdminError, LoginRefused, TokenRefused};
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
    /// Of a list, what is wrong item by item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ItemProblem>>)]
    errors: Option<Box<Items>>,
    /// For the header `Retry-After`, in seconds.
    #[serde(skip)]
    retry_after_s: Option<NonZeroU16>,
}

/// Boxed, since few problems have any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Items(Vec<ItemProblem>);

/// What is wrong with one item of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ItemProblem {
    /// Its place in the list, from 0.
    index: usize,
    /// What kind of problem it is; stable, for programs.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is wrong.
    detail: String,
    /// The field of the item that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The same as a JSON pointer into the list.
    pointer: String,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Duplicate,
    Locked,
    TooManyRequests,
    Registry(RegistryKind),
    InUse,
    LastAdministrator,
    BuiltIn,
    NoCertificateGrant,
    CannotIssue,
    Stale,
    TooLarge,
    Slow,
    UnsupportedMediaType,
    Internal,
    DiskFull,
    Unavailable,
}

/// The kinds that the client registry has besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryKind {
    Locked,
    Denied,
    Taken,
    AlreadyGranted,
}

impl RegistryKind {
    fn face(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as Code;
        match self {
            RegistryKind::Locked => {
                ("urn:countersign:problem:registry-locked", "Client registry locked", Code::LOCKED)
            }
            RegistryKind::Denied => {
                ("urn:countersign:problem:registry-denied", "Request denied", Code::FORBIDDEN)
            }
            RegistryKind::Taken => (
                "urn:countersign:problem:registry-taken",
                "Another request has this name",
                Code::CONFLICT,
            ),
            RegistryKind::AlreadyGranted => {
                ("urn:countersign:problem:already-granted", "Granted already", Code::CONFLICT)
            }
        }
    }
}

impl Kind {
    /// Type, title and status of a kind.
    fn face(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as Code;
        match self {
            Kind::BadRequest => {
                ("urn:countersign:problem:bad-request", "Bad request", Code::BAD_REQUEST)
            }
            Kind::Unauthenticated => {
                ("urn:countersign:problem:unauthenticated", "Not authenticated", Code::UNAUTHORIZED)
            }
            Kind::Forbidden => {
                ("urn:countersign:problem:forbidden", "Not permitted", Code::FORBIDDEN)
            }
            Kind::NotFound => ("urn:countersign:problem:not-found", "Not found", Code::NOT_FOUND),
            Kind::MethodNotAllowed => (
                "urn:countersign:problem:method-not-allowed",
                "Method not allowed",
                Code::METHOD_NOT_ALLOWED,
            ),
            Kind::Duplicate => {
                ("urn:countersign:problem:duplicate", "Exists already", Code::CONFLICT)
            }
            Kind::Locked => (
                "urn:countersign:problem:locked",
                "Too many failed logins",
                Code::TOO_MANY_REQUESTS,
            ),
            Kind::TooManyRequests => (
                "urn:countersign:problem:too-many-requests",
                "Too many requests",
                Code::TOO_MANY_REQUESTS,
            ),
            Kind::Registry(kind) => kind.face(),
            Kind::InUse => ("urn:countersign:problem:in-use", "In use", Code::CONFLICT),
            Kind::LastAdministrator => {
                ("urn:countersign:problem:last-administrator", "Last administrator", Code::CONFLICT)
            }
            Kind::BuiltIn => ("urn:countersign:problem:built-in", "Built in", Code::CONFLICT),
            Kind::NoCertificateGrant => (
                "urn:countersign:problem:no-certificate-grant",
                "No grant type certificate",
                Code::CONFLICT,
            ),
            Kind::CannotIssue => (
                "urn:countersign:problem:cannot-issue",
                "No certificate can be issued",
                Code::CONFLICT,
            ),
            Kind::Stale => {
                ("urn:countersign:problem:stale", "Changed meanwhile", Code::PRECONDITION_FAILED)
            }
            Kind::TooLarge => {
                ("urn:countersign:problem:too-large", "Body too large", Code::PAYLOAD_TOO_LARGE)
            }
            Kind::Slow => ("urn:countersign:problem:too-slow", "Too slow", Code::REQUEST_TIMEOUT),
            Kind::UnsupportedMediaType => (
                "urn:countersign:problem:unsupported-media-type",
                "Unsupported media type",
                Code::UNSUPPORTED_MEDIA_TYPE,
            ),
            Kind::Internal => {
                ("urn:countersign:problem:internal", "Internal error", Code::INTERNAL_SERVER_ERROR)
            }
            Kind::DiskFull => {
                ("urn:countersign:problem:disk-full", "Disk full", Code::INSUFFICIENT_STORAGE)
            }
            Kind::Unavailable => (
                "urn:countersign:problem:unavailable",
                "Not available now",
                Code::SERVICE_UNAVAILABLE,
            ),
        }
    }
}

/// Why a listener answers a request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// There is no place for the connection.
    TooManyConnections,
    /// The request and the work on it took too long.
    TooSlow,
    /// The request does not name one host.
    NotOneHost,
}

impl From<Unheard> for Problem {
    fn from(unheard: Unheard) -> Problem {
        match unheard {
            Unheard::TooManyConnections => {
                Problem::new(Kind::Unavailable, "too many connections: try again later")
            }
            Unheard::TooSlow => Problem::new(Kind::Slow, "the request took too long"),
            Unheard::NotOneHost => Problem::new(Kind::BadRequest, "a request names one `Host`"),
        }
    }
}

impl Problem {
    /// A problem with the request as a whole.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        let (kind, title, status) = kind.face();
        Problem {
            kind,
            title,
            status,
            detail: detail.into(),
            field: None,
            pointer: None,
            errors: None,
            retry_after_s: None,
        }
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

    /// Too many failed logins, for so long.
    pub(crate) fn locked(retry_after_ms: u64) -> Problem {
        Problem::new(Kind::Locked, "too many failed logins: try again later")
            .retry_after(retry_after_ms)
    }

    /// The same problem, which will be over by then.
    pub(crate) fn retry_after(self, retry_after_ms: u64) -> Problem {
        let seconds = u16::try_from(retry_after_ms.div_ceil(1000)).unwrap_or(u16::MAX);
        let retry_after_s = Some(NonZeroU16::new(seconds).unwrap_or(NonZeroU16::MIN));
        Problem { retry_after_s, ..self }
    }

    /// Problems with items of a list, none of which was made.
    pub(crate) fn in_items(items: Vec<(usize, Problem)>) -> Problem {
        let detail = match items.as_slice() {
            [(index, one)] => format!("item {index}: {}; nothing was made", one.detail),
            all => format!("{} items are refused, and nothing was made", all.len()),
        };
        // One kind for all is the kind of the whole.
        let first = items.first().map(|(_, problem)| (problem.kind, problem.title, problem.status));
        let is_same =
            |(_, problem): &(usize, Problem)| first.is_some_and(|(kind, ..)| problem.kind == kind);
        let mut problem = Problem::new(Kind::BadRequest, detail);
        if let Some((kind, title, status)) = first.filter(|_| items.iter().all(is_same)) {
            problem = Problem { kind, title, status, ..problem };
        }
        let errors = items.into_iter().map(|(index, item)| item.at(index)).collect();
        problem.errors = Some(Box::new(Items(errors)));
        problem
    }

    fn at(self, index: usize) -> ItemProblem {
        let within = self.pointer.as_deref().and_then(|pointer| pointer.strip_prefix("#"));
        let pointer = format!("#/{index}{}", within.unwrap_or_default());
        ItemProblem { index, kind: self.kind, detail: self.detail, field: self.field, pointer }
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
            AdminError::Locked { retry_after_ms } => Problem::locked(retry_after_ms),
            AdminError::Batch(items) => Problem::in_items(
                items.into_iter().map(|(index, error)| (index, Problem::from(error))).collect(),
            ),
            AdminError::Forbidden(_) => Problem::new(Kind::Forbidden, detail),
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
            AdminError::AlreadyGranted { .. } => {
                Problem::new(Kind::Registry(RegistryKind::AlreadyGranted), detail)
            }
            AdminError::CannotIssue(_) => Problem::new(Kind::CannotIssue, detail),
            AdminError::Stale { .. } => Problem::new(Kind::Stale, detail),
            AdminError::Busy => Problem::new(Kind::Unavailable, detail),
            AdminError::Store(error) if error.is_full() => {
                tracing::error!(%error, "an API call failed: the disk is full");
                Problem::new(Kind::DiskFull, "nothing was changed: make room, and try again")
            }
            AdminError::Store(error) if error.is_busy() => {
                tracing::error!(%error, "an API call failed: another process holds the users' database");
                let detail = "nothing was changed: another process holds the database; try again";
                Problem::new(Kind::Unavailable, detail)
            }
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

impl From<TokenRefused> for Problem {
    /// What is wrong with a name and password is for the log, not for whoever sent them.
    fn from(refused: TokenRefused) -> Problem {
        match refused {
            TokenRefused::Admin(error) => Problem::from(error),
            TokenRefused::Login(LoginRefused::Locked { retry_after, .. }) => {
                Problem::locked(u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX))
            }
            TokenRefused::Login(LoginRefused::Busy(_)) => Problem::from(AdminError::Busy),
            TokenRefused::Login(
                LoginRefused::BadCredentials(_) | LoginRefused::NotAuthorized(_),
            ) => Problem::new(Kind::Unauthenticated, "bad user name or password"),
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
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
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
