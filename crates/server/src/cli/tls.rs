//! TLS to a server that is named by a URL: which authorities are trusted, and the connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;

/// Where the trusted authorities are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trust {
    /// `--ca-file`: then nobody else is trusted.
    pub(super) ca_file: Option<PathBuf>,
    /// The data directory, whose own authority is trusted beside the system's.
    pub(super) data_dir: PathBuf,
}

/// Connects to `host:port`, and verifies that the server is the one of the URL.
pub(super) async fn connect(
    authority: &str,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, Failure> {
    let (host, port) = split(authority)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::Usage(format!("`{host}` is no host name or address")))?;
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| Failure::Transport(format!("no TLS: {error}")))?
    .with_root_certificates(trust.roots()?)
    .with_no_client_auth();
    let unreachable = |error: std::io::Error| {
        Failure::Unreachable(format!("cannot reach `https://{authority}`: {error}"))
    };
    let socket = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, socket).await.map_err(|error| {
        Failure::Unreachable(format!(
            "cannot trust `https://{authority}`: {error} (`--ca-file FILE` names the authority to trust; \
             the server has its own at /api/ca.crt and in certs/ca.crt of its data directory)"
        ))
    })
}

impl Trust {
    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.ca_file {
            add_file(&mut roots, file)?;
            return Ok(roots);
        }
        let own = self.data_dir.join("certs").join("ca.crt");
        if own.exists() {
            add_file(&mut roots, &own)?;
        }
        // What is not readable in the system's store is not needed for the rest of it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Failure::Usage(
                "no authority is trusted here: name one by `--ca-file FILE`".to_owned(),
            ));
        }
        Ok(roots)
    }
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), Failure> {
    let refuse = |reason: String| Failure::Usage(format!("`{}`: {reason}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refuse(error.to_string()))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        Err(refuse("no certificate of an authority is in it".to_owned()))
    } else {
        Ok(())
    }
}

/// Host, without the brackets of an IPv6 address, and port.
fn split(authority: &str) -> Result<(&str, u16), Failure> {
    let bad = || Failure::Usage(format!("`{authority}` is not HOST or HOST:PORT"));
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(bad)?,
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            authority.split_at_checked(end).ok_or_else(bad)?
        }
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port.parse().map_err(|_| bad())?)),
        None if rest.is_empty() => Ok((host, HTTPS_PORT)),
        None => Err(bad()),
    }
}

/// What `https://HOST` means.
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_told_apart() {
        let check = |authority: &str, expected: Option<(&str, u16)>| {
            assert_eq!(split(authority).ok(), expected, "{authority}");
        };
        check("broker", Some(("broker", 443)));
        check("broker.example:8443", Some(("broker.example", 8443)));
        check("192.0.2.1:8443", Some(("192.0.2.1", 8443)));
        check("[::1]:8443", Some(("::1", 8443)));
        check("[::1]", Some(("::1", 443)));
        check("::1", None);
        check("[::1]8443", None);
        check("broker:port", None);
        check("broker:99999", None);
    }

    #[test]
    fn an_authority_file_without_a_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.crt");
        std::fs::write(&file, "not a certificate").unwrap();
        let trust = Trust { ca_file: Some(file), data_dir: dir.path().to_owned() };
        assert!(matches!(trust.roots(), Err(Failure::Usage(_))));
        let trust = Trust { ca_file: Some("missing".into()), data_dir: dir.path().to_owned() };
        assert!(matches!(trust.roots(), Err(Failure::Usage(_))));
    }
}
