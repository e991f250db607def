//! A blocking MQTT client over TCP with a deadline on everything.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    received::{Packet, decode},
    wire::{self, Connect, Publish, Version, Will},
};

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How a client logs in; start from [`login`].
#[derive(Clone, Debug)]
pub struct Login<'a>(Connect<'a>);

/// A login of `version` with a clean start, no user name and no password.
#[must_use]
pub fn login(version: Version, client_id: &str) -> Login<'_> {
    Login(Connect {
        version,
        client_id,
        username: None,
        password: None,
        clean_start: true,
        keep_alive_s: 60,
        will: None,
        properties: &[],
    })
}

/// What came of a login.
#[derive(Debug)]
pub enum Outcome {
    /// Accepted.
    Accepted(MqttClient),
    /// CONNACK with this code; the whole packet as bytes.
    Refused(u8, Vec<u8>),
    /// Closed without a CONNACK, or nobody listens.
    Closed,
    /// Nothing came in time.
    Silent,
}

impl<'a> Login<'a> {
    /// With a user name and a password.
    #[must_use]
    pub fn user(self, name: &'a str, password: &'a str) -> Self {
        self.credentials(Some(name), Some(password))
    }

    /// With any combination of user name and password, absent ones too.
    #[must_use]
    pub fn credentials(self, name: Option<&'a str>, password: Option<&'a str>) -> Self {
        Self(Connect { username: name, password: password.map(str::as_bytes), ..self.0 })
    }

    /// Keeps the session: no clean start, and in 5.0 these raw properties (the session expiry).
    #[must_use]
    pub fn resuming(self) -> Self {
        const EXPIRY_ONE_HOUR: &[u8] = &[0x11, 0, 0, 0x0E, 0x10];
        Self(Connect { clean_start: false, properties: EXPIRY_ONE_HOUR, ..self.0 })
    }

    /// With a will.
    #[must_use]
    pub fn will(self, will: Will<'a>) -> Self {
        Self(Connect { will: Some(will), ..self.0 })
    }

    /// With this keep-alive in seconds.
    #[must_use]
    pub fn keep_alive_s(self, seconds: u16) -> Self {
        Self(Connect { keep_alive_s: seconds, ..self.0 })
    }

    /// With these raw properties (5.0 only).
    #[must_use]
    pub fn properties(self, raw: &'a [u8]) -> Self {
        Self(Connect { properties: raw, ..self.0 })
    }

    /// The CONNECT as bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        wire::connect(&self.0)
    }

    /// Connects, sends CONNECT and waits for what comes of it.
    #[must_use]
    pub fn outcome(&self, broker: SocketAddr) -> Outcome {
        match MqttClient::try_open(broker, self.0.version) {
            Some(client) => self.outcome_on(client),
            None => Outcome::Closed,
        }
    }

    /// The same from this address of the machine.
    #[must_use]
    pub fn outcome_from(&self, source: IpAddr, broker: SocketAddr) -> Outcome {
        let stream = connect_from(source, broker).expect("the broker listens");
        self.outcome_on(MqttClient::over(Box::new(duplicate(&stream)), stream, self.0.version))
    }

    /// The same on a connection on which nothing has been sent yet.
    #[must_use]
    pub fn outcome_on(&self, mut client: MqttClient) -> Outcome {
        client.send(&self.bytes());
        let mut raw = Vec::new();
        match client.next_recording(PATIENCE, &mut raw) {
            Next::Packet(Packet::ConnAck { session_present, code: 0, .. }) => {
                client.session_present = session_present;
                client.connack = raw;
                Outcome::Accepted(client)
            }
            Next::Packet(Packet::ConnAck { code, .. }) => {
                assert!(client.is_closed_within(PATIENCE), "a refused connection stays open");
                Outcome::Refused(code, raw)
            }
            Next::Packet(other) => panic!("expected a CONNACK first, got {other:?}"),
            Next::Closed => Outcome::Closed,
            Next::Nothing => Outcome::Silent,
        }
    }

    /// Logs in, and fails the test when that does not work.
    #[must_use]
    pub fn connect(&self, broker: SocketAddr) -> MqttClient {
        match self.outcome(broker) {
            Outcome::Accepted(client) => client,
            other => panic!("{:?} could not log in: {other:?}", self.0.username),
        }
    }

    /// The CONNACK code of a login that must be answered.
    #[must_use]
    pub fn code(&self, broker: SocketAddr) -> u8 {
        match self.outcome(broker) {
            Outcome::Accepted(_) => 0,
            Outcome::Refused(code, _) => code,
            other => panic!("no CONNACK: {other:?}"),
        }
    }
}

