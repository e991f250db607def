//! A second password that is replaced, or whose time is over, ends the connections that it has proven, whatever carries them,
//! and no others.

use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::HandshakeKind;
use serde_json::json;
use store::{Change, PasswordSlot, Store};
use testkit::{Version, Will, login};

use crate::link::{self, Outcome, assert_alive, wait_for_end};
use crate::scene::{PASSWORD, Scene, spell};
use crate::websockets::Framed;

const SECOND: &str = "quiet-lantern-17-sails";
const THIRD: &str = "brown-kettle-58-winds";
const ONE_SECOND: Duration = Duration::from_secs(1);

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

fn scene() -> Scene {
    let scene = Scene::start("either");
    scene.add_user("press-7", &["password", "certificate"]);
    set_second(&scene, SECOND);
    scene
}

fn set_second(scene: &Scene, password: &str) {
    let target = format!("{}/password", target(scene));
    let body = json!({"password": password, "second": true, "expiresInHours": 1});
    assert_eq!(scene.broker.request("PUT", &target, Some(&body)).status, 204);
}

fn target(scene: &Scene) -> String {
    let user = scene.broker.cli_json(&["user", "show", "press-7"]);
    format!("/api/users/{}", user["id"].as_str().unwrap())
}

/// Logs in on each kind of listener that takes passwords, the last one with 3.1.1.
fn everywhere(scene: &Scene, password: &str, name: &str) -> Vec<(&'static str, Box<dyn Stream>)> {
    let tls = || link::tls(scene.mqtts(), &scene.config(None, &rustls::version::TLS13));
    let streams: [(&str, Box<dyn Stream>, Version); 4] = [
        ("mqtt", Box::new(link::tcp(scene.broker.mqtt())), Version::V5),
        ("mqtts", Box::new(tls()), Version::V5),
        ("ws", Box::new(Framed::open(scene)), Version::V5),
        ("3.1.1", Box::new(link::tcp(scene.broker.mqtt())), Version::V311),
    ];
    let connect = |(kind, mut stream, version): (_, Box<dyn Stream>, _)| {
        let client_id = format!("{name}-{kind}");
        let connect = login(version, &client_id).user("press-7", password).resuming().bytes();
        assert_eq!(link::outcome(&mut stream, &connect), Outcome::Connack(0), "{client_id}");
        (kind, stream)
    };
    streams.into_iter().map(connect).collect()
}

/// All of these end within a second from `begun`, with the code of a changed password.
#[track_caller]
fn check_all_end(streams: Vec<(&str, Box<dyn Stream>)>, begun: Instant) {
    for (kind, mut stream) in streams {
        let (ended, code) = wait_for_end(&mut stream);
        assert_eq!(code, (kind != "3.1.1").then_some(0x98), "{kind}");
        let took = ended - begun;
        assert!(took < ONE_SECOND, "{kind} took {took:?}");
    }
}

#[test]
fn a_replaced_second_password_cuts_what_it_has_proven_on_every_transport_and_nothing_else() {
    let scene = scene();
    let mut by_first = everywhere(&scene, PASSWORD, "first");
    let certificate = scene.ca.client("press-7");
    let mut by_certificate = scene.connect(&certificate, "by-certificate", Version::V5);
    let by_second = everywhere(&scene, SECOND, "second");
    let begun = Instant::now();
    set_second(&scene, THIRD);
    check_all_end(by_second, begun);
    for (_, stream) in &mut by_first {
        assert_alive(stream);
    }
    assert_alive(&mut by_certificate);
    let code =
        |password| login(Version::V5, "c").user("press-7", password).code(scene.broker.mqtt());
    assert_eq!([code(SECOND), code(THIRD), code(PASSWORD)], [0x86, 0, 0]);
    let by_third = everywhere(&scene, THIRD, "second");
    // A new first password ends everything that a password has proven.
    let body = json!({"password": "green-wagon-31-turns"});
    let begun = Instant::now();
    let reply = scene.broker.request("PUT", &format!("{}/password", target(&scene)), Some(&body));
    assert_eq!(reply.status, 204);
    check_all_end(by_third, begun);
    check_all_end(by_first, begun);
}

