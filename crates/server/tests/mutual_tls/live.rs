//! What is taken away is gone within a second on live connections, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Version, eventually};

use crate::certificates::{Ca, Client, Leaf, now_s};
use crate::link::{Tls, assert_alive, wait_for_end};
use crate::scene::{Scene, spell};

const CROWD: usize = 1000;
const ONE_SECOND: Duration = Duration::from_secs(1);

/// A client of 5.0 and one of 3.1.1 that are to be cut.
fn pair(scene: &Scene, client: &Client, name: &str) -> [Tls; 2] {
    [
        scene.connect(client, &format!("{name}-5"), Version::V5),
        scene.connect(client, &format!("{name}-4"), Version::V311),
    ]
}

/// Runs a cut and checks that both end within a second, the 5.0 one with its code.
#[track_caller]
fn check_cut(what: &str, pair: [Tls; 2], cut: impl FnOnce()) {
    check_cut_from(what, pair, || {
        let begun = Instant::now();
        cut();
        begun
    });
}

/// The same for a cut that says when it began.
#[track_caller]
fn check_cut_from(what: &str, mut pair: [Tls; 2], cut: impl FnOnce() -> Instant) {
    for stream in &mut pair {
        assert_alive(stream);
    }
    let begun = cut();
    let [five, four] = &mut pair;
    let (ended, code) = wait_for_end(five);
    let (also_ended, _) = wait_for_end(four);
    let took = ended.max(also_ended) - begun;
    eprintln!("{what}: {} ms from the command to the closed sockets", took.as_millis());
    assert_eq!(code, Some(0x87), "{what}");
    assert!(took < ONE_SECOND, "{what} took {took:?}");
}

fn crowd(scene: &Scene, client: &Client) -> Vec<Tls> {
    let connect = |numbers: std::ops::Range<usize>| {
        numbers
            .map(|number| scene.connect(client, &format!("crowd-{number}"), Version::V5))
            .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let half = scope.spawn(|| connect(0..CROWD / 2));
        let mut all = connect(CROWD / 2..CROWD);
        all.extend(half.join().unwrap());
        all
    })
}

fn issued(scene: &Scene, user: &Value) -> (Client, String) {
    let target = format!("/api/users/{}/certificates", user["id"].as_str().unwrap());
    let reply = scene.broker.request("POST", &target, Some(&json!({})));
    assert_eq!(reply.status, 201, "{}", reply.body);
    let text = |field: &str| reply.body[field].as_str().unwrap().to_owned();
    let client = Client::from_pem(&text("certificate"), &text("key"));
    (client, format!("{target}/{}", text("fingerprint")))
}

