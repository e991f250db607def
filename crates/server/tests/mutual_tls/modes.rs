//! What each mode opens and demands.

use std::io::{Read as _, Write as _};

use testkit::{Outcome as PlainOutcome, Version, login};

use crate::link::{self, Outcome};
use crate::scene::{PASSWORD, Scene, setup, setup_without_mode};

#[test]
fn mutual_tls_opens_no_plain_listener_and_says_so() {
    let scene = Scene::with(setup("mutual-tls"));
    assert_eq!(scene.broker.listener("mqtt"), None);
    assert_eq!(scene.broker.listener("ws"), None);
    let names: Vec<_> = scene.broker.ready_line().split(' ').skip(1).collect();
    assert!(names[0].starts_with("mqtts=") && names[1].starts_with("https="), "{names:?}");
    assert_eq!(scene.broker.log_lines(&["`mqtt` and `ws` are not opened"]).len(), 1);
}

#[test]
fn the_variable_of_connectware_selects_mutual_tls() {
    let broker = setup_without_mode().env("CYBUS_BROKER_USE_MUTUAL_TLS", "Yes").start();
    assert_eq!(broker.listener("mqtt"), None);
    for bad in ["", "true", "maybe"] {
        let directory = tempfile::tempdir().unwrap();
        let setup = setup_without_mode().env("CYBUS_BROKER_USE_MUTUAL_TLS", bad);
        let ran = setup.serve_to_the_end(directory.path());
        assert_eq!(ran.code, Some(2), "{bad:?}: {}", ran.stderr);
    }
}

#[test]
fn in_password_mode_a_certificate_changes_nothing() {
    let scene = Scene::start("password");
    scene.add_user("press-7", &["password", "certificate"]);
    let client = scene.ca.client("press-7");
    let foreign = crate::certificates::Ca::root("Foreign").client("press-7");
    let check = |name: Option<&str>, password: Option<&str>, code| {
        for client in [None, Some(&client), Some(&foreign)] {
            let login = login(Version::V5, "c").credentials(name, password);
            assert_eq!(scene.outcome(client, &login), Outcome::Connack(code));
        }
    };
    check(Some("press-7"), Some(PASSWORD), 0);
    check(Some("press-7"), Some("wrong-password"), 0x86);
    check(None, None, 0x86);
}

#[test]
fn in_either_mode_both_work_as_the_users_grant_types_say() {
    let scene = Scene::start("either");
    scene.add_user("by-both", &["password", "certificate"]);
    scene.add_user("by-password", &["password"]);
    scene.add_user("by-certificate", &["certificate"]);
    let check = |certificate: Option<&str>, name: Option<&str>, code| {
        let client = certificate.map(|name| scene.ca.client(name));
        let login = login(Version::V5, "c").credentials(name, name.map(|_| PASSWORD));
        let outcome = scene.outcome(client.as_ref(), &login);
        assert_eq!(outcome, Outcome::Connack(code), "{certificate:?} {name:?}");
    };
    check(Some("by-both"), None, 0);
    check(None, Some("by-both"), 0);
    check(None, Some("by-password"), 0);
    check(Some("by-password"), Some("by-password"), 0x87);
    check(Some("by-certificate"), None, 0);
    check(None, Some("by-certificate"), 0x86);
    check(None, None, 0x86);
    let foreign = crate::certificates::Ca::root("Foreign").client("by-both");
    let login_by_password = login(Version::V5, "c").user("by-both", PASSWORD);
    assert!(matches!(scene.outcome(Some(&foreign), &login_by_password), Outcome::Alert(_)));
    assert!(matches!(login_by_password.outcome(scene.broker.mqtt()), PlainOutcome::Accepted(_)));
}

