//! Versions of objects: `ETag` and `If-Match` (RFC 9110, 8.8.3 and 13.1.1).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use crate::problem::Problem;

/// `If-Match` as the document describes it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only a description: `IfMatch` is what is read")]
pub(crate) struct IfMatchHeader {
    /// The `ETag` of the version that the change is meant for; absent, or `*`: of whichever there is.
    #[param(
        rename = "If-Match",
        nullable = false,
        example = "\"1\"",
        pattern = r#"^([*]|(W/)?"[!#-+.-~]*")$"#
    )]
    if_match: Option<String>,
}

/// The versions that the caller's change was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// The caller does not mind.
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl IfMatch {
    /// The version to hold the change against, given the present one. `None`: against none.
    pub(crate) fn expected(&self, present: u64) -> Option<u64> {
        match self {
            IfMatch::Any => None,
            IfMatch::OneOf(versions) if versions.contains(&present) => Some(present),
            // No object is changed that often, so nothing that the caller did not name can match.
            IfMatch::OneOf(versions) => Some(versions.first().copied().unwrap_or(u64::MAX)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IfMatch, Problem> {
        let mut versions = Vec::new();
        let mut tags = 0_usize;
        for value in parts.headers.get_all(header::IF_MATCH) {
            let value = value.to_str().map_err(|_| malformed())?;
            if value.trim() == "*" {
                return Ok(IfMatch::Any);
            }
            for tag in value.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                versions.extend(parse_tag(tag)?);
                tags = tags.saturating_add(1);
            }
        }
        match (tags, parts.headers.contains_key(header::IF_MATCH)) {
            (0, false) => Ok(IfMatch::Any),
            // A condition without any tag is none that could be meant.
            (0, true) => Err(malformed()),
            _ => Ok(IfMatch::OneOf(versions)),
        }
    }
}

/// A tag that is well-formed but none of ours matches nothing, and so does a weak one.
fn parse_tag(tag: &str) -> Result<Option<u64>, Problem> {
    let (is_weak, tag) = match tag.strip_prefix("W/") {
        Some(tag) => (true, tag),
        None => (false, tag),
    };
    let opaque =
        tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(malformed)?;
    let version = opaque.parse().ok().filter(|version: &u64| version.to_string() == opaque);
    Ok(if is_weak { None } else { version })
}

fn malformed() -> Problem {
    Problem::in_parameter("If-Match", "not an entity tag: send the `ETag` as it was received")
}

/// The `ETag` of a version.
pub(crate) fn etag(version: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::try_from(format!("\"{version}\""));
    // Digits between quotes are a header value always; an empty one would be a tag that matches nothing.
    [(header::ETAG, value.unwrap_or_else(|_| HeaderValue::from_static("\"\"")))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn check(values: &[&str], expected: Option<IfMatch>) {
        let mut request = Request::builder();
        for value in values {
            request = request.header(header::IF_MATCH, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(IfMatch::from_request_parts(&mut parts, &()).await.ok(), expected, "{values:?}");
    }

    #[tokio::test]
    async fn if_match_is_read_as_http_writes_it() {
        check(&[], Some(IfMatch::Any)).await;
        check(&["*"], Some(IfMatch::Any)).await;
        check(&["\"7\""], Some(IfMatch::OneOf(vec![7]))).await;
        check(&["\"7\", \"8\"", "\"9\""], Some(IfMatch::OneOf(vec![7, 8, 9]))).await;
    }

    #[tokio::test]
    async fn a_strange_or_weak_tag_matches_nothing() {
        for tag in ["W/\"7\"", "\"x\"", "\"07\"", "\"+7\"", "\"\""] {
            check(&[tag], Some(IfMatch::OneOf(Vec::new()))).await;
        }
        assert_eq!(IfMatch::OneOf(Vec::new()).expected(1), Some(u64::MAX));
    }

    #[tokio::test]
    async fn what_is_no_tag_is_refused() {
        for tag in ["7", "\"7", "W/7", "abc", "", ","] {
            check(&[tag], None).await;
        }
    }

    #[test]
    fn the_present_version_is_found_among_several() {
        let if_match = IfMatch::OneOf(vec![3, 5]);
        assert_eq!(if_match.expected(5), Some(5));
        assert_eq!(if_match.expected(6), Some(3));
        assert_eq!(IfMatch::Any.expected(6), None);
    }
}
