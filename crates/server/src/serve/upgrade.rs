//! From an HTTP request to an MQTT WebSocket: who may, and the answer (RFC 6455 4.2, MQTT 6.0).

use aws_lc_rs::digest;
use axum::http::header::{
    ALLOW, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where an MQTT WebSocket is to be had.
pub(crate) const PATH: &str = "/mqtt";

/// What a listener asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Nobody without a client certificate.
    pub(crate) needs_certificate: bool,
    /// Origins besides the listener's own whose pages may use the certificate of the browser they are shown in.
    pub(crate) origins: Vec<String>,
}

/// Why a request does not become a WebSocket.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// In words.
    pub(crate) reason: &'static str,
    /// What the answer must say besides.
    pub(crate) headers: HeaderMap,
}

/// The answer that turns this connection into a WebSocket.
///
/// # Errors
/// The answer that does not.
pub(crate) fn judge<B>(
    request: &Request<B>,
    rules: &Rules,
    has_certificate: bool,
) -> Result<Response<()>, Refused> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET");
        // RFC 9110 15.5.6
        refused.headers.insert(ALLOW, HeaderValue::from_static("GET"));
        return Err(refused);
    }
    if !lists(headers, &CONNECTION, "upgrade") || !lists(headers, &UPGRADE, "websocket") {
        return Err(upgrade_required("only MQTT over WebSocket is here"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("the WebSocket version must be 13"));
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES))
        .ok_or_else(|| bad_request("Sec-WebSocket-Key is missing or not 16 bytes in Base64"))?;
    // [MQTT-6.0.0-3]
    if !lists_exactly(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(bad_request("the subprotocol `mqtt` must be offered"));
    }
    if rules.needs_certificate && !has_certificate {
        let reason = "an MQTT WebSocket here needs a client certificate";
        return Err(refuse(StatusCode::UNAUTHORIZED, reason));
    }
    // A browser sends its certificate for the page of anybody. Passwords it does not have.
    if has_certificate && !is_origin_allowed(headers, &rules.origins) {
        let reason =
            "pages of this origin may not use the browser's certificate (websocket.origins)";
        return Err(refuse(StatusCode::FORBIDDEN, reason));
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // [MQTT-6.0.0-4]
    answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    if let Ok(accept) = HeaderValue::from_str(&accept(key)) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// RFC 6455 4.2.2: proves to the client that it speaks to a WebSocket server; SHA-1 protects nothing here.
fn accept(key: &str) -> String {
    let text = format!("{key}{ACCEPT_SUFFIX}");
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(digest.as_ref())
}

/// A page of the listener's own origin, or of a configured one; programs other than browsers send no origin.
fn is_origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(origin) = single(headers, &ORIGIN) else { return false };
    let own = single(headers, &HOST).map(|host| format!("https://{host}"));
    let is_same = |one: &str| one.eq_ignore_ascii_case(origin);
    own.is_some_and(|own| is_same(&own)) || allowed.iter().any(|one| is_same(one))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

fn lists_exactly(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item == wanted)
}

fn refuse(status: StatusCode, reason: &'static str) -> Refused {
    Refused { status, reason, headers: HeaderMap::new() }
}

fn bad_request(reason: &'static str) -> Refused {
    refuse(StatusCode::BAD_REQUEST, reason)
}

/// RFC 6455 4.4: with the version that is spoken here.
fn upgrade_required(reason: &'static str) -> Refused {
    let mut refused = refuse(StatusCode::UPGRADE_REQUIRED, reason);
    refused.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    refused.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    refused
}

const SUBPROTOCOL: &str = "mqtt";
const KEY_BYTES: usize = 16;
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("host", "broker.example:8443"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "mqttv3.1, mqtt"),
    ];

    fn judged(change: &[(&str, Option<&str>)], rules: &Rules, certificate: bool) -> u16 {
        let mut request = Request::get(PATH).body(()).unwrap();
        let text = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        for (name, value) in GOOD {
            request.headers_mut().insert(text(name), HeaderValue::from_static(value));
        }
        for (name, value) in change {
            match value {
                Some(value) => {
                    let value = HeaderValue::from_str(value).unwrap();
                    drop(request.headers_mut().insert(text(name), value));
                }
                None => drop(request.headers_mut().remove(*name)),
            }
        }
        match judge(&request, rules, certificate) {
            Ok(response) => response.status().as_u16(),
            Err(refused) => refused.status.as_u16(),
        }
    }

    #[test]
    fn the_accept_value_is_that_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_becomes_a_websocket_only_with_all_that_the_standards_ask_for() {
        let check = |name, value, status| {
            let rules = Rules::default();
            assert_eq!(judged(&[(name, value)], &rules, false), status, "{name} {value:?}");
        };
        check("x", None, 101);
        check("connection", None, 426);
        check("connection", Some("close"), 426);
        check("upgrade", Some("h2c"), 426);
        check("sec-websocket-version", Some("8"), 426);
        check("sec-websocket-version", None, 426);
        check("sec-websocket-key", None, 400);
        check("sec-websocket-key", Some("c2hvcnQ="), 400);
        check("sec-websocket-protocol", None, 400);
        check("sec-websocket-protocol", Some("MQTT"), 400);
        check("sec-websocket-protocol", Some("mqttv3.1"), 400);
        check("sec-websocket-protocol", Some("mqtt"), 101);
    }

    #[test]
    fn without_a_certificate_the_answer_is_401_where_one_is_needed() {
        let rules = Rules { needs_certificate: true, origins: Vec::new() };
        assert_eq!(judged(&[], &rules, false), 401);
        assert_eq!(judged(&[], &rules, true), 101);
    }

    #[test]
    fn a_foreign_page_does_not_get_to_use_the_certificate_of_a_browser() {
        let rules =
            Rules { needs_certificate: true, origins: vec!["https://dash.example".to_owned()] };
        let check = |origin, certificate, status| {
            let rules = Rules { needs_certificate: certificate, ..rules.clone() };
            let judged = judged(&[("origin", Some(origin))], &rules, certificate);
            assert_eq!(judged, status, "{origin}");
        };
        check("https://broker.example:8443", true, 101);
        check("https://dash.example", true, 101);
        check("https://evil.example", true, 403);
        check("http://broker.example:8443", true, 403);
        check("null", true, 403);
        check("https://evil.example", false, 101);
    }
}
