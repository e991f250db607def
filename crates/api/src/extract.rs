//! What handlers take from a request. Each of them answers with a problem document if the request does not have it.

use admin::Caller;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// Who asks. The listener that took the request says so; a request that nobody vouches for is refused.
#[derive(Debug, Clone)]
pub struct CalledBy(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for CalledBy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<CalledBy, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(CalledBy(caller.clone())),
            None => Err(Problem::new(Kind::Unauthenticated, "the request does not say who asks")),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "the body must be JSON: send `Content-Type: application/json`",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        parse(&bytes).map(Body)
    }
}

/// A form in a browser can send other types to other sites without asking, but not this one.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "application/merge-patch+json"
}

fn unread(error: &BytesRejection) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            Kind::TooLarge,
            format!("the body is larger than {} bytes", crate::BODY_BYTES_MAX),
        ),
        _ => Problem::new(Kind::BadRequest, "the body could not be read"),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Every body is an object; serde would take an array as well, for its fields in order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::new(Kind::BadRequest, "the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let detail = error.to_string();
        match name_field(&path, &detail) {
            Some(field) if error.is_data() => Problem::in_field(Kind::BadRequest, field, detail),
            _ => Problem::new(Kind::BadRequest, detail),
        }
    })?;
    json.end().map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
    Ok(value)
}

/// The field that an error of serde is about. A missing one is named by the message only, since the path
/// ends at what misses it, and so is a parameter given twice.
fn name_field(path: &str, detail: &str) -> Option<String> {
    let path = if path == "." { "" } else { path };
    let prefix = if path.is_empty() {
        ["missing field `", "duplicate field `"]
    } else {
        ["missing field `"; 2]
    };
    let missing = prefix
        .iter()
        .find_map(|prefix| detail.strip_prefix(prefix))
        .and_then(|rest| rest.split('`').next());
    match (path, missing) {
        ("", None) => None,
        ("", Some(field)) => Some(field.to_owned()),
        (path, None) => Some(path.to_owned()),
        (path, Some(field)) => Some(format!("{path}.{field}")),
    }
}

/// The parameters of the query.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|error: QueryRejection| bad_query(&error.body_text()))
    }
}

/// Names the parameter, which axum puts before the reason.
fn bad_query(text: &str) -> Problem {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let (path, detail) = text.split_once(": ").unwrap_or((".", text));
    match name_field(path, detail) {
        Some(name) => Problem::in_parameter(&name, detail),
        None => Problem::new(Kind::BadRequest, text),
    }
}

/// The variable parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    /// A path that names nothing that could exist (an id that is no UUID) names nothing that exists.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Path(path))
            .map_err(|error: PathRejection| Problem::new(Kind::NotFound, error.body_text()))
    }
}
