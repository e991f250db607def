//! Slow, silent and senseless peers cost bounded memory and disturb nobody.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testkit::{Random, Version, login};

use crate::link::{self, Outcome, assert_alive};
use crate::scene::{Scene, setup};

fn ports(scene: &Scene) -> Vec<SocketAddr> {
    ["mqtt", "mqtts", "https", "ws"].iter().filter_map(|it| scene.broker.listener(it)).collect()
}

fn assert_serves(scene: &Scene, client_id: &str) {
    let stream = &mut scene.connect(&scene.ca.client("press-7"), client_id, Version::V5);
    assert_alive(stream);
}

#[test]
fn rule_36_garbage_on_every_port_is_refused_and_disturbs_nobody() {
    let scene = Scene::start("either");
    scene.add_user("press-7", &["certificate"]);
    let mut steady = scene.connect(&scene.ca.client("press-7"), "steady", Version::V5);
    let mut random = Random::new(7);
    let before = scene.broker.resident_kib();
    for port in ports(&scene) {
        for round in 0..100 {
            let mut socket = link::tcp(port);
            let mut bytes: Vec<u8> = random.bytes(4096);
            match round % 4 {
                0 => bytes.truncate(1),
                1 => bytes.splice(0..3, [0x16, 0x03, 0x01]).for_each(drop),
                2 => bytes.splice(0..16, *b"GET / HTTP/1.1\r\n").for_each(drop),
                _ => {}
            }
            // It may be closed before all is sent.
            socket.write_all(&bytes).unwrap_or_default();
            socket.shutdown(std::net::Shutdown::Write).unwrap_or_default();
            let mut answer = Vec::new();
            drop(socket.read_to_end(&mut answer));
            assert!(answer.len() < 1024, "a short answer, if any");
        }
    }
    assert_alive(&mut steady);
    assert_serves(&scene, "after");
    let grown = scene.broker.resident_kib().saturating_sub(before);
    assert!(grown < 20 * 1024, "{grown} KiB more");
}

#[test]
fn rule_36_a_thousand_half_open_handshakes_cost_little_and_end_by_themselves() {
    let setup = setup("mutual-tls").env("COUNTERSIGN_LIMITS_HANDSHAKE_TIMEOUT", "2s");
    let scene = Scene::with(setup.env("COUNTERSIGN_LIMITS_CONNECT_TIMEOUT", "2s"));
    scene.add_user("press-7", &["certificate"]);
    assert_serves(&scene, "before");
    let before = scene.broker.resident_kib();
    let hello = client_hello(&scene);
    let mut half_open: Vec<TcpStream> = (0..1000)
        .map(|number| {
            let mut socket = link::tcp(if number % 2 == 0 { scene.mqtts() } else { scene.https() });
            match number % 3 {
                // Silent, in the middle of a record, and after the whole first flight.
                0 => {}
                1 => socket.write_all(&hello[..50]).unwrap(),
                _ => socket.write_all(&hello).unwrap(),
            }
            socket
        })
        .collect();
    let begun = Instant::now();
    assert_serves(&scene, "meanwhile");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let grown = scene.broker.resident_kib().saturating_sub(before);
    eprintln!("1000 half-open: {grown} KiB more; a login meanwhile took {took:?}");
    assert!(grown < 64 * 1024, "{grown} KiB more");
    for socket in &mut half_open {
        // Whatever was said, the end comes.
        drop(socket.read_to_end(&mut Vec::new()));
    }
    scene.has_logged(&["TLS handshake refused", "too_slow"]);
    assert_serves(&scene, "after");
}

#[test]
fn a_handshake_that_drips_ends_at_its_deadline() {
    let setup = setup("mutual-tls").env("COUNTERSIGN_LIMITS_HANDSHAKE_TIMEOUT", "500ms");
    let scene = Scene::with(setup);
    let hello = client_hello(&scene);
    let mut socket = link::tcp(scene.mqtts());
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    for byte in &hello {
        let is_open = socket.write_all(&[*byte]).is_ok();
        let read = socket.read(&mut [0; 64]);
        let would_block = read.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        if !is_open || !would_block {
            break;
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    scene.has_logged(&["TLS handshake refused", "no TLS handshake in time"]);
}

#[test]
fn flaw_33_plain_mqtt_on_the_tls_port_is_refused() {
    let scene = Scene::start("either");
    let mut socket = link::tcp(scene.mqtts());
    let login = login(Version::V5, "c").user("admin", "guess");
    socket.write_all(&login.bytes()).unwrap();
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    assert_ne!(answer.first(), Some(&0x20), "no CONNACK");
    let mut stream = link::tls(scene.mqtts(), &scene.config(None, &rustls::version::TLS13));
    assert!(matches!(link::outcome(&mut stream, &login.bytes()), Outcome::Connack(0x86)));
}

/// The first flight of an honest client.
fn client_hello(scene: &Scene) -> Vec<u8> {
    let config = scene.config(None, &rustls::version::TLS13);
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}
