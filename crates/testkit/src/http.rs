//! The admin socket spoken to directly: one HTTP/1.1 request a connection.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::Value;

use crate::client::PATIENCE;

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON, `Null` when there is none.
    pub body: Value,
}

/// Sends one request over the Unix socket at `socket`.
pub(crate) fn request(socket: &Path, method: &str, target: &str, body: Option<&Value>) -> Reply {
    try_request(socket, method, target, body).expect("the request is answered")
}

/// The same, for a server that may go away meanwhile: then nobody knows what became of the request.
#[must_use]
pub fn try_request(
    socket: &Path,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Option<Reply> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a read deadline");
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    // Nothing at all is no answer.
    let answer = String::from_utf8(answer).expect("the reply is UTF-8");
    (!answer.is_empty()).then(|| parse(&answer))
}

/// A value made safe for a query string.
#[must_use]
pub(crate) fn query_escape(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn parse(answer: &str) -> Reply {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status line");
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { dechunk(body) } else { body.to_owned() };
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&body).unwrap_or(Value::String(body))
    };
    Reply { status, body }
}

fn dechunk(mut rest: &str) -> String {
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        let (chunk, after) = after.split_at(size);
        out.push_str(chunk);
        rest = after.strip_prefix("\r\n").expect("a chunk ends its line");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{parse, query_escape};

    #[test]
    fn a_reply_is_read_with_and_without_chunks() {
        let plain = parse("HTTP/1.1 201 Created\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
        let chunked = parse(
            "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        );
        assert_eq!((plain.status, &plain.body), (201, &serde_json::json!({"a": 1})));
        assert_eq!(plain.body, chunked.body);
    }

    #[test]
    fn a_query_value_is_escaped_byte_by_byte() {
        assert_eq!(query_escape("a/+/#$ü"), "a%2F%2B%2F%23%24%C3%BC");
    }
}
