//! What a mutual handshake costs the server's side, beside the same with the TLS library's own verifier.
//!
//! `cargo bench -p pki`. Both ends run in one thread; only the server's calls are timed.

#![expect(clippy::disallowed_methods, reason = "measuring is about the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use pki::{CertificateDer, ClientCertificate, Files, HostNames, Listener, Pki, Settings, UnixTime};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::DefaultTimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        files: Files::in_directory(directory.path()),
        names: HostNames::of_this_machine(&[]),
        clock: Arc::new(DefaultTimeProvider),
    };
    let pki = Pki::open(settings, UnixTime::now()).unwrap().pki;
    let bare = bare(&pki, directory.path());
    compare(&pki, &bare, "TLS 1.3, X25519MLKEM768", &|resumes| {
        client(&pki, resumes, &TLS13, NamedGroup::X25519MLKEM768)
    });
    compare(&pki, &bare, "TLS 1.3, X25519", &|resumes| {
        client(&pki, resumes, &TLS13, NamedGroup::X25519)
    });
    compare(&pki, &bare, "TLS 1.2, X25519", &|resumes| {
        client(&pki, resumes, &TLS12, NamedGroup::X25519)
    });
    parts(&pki, &client(&pki, false, &TLS13, NamedGroup::X25519MLKEM768));
}

fn compare(
    pki: &Pki,
    bare: &Arc<ServerConfig>,
    title: &str,
    client: &dyn Fn(bool) -> Arc<ClientConfig>,
) {
    println!("{title}");
    for _ in 0..2 {
        run("  bare library, full", ROUNDS, || served(bare, &client(false), HandshakeKind::Full).0);
        run("  ours, full", ROUNDS, || ours(pki, &client(false), HandshakeKind::Full));
        let resuming = client(true);
        served(bare, &resuming, HandshakeKind::Full);
        run("  bare library, resumed", ROUNDS, || {
            served(bare, &resuming, HandshakeKind::Resumed).0
        });
        let resuming = client(true);
        let first = pki.handshake(Listener::Mqtts, ClientCertificate::Mandatory).unwrap();
        served(&first.config, &resuming, HandshakeKind::Full);
        run("  ours, resumed", ROUNDS, || ours(pki, &resuming, HandshakeKind::Resumed));
    }
}

/// The parts that are ours, one by one.
fn parts(pki: &Pki, config: &Arc<ClientConfig>) {
    let handshake = || pki.handshake(Listener::Mqtts, ClientCertificate::Mandatory).unwrap();
    run("building a configuration", PART_ROUNDS, || timed(|| drop(handshake())));
    let (_, server) = served(&handshake().config, config, HandshakeKind::Full);
    let chain = server.peer_certificates().unwrap();
    let now = UnixTime::now();
    run("identify", PART_ROUNDS, || timed(|| drop(pki.identify(chain, now).unwrap())));
    let peer = pki.identify(chain, now).unwrap();
    run("still_good", PART_ROUNDS, || timed(|| pki.still_good(&peer, now).unwrap()));
}

/// A whole login as the server does it.
fn ours(pki: &Pki, config: &Arc<ClientConfig>, kind: HandshakeKind) -> Duration {
    let begun = Instant::now();
    let handshake = pki.handshake(Listener::Mqtts, ClientCertificate::Mandatory).unwrap();
    let before = begun.elapsed();
    let (during, server) = served(&handshake.config, config, kind);
    let begun = Instant::now();
    let peer = pki.identify(server.peer_certificates().unwrap(), UnixTime::now()).unwrap();
    assert_eq!(peer.common_name(), "press-7");
    before + during + begun.elapsed()
}

fn served(
    config: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    kind: HandshakeKind,
) -> (Duration, ServerConnection) {
    let mut client =
        ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
    let begun = Instant::now();
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut spent = begun.elapsed();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while server.is_handshaking() || server.wants_write() {
        up.clear();
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        down.clear();
        let begun = Instant::now();
        let mut bytes = up.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        spent += begun.elapsed();
        let mut bytes = down.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(server.handshake_kind(), Some(kind));
    (spent, server)
}

fn client(
    pki: &Pki,
    resumes: bool,
    version: &'static SupportedProtocolVersion,
    group: NamedGroup,
) -> Arc<ClientConfig> {
    let issued = pki.issue("press-7", 30, UnixTime::now()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.authority_pem().as_bytes()).unwrap()).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|present| present.name() != group);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(issued.key_pem.unwrap().expose().as_bytes()).unwrap(),
        )
        .unwrap();
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}

/// The same suites, groups, tickets and certificates, with the library's own verifier and one shared configuration.
fn bare(pki: &Pki, directory: &std::path::Path) -> Arc<ServerConfig> {
    let ours = pki.handshake(Listener::Mqtts, ClientCertificate::Mandatory).unwrap().config;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.authority_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::clone(ours.crypto_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(directory.join("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap(),
        )
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.send_tls13_tickets = 1;
    Arc::new(config)
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn run(name: &str, rounds: u32, mut work: impl FnMut() -> Duration) {
    let spent: Duration = (0..rounds).map(|_| work()).sum();
    println!("{name:<24} {:>12?}", spent / rounds);
}

const ROUNDS: u32 = 1_000;
const PART_ROUNDS: u32 = 10_000;
