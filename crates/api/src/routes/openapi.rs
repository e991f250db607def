//! The document that describes this API.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;

use crate::ApiState;

/// `/api/openapi.json`.
pub(crate) fn router(document: OpenApi) -> Router<ApiState> {
    let document = Arc::new(document);
    Router::new().route("/api/openapi.json", get(move || async move { Json(document) }))
}
