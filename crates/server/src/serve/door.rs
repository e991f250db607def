//! What lies between an accepted socket and the first byte of MQTT, for each listener.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::handshake::{self, Demand};
use super::http::Http;
use super::login::{Front, Visitor};
use super::metrics::HANDSHAKE;
use super::report;
use super::transport::{Pipe, Transport};

/// The layers of one listener: TLS or not, HTTP or not.
pub(crate) struct Door {
    /// TLS first, with this demand.
    pub(crate) tls: Option<Demand>,
    /// Then HTTP, until it asks for MQTT.
    pub(crate) http: Option<Arc<Http>>,
}

/// A connection whose next bytes are MQTT.
pub(crate) struct Entered {
    pub(crate) transport: Transport,
    pub(crate) visitor: Visitor,
    /// When its CONNECT must be complete.
    pub(crate) deadline: Instant,
}

impl Door {
    /// Takes a connection through the layers; `None` when it has ended on the way.
    pub(crate) async fn pass(
        &self,
        socket: TcpStream,
        visitor: Visitor,
        front: &Front,
        deadline: Instant,
    ) -> Option<Entered> {
        let (pipe, visitor) = match self.tls {
            Some(demand) => Box::pin(shake(socket, visitor, demand, front)).await?,
            None => (Pipe::Tcp(socket), visitor),
        };
        let Some(http) = &self.http else {
            return Some(Entered { transport: Transport::Direct(pipe), visitor, deadline });
        };
        let (transport, visitor) = Box::pin(Arc::clone(http).serve(pipe, visitor)).await?;
        // Connections that spoke HTTP before had bounds of their own for it.
        let deadline = Instant::now() + front.intake.limits().connect_timeout;
        Some(Entered { transport, visitor, deadline })
    }
}

async fn shake(
    socket: TcpStream,
    mut visitor: Visitor,
    demand: Demand,
    front: &Front,
) -> Option<(Pipe, Visitor)> {
    let time_max = front.intake.limits().handshake_timeout;
    let shaken = handshake::shake(socket, demand, &front.pki, &mut visitor.ticket, time_max).await;
    match shaken {
        Ok((pipe, secured, result)) => {
            front.metrics.count(HANDSHAKE, &visitor.listener, result);
            visitor.secured = Some(secured);
            Some((pipe, visitor))
        }
        Err(failed) => {
            front.metrics.count(HANDSHAKE, &visitor.listener, failed.kind);
            report::no_handshake(&visitor, &front.repeats, &failed);
            None
        }
    }
}
