//! The TLS handshake of an accepted connection, and who it proves the client to be.

use std::sync::Arc;
use std::time::Duration;

use broker::{CertificateName, Security};
use pki::{ClientCertificate, Handshake, IdentityError, Listener, PeerIdentity, Pki, RefusalKind};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;

use super::intake::Ticket;
use super::transport::{Pipe, TlsStream, Transport};
use super::{clock, farewell};

/// What a finished handshake has settled.
pub(crate) struct Secured {
    /// For log and `client list`.
    pub(crate) security: Arc<Security>,
    /// Whom the client's certificate names, if there is one; a certificate that is good may still name nobody.
    pub(crate) identity: Option<Result<Box<PeerIdentity>, IdentityError>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Failed {
    /// A word for metrics.
    pub(crate) kind: &'static str,
    /// The exact reason and, where one is known, the remedy.
    pub(crate) reason: String,
    /// Whether the client said something wrong, and did not only go away.
    pub(crate) is_refusal: bool,
}

/// What is asked of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// The listener, which has tickets of its own.
    pub(crate) listener: Listener,
    /// What is done about client certificates.
    pub(crate) certificate: ClientCertificate,
}

/// Shakes hands and finds out who it is. Also says how the handshake went, in a word for metrics.
///
/// # Errors
/// Why not. The client has been told as far as TLS allows, and the socket is closed.
pub(crate) async fn shake(
    socket: TcpStream,
    demand: Demand,
    pki: &Pki,
    ticket: &mut Ticket,
    time_max: Duration,
) -> Result<(Pipe, Secured, &'static str), Failed> {
    let internal = |error: &dyn std::fmt::Display| Failed {
        kind: "internal",
        reason: error.to_string(),
        is_refusal: true,
    };
    let handshake =
        pki.handshake(demand.listener, demand.certificate).map_err(|error| internal(&error))?;
    let session =
        ServerConnection::new(Arc::clone(&handshake.config)).map_err(|error| internal(&error))?;
    let mut stream = Box::new(TlsStream::new(socket, Box::new(session)));
    let shaking = tokio::time::timeout(time_max, stream.shake_hands(|| ticket.greeted()));
    let failed = match shaking.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Failed::of_handshake(&handshake, &error)),
        Err(_) => Some(Failed::too_slow()),
    };
    if let Some(failed) = failed {
        // Reads on for a moment: a reset would overtake the alert.
        farewell::say(Transport::Direct(Pipe::Tls(stream)), &[]).await;
        return Err(failed);
    }
    let identity = match identify(stream.session(), pki) {
        Ok(identity) => identity,
        Err(failed) => {
            farewell::say(Transport::Direct(Pipe::Tls(stream)), &[]).await;
            return Err(failed);
        }
    };
    let result = match stream.session().handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => "full",
    };
    let secured = Secured { security: Arc::new(security(stream.session(), &identity)), identity };
    Ok((Pipe::Tls(stream), secured, result))
}

type Identity = Option<Result<Box<PeerIdentity>, IdentityError>>;

/// Asked after every handshake: a resumed session has skipped the judgement of its certificate.
fn identify(session: &ServerConnection, pki: &Pki) -> Result<Identity, Failed> {
    let Some(chain) = session.peer_certificates() else { return Ok(None) };
    match pki.identify(chain, clock::certificate_time()) {
        Ok(peer) => Ok(Some(Ok(Box::new(peer)))),
        Err(IdentityError::Lapsed(lapse)) => {
            Err(Failed { kind: "lapsed", reason: lapse.to_string(), is_refusal: true })
        }
        Err(nobody) => Ok(Some(Err(nobody))),
    }
}

fn security(session: &ServerConnection, identity: &Identity) -> Security {
    let certificate = match identity {
        Some(Ok(peer)) => Some(CertificateName {
            fingerprint: *peer.fingerprint().as_bytes(),
            not_after_s: peer.not_after_s(),
        }),
        Some(Err(_)) | None => None,
    };
    let protocol = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        // The library offers no other.
        _ => "TLS",
    };
    let suite = session.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    Security { protocol, cipher, certificate }
}

impl Failed {
    /// Whether the client has come as far as its certificate, or to where one is missing. If not, it may be anything.
    pub(crate) fn has_client(&self) -> bool {
        self.kind != RefusalKind::Handshake.label() && self.kind != TOO_SLOW
    }

    fn of_handshake(handshake: &Handshake, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::InvalidData {
            let refusal = handshake.refusal(error);
            let (kind, reason) = (refusal.kind().label(), refusal.to_string());
            return Self { kind, reason, is_refusal: true };
        }
        Self { kind: "lost", reason: error.to_string(), is_refusal: false }
    }

    fn too_slow() -> Self {
        let reason = "no TLS handshake in time".to_owned();
        Self { kind: TOO_SLOW, reason, is_refusal: true }
    }
}

/// The kind of a client that has not come to an end of its handshake.
const TOO_SLOW: &str = "too_slow";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_come_to_its_certificate_is_told_of_each_time() {
        let failed = |kind| Failed { kind, reason: String::new(), is_refusal: true };
        for kind in [RefusalKind::Expired, RefusalKind::NoCertificate, RefusalKind::VersionOne] {
            assert!(failed(kind.label()).has_client(), "{kind:?}");
        }
        assert!(failed("lapsed").has_client() && failed("internal").has_client());
        assert!(!failed(RefusalKind::Handshake.label()).has_client());
        assert!(!Failed::too_slow().has_client());
    }
}
