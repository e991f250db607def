//! `/api/login`: from a user name and a password to a bearer token, and away from it.

use admin::model::{LoginView, NewLogin, WhoView};
use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Answer;
use crate::ApiState;
use crate::extract::{Body, CalledBy, Peer};
use crate::problem::Problem;

/// `/api/login`.
pub(crate) fn router(body_bytes_max: usize) -> OpenApiRouter<ApiState> {
    let router = OpenApiRouter::new().routes(routes!(log_in, who, log_out));
    // Whoever asks has proven nothing yet.
    router.layer(DefaultBodyLimit::max(body_bytes_max))
}

/// Logs in by user name and password, and makes a bearer token. The user needs any permission of the context `http`.
#[utoipa::path(post, path = "/api/login", operation_id = "logIn", tag = "login", request_body = NewLogin, security(()), responses(
    (status = 200, body = LoginView),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 429, body = Problem, content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "Seconds until the lock ends"))),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
async fn log_in(
    State(state): State<ApiState>,
    Peer(peer): Peer,
    Body(login): Body<NewLogin>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<LoginView>), Problem> {
    let username = login.username.clone();
    match state.admin.make_token(login, peer).await {
        Ok(login) => {
            tracing::info!(user = ?username, %peer, "logged in to the API");
            // A token is nobody's to keep but its holder's.
            Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(login)))
        }
        Err(refused) => {
            if let admin::TokenRefused::Login(refused) = &refused {
                let reason = refused.reason().to_string();
                tracing::warn!(%peer, reason, "a login to the API was refused");
                state.admin.record_refused_login(admin::RefusedLogin {
                    username: Some(&username),
                    client_id: None,
                    address: &peer.to_string(),
                    listener: "api",
                    reason: &reason,
                });
            }
            Err(refused.into())
        }
    }
}

/// Who the token makes one. Everybody may ask.
#[utoipa::path(get, path = "/api/login", operation_id = "whoAmI", tag = "login", responses(
    (status = 200, body = WhoView),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn who(State(state): State<ApiState>, CalledBy(caller): CalledBy) -> Answer<WhoView> {
    Ok(Json(state.admin.who(&caller)?))
}

/// Logs out: ends the token that was shown. Everybody may.
#[utoipa::path(delete, path = "/api/login", operation_id = "logOut", tag = "login", responses(
    (status = 204),
    (status = "4XX", body = Problem, content_type = "application/problem+json"),
))]
async fn log_out(
    State(state): State<ApiState>,
    CalledBy(caller): CalledBy,
) -> Result<StatusCode, Problem> {
    state.admin.log_out(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
