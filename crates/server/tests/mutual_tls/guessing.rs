//! Guessing passwords, as fast as somebody does who means it: 10,000 a minute from one address, by MQTT and by HTTPS.
//!
//! `GUESSES` changes how many; the full number takes a minute.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::json;
use testkit::{BrokerSetup, MqttClient, Outcome, Version, connect_from, login, round_trips};

use crate::link;
use crate::scene::{PASSWORD, Scene};

/// Where those are who guess; somebody honest is there as well.
const GUESSER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// Where the victim usually is.
const USUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Where everybody else is.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const NEWCOMERS: usize = 12;

fn scene() -> Scene {
    // With hashes at their real price.
    let mut setup = BrokerSetup::new(env!("CARGO_BIN_EXE_countersign"))
        .env("COUNTERSIGN_LOG_LEVEL", "info")
        .env("COUNTERSIGN_LISTENERS_MQTTS", "off");
    for listener in ["MQTT", "HTTPS"] {
        setup = setup.env(&format!("COUNTERSIGN_LISTENERS_{listener}"), "127.0.0.1:0");
    }
    let scene = Scene::with(setup);
    let some = json!({"roles": ["minimum-access"]});
    for name in ["victim", "neighbour", "stranger"] {
        scene.broker.post_user(name, PASSWORD, &some);
    }
    for number in 0..NEWCOMERS {
        scene.broker.post_user(&format!("newcomer-{number}"), PASSWORD, &some);
    }
    let echo = json!({"resource": "echo/#", "operation": "readWrite", "context": "mqtt"});
    scene.broker.post_user("bystander", PASSWORD, &json!({"permissions": [echo]}));
    scene
}

fn code(scene: &Scene, name: &str, from: IpAddr) -> u8 {
    match login(Version::V5, "c").user(name, PASSWORD).outcome_from(from, scene.broker.mqtt()) {
        Outcome::Accepted(_) => 0,
        Outcome::Refused(code, _) => code,
        other => panic!("{name}: {other:?}"),
    }
}

/// The status of a login by HTTPS.
fn rest_login(https: SocketAddr, config: &Arc<ClientConfig>, name: &str, from: IpAddr) -> u16 {
    let mut stream = link::tls_from(from, https, config);
    ask(&mut stream, name, PASSWORD)
}

fn ask(stream: &mut link::Tls, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password}).to_string();
    let head = format!(
        "POST /api/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        answer.extend(&chunk[..count]);
        let text = String::from_utf8_lossy(&answer);
        // All bodies of this path are objects, the last thing of which is its brace.
        if count == 0 || (text.contains("\r\n\r\n") && text.ends_with('}')) {
            return text.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        }
    }
}

/// What guesses: as a name that exists or one that does not, never with the same password.
struct Guesses {
    made: AtomicUsize,
    wanted: usize,
    stop: AtomicBool,
}

impl Guesses {
    fn next(&self) -> Option<(String, String)> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let is_over = number >= self.wanted || self.stop.load(Ordering::Relaxed);
        let name =
            if number.is_multiple_of(2) { "victim".to_owned() } else { format!("nobody-{number}") };
        (!is_over).then(|| (name, format!("guess-{number}")))
    }

    /// Sends one after the other at the pace of 10,000 a minute, and waits for no answer.
    fn by_mqtt(&self, broker: SocketAddr) {
        let mut open = VecDeque::new();
        while let Some((name, password)) = self.next() {
            let socket = connect_from(GUESSER, broker).expect("the broker listens");
            let carrier = Box::new(socket.try_clone().unwrap());
            let mut client = MqttClient::over(carrier, socket, Version::V5);
            client.send(&login(Version::V5, "guess").user(&name, &password).bytes());
            open.push_back(client);
            // Most are still held back then.
            if open.len() > 150 {
                drop(open.pop_front());
            }
            std::thread::sleep(Duration::from_millis(6));
        }
    }

    /// Sends the next when the last is answered, on one of many connections.
    fn by_https(&self, https: SocketAddr, config: &Arc<ClientConfig>) {
        let mut stream = link::tls_from(GUESSER, https, config);
        while let Some((name, password)) = self.next() {
            assert!([401, 429].contains(&ask(&mut stream, &name, &password)));
        }
    }
}

