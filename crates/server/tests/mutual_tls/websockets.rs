//! MQTT over WebSocket, with a client that is not ours.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use testkit::{Login, Version, login, wire};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, Message, WebSocket};

use crate::link;
use crate::scene::{PASSWORD, Scene};

fn open<S: Read + Write>(
    stream: S,
    address: SocketAddr,
    path: &str,
    protocol: Option<&str>,
) -> Result<WebSocket<S>, u16> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    }
    match tungstenite::client(request, stream) {
        Ok((socket, response)) => {
            assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
            Ok(socket)
        }
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

fn ws(scene: &Scene) -> WebSocket<std::net::TcpStream> {
    let address = scene.broker.listener("ws").unwrap();
    open(link::tcp(address), address, "/mqtt", Some("mqtt")).expect("it opens")
}

/// The bytes that go by WebSocket, as if there were no frames.
pub(crate) struct Framed {
    socket: WebSocket<std::net::TcpStream>,
    unread: VecDeque<u8>,
}

impl Framed {
    pub(crate) fn open(scene: &Scene) -> Self {
        Self { socket: ws(scene), unread: VecDeque::new() }
    }
}

impl Read for Framed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(part)) => self.unread.extend(part),
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(Error::Io(error)) => return Err(error),
                Err(other) => return Err(io::Error::other(other)),
            }
        }
        self.unread.read(buffer)
    }
}

impl Write for Framed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send(Message::binary(bytes.to_vec())).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn send(socket: &mut WebSocket<impl Read + Write>, bytes: &[u8]) {
    socket.send(Message::binary(bytes.to_vec())).unwrap();
}

/// The bytes of the next binary messages, until there are `length`.
fn receive(socket: &mut WebSocket<impl Read + Write>, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        match socket.read().expect("it lives") {
            Message::Binary(part) => bytes.extend_from_slice(&part),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    bytes
}

fn bob() -> Login<'static> {
    login(Version::V311, "c").user("bob", PASSWORD)
}

fn scene() -> Scene {
    let scene = Scene::start("either");
    scene.add_user("bob", &["password", "certificate"]);
    scene
}

// Shows 3.1.1: [MQTT-6.0.0-2]; 5.0: [MQTT-6.0.0-2].
#[test]
fn mqtt_6_0_0_2_packets_may_span_frames_and_share_them() {
    let scene = scene();
    let mut socket = ws(&scene);
    let connect = bob().bytes();
    let (start, end) = connect.split_at(5);
    send(&mut socket, start);
    socket.send(Message::Ping(b"now".to_vec().into())).unwrap();
    let rest = [end, &wire::subscribe(Version::V311, 1, &[("a/#", 0)]), &wire::ping()].concat();
    send(&mut socket, &rest);
    assert_eq!(receive(&mut socket, 4 + 5 + 2), [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0xd0, 0]);
    let payload = vec![7; 300_000];
    let publish = wire::publish(Version::V311, &wire::Publish::new("a/b", &payload));
    for part in publish.chunks(70_001) {
        send(&mut socket, part);
    }
    assert_eq!(receive(&mut socket, publish.len()), publish);
    send(&mut socket, &wire::disconnect());
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_) => break,
        }
    }
}

// Shows 3.1.1: [MQTT-6.0.0-1]; 5.0: [MQTT-6.0.0-1].
#[test]
fn mqtt_6_0_0_1_a_text_frame_closes() {
    let scene = scene();
    let mut socket = ws(&scene);
    socket.send(Message::text("CONNECT")).unwrap();
    let Ok(Message::Close(Some(frame))) = socket.read() else { panic!("a close frame") };
    assert_eq!(u16::from(frame.code), 1003);
}

// Shows 3.1.1: [MQTT-6.0.0-3], [MQTT-6.0.0-4]; 5.0: [MQTT-6.0.0-3], [MQTT-6.0.0-4].
#[test]
fn mqtt_6_0_0_3_only_the_subprotocol_mqtt_at_its_path_opens() {
    let scene = scene();
    let address = scene.broker.listener("ws").unwrap();
    let check = |path: &str, protocol, status| {
        let opened = open(link::tcp(address), address, path, protocol);
        assert_eq!(opened.err(), status, "{path} {protocol:?}");
    };
    check("/mqtt", Some("mqtt"), None);
    check("/mqtt", None, Some(400));
    check("/mqtt", Some("chat"), Some(400));
    check("/", Some("mqtt"), Some(404));
    check("/api/users", Some("mqtt"), Some(404));
    check("/healthz", None, Some(404));
}

#[test]
fn flaw_7_a_websocket_over_tls_is_judged_by_the_same_code() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    let open_by = |client: Option<&crate::certificates::Client>| {
        let config = scene.config(client, &rustls::version::TLS13);
        open(link::tls(scene.https(), &config), scene.https(), "/mqtt", Some("mqtt"))
    };
    assert_eq!(open_by(None).err(), Some(401));
    let check = |name: &str, connack: [u8; 4]| {
        let mut socket = open_by(Some(&scene.ca.client(name))).expect("it opens");
        send(&mut socket, &login(Version::V311, "c").bytes());
        assert_eq!(receive(&mut socket, 4), connack, "{name}");
    };
    check("press-7", [0x20, 2, 0, 0]);
    check("Press-7", [0x20, 2, 0, 5]);
    check("nobody", [0x20, 2, 0, 5]);
    let foreign = crate::certificates::Ca::root("Foreign").client("press-7");
    let config = scene.config(Some(&foreign), &rustls::version::TLS13);
    let mut stream = link::tls(scene.https(), &config);
    let failed = stream.write_all(b"GET /mqtt HTTP/1.1\r\n\r\n").and_then(|()| {
        let mut byte = [0];
        stream.read_exact(&mut byte)
    });
    assert!(matches!(link::ended(&failed.unwrap_err()), link::Outcome::Alert(_)));
}
