//! The listeners' sockets: bound early, so that a port in use is known before anything else has happened, and accepted
//! from last, when everything behind them is ready.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::door::Door;
use super::error::ServeError;
use super::login::{self, Front};
use super::metrics::{ACCEPTED, SOCKET};

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its name in the configuration.
    pub(crate) name: &'static str,
    /// Where it listens; the port is never 0.
    pub(crate) address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds an address on the current runtime.
    ///
    /// # Errors
    /// The address is in use, not of this machine, or not allowed.
    pub(crate) fn bind(name: &'static str, address: SocketAddr) -> Result<Self, ServeError> {
        let refuse = |reason| ServeError::Listener { listener: name, address, reason };
        let socket = bind(address).map_err(refuse)?;
        let address = socket.local_addr().map_err(refuse)?;
        Ok(Self { name, address, socket })
    }

    /// Takes connections in by this door until the task is ended.
    pub(crate) async fn accept(self, door: Arc<Door>, front: Arc<Front>) {
        let name: Arc<str> = self.name.into();
        loop {
            front.intake.room().await;
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    greet(
                        stream,
                        address,
                        Arc::clone(&name),
                        Arc::clone(&door),
                        Arc::clone(&front),
                    );
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: trying again at once would only spin.
                    tracing::error!(listener = self.name, %error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Linux hands these on to every accepted connection, which saves the system calls there.
    socket.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE_INTERVAL);
    SockRef::from(&socket).set_tcp_keepalive(&keep_alive)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn greet(
    socket: TcpStream,
    address: SocketAddr,
    listener: Arc<str>,
    door: Arc<Door>,
    front: Arc<Front>,
) {
    let Some(ticket) = front.intake.enter(address.ip()) else {
        if front.repeats.is_to_be_told(address.ip()) {
            tracing::info!(
                %address, listener = &*listener, reason = "connections_per_source_max is reached",
                "connection refused"
            );
        }
        front.metrics.count(SOCKET, &listener, "too_many");
        return;
    };
    front.metrics.count(SOCKET, &listener, ACCEPTED);
    let number = ticket.number();
    let visitor = login::Visitor { address, listener, ticket, secured: None };
    let task = tokio::spawn(login::admit(socket, visitor, door, Arc::clone(&front)));
    front.intake.served_by(number, task.abort_handle());
}

/// Errors of the connection that was to be accepted, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Connections that wait in the kernel; it takes the smaller of this and `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Finds peers that have vanished although their keep-alive is long or off.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
