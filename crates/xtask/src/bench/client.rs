//! A client of MQTT 5 that publishes one message after the other by QoS 1, and says what became of each.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{bail, ensure};

/// A connection that is logged in.
pub(super) struct Client {
    link: TcpStream,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Allowed,
    Refused,
    /// The broker has ended the connection.
    Closed,
}

impl Client {
    pub(super) fn log_in(port: u16, user: &str, password: &str) -> anyhow::Result<Client> {
        let mut body = b"\0\x04MQTT\x05\xC2\0\x3C\0".to_vec();
        for text in ["scale", user, password] {
            put_text(text, &mut body)?;
        }
        let mut link = TcpStream::connect(("127.0.0.1", port))?;
        link.set_nodelay(true)?;
        link.set_read_timeout(Some(ANSWER_MAX))?;
        let mut packet = vec![0x10, u8::try_from(body.len())?];
        packet.extend(body);
        link.write_all(&packet)?;
        let (kind, body) = read_packet(&mut link)?;
        ensure!(kind == 0x20 && body.get(1) == Some(&0), "{user} may not log in: {body:?}");
        Ok(Client { link })
    }

    pub(super) fn publish(&mut self, topic: &str) -> anyhow::Result<Answer> {
        let mut body = Vec::new();
        put_text(topic, &mut body)?;
        // Packet id 1, no properties, no payload.
        body.extend([0, 1, 0]);
        let mut packet = vec![0x32, u8::try_from(body.len())?];
        packet.extend(body);
        if self.link.write_all(&packet).is_err() {
            return Ok(Answer::Closed);
        }
        match read_packet(&mut self.link) {
            Ok((0x40, body)) => match body.get(2) {
                None | Some(..0x80) => Ok(Answer::Allowed),
                Some(_) => Ok(Answer::Refused),
            },
            Ok((0xE0, _)) => Ok(Answer::Closed),
            Ok((kind, _)) => bail!("an answer of the kind {kind:#x}"),
            Err(error) if is_end(&error) => Ok(Answer::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn put_text(text: &str, packet: &mut Vec<u8>) -> anyhow::Result<()> {
    packet.extend(u16::try_from(text.len())?.to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Its first byte, and what comes after its length.
fn read_packet(link: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0; 1];
    link.read_exact(&mut byte)?;
    let [kind] = byte;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        link.read_exact(&mut byte)?;
        let [part] = byte;
        length |= usize::from(part & 0x7F) << shift;
        if part & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length.min(PACKET_MAX)];
    link.read_exact(&mut body)?;
    Ok((kind, body))
}

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Nothing that is asked for has a longer answer.
const PACKET_MAX: usize = 65_536;
