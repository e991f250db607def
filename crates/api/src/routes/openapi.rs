//! The document that describes this API.

use std::sync::LazyLock;

use axum::Json;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiState;
use crate::problem::Problem;

/// `/api/openapi.json`.
pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(document))
}

/// The OpenAPI 3.1 document of this API.
#[utoipa::path(get, path = "/api/openapi.json", operation_id = "openApi", tag = "openapi", responses(
    (status = 200, body = Value),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn document() -> Json<&'static OpenApi> {
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(crate::openapi);
    Json(&DOCUMENT)
}
