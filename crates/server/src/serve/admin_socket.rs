//! The admin socket: the HTTP API on a Unix socket in the data directory, for its owner and nobody else.
//!
//! Two checks, either of which would do: the file can be opened by its owner only, and the kernel says which user is at
//! the other end.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use admin::Caller;
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::data_dir::DataDir;
use super::error::ServeError;

/// The bound socket; its file goes when it is dropped.
pub(crate) struct AdminSocket {
    socket: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket. One that is there already is a dead server's, since we hold the lock.
    ///
    /// # Errors
    /// It cannot be bound, for instance because its path is too long for a socket.
    pub(crate) fn bind(data_dir: &DataDir) -> Result<Self, ServeError> {
        let path = super::admin_socket(data_dir.path());
        let refuse = |reason| ServeError::AdminSocket { path: path.clone(), reason };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
            _ => {}
        }
        // The umask of the process keeps others out from the first moment on.
        let socket = UnixListener::bind(&path).map_err(refuse)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(refuse)?;
        Ok(Self { socket, path })
    }

    /// Serves the API until the task is ended.
    pub(crate) async fn serve(self, router: Router) {
        let service = TowerToHyperService::new(router.layer(Extension(Caller::LocalOwner)));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections on the admin socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !is_owner(&stream) {
                tracing::warn!("connection to the admin socket refused: not the owner");
                continue;
            }
            let service = service.clone();
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "admin socket");
                }
                drop(place);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A leftover file is removed by the next start.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

/// The path of the socket of a server in `data_dir`.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

const CONNECTIONS_MAX: usize = 64;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
