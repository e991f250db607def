//! Requests that no handler is for.

use axum::http::{Method, Uri};

use crate::problem::{Kind, Problem};

/// No such path.
pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, format!("nothing is at `{}`", uri.path()))
}

/// A path that does not know the method; the `Allow` header says which it knows.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("`{}` does not know {method}", uri.path()))
}
