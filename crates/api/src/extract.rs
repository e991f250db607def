//! What handlers take from a request. Each of them answers with a problem document if the request does not have it.

use std::convert::Infallible;
use std::fmt;
use std::net::Ipv6Addr;

use admin::{Caller, PeerAddress, USERS_PER_BATCH_MAX};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

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
        parse(&json_bytes(request, state).await?).map(Body)
    }
}

/// A JSON body, or none at all, which may be written `null`: then what is the default.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<OptionalBody<T>, Problem> {
        let is_named = request.headers().contains_key(header::CONTENT_TYPE);
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        match (bytes.trim_ascii().is_empty(), is_json) {
            (true, _) if is_json || !is_named => Ok(OptionalBody(T::default())),
            (_, true) if bytes.trim_ascii() == b"null" => Ok(OptionalBody(T::default())),
            (_, true) => parse(&bytes).map(OptionalBody),
            (_, false) => Err(not_json()),
        }
    }
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(not_json());
    }
    Bytes::from_request(request, state).await.map_err(|error| unread(&error))
}

fn not_json() -> Problem {
    Problem::new(
        Kind::UnsupportedMediaType,
        "the body must be JSON: send `Content-Type: application/json`",
    )
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
        // Which limit it was depends on the path.
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Kind::TooLarge, "the body is larger than what is taken here")
        }
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
        bad_json(&path, &error.into_inner())
    })?;
    json.end().map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
    Ok(value)
}

fn bad_json(path: &str, error: &serde_json::Error) -> Problem {
    let detail = error.to_string();
    match name_field(path, &detail) {
        Some(field) if error.is_data() => Problem::in_field(Kind::BadRequest, field, detail),
        _ => Problem::new(Kind::BadRequest, detail),
    }
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

/// A UUID has several spellings, but a permission names one path: only the spelling that the API itself uses means
/// anything, or a deny of one could be passed by in another.
async fn must_be_canonical<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<(), Problem> {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else { return Ok(()) };
    for (name, value) in &params {
        let id = Uuid::try_parse(value).map(|id| id.to_string());
        if ID_PARAMETERS.contains(&name) && id.as_deref() != Ok(value) {
            return Err(Problem::new(Kind::NotFound, "the id in the path is not one of ours"));
        }
    }
    Ok(())
}

/// Parts of paths that are ids.
const ID_PARAMETERS: [&str; 2] = ["id", "tokenId"];

/// Where the request comes from, as far as the listener says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) PeerAddress);

impl Peer {
    pub(crate) fn of(extensions: &Extensions) -> Peer {
        if let Some(peer) = extensions.get::<PeerAddress>() {
            return Peer(*peer);
        }
        match extensions.get::<Caller>() {
            Some(Caller::LocalOwner) => Peer(PeerAddress::Local),
            // Nobody knows: all of those are one source.
            _ => Peer(PeerAddress::Network((Ipv6Addr::UNSPECIFIED, 0).into())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Peer, Infallible> {
        Ok(Peer::of(&parts.extensions))
    }
}

/// A JSON body that is one object, or a list of them.
#[derive(Debug)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OneOrMany<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<OneOrMany<T>, Problem> {
        let bytes = json_bytes(request, state).await?;
        if !bytes.trim_ascii_start().starts_with(b"[") {
            return parse(&bytes).map(OneOrMany::One);
        }
        let Items(items) = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
        let (mut parsed, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            match parse(item.get().as_bytes()) {
                Ok(item) => parsed.push(item),
                Err(problem) => refused.push((index, problem)),
            }
        }
        if refused.is_empty() {
            Ok(OneOrMany::Many(parsed))
        } else {
            Err(Problem::in_items(refused))
        }
    }
}

/// The items of a list as they were written, so that each is read like one alone: a field given twice is lost in a parsed
/// one. And no more of them than could be used, whatever else there is room for.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() >= USERS_PER_BATCH_MAX {
                let reason = format!("the list must have 1 to {USERS_PER_BATCH_MAX} users");
                return Err(A::Error::custom(reason));
            }
            items.push(item);
        }
        Ok(Items(items))
    }
}

/// The variable parts of the path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    /// A path that names nothing that could exist (an id that is no UUID) names nothing that exists.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        must_be_canonical(parts, state).await?;
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Path(path))
            .map_err(|error: PathRejection| Problem::new(Kind::NotFound, error.body_text()))
    }
}
