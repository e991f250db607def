//! A connection of a test: TLS or plain, with a deadline on everything.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::certificates::Client;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// How a connection ended, or that it did not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// CONNACK with this code.
    Connack(u8),
    /// A TLS alert.
    Alert(AlertDescription),
    /// Closed without a word.
    Closed,
}

/// A client that trusts `authority_pem`, with this certificate.
pub(crate) fn config(
    authority_pem: &str,
    client: Option<&Client>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match client {
        Some(client) => {
            let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&client.key).unwrap();
            // The library itself would refuse to send some of what is tested.
            let resolver = SingleCertAndKey::from(CertifiedKey::new(client.chain.clone(), key));
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
        None => builder.with_no_client_auth(),
    })
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("the broker listens");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

pub(crate) fn tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(session, tcp(address))
}

/// The same from this address of the machine.
pub(crate) fn tls_from(source: IpAddr, address: SocketAddr, config: &Arc<ClientConfig>) -> Tls {
    let socket = testkit::connect_from(source, address).expect("the broker listens");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let session = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap());
    StreamOwned::new(session.unwrap(), socket)
}

/// Sends a CONNECT and waits for what comes of it.
pub(crate) fn outcome(stream: &mut (impl Read + Write), connect: &[u8]) -> Outcome {
    let sent = stream.write_all(connect).and_then(|()| stream.flush());
    match sent.and_then(|()| packet(stream)) {
        Ok((0x20, body)) => Outcome::Connack(body[1]),
        Ok(other) => panic!("expected a CONNACK, got {other:?}"),
        Err(error) => ended(&error),
    }
}

/// How a failed read or write says that the connection ended.
pub(crate) fn ended(error: &io::Error) -> Outcome {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (inner, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) => Outcome::Alert(*alert),
        (_, ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("nothing came in time"),
        _ => Outcome::Closed,
    }
}

/// The next packet: its first byte and its body.
pub(crate) fn packet(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let (mut first, mut length, mut shift) = ([0], 0, 0);
    stream.read_exact(&mut first)?;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((first[0], body))
}

/// Asserts that a ping is answered; other packets that come first are dropped.
pub(crate) fn assert_alive(stream: &mut (impl Read + Write)) {
    stream.write_all(&testkit::wire::ping()).expect("it lives");
    loop {
        match packet(stream).expect("it lives") {
            (0xd0, _) => return,
            (first, _) => assert_eq!(first & 0xf0, 0x30, "only messages may come before"),
        }
    }
}

/// Waits for the end and says when it came, and the code of the DISCONNECT before it.
pub(crate) fn wait_for_end(stream: &mut impl Read) -> (Instant, Option<u8>) {
    let mut code = None;
    loop {
        match packet(stream) {
            Ok((0xe0, body)) => code = Some(body.first().copied().unwrap_or_default()),
            Ok(_) => {}
            Err(error) => {
                ended(&error);
                return (Instant::now(), code);
            }
        }
    }
}

impl Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Client")
    }
}
