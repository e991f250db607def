//! A small HTTP/1.1 client over the admin socket or TLS: one connection a command, one request at a time.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::connection::Target;
use super::failure::{Failure, Problem};
use super::tls;

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What `Host` says.
    host: String,
    /// The value of `Authorization`.
    authorization: Option<HeaderValue>,
}

/// What is asked of the server.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query, percent-encoded.
    pub(super) path: &'a str,
    /// The version of the object that the change was made for.
    pub(super) if_match: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
}

/// A good answer of the server; a bad one is a [`Failure::Refused`].
#[derive(Debug)]
pub(super) struct Reply {
    /// The version of the object, if it has one.
    pub(super) etag: Option<String>,
    /// The object; `null` where there is no body.
    pub(super) body: Value,
}

impl Connection {
    /// Connects to the server at `target`.
    pub(super) async fn open(target: &Target) -> Result<Connection, Failure> {
        match target {
            Target::Socket { data_dir } => Connection::open_socket(data_dir).await,
            Target::Https { authority, token, trust } => {
                let stream = tokio::time::timeout(CONNECT_PATIENCE, tls::connect(authority, trust))
                    .await
                    .unwrap_or_else(|_| {
                        Err(Failure::Unreachable(format!(
                            "cannot reach `https://{authority}` in time"
                        )))
                    })?;
                let authorization = token.as_deref().map(bearer).transpose()?;
                Connection::over(stream, authority.clone(), authorization).await
            }
        }
    }

    async fn open_socket(data_dir: &Path) -> Result<Connection, Failure> {
        let socket = crate::serve::admin_socket(data_dir);
        let stream = match UnixStream::connect(&socket).await {
            Ok(stream) => stream,
            Err(error) if is_nobody_there(&error) => {
                return Err(Failure::NoServer { data_dir: data_dir.to_owned(), socket });
            }
            Err(error) => return Err(Failure::Connect { socket, error }),
        };
        Connection::over(stream, "localhost".to_owned(), None).await
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        host: String,
        authorization: Option<HeaderValue>,
    ) -> Result<Connection, Failure> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken_off)?;
        // It ends with the sender; whatever goes wrong on it, the sender learns as well.
        tokio::spawn(connection);
        Ok(Connection { sender, host, authorization })
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn call(&mut self, call: Call<'_>) -> Result<Reply, Failure> {
        let (head, body) = self.answered(call).await?;
        read_reply(&head, &body)
    }

    /// The same where a good answer is a text file.
    pub(super) async fn call_for_text(&mut self, call: Call<'_>) -> Result<String, Failure> {
        let (head, body) = self.answered(call).await?;
        if !head.status().is_success() {
            return Err(Failure::Refused(read_problem(head.status(), &body)));
        }
        let not_text = |_| Failure::Transport("the answer of the server is not text".to_owned());
        String::from_utf8(body.to_vec()).map_err(not_text)
    }

    async fn answered(&mut self, call: Call<'_>) -> Result<(Response<()>, Bytes), Failure> {
        tokio::time::timeout(PATIENCE, self.exchange(call)).await.unwrap_or_else(|_| {
            Err(Failure::Transport(format!(
                "the server gave no answer for {} s",
                PATIENCE.as_secs()
            )))
        })
    }

    async fn exchange(&mut self, call: Call<'_>) -> Result<(Response<()>, Bytes), Failure> {
        let request = call.into_request(&self.host, self.authorization.as_ref())?;
        self.sender.ready().await.map_err(broken_off)?;
        let response = self.sender.send_request(request).await.map_err(broken_off)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            Failure::Transport(format!("the answer of the server broke off: {error}"))
        })?;
        Ok((Response::from_parts(head, ()), body.to_bytes()))
    }
}

impl Call<'_> {
    fn into_request(
        self,
        host: &str,
        authorization: Option<&HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(self.method).uri(self.path).header(HOST, host);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(version) = self.if_match {
            request = request.header(IF_MATCH, version);
        }
        let body = match self.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|error| {
            Failure::Usage(format!("`{}` does not make a request: {error}", self.path))
        })
    }
}

fn read_reply(head: &Response<()>, body: &[u8]) -> Result<Reply, Failure> {
    let status = head.status();
    if !status.is_success() {
        return Err(Failure::Refused(read_problem(status, body)));
    }
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(|error| {
            Failure::Transport(format!("the answer of the server is not JSON: {error}"))
        })?
    };
    let etag = head.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    Ok(Reply { etag, body })
}

fn read_problem(status: StatusCode, body: &[u8]) -> Problem {
    let mut problem = serde_json::from_slice::<Problem>(body).unwrap_or_default();
    problem.status = status.as_u16();
    problem
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Failure::Usage("the token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_nobody_there(error: &io::Error) -> bool {
    // A socket file that a killed server left behind refuses; a path through a file is as good as no path.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

fn broken_off(error: hyper::Error) -> Failure {
    Failure::Transport(format!("the connection to the server broke off: {error}"))
}

/// Writes one path segment or query value: everything but unreserved characters is percent-encoded (RFC 3986, 2.3).
pub(super) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// How long a command waits for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a command waits for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes; a page of 100 objects is far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_of_any_letters_is_one_path_segment() {
        assert_eq!(percent_encode("a/b?c#d %é"), "a%2Fb%3Fc%23d%20%25%C3%A9");
        assert_eq!(percent_encode("Plain-._~9"), "Plain-._~9");
    }

    #[test]
    fn an_error_that_is_no_problem_document_keeps_its_status() {
        let problem = read_problem(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(problem.to_string(), "the server refused with status 502");
    }

    #[test]
    fn the_version_of_an_object_is_taken_from_its_head() {
        let head = Response::builder().status(200).header(ETAG, "\"7\"").body(()).unwrap();
        let reply = read_reply(&head, b"{\"id\":1}").unwrap();
        assert_eq!(reply.etag.as_deref(), Some("\"7\""));
        assert_eq!(reply.body["id"], 1);
    }

    #[test]
    fn an_answer_that_is_not_json_is_a_failure() {
        let head = Response::builder().status(200).body(()).unwrap();
        assert!(matches!(read_reply(&head, b"ok"), Err(Failure::Transport(_))));
    }
}
