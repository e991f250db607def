//! Many logins at once: proven secrets are cheap, and the dear ones hold up nobody who is in.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{BrokerProcess, MqttClient, Packet, Version, login, wire::Publish};

use crate::support::{OTHER_PASSWORD, PASSWORD, setup_with_real_hashes};

const CLIENTS: usize = 2_000;
const USERS: usize = 200;
const WORKERS: usize = 4;

fn user_name(index: usize) -> String {
    format!("machine-{}", index % USERS)
}

fn broker_with_users() -> BrokerProcess {
    let broker = setup_with_real_hashes()
        .env("COUNTERSIGN_ANONYMOUS_USER", "guest")
        .env("COUNTERSIGN_LOG_LEVEL", "warn")
        // All of them wait for one small pool here; that is what is measured, not when it gives up.
        .env("COUNTERSIGN_HASHING_DEADLINE", "10m")
        .start();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let broker = &broker;
            scope.spawn(move || {
                for index in (worker..USERS).step_by(WORKERS) {
                    broker.post_user(&user_name(index), PASSWORD, &json!({}));
                }
            });
        }
    });
    broker.post_user("guest", PASSWORD, &json!({}));
    broker
}

/// Logs all clients in, keeps them, and returns how long it took.
fn reconnect(broker: SocketAddr, clients: usize, is_anonymous: bool) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || {
                let connections: Vec<MqttClient> = (worker..clients)
                    .step_by(WORKERS)
                    .map(|index| {
                        let (id, name) = (format!("client-{index}"), user_name(index));
                        let login = login(Version::V5, &id);
                        let login = if is_anonymous { login } else { login.user(&name, PASSWORD) };
                        login.connect(broker)
                    })
                    .collect();
                assert!(!connections.is_empty());
            });
        }
    });
    begun.elapsed()
}

#[test]
fn two_thousand_proven_passwords_cost_at_most_three_times_anonymous_logins() {
    let broker = broker_with_users();
    // The first login of each user pays for its hash.
    let first = reconnect(broker.mqtt(), USERS, false);
    let mut proven = Vec::new();
    let mut anonymous = Vec::new();
    for _ in 0..3 {
        anonymous.push(reconnect(broker.mqtt(), CLIENTS, true));
        proven.push(reconnect(broker.mqtt(), CLIENTS, false));
    }
    let (proven, anonymous) = (proven.iter().min().unwrap(), anonymous.iter().min().unwrap());
    println!(
        "{USERS} first logins: {first:?}; {CLIENTS} reconnects: {proven:?} with a proven password, \
         {anonymous:?} anonymous"
    );
    assert!(first > Duration::from_millis(500), "no hash was computed: {first:?}");
    assert!(*proven < *anonymous * 3, "{proven:?} is more than three times {anonymous:?}");
}

#[test]
fn first_logins_do_not_delay_the_traffic_of_connected_clients() {
    let mut broker = broker_with_users();
    broker.add_user("talker", PASSWORD, &["--allow", "readWrite:echo"]);
    // Nothing is proven after a restart.
    broker.restart();
    check_traffic_goes_on(&broker, PASSWORD);
}

#[test]
fn refused_logins_do_not_delay_others() {
    let broker = broker_with_users();
    broker.add_user("talker", PASSWORD, &["--allow", "readWrite:echo"]);
    check_traffic_goes_on(&broker, OTHER_PASSWORD);
    // A proven secret does not queue behind wrong ones.
    let begun = Instant::now();
    let another = format!("{OTHER_PASSWORD}-still");
    let wrong: Vec<MqttClient> =
        (0..USERS).map(|index| begin_login(&broker, index, &another)).collect();
    let again = login(Version::V5, "talker-2").user("talker", PASSWORD).connect(broker.mqtt());
    assert!(begun.elapsed() < Duration::from_millis(500), "waited {:?}", begun.elapsed());
    drop((again, wrong));
}

/// Sends the CONNECT of one user and does not wait for the answer.
fn begin_login(broker: &BrokerProcess, index: usize, password: &str) -> MqttClient {
    let (id, name) = (format!("client-{index}"), user_name(index));
    let mut client = MqttClient::open(broker.mqtt(), Version::V5);
    client.send(&login(Version::V5, &id).user(&name, password).bytes());
    client
}

/// Measures round trips of a connected client while as many logins as there are users wait for their hash.
fn check_traffic_goes_on(broker: &BrokerProcess, password: &str) {
    let mut talker = login(Version::V5, "talker").user("talker", PASSWORD).connect(broker.mqtt());
    assert_eq!(talker.subscribe("echo", 0), 0);
    let quiet = round_trips(&mut talker, || false, Duration::from_secs(1));
    let waiting: Vec<MqttClient> =
        (0..USERS).map(|index| begin_login(broker, index, password)).collect();
    let answered = AtomicBool::new(false);
    let begun = Instant::now();
    let busy = thread::scope(|scope| {
        scope.spawn(|| {
            for mut client in waiting {
                // The last one waits for all hashes before its own.
                let first = client.next_within(Duration::from_secs(60));
                assert!(matches!(first, Some(Packet::ConnAck { .. })), "{first:?}");
            }
            answered.store(true, Ordering::Relaxed);
        });
        round_trips(&mut talker, || answered.load(Ordering::Relaxed), Duration::from_secs(60))
    });
    let took = begun.elapsed();
    println!("quiet: {quiet:?}; while {USERS} logins took {took:?}: {busy:?}");
    assert!(
        took > Duration::from_millis(500) && busy.count > 100,
        "nothing was measured: {busy:?}"
    );
    assert!(busy.median < quiet.median + Duration::from_millis(3), "{quiet:?} became {busy:?}");
    assert!(busy.p99 < quiet.p99 + Duration::from_millis(25), "{quiet:?} became {busy:?}");
}

#[derive(Debug)]
struct RoundTrips {
    count: usize,
    median: Duration,
    p99: Duration,
}

/// Sends messages to itself until `is_done`, or for `limit`.
fn round_trips(client: &mut MqttClient, is_done: impl Fn() -> bool, limit: Duration) -> RoundTrips {
    let begun = Instant::now();
    let mut times = Vec::new();
    while !is_done() && begun.elapsed() < limit {
        let sent = Instant::now();
        client.publish(Publish::new("echo", b"x"));
        client.message();
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    RoundTrips { count: times.len(), median: at(50), p99: at(99) }
}