fn wanted() -> usize {
    std::env::var("GUESSES").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// Has the address locked by the first guesses, then looks at what others notice of the rest.
fn check(way: &str, guess: impl Fn(&Guesses, &Scene) + Sync, first_login: impl Fn(&Scene, &str)) {
    let scene = scene();
    for (name, from) in [("victim", USUAL), ("neighbour", GUESSER)] {
        assert_eq!(code(&scene, name, from), 0, "{name} proves itself");
    }
    let (wanted, made, stop) = (wanted(), AtomicUsize::new(0), AtomicBool::new(false));
    let guesses = Guesses { made, wanted, stop };
    let (begun, spent) = (Instant::now(), scene.broker.processor_time());
    let mut times = Vec::new();
    let trips = round_trips(&scene.broker, "bystander", PASSWORD, || {
        std::thread::scope(|scope| {
            let guessing = scope.spawn(|| guess(&guesses, &scene));
            while guesses.made.load(Ordering::Relaxed) < wanted / 4 {
                std::thread::sleep(Duration::from_millis(5));
            }
            for number in 0..NEWCOMERS {
                let begun = Instant::now();
                first_login(&scene, &format!("newcomer-{number}"));
                times.push(begun.elapsed());
            }
            assert_eq!(code(&scene, "victim", USUAL), 0, "proven, at its usual address");
            assert_eq!(code(&scene, "neighbour", GUESSER), 0, "proven, at the very address");
            assert_eq!(code(&scene, "stranger", GUESSER), 0x8A, "nobody is new there for now");
            guessing.join().unwrap();
        });
    });
    let (took, spent) = (begun.elapsed(), scene.broker.processor_time() - spent);
    let locks = scene.broker.request("GET", "/api/protection", None).body;
    assert!(locks["sources"].to_string().contains("127.0.0.3"), "{locks}");
    times.sort_unstable();
    println!(
        "{wanted} guesses by {way} in {took:?} cost {spent:?}; first logins meanwhile took {times:?}; \
         round trips of others {trips:?}"
    );
    assert!(spent < took / 2, "{spent:?} of {took:?}: the processor is not free for others");
    assert!(times[NEWCOMERS / 2] < Duration::from_millis(200), "{times:?}");
    assert!(trips.count > 100 && trips.p99 < Duration::from_millis(100), "{trips:?}");
}

#[test]
fn flaw_40_ten_thousand_guesses_a_minute_by_mqtt_lock_their_address_and_disturb_nobody() {
    check(
        "MQTT",
        |guesses, scene| guesses.by_mqtt(scene.broker.mqtt()),
        |scene, name| assert_eq!(code(scene, name, ELSEWHERE), 0),
    );
}

#[test]
fn flaw_40_ten_thousand_guesses_a_minute_by_https_lock_their_address_and_disturb_nobody() {
    check(
        "HTTPS",
        |guesses, scene| {
            let config = scene.config(None, &rustls::version::TLS13);
            std::thread::scope(|scope| {
                // Each is held back for a second: as many as make the pace.
                for _ in 0..170 {
                    scope.spawn(|| guesses.by_https(scene.https(), &config));
                }
            });
        },
        |scene, name| {
            let config = scene.config(None, &rustls::version::TLS13);
            assert_eq!(rest_login(scene.https(), &config, name, ELSEWHERE), 200, "{name}");
        },
    );
}

#[test]
fn one_address_that_holds_all_the_https_connections_it_gets_keeps_nobody_else_out() {
    let scene = scene();
    let config = scene.config(None, &rustls::version::TLS13);
    let hold = || {
        let mut stream = link::tls_from(GUESSER, scene.https(), &config);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (status.ends_with(b"200")).then_some(stream)
    };
    let held: Vec<_> = (0..256).map_while(|_| hold()).collect();
    assert_eq!(held.len(), 256, "as many as it may have");
    assert!(hold().is_none(), "and no more");
    assert_eq!(rest_login(scene.https(), &config, "stranger", ELSEWHERE), 200);
    drop(held);
    testkit::eventually("the places are free again", || hold().is_some());
}