#[test]
fn a_kept_tls_session_opens_no_door_to_a_replaced_second_password() {
    let scene = scene();
    let config = scene.config(None, &rustls::version::TLS13);
    let connect = |password: &str| {
        let mut stream = link::tls(scene.mqtts(), &config);
        let bytes = login(Version::V5, "c").user("press-7", password).bytes();
        let outcome = link::outcome(&mut stream, &bytes);
        (outcome, stream)
    };
    let (outcome, mut first) = connect(SECOND);
    assert_eq!(outcome, Outcome::Connack(0));
    assert_alive(&mut first);
    drop(first);
    let (outcome, mut resumed) = connect(SECOND);
    assert_eq!(outcome, Outcome::Connack(0));
    assert_eq!(resumed.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_alive(&mut resumed);
    set_second(&scene, THIRD);
    assert_eq!(wait_for_end(&mut resumed).1, Some(0x98));
    let (outcome, again) = connect(SECOND);
    assert_eq!(outcome, Outcome::Connack(0x86));
    assert_eq!(again.conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn required_beside_a_certificate_a_replaced_second_password_cuts_as_well() {
    let scene = Scene::start("either");
    let user = scene.add_user("press-7", &["password", "certificate"]);
    scene.patch(
        &user,
        &json!({"grantTypes": [spell("password:required"), spell("certificate:required")]}),
    );
    set_second(&scene, SECOND);
    let config = scene.config(Some(&scene.ca.client("press-7")), &rustls::version::TLS13);
    let connect = |client_id: &str, password: &str| {
        let mut stream = link::tls(scene.mqtts(), &config);
        let bytes = login(Version::V5, client_id).user("press-7", password).bytes();
        assert_eq!(link::outcome(&mut stream, &bytes), Outcome::Connack(0), "{client_id}");
        stream
    };
    let (mut by_first, mut by_second) = (connect("one", PASSWORD), connect("two", SECOND));
    set_second(&scene, THIRD);
    assert_eq!(wait_for_end(&mut by_second).1, Some(0x98));
    assert_alive(&mut by_first);
}

#[test]
fn a_second_password_whose_time_is_over_cuts_what_it_has_proven_also_after_a_restart() {
    let mut scene = scene();
    let _of_the_run_before = everywhere(&scene, SECOND, "second");
    assert!(scene.broker.terminate().success());
    let ends_at_ms = now_ms() + 5_000;
    // Nobody can ask for less than an hour.
    end_second_at(&scene, ends_at_ms);
    scene.broker.begin();
    let mut by_first = everywhere(&scene, PASSWORD, "first");
    let mut by_second = everywhere(&scene, SECOND, "second");
    let mut reader =
        login(Version::V5, "reader").user("press-7", PASSWORD).connect(scene.broker.mqtt());
    assert_eq!(reader.subscribe("will/#", 1), 1);
    let leave_will = |password: &str, topic: &str, delay_s: Option<u32>| {
        let will = Will { delay_s, ..Will::new(topic, b"gone") };
        let login = login(Version::V5, topic).user("press-7", password).resuming().will(will);
        login.connect(scene.broker.mqtt())
    };
    let online = leave_will(SECOND, "will/online", None);
    leave_will(SECOND, "will/second", Some(6)).drop_link();
    leave_will(PASSWORD, "will/first", Some(7)).drop_link();
    assert!(now_ms() < ends_at_ms, "this machine is too slow for the test");
    for (_, stream) in &mut by_second {
        assert_alive(stream);
    }
    while now_ms() < ends_at_ms {
        std::thread::sleep(Duration::from_millis(1));
    }
    check_all_end(by_second, Instant::now());
    for (_, stream) in &mut by_first {
        assert_alive(stream);
    }
    let code =
        |password| login(Version::V5, "c").user("press-7", password).code(scene.broker.mqtt());
    assert_eq!([code(SECOND), code(PASSWORD)], [0x86, 0]);
    // Nobody has withdrawn it: those who watch these clients are told that they are gone.
    let wills: Vec<_> = (0..3).map(|_| reader.message().0).collect();
    assert_eq!(wills, ["will/online", "will/second", "will/first"]);
    drop(online);
}

#[test]
fn the_same_second_password_with_another_end_ends_then_and_not_before() {
    let mut scene = scene();
    assert!(scene.broker.terminate().success());
    let ends_at_ms = now_ms() + 4_000;
    end_second_at(&scene, ends_at_ms);
    scene.broker.begin();
    let mut by_second = everywhere(&scene, SECOND, "second");
    assert!(now_ms() < ends_at_ms, "this machine is too slow for the test");
    set_second(&scene, SECOND);
    while now_ms() < ends_at_ms + 1_000 {
        std::thread::sleep(Duration::from_millis(10));
    }
    for (_, stream) in &mut by_second {
        assert_alive(stream);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Moves the end of the second password while the broker is stopped.
fn end_second_at(scene: &Scene, ends_at_ms: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(scene.broker.data_dir()).await.unwrap();
        let (user, mut passwords) = store
            .load()
            .await
            .unwrap()
            .users
            .into_iter()
            .find(|(record, _)| record.user.name.as_str() == "press-7")
            .unwrap();
        let second = passwords.iter_mut().find(|it| it.slot == PasswordSlot::Second).unwrap();
        second.expires_at_ms = Some(ends_at_ms);
        store.commit(&[Change::PutPasswords(user.user.id, passwords)]).await.unwrap();
        store.close().await;
    });
}
