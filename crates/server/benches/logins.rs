//! What a login by certificate costs the broker, beside a bare accept loop of the same TLS library, and what an idle
//! connection costs in memory.
//!
//! `cargo bench -p server --bench logins`. Broker and accept loop are processes of their own; their processor time is
//! what the kernel says. The same clients visit both in turn: TCP, full or resumed mutual TLS 1.3 with ECDSA P-256,
//! CONNECT, CONNACK, close.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot run may stop, and measuring is about the clock"
)]

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned,
};
use serde_json::json;
use testkit::{BrokerSetup, Version, login};

fn main() {
    if let Ok(directory) = std::env::var(BARE) {
        return bare(Path::new(&directory));
    }
    let broker = BrokerSetup::new(env!("CARGO_BIN_EXE_countersign"))
        .env("COUNTERSIGN_LISTENERS_MQTTS", "127.0.0.1:0")
        .env("COUNTERSIGN_AUTHENTICATION", "mutual-tls")
        .start();
    let reply = broker.request(
        "POST",
        "/api/users",
        Some(&json!({"username": "press-7", "grantTypes": [{"method": "certificate", "isRequired": false}]})),
    );
    assert_eq!(reply.status, 201, "{}", reply.body);
    let certs = broker.data_dir().join("certs");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(BARE, &certs)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bare_address = first_line(&mut child).parse().unwrap();
    let (address, id) = (broker.listener("mqtts").unwrap(), broker.process_id());
    let clients = |resumes| (0..THREADS).map(|_| client(&certs, resumes)).collect::<Vec<_>>();
    let (full, resuming) = (clients(false), clients(true));
    for round in 1..=ROUNDS {
        println!("round {round}");
        let ours = rate(id, address, &full, HandshakeKind::Full);
        let bare = rate(child.id(), bare_address, &full, HandshakeKind::Full);
        // The tickets of one are worth nothing at the other.
        visit_all(address, &resuming, THREADS, None);
        let ours_resumed = rate(id, address, &resuming, HandshakeKind::Resumed);
        println!("  full: ours {ours:.0}/CPU-s, bare {bare:.0}/CPU-s, ratio {:.2}", ours / bare);
        println!("  resumed: ours {ours_resumed:.0}/CPU-s, {:.1} times full", ours_resumed / ours);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let connect = |number: usize| stay(address, &full[number % THREADS], &format!("idle-{number}"));
    // What was freed after the logins above is there to be used again, so growth is what counts.
    let before_kib = broker.resident_kib();
    let idle: Vec<_> = (0..IDLE).map(connect).collect();
    let grown_kib = broker.resident_kib().saturating_sub(before_kib);
    let each =
        f64::from(u32::try_from(grown_kib).unwrap()) / f64::from(u32::try_from(IDLE).unwrap());
    println!("{IDLE} idle connections by certificate: {each:.1} KiB each, {} alive", idle.len());
}

/// Logins per second of the server's processor time.
fn rate(id: u32, address: SocketAddr, configs: &[Arc<ClientConfig>], kind: HandshakeKind) -> f64 {
    let before = cpu_s(id);
    let begun = Instant::now();
    visit_all(address, configs, VISITS, Some(kind));
    let spent = cpu_s(id) - before;
    println!(
        "    {address}: {VISITS} in {:.2} s, {spent:.2} s of processor",
        begun.elapsed().as_secs_f64()
    );
    f64::from(u32::try_from(VISITS).unwrap()) / spent
}

fn visit_all(
    address: SocketAddr,
    configs: &[Arc<ClientConfig>],
    visits: usize,
    kind: Option<HandshakeKind>,
) {
    std::thread::scope(|scope| {
        for (thread, config) in configs.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..visits / configs.len() {
                    let stream = stay(address, config, &format!("c-{thread}-{number}"));
                    let was = stream.conn.handshake_kind();
                    assert!(kind.is_none() || was == kind, "{was:?}");
                }
            });
        }
    });
}

/// Logs in and leaves the connection open.
fn stay(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    client_id: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(&login(Version::V311, client_id).bytes()).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

/// The bare accept loop: the library's own verifier and one shared configuration, as many threads as cores.
fn bare(certs: &Path) {
    let config = bare_config(certs);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let (socket, _) = listener.accept().unwrap();
                    socket.set_nodelay(true).unwrap();
                    let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                    let mut stream = StreamOwned::new(session, socket);
                    let mut connect = [0; 1024];
                    if stream.read(&mut connect).is_ok() {
                        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
                        // Until the client is gone.
                        drop(stream.read(&mut connect));
                    }
                }
            });
        }
    });
}

fn bare_config(certs: &Path) -> Arc<ServerConfig> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    let provider = Arc::new(provider);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(certs)), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certs.join("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(certs.join("server.key")).unwrap(),
        )
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.send_tls13_tickets = 1;
    Arc::new(config)
}

fn client(certs: &Path, resumes: bool) -> Arc<ClientConfig> {
    let read = |name: &str| std::fs::read_to_string(certs.join(name)).unwrap();
    let ca_key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "press-7");
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(certs))
        .with_client_auth_cert(
            vec![certificate.into()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Arc::new(config)
}

fn roots(certs: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certs.join("ca.crt")).unwrap()).unwrap();
    roots
}

fn first_line(child: &mut Child) -> String {
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap()
}

/// Processor seconds that a process has used.
fn cpu_s(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / TICKS_A_SECOND
}

const BARE: &str = "COUNTERSIGN_BENCH_BARE_CERTS";
const ROUNDS: usize = 3;
const VISITS: usize = 4000;
/// Connections at a time.
const THREADS: usize = 32;
const IDLE: usize = 2000;
/// USER_HZ of Linux.
const TICKS_A_SECOND: f64 = 100.0;
