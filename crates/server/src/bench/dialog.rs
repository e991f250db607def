//! What comes before the measurement: log in and subscribe, one step after the other, on a blocking socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mqtt::{
    ConnAck, DecodeLimits, Decoded, Packet, PacketId, ProtocolVersion, Qos, ReasonCode, Subscribe,
    SubscribeOptions,
};
use topic::SubscriptionFilter;

use super::BenchError;
use super::line::Line;
use super::target::{Account, Stay};

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Dialog {
    line: Line,
    version: ProtocolVersion,
    /// Unacknowledged messages the broker takes from this client.
    pub(super) receive_maximum: u16,
}

impl Dialog {
    /// Connects and logs in as the client `name`, with a session that ends with the connection.
    pub(super) fn log_in(account: &Account, name: &str) -> Result<Dialog, BenchError> {
        Dialog::log_in_to(account, name, Stay::Ended)
    }

    /// Connects and logs in as the client `name`.
    pub(super) fn log_in_to(
        account: &Account,
        name: &str,
        stay: Stay,
    ) -> Result<Dialog, BenchError> {
        let stream = TcpStream::connect(account.address)
            .map_err(BenchError::io(format!("`{}`", account.address)))?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX)).map_err(BenchError::io("socket"))?;
        let line = Line::new(stream, account.tls.as_ref()).map_err(BenchError::io("TLS"))?;
        let mut dialog =
            Dialog { line, version: account.version, receive_maximum: RECEIVE_MAXIMUM_DEFAULT };
        let connack = dialog.ask(&account.connect(name, stay), |packet| match packet {
            Packet::ConnAck(connack) => Some(*connack),
            _ => None,
        })?;
        let ConnAck { reason, properties, .. } = connack;
        if reason != ReasonCode::Success {
            return Err(BenchError::Broker(format!(
                "the broker refuses client {name}: {reason:?}"
            )));
        }
        dialog.receive_maximum = properties.receive_maximum.unwrap_or(RECEIVE_MAXIMUM_DEFAULT);
        Ok(dialog)
    }

    /// Subscribes; a refusal is an error.
    pub(super) fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), BenchError> {
        let parsed = SubscriptionFilter::parse(filter)
            .map_err(|error| BenchError::Usage(format!("`{filter}`: {error}")))?;
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            filters: vec![(parsed.into(), SubscribeOptions::qos(qos))],
            user_properties: Vec::new(),
        });
        let mut bytes = Vec::new();
        mqtt::encode(&packet, self.version, &mut bytes);
        let reasons = self.ask(&bytes, |packet| match packet {
            Packet::SubAck(suback) => Some(suback.reasons),
            _ => None,
        })?;
        if reasons.iter().any(|reason| reason.is_error()) {
            return Err(BenchError::Broker(format!(
                "the broker refuses to subscribe to `{filter}`"
            )));
        }
        Ok(())
    }

    /// Goes, and waits until the broker has noticed.
    pub(super) fn leave(mut self) -> Result<(), BenchError> {
        self.line.write_all(&DISCONNECT).map_err(BenchError::io("send"))?;
        let mut room = [0; 512];
        while self.line.read(&mut room).map_err(BenchError::io("receive"))? > 0 {}
        Ok(())
    }

    pub(super) fn into_line(self) -> Line {
        self.line
    }

    /// Sends a packet and waits for the answer that `pick` takes.
    fn ask<T>(
        &mut self,
        bytes: &[u8],
        pick: impl Fn(Packet<'_>) -> Option<T>,
    ) -> Result<T, BenchError> {
        self.line.write_all(bytes).map_err(BenchError::io("send"))?;
        let mut input = Vec::new();
        loop {
            let mut room = [0; 512];
            let length = self.line.read(&mut room).map_err(BenchError::io("receive"))?;
            if length == 0 {
                return Err(BenchError::Broker("the broker closed the connection".to_owned()));
            }
            input.extend_from_slice(room.get(..length).unwrap_or_default());
            while let Decoded::Packet { packet, length } = decode(&input, self.version)? {
                if let Some(answer) = pick(packet) {
                    return Ok(answer);
                }
                input.drain(..length);
            }
        }
    }
}

/// The next packet; what cannot be decoded is the broker's fault.
pub(super) fn decode(input: &[u8], version: ProtocolVersion) -> Result<Decoded<'_>, BenchError> {
    mqtt::decode(input, version, &DecodeLimits::default())
        .map_err(|error| BenchError::Broker(format!("the broker sent nonsense: {}", error.detail)))
}

pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// What a broker takes that does not say.
const RECEIVE_MAXIMUM_DEFAULT: u16 = 65_535;
