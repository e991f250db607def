//! The generator's side of TLS: whom it trusts, what it shows, and whether it comes back with a ticket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion};

use super::BenchError;

/// Options of TLS.
#[derive(Debug, Clone, Args)]
pub(super) struct TlsOptions {
    /// Speak TLS with the broker
    #[arg(long, requires = "ca_file")]
    tls: bool,
    /// File (PEM) with the authority that the broker's certificate is from
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// File (PEM) with the certificate that all clients show
    #[arg(long, value_name = "FILE", requires = "tls", requires = "key")]
    cert: Option<PathBuf>,
    /// File (PEM) with its private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Come back with the tickets that the broker gave; otherwise each handshake is a full one
    #[arg(long, requires = "tls")]
    resume: bool,
    /// Key exchange: X25519 alone, or with the post-quantum ML-KEM-768
    #[arg(long, value_enum, default_value = "classic")]
    key_exchange: KeyExchange,
    /// Version of TLS
    #[arg(long, value_enum, default_value = "1.3")]
    tls_version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyExchange {
    Classic,
    Hybrid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

/// What every connection of the generator shares.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// Whom the broker's certificate must name.
    pub(super) name: ServerName<'static>,
}

impl TlsOptions {
    /// What connections need; `None` without TLS.
    pub(super) fn tls(&self, host: &str, address: SocketAddr) -> Result<Option<Tls>, BenchError> {
        let (true, Some(ca_file)) = (self.tls, &self.ca_file) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_file)? {
            roots.add(certificate).map_err(|error| unusable(ca_file, &error))?;
        }
        let mut provider = default_provider();
        provider.kx_groups = match self.key_exchange {
            KeyExchange::Classic => vec![kx_group::X25519, kx_group::SECP256R1],
            KeyExchange::Hybrid => vec![kx_group::X25519MLKEM768],
        };
        let version: &[&'static SupportedProtocolVersion] = match self.tls_version {
            Version::V12 => &[&rustls::version::TLS12],
            Version::V13 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(version)
            .map_err(|error| BenchError::Usage(format!("no TLS: {error}")))?
            .with_root_certificates(roots);
        let mut config = match (&self.cert, &self.key) {
            (Some(chain), Some(key)) => {
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|it| unusable(key, &it))?;
                let shown = builder.with_client_auth_cert(certificates(chain)?, secret);
                shown.map_err(|error| unusable(chain, &error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.resumption = if self.resume {
            Resumption::store(Arc::new(Sessions::default()))
        } else {
            Resumption::disabled()
        };
        let name = ServerName::try_from(host.to_owned());
        let name = name.unwrap_or_else(|_| ServerName::IpAddress(address.ip().into()));
        Ok(Some(Tls { config: Arc::new(config), name }))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BenchError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> BenchError {
    BenchError::Usage(format!("`{}`: {error}", file.display()))
}

/// Tickets of one broker, as many as there are clients: the library's own store keeps eight.
#[derive(Debug, Default)]
struct Sessions {
    older: Mutex<Option<Tls12ClientSessionValue>>,
    tickets: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _server: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.older.lock() = Some(value);
    }

    fn tls12_session(&self, _server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.older.lock().clone()
    }

    fn remove_tls12_session(&self, _server: &ServerName<'static>) {
        *self.older.lock() = None;
    }

    fn insert_tls13_ticket(&self, _server: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.tickets.lock();
        if tickets.len() < TICKETS_MAX {
            tickets.push(value);
        }
    }

    fn take_tls13_ticket(&self, _server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets.lock().pop()
    }
}

const TICKETS_MAX: usize = 100_000;