enum Next {
    Packet(Packet),
    Closed,
    Nothing,
}

/// What carries a connection: TCP, or something around it.
pub trait Carrier: Read + Write + Send {}

impl<T: Read + Write + Send> Carrier for T {}

/// One connection.
pub struct MqttClient {
    carrier: Box<dyn Carrier>,
    /// Below the carrier: deadlines and the end are its business.
    socket: TcpStream,
    version: Version,
    buffer: Vec<u8>,
    start: usize,
    set_aside: VecDeque<Packet>,
    session_present: bool,
    connack: Vec<u8>,
    packet_id: u16,
}

impl MqttClient {
    /// A connection on which nothing has been sent yet.
    #[must_use]
    pub fn open(broker: SocketAddr, version: Version) -> Self {
        Self::try_open(broker, version).expect("the broker listens")
    }

    /// The same, unless nobody listens there.
    #[must_use]
    pub fn try_open(broker: SocketAddr, version: Version) -> Option<Self> {
        let socket = TcpStream::connect_timeout(&broker, PATIENCE).ok()?;
        Some(Self::over(Box::new(duplicate(&socket)), socket, version))
    }

    /// A connection by `carrier`, which reads and writes `socket`.
    #[must_use]
    pub fn over(carrier: Box<dyn Carrier>, socket: TcpStream, version: Version) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        socket.set_write_timeout(Some(PATIENCE)).expect("a write deadline");
        Self {
            carrier,
            socket,
            version,
            buffer: Vec::new(),
            start: 0,
            set_aside: VecDeque::new(),
            session_present: false,
            connack: Vec::new(),
            packet_id: 0,
        }
    }

    /// Sends bytes as they are; a peer that has closed is no failure here.
    pub fn send(&mut self, bytes: &[u8]) {
        // A broker may close while a test still writes; what follows shows whether that was right.
        drop(self.carrier.write_all(bytes));
        drop(self.carrier.flush());
    }

    /// Sends a PUBLISH and returns the code of its PUBACK or PUBREC (0 for QoS 0), completing QoS 2.
    pub fn publish(&mut self, publish: Publish<'_>) -> u8 {
        let packet_id = self.next_packet_id();
        let qos = publish.qos;
        self.send(&wire::publish(self.version, &Publish { packet_id, ..publish }));
        match qos {
            0 => 0,
            1 => self.expect_ack(4, packet_id),
            _ => {
                let code = self.expect_ack(5, packet_id);
                if code < 0x80 {
                    self.send(&wire::acknowledge(0x62, packet_id));
                    assert_eq!(self.expect_ack(7, packet_id), 0, "PUBCOMP");
                }
                code
            }
        }
    }

    /// Subscribes to one filter and returns its code; messages that come meanwhile are kept.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.subscribe_all(&[(filter, qos)])[0]
    }

    /// Subscribes to several filters in one packet and returns their codes.
    pub fn subscribe_all(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let id = self.next_packet_id();
        self.send(&wire::subscribe(self.version, id, filters));
        self.expect("SUBACK", |packet| match packet {
            Packet::SubAck { packet_id, codes } if *packet_id == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Waits for the acknowledgement of `kind` (packet type 4 to 7) and returns its code.
    pub fn expect_ack(&mut self, kind: u8, id: u16) -> u8 {
        self.expect("an acknowledgement", |packet| match packet {
            Packet::Ack { kind: k, packet_id, code, .. } if *k == kind && *packet_id == id => {
                Some(*code)
            }
            _ => None,
        })
    }

    /// The next message: topic and payload; QoS 1 is acknowledged, QoS 2 completed.
    pub fn message(&mut self) -> (String, Vec<u8>) {
        let (topic, payload, qos, packet_id) = self.expect("a PUBLISH", |packet| match packet {
            Packet::Publish { topic, payload, qos, packet_id, .. } => {
                Some((topic.clone(), payload.clone(), *qos, *packet_id))
            }
            _ => None,
        });
        match qos {
            0 => {}
            1 => self.send(&wire::acknowledge(0x40, packet_id)),
            _ => {
                self.send(&wire::acknowledge(0x50, packet_id));
                self.expect_ack(6, packet_id);
                self.send(&wire::acknowledge(0x70, packet_id));
            }
        }
        (topic, payload)
    }

    /// All messages that are there when a PINGREQ sent now is answered: what the broker had put into
    /// this connection before it read the ping has then arrived.
    pub fn messages_before_ping(&mut self) -> Vec<(String, Vec<u8>)> {
        self.ping();
        let mut messages = Vec::new();
        for packet in std::mem::take(&mut self.set_aside) {
            match packet {
                Packet::Publish { topic, payload, qos, packet_id, .. } => {
                    if qos == 1 {
                        self.send(&wire::acknowledge(0x40, packet_id));
                    }
                    messages.push((topic, payload));
                }
                other => self.set_aside.push_back(other),
            }
        }
        messages
    }

    /// Sends PINGREQ and waits for PINGRESP.
    pub fn ping(&mut self) {
        self.send(&wire::ping());
        self.expect("a PINGRESP", |packet| (*packet == Packet::PingResp).then_some(()));
    }

    /// Sends DISCONNECT and closes. A session that was asked to outlive the connection does.
    pub fn disconnect(mut self) {
        self.send(&wire::disconnect());
        self.drop_link();
    }

    /// Closes without DISCONNECT: a will is then due.
    pub fn drop_link(self) {
        drop(self.socket.shutdown(Shutdown::Both));
    }

    /// Sends nothing more, without a word; what the broker sends still arrives.
    pub fn end_sending(&self) {
        drop(self.socket.shutdown(Shutdown::Write));
    }

    /// The next packet, whatever it is, or `None` when the broker closed or nothing came within `wait`.
    pub fn next_within(&mut self, wait: Duration) -> Option<Packet> {
        if let Some(packet) = self.set_aside.pop_front() {
            return Some(packet);
        }
        match self.next_recording(wait, &mut Vec::new()) {
            Next::Packet(packet) => Some(packet),
            Next::Closed | Next::Nothing => None,
        }
    }

    /// Whether the broker closes within `wait`; packets that come first are dropped.
    pub fn is_closed_within(&mut self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        loop {
            match self
                .next_recording(deadline.saturating_duration_since(Instant::now()), &mut Vec::new())
            {
                Next::Packet(_) => {}
                Next::Closed => return true,
                Next::Nothing => return false,
            }
        }
    }

    /// The code of the DISCONNECT with which the broker ends this connection (5.0).
    pub fn expect_disconnect(&mut self) -> u8 {
        self.expect("a DISCONNECT", |packet| match packet {
            Packet::Disconnect { code } => Some(*code),
            _ => None,
        })
    }

    /// Whether the CONNACK said that a session was kept.
    #[must_use]
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// The CONNACK as bytes.
    #[must_use]
    pub fn connack(&self) -> &[u8] {
        &self.connack
    }

    /// The address this end has.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket")
    }

    /// The next packet that `choose` accepts; others stay in order for later.
    pub fn expect<T>(&mut self, what: &str, choose: impl Fn(&Packet) -> Option<T>) -> T {
        let found = self.set_aside.iter().enumerate().find_map(|(at, p)| Some((at, choose(p)?)));
        if let Some((at, value)) = found {
            drop(self.set_aside.remove(at));
            return value;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next_recording(left, &mut Vec::new()) {
                Next::Packet(packet) => match choose(&packet) {
                    Some(value) => return value,
                    None => self.set_aside.push_back(packet),
                },
                Next::Closed => {
                    panic!("expected {what}, but the broker closed; got {:?}", self.set_aside)
                }
                Next::Nothing => panic!("expected {what} in time; got {:?}", self.set_aside),
            }
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    fn next_recording(&mut self, wait: Duration, raw: &mut Vec<u8>) -> Next {
        let deadline = Instant::now() + wait;
        loop {
            let decoded = decode(&self.buffer[self.start..], self.version);
            if let Some((packet, length)) = decoded.expect("the broker sends valid packets") {
                raw.extend(&self.buffer[self.start..self.start + length]);
                self.start += length;
                return Next::Packet(packet);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            self.socket.set_read_timeout(Some(left)).expect("a read deadline");
            let mut chunk = [0; 16 * 1024];
            match self.carrier.read(&mut chunk) {
                Ok(0) => return Next::Closed,
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Next::Nothing,
                    ErrorKind::Interrupted => {}
                    _ => return Next::Closed,
                },
            }
        }
    }
}

impl std::fmt::Debug for MqttClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttClient").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A TCP connection from this address of the machine: on Linux all of 127.0.0.0/8 is there.
///
/// # Errors
/// If the address is not there, or nobody listens.
pub fn connect_from(source: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    Ok(socket.into())
}

fn duplicate(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a socket can be duplicated")
}