#[test]
fn flaws_34_and_35_each_cut_takes_less_than_a_second_with_1000_clients_and_spares_the_others() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("crowd", &["certificate"]);
    let mut crowd = crowd(&scene, &scene.ca.client("crowd"));
    let user = |name: &str| scene.add_user(name, &["certificate"]);
    let by_test_ca = |name: &str| pair(&scene, &scene.ca.client(name), name);
    let target = |user: &Value| format!("/api/users/{}", user["id"].as_str().unwrap());

    let (client, certificate) = issued(&scene, &user("revoked"));
    check_cut("certificate revoked", pair(&scene, &client, "revoked"), || {
        assert_eq!(scene.broker.request("DELETE", &certificate, None).status, 204);
    });
    let removed = user("removed");
    check_cut("user removed", by_test_ca("removed"), || {
        assert_eq!(scene.broker.request("DELETE", &target(&removed), None).status, 204);
    });
    let ungranted = user("ungranted");
    check_cut("grant removed", by_test_ca("ungranted"), || {
        scene.patch(&ungranted, &json!({"grantTypes": [spell("password")]}));
    });
    let disabled = user("disabled");
    check_cut("user disabled", by_test_ca("disabled"), || {
        scene.patch(&disabled, &json!({"enabled": false}));
    });
    user("listed");
    let listed = scene.ca.sign(&Leaf { serial: 99, ..Leaf::named(&["listed"]) });
    check_cut("revocation list changed", pair(&scene, &listed, "listed"), || {
        scene.write("crl.pem", &format!("{}{}", scene.read("crl.pem"), scene.ca.crl(1, &[99])));
    });
    user("withdrawn");
    let other = Ca::root("Other Root");
    let bundle = scene.read("ca.crt");
    let changes = scene.broker.log_lines(&["changed files are in use", "bundle=true"]).len();
    scene.write("ca.crt", &format!("{bundle}{}", other.pem));
    eventually("the other root counts", || {
        scene.broker.log_lines(&["changed files are in use", "bundle=true"]).len() > changes
    });
    check_cut("authority withdrawn", pair(&scene, &other.client("withdrawn"), "withdrawn"), || {
        scene.write("ca.crt", &bundle);
    });
    user("expiring");
    let until_s = now_s() + 4;
    let leaf = Leaf { valid_until_s: until_s, ..Leaf::named(&["expiring"]) };
    check_cut_from("notAfter passed", pair(&scene, &scene.ca.sign(&leaf), "expiring"), || {
        // The last second counts as valid to its end.
        while now_s() <= until_s {
            std::thread::sleep(Duration::from_millis(1));
        }
        Instant::now()
    });
    crowd.iter_mut().for_each(assert_alive);
    let left = scene.broker.stderr().matches("user=\"crowd\"").count();
    assert_eq!(left, CROWD, "each of the crowd has connected once and not left");
}

#[test]
fn a_session_outlives_the_certificate_that_it_was_made_with() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate"]);
    let old = scene.ca.sign(&Leaf { serial: 1, ..Leaf::named(&["press-7"]) });
    let mut stream =
        crate::link::tls(scene.mqtts(), &scene.config(Some(&old), &rustls::version::TLS13));
    let login = testkit::login(Version::V5, "kept").resuming();
    let connack = |stream: &mut Tls| {
        std::io::Write::write_all(stream, &login.bytes()).unwrap();
        crate::link::packet(stream).unwrap()
    };
    assert_eq!(connack(&mut stream).1[..2], [0, 0]);
    scene.write("crl.pem", &format!("{}{}", scene.read("crl.pem"), scene.ca.crl(1, &[1])));
    assert_eq!(wait_for_end(&mut stream).1, Some(0x87));
    let new = scene.ca.sign(&Leaf { serial: 2, ..Leaf::named(&["press-7"]) });
    let mut stream =
        crate::link::tls(scene.mqtts(), &scene.config(Some(&new), &rustls::version::TLS13));
    assert_eq!(connack(&mut stream).1[..2], [1, 0], "session present, accepted");
}

#[test]
fn flaw_34_a_revocation_cuts_live_links_even_if_the_list_cannot_be_written() {
    let scene = Scene::start("mutual-tls");
    let user = scene.add_user("revoked", &["certificate"]);
    let (client, certificate) = issued(&scene, &user);
    let (spared, _) = issued(&scene, &user);
    let mut spared = scene.connect(&spared, "spared", Version::V5);
    // Neither is a list that can be replaced, nor a file that can be moved out of the way: like a full disk.
    let directory = scene.broker.data_dir().join("certs");
    std::fs::remove_file(directory.join("crl.pem")).unwrap();
    std::fs::create_dir(directory.join("crl.pem")).unwrap();
    std::fs::create_dir_all(directory.join("crl.pem.unusable/full")).unwrap();
    check_cut("certificate revoked, list not written", pair(&scene, &client, "revoked"), || {
        let reply = scene.broker.request("DELETE", &certificate, None);
        assert_eq!(reply.status, 500, "the list is not written: {}", reply.body);
    });
    assert_alive(&mut spared);
    let again = scene.outcome(Some(&client), &testkit::login(Version::V5, "again"));
    assert_eq!(again, crate::link::Outcome::Connack(0x87), "nor does it come back");
}