#[test]
fn a_user_whose_password_is_required_must_give_both() {
    let scene = Scene::start("mutual-tls");
    scene.add_user("press-7", &["certificate", "password:required"]);
    scene.add_user("both", &["certificate:required", "password:required"]);
    let check = |user: &str, name: Option<&str>, password: Option<&str>, code| {
        let login = login(Version::V5, "c").credentials(name, password);
        let outcome = scene.outcome(Some(&scene.ca.client(user)), &login);
        assert_eq!(outcome, Outcome::Connack(code), "{user} {name:?} {password:?}");
    };
    check("both", Some("both"), Some(PASSWORD), 0);
    check("both", Some("both"), Some("wrong-password"), 0x86);
    check("both", Some("both"), None, 0x86);
    check("both", None, None, 0x86);
    check("both", Some("press-7"), Some(PASSWORD), 0x86);
}

#[test]
fn https_serves_the_public_without_a_certificate_and_nothing_else() {
    let scene = Scene::start("mutual-tls");
    let check = |target: &str, status: &str| {
        let config = scene.config(None, &rustls::version::TLS13);
        let mut stream = link::tls(scene.https(), &config);
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // The server may close without waiting for TLS's own end.
        stream.read_to_string(&mut answer).unwrap_or_default();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answer}");
    };
    check("/healthz", "200");
    check("/readyz", "200");
    for target in ["/api/users", "/api/clients", "/metrics", "/api/explain?user=admin"] {
        check(target, "401");
    }
    check("/mqtt", "426");
}

#[test]
fn what_the_https_listener_answers_itself_is_what_the_standards_ask_for() {
    let scene = Scene::start("password");
    let check = |head: &str, status: &str, named: &str| {
        let config = scene.config(None, &rustls::version::TLS13);
        let mut stream = link::tls(scene.https(), &config);
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        // The server may close without waiting for TLS's own end.
        stream.read_to_string(&mut answer).unwrap_or_default();
        assert!(answer.contains(&format!(" {status} ")), "{head}: {answer}");
        assert!(answer.contains(named), "{head}: {answer}");
    };
    // RFC 9112 3.2
    check("GET /healthz HTTP/1.1\r\n", "400", "application/problem+json");
    check("GET /mqtt HTTP/1.1\r\n", "400", "application/problem+json");
    check("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "400", "`Host`");
    check("GET /healthz HTTP/1.1\r\nhost: a\r\n", "200", "ok");
    check("GET /healthz HTTP/1.0\r\n", "200", "ok");
    // RFC 9110 15.5.6
    check("POST /mqtt HTTP/1.1\r\nhost: a\r\n", "405", "allow: GET");
    let reply = scene.broker.request("PUT", "/metrics", None);
    assert_eq!((reply.status, &reply.body["status"]), (405, &serde_json::json!(405)));
}

#[test]
fn the_client_list_shows_how_each_client_proved_itself() {
    let scene = Scene::start("either");
    scene.add_user("press-7", &["certificate"]);
    scene.add_user("by-password", &["password"]);
    let client = scene.ca.client("press-7");
    let _by_certificate = scene.connect(&client, "one", Version::V5);
    let _plain =
        login(Version::V5, "two").user("by-password", PASSWORD).connect(scene.broker.mqtt());
    let list = scene.broker.cli_json(&["client", "list"]);
    let of = |id: &str| {
        let clients = list.as_array().unwrap();
        clients.iter().find(|it| it["clientId"] == id).unwrap().clone()
    };
    let (one, two) = (of("one"), of("two"));
    assert_eq!(one["authMethod"], "certificate");
    assert_eq!(one["listener"], "mqtts");
    assert_eq!(one["tlsVersion"], "TLSv1.3");
    assert!(one["cipher"].as_str().unwrap().starts_with("TLS13_"), "{one}");
    assert_eq!(one["certificate"]["fingerprint"].as_str().unwrap().len(), 64);
    assert!(one["certificate"]["expiresAt"].is_string(), "{one}");
    assert_eq!(two["authMethod"], "password");
    assert!(two["tlsVersion"].is_null() && two["certificate"].is_null(), "{two}");
}
