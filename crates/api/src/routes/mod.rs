//! The paths of the API, one file a resource.

pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod clients;
pub(crate) mod explain;
pub(crate) mod fallback;
pub(crate) mod health;
pub(crate) mod locks;
pub(crate) mod login;
pub(crate) mod openapi;
pub(crate) mod permissions;
pub(crate) mod policy;
pub(crate) mod refusals;
pub(crate) mod registry;
pub(crate) mod roles;
pub(crate) mod tokens;
pub(crate) mod users;

use axum::Json;
use axum::http::{HeaderName, HeaderValue};

use crate::problem::Problem;

/// A JSON answer, or a problem document.
type Answer<T> = Result<Json<T>, Problem>;
/// A JSON answer about one object, with its version in the head.
type VersionedAnswer<T> = Result<([(HeaderName, HeaderValue); 1], Json<T>), Problem>;
