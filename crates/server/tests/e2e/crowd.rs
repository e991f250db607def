//! Ten thousand connected sessions, and one change that concerns them all.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{
    BrokerProcess, Version, connect_from, login, round_trips,
    wire::{self, Publish},
};

use crate::support::{PASSWORD, setup};

const CROWD: usize = 10_000;
const USERS: usize = 50;
const WORKERS: usize = 4;

/// Logs in and subscribes to what will be lost and what will be kept, as cheaply as can be.
fn member(broker: SocketAddr, number: usize) -> TcpStream {
    let (version, name) =
        ([Version::V311, Version::V5][number % 2], format!("of-crowd-{}", number % USERS));
    let id = format!("c{number}");
    let mut bytes = login(version, &id).user(&name, PASSWORD).keep_alive_s(600).bytes();
    bytes.extend(wire::subscribe(version, 1, &[("lost/#", 0), ("kept/#", 0)]));
    // So that no one source has too many that are not logged in.
    let last = u8::try_from(number % 200).unwrap() + 10;
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 1, last));
    let mut socket = connect_from(source, broker).expect("the broker listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.write_all(&bytes).unwrap();
    socket
}

/// Reads to the end of this, which must come whole and in the end.
fn read_to(socket: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut got = Vec::new();
    let mut chunk = [0; 512];
    while !got.ends_with(end) {
        let count = socket.read(&mut chunk).expect("in time");
        assert_ne!(count, 0, "kicked after {got:02x?}");
        got.extend(&chunk[..count]);
    }
    got
}

fn crowd(broker: SocketAddr) -> Vec<TcpStream> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn(move || {
                    let numbers: Vec<_> = (worker..CROWD).step_by(WORKERS).collect();
                    let mut members: Vec<TcpStream> = Vec::new();
                    // Some at a time, so that the broker has something to do while the test reads.
                    for some in numbers.chunks(50) {
                        let first = members.len();
                        members.extend(some.iter().map(|number| member(broker, *number)));
                        for (socket, number) in members[first..].iter_mut().zip(some) {
                            read_to(socket, GRANTED[number % 2]);
                        }
                    }
                    members
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn broker() -> BrokerProcess {
    let broker = setup().env("COUNTERSIGN_LOG_LEVEL", "error").start();
    let read = |filter: &str| json!({"resource": filter, "operation": "read", "context": "mqtt"});
    let role = json!({"name": "crowd", "permissions": [read("lost/#"), read("kept/#")]});
    assert_eq!(broker.request("POST", "/api/roles", Some(&role)).status, 201);
    for number in 0..USERS {
        let name = format!("of-crowd-{number}");
        broker.post_user(&name, PASSWORD, &json!({"roles": ["crowd"]}));
    }
    broker.add_user("bystander", PASSWORD, &["--allow", "readWrite:echo/#"]);
    broker.add_user("boss", PASSWORD, &["--role", "connectware-admin"]);
    broker
}

#[test]
fn rule_22_a_role_of_ten_thousand_connected_sessions_changes_within_a_second_and_stalls_nobody() {
    testkit::raise_file_limit(CROWD + 200);
    let broker = broker();
    let begun = Instant::now();
    let mut crowd = crowd(broker.mqtt());
    let connected = begun.elapsed();
    let quiet =
        round_trips(&broker, "bystander", PASSWORD, || thread::sleep(Duration::from_millis(500)));
    let mut boss = login(Version::V5, "boss").user("boss", PASSWORD).connect(broker.mqtt());
    let role = broker.request("GET", "/api/roles?name%5Beq%5D=crowd", None).body;
    let role = format!("/api/roles/{}", role["items"][0]["id"].as_str().unwrap());
    let less = json!({"permissions": [{"resource": "kept/#", "operation": "read"}]});
    let mut took = Duration::ZERO;
    let busy = round_trips(&broker, "bystander", PASSWORD, || {
        let begun = Instant::now();
        assert_eq!(broker.request("PATCH", &role, Some(&less)).status, 200);
        assert!(boss.publish(Publish::new("lost/x", b"no").qos(1, 1)) < 0x80);
        took = begun.elapsed();
        // Whatever is still to be done for it is done within this.
        thread::sleep(Duration::from_millis(500));
    });
    println!("{CROWD} connected in {connected:?}; changed in {took:?}; {quiet:?} became {busy:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(busy.count > 100 && busy.longest < quiet.longest + STALL_MAX, "{busy:?}");
    assert!(busy.p99 < quiet.p99 + Duration::from_millis(50), "{quiet:?} became {busy:?}");
    boss.publish(Publish::new("kept/x", b"yes").qos(1, 1));
    for socket in &mut crowd {
        let got = read_to(socket, b"yes");
        assert!(!got.windows(4).any(|bytes| bytes == b"lost"), "{got:02x?}");
    }
}

/// SUBACK with both subscriptions granted, of 3.1.1 and of 5.0.
const GRANTED: [&[u8]; 2] = [&[0x90, 4, 0, 1, 0, 0], &[0x90, 5, 0, 1, 0, 0, 0]];
/// The one moment in which a shard goes through its sessions; without optimisation it is longer.
const STALL_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(1) } else { Duration::from_millis(200) };
