//! A scene to play in: a certificate directory, a clock that is set by hand, authorities, and a TLS link in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pki::{
    CertificateDer, ClientCertificate, Files, Handshake, HostNames, Listener, Opened, Pki, Refusal,
    Settings, TimeProvider, UnixTime,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, ServerConnection};
use time::OffsetDateTime;

pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const DAY_S: u64 = 86_400;

/// Time that passes only when a test says so.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(self.0.load(Ordering::Relaxed)))
    }
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) clock: Arc<Clock>,
    pub(crate) pki: Arc<Pki>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::at(NOW_S)
    }

    pub(crate) fn at(now_s: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(Clock(AtomicU64::new(now_s)));
        let opened = Pki::open(settings(directory.path(), &clock), at(now_s)).unwrap();
        Self { directory, clock, pki: opened.pki }
    }

    pub(crate) fn reopened(self) -> Self {
        let opened = self.open_again().unwrap();
        Self { pki: opened.pki, ..self }
    }

    pub(crate) fn open_again(&self) -> Result<Opened, pki::PkiError> {
        Pki::open(settings(self.directory.path(), &self.clock), self.now())
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.current_time().unwrap()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut content = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        content.push_str(text);
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Puts an authority into the bundle of the running scene.
    pub(crate) fn trust(&self, authority: &Ca) {
        self.append("ca.crt", &authority.pem());
        self.pki.reload(self.now()).unwrap();
    }

    pub(crate) fn issue(&self, user: &str) -> Client {
        let issued = self.pki.issue(user, 30, self.now()).unwrap();
        Client {
            chain: vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()],
            key: PrivateKeyDer::from_pem_slice(issued.key_pem.unwrap().expose().as_bytes())
                .unwrap(),
        }
    }

    pub(crate) fn handshake(&self, mode: ClientCertificate) -> Handshake {
        self.pki.handshake(Listener::Mqtts, mode).unwrap()
    }

    /// A client that trusts the server; its configuration keeps the tickets that it gets.
    pub(crate) fn client_config(
        &self,
        client: Option<&Client>,
        version: Version,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pki.authority_pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // Hybrid first, as browsers and OpenSSL 3.5 have it.
        provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_details(provider, Arc::clone(&self.clock) as _)
            .with_protocol_versions(&[version.tls()])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match client {
            // rustls itself would refuse to send some of what is tested here.
            Some(client) => builder.with_client_cert_resolver(Arc::new(client.resolver())),
            None => builder.with_no_client_auth(),
        })
    }

    /// One connection from nothing to a finished handshake and its tickets.
    pub(crate) fn connect(
        &self,
        mode: ClientCertificate,
        client: Option<&Client>,
        version: Version,
    ) -> Result<ServerConnection, Refusal> {
        let handshake = self.handshake(mode);
        let config = self.client_config(client, version);
        link(&handshake, &config).map(|(server, _)| server)
    }
}

pub(crate) fn settings(directory: &Path, clock: &Arc<Clock>) -> Settings {
    Settings {
        files: Files::in_directory(directory),
        names: HostNames {
            names: vec!["localhost".to_owned()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
        },
        clock: Arc::clone(clock) as _,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

pub(crate) const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

impl Version {
    fn tls(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

/// Runs both ends against each other until the server is done or fails.
pub(crate) fn link(
    handshake: &Handshake,
    config: &Arc<ClientConfig>,
) -> Result<(ServerConnection, ClientConnection), Refusal> {
    let mut server = ServerConnection::new(Arc::clone(&handshake.config)).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut wire = Vec::new();
    for _ in 0..10 {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            // The way tokio-rustls reports it.
            server.process_new_packets().map_err(|error| {
                handshake.refusal(&std::io::Error::new(std::io::ErrorKind::InvalidData, error))
            })?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().expect("the client accepts the server");
        }
    }
    assert!(!server.is_handshaking(), "the handshake came to an end");
    Ok((server, client))
}

/// Certificate chain, leaf first, and key of a client.
pub(crate) struct Client {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Client {
    fn resolver(&self) -> SingleCertAndKey {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&self.key).unwrap();
        SingleCertAndKey::from(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// What a test's authority puts into a certificate.
pub(crate) struct Leaf {
    pub(crate) names: Vec<DnValue>,
    pub(crate) not_before_s: u64,
    pub(crate) not_after_s: u64,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) serial: u64,
}

impl Leaf {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            names: vec![DnValue::Utf8String(name.to_owned())],
            not_before_s: NOW_S - DAY_S,
            not_after_s: NOW_S + 30 * DAY_S,
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            serial: 4711,
        }
    }
}

/// An authority of a test's own.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Certificates between this one and the root, itself first.
    above: Vec<CertificateDer<'static>>,
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_valid(name, NOW_S - DAY_S, NOW_S + 3650 * DAY_S)
    }

    pub(crate) fn root_valid(name: &str, not_before_s: u64, not_after_s: u64) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = ca_parameters(name, 1, not_before_s, not_after_s);
        let certificate = CertificateDer::from(parameters.self_signed(&key).unwrap());
        Self { issuer: Issuer::new(parameters, key), certificate, above: Vec::new() }
    }

    pub(crate) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = ca_parameters(name, serial, NOW_S - DAY_S, NOW_S + 3650 * DAY_S);
        let certificate = CertificateDer::from(parameters.signed_by(&key, &self.issuer).unwrap());
        let mut above = vec![certificate.clone()];
        above.extend(self.above.iter().cloned());
        Self { issuer: Issuer::new(parameters, key), certificate, above }
    }

    pub(crate) fn pem(&self) -> String {
        pem_of("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn client(&self, leaf: &Leaf) -> Client {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        if let [name] = leaf.names.as_slice() {
            parameters.distinguished_name.push(DnType::CommonName, name.clone());
        }
        parameters.not_before = date(leaf.not_before_s);
        parameters.not_after = date(leaf.not_after_s);
        parameters.serial_number = Some(leaf.serial.into());
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.extended_key_usages.clone_from(&leaf.usages);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![CertificateDer::from(certificate)];
        chain.extend(self.above.iter().cloned());
        Client { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    pub(crate) fn crl(&self, number: u64, serials: &[u64]) -> String {
        self.crl_until(number, serials, NOW_S + 7 * DAY_S)
    }

    pub(crate) fn crl_until(&self, number: u64, serials: &[u64], next_update_s: u64) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date(NOW_S - 60),
            reason_code: None,
            invalidity_date: None,
        });
        CertificateRevocationListParams {
            this_update: date(NOW_S - DAY_S),
            next_update: date(next_update_s),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .unwrap()
        .pem()
        .unwrap()
    }
}

pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn ca_parameters(
    name: &str,
    serial: u64,
    not_before_s: u64,
    not_after_s: u64,
) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.serial_number = Some(serial.into());
    parameters.not_before = date(not_before_s);
    parameters.not_after = date(not_after_s);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds.try_into().unwrap()).unwrap()
}
