//! Which files there are, and which of them are ours to make.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::time_provider::TimeProvider;

use crate::server_certificate::HostNames;

/// The files. What is not named lies in `directory` and is made when it is missing; what is named
/// belongs to the operator and is only read.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The `certs` directory, for `ca.crt`, `ca.key`, `server.crt`, `server.key`, `crl.pem`.
    pub directory: PathBuf,
    /// Trust bundle in place of `ca.crt`.
    pub bundle: Option<PathBuf>,
    /// Key of an issuing authority in place of `ca.key`; its certificate must be in the bundle or in `ca.crt`.
    pub authority_key: Option<PathBuf>,
    /// Server certificate with its chain, and its key, in place of `server.crt` and `server.key`.
    pub server: Option<(PathBuf, PathBuf)>,
    /// Revocation lists of other authorities, besides what is appended to `crl.pem`.
    pub crls: Vec<PathBuf>,
}

/// What [`Pki::open`](crate::Pki::open) needs.
#[derive(Clone)]
pub struct Settings {
    /// The files.
    pub files: Files,
    /// Names and addresses that the server certificate must carry.
    pub names: HostNames,
    /// The server's one clock, for the TLS library.
    pub clock: Arc<dyn TimeProvider>,
}

impl Files {
    /// All in this directory.
    #[must_use]
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), ..Self::default() }
    }

    /// The trust bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.bundle.clone().unwrap_or_else(|| self.own_bundle())
    }

    /// `ca.crt` of the directory, whatever the trust bundle is.
    pub(crate) fn own_bundle(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The authority's key.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.authority_key.clone().unwrap_or_else(|| self.directory.join("ca.key"))
    }

    /// Where a new authority's key waits until its certificate is on disk.
    pub(crate) fn new_authority_key(&self) -> PathBuf {
        self.directory.join("ca.key.new")
    }

    /// The server's certificate and its key.
    #[must_use]
    pub fn server(&self) -> (PathBuf, PathBuf) {
        self.server.clone().unwrap_or_else(|| {
            (self.directory.join("server.crt"), self.directory.join("server.key"))
        })
    }

    /// The revocation list of the built-in authority, to which others' may be appended.
    #[must_use]
    pub fn crl(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// Every file that counts, for the watcher.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        let (certificate, key) = self.server();
        let mut all = vec![self.bundle(), self.authority_key(), certificate, key, self.crl()];
        if self.bundle.is_some() {
            all.push(self.own_bundle());
        }
        all.extend(self.crls.iter().cloned());
        all
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}
