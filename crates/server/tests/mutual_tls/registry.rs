//! The client registry where clients have certificates: a signing request over HTTPS becomes a login by mutual TLS.

use std::io::{Read, Write};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use testkit::{Version, login};

use crate::certificates::Client;
use crate::link::{self, Outcome};
use crate::scene::{PASSWORD, Scene};

/// A key, and a signing request for it.
fn key_and_csr(common_name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::NoCa;
    (key.serialize_pem(), params.serialize_request(&key).unwrap().pem().unwrap())
}

/// Asks over HTTPS, as a client does that has nothing but the authority's certificate.
fn register(scene: &Scene, body: &Value) -> (u16, Value) {
    let mut stream = link::tls(scene.https(), &scene.config(None, &rustls::version::TLS13));
    let body = body.to_string();
    let request = format!(
        "POST /api/client-registry/register HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn grant(scene: &Scene, name: &str, more: &[&str]) {
    let _granted = scene.broker.cli(&[&["registry", "grant", name], more].concat()).ok();
}

#[test]
fn a_signing_request_becomes_a_certificate_that_logs_in_by_mutual_tls() {
    let scene = Scene::start("mutual-tls");
    let (key, csr) = key_and_csr("press-7");
    let wish = json!({"username": "press-7", "csr": csr, "roles": ["connectware-admin"],
        "context": {"hall": 3}});
    assert_eq!(register(&scene, &wish).0, 423);
    let _unlocked = scene.broker.cli(&["registry", "unlock"]).ok();
    let other = json!({"username": "press-8", "csr": csr});
    let (status, problem) = register(&scene, &other);
    assert_eq!((status, problem["field"].as_str()), (400, Some("csr")), "{problem}");
    assert_eq!(register(&scene, &wish).0, 202);
    let (_, another) = key_and_csr("press-7");
    assert_eq!(register(&scene, &json!({"username": "press-7", "csr": another})).0, 409);
    assert_eq!(register(&scene, &wish).0, 202);
    grant(&scene, "press-7", &["--allow", "write:hall/3/#"]);
    let (status, granted) = register(&scene, &wish);
    assert_eq!((status, &granted["status"]), (201, &json!("granted")));
    assert_eq!(granted["ca"].as_str(), Some(scene.own_pem()));
    let client = Client::from_pem(granted["certificate"].as_str().unwrap(), &key);
    let mut stream = scene.connect(&client, "press-7", Version::V5);
    link::assert_alive(&mut stream);
    let users = scene.broker.cli_json(&["user", "show", "press-7"]);
    assert_eq!(
        (&users["roles"], &users["grantTypes"][0]["method"]),
        (&json!([]), &json!("certificate"))
    );
    let listed = scene.broker.cli_json(&["cert", "list", "--user", "press-7"]);
    assert_eq!(listed[0]["origin"], "signed", "{listed}");
    let shown = scene.broker.cli(&["client", "list"]).ok().stdout;
    let row = shown.lines().find(|line| line.starts_with("press-7")).unwrap();
    let day = listed[0]["expiresAt"].as_str().unwrap().split('T').next().unwrap();
    assert!(row.contains("certificate  1.3") && row.contains(day), "{shown}");
    let _removed = scene.broker.cli(&["user", "remove", "press-7"]).ok();
    assert_eq!(link::wait_for_end(&mut stream).1, Some(0x87), "with its user");
    assert_eq!(scene.outcome(Some(&client), &login(Version::V5, "x")), Outcome::Connack(0x87));
}

#[test]
fn with_a_password_and_a_signing_request_either_lets_it_in() {
    let scene = Scene::start("either");
    let _unlocked = scene.broker.cli(&["registry", "unlock"]).ok();
    let (key, csr) = key_and_csr("press-7");
    let asked = json!({"username": "press-7", "password": PASSWORD, "csr": csr});
    assert_eq!(register(&scene, &asked).0, 202);
    let mut wrong = asked.clone();
    wrong["password"] = json!("quiet-lantern-17");
    assert_eq!(register(&scene, &wrong).0, 409);
    grant(&scene, "press-7", &[]);
    let (status, granted) = register(&scene, &asked);
    assert_eq!(status, 201, "{granted}");
    assert_eq!(register(&scene, &wrong).0, 409, "another gets no certificate");
    let client = Client::from_pem(granted["certificate"].as_str().unwrap(), &key);
    drop(scene.connect(&client, "by-certificate", Version::V311));
    let by_password = login(Version::V5, "by-password").user("press-7", PASSWORD);
    assert_eq!(by_password.code(scene.broker.mqtt()), 0);
}

#[test]
fn a_valid_certificate_without_a_user_is_listed_and_let_in() {
    let scene = Scene::start("mutual-tls");
    let client = scene.ca.client("press-9");
    assert_eq!(scene.outcome(Some(&client), &login(Version::V5, "a")), Outcome::Connack(0x87));
    let _unlocked = scene.broker.cli(&["registry", "unlock"]).ok();
    assert_eq!(scene.outcome(Some(&client), &login(Version::V5, "a")), Outcome::Connack(0x87));
    let list = || scene.broker.cli_json(&["registry", "list"]);
    testkit::eventually("it is listed", || list()[0]["username"] == "press-9");
    assert_eq!(list()[0]["origin"], "mqttCertificate");
    grant(&scene, "press-9", &[]);
    drop(scene.connect(&client, "a", Version::V5));
}
